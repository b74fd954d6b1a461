/**
 * The composition root of a server: takes the data directory, opens its shards, joins the cluster (node-core.ts), and only then
 * opens the ports to clients (node-ports.ts). Main thread.
 */
import type { NodeSettings } from "./config.ts";
import { descriptorsMax } from "./env/descriptors.ts";
import type { Environment } from "./env/environment.ts";
import { claimDirectory, openCore } from "./node-core.ts";
import { connectionsWithin, openPorts, withPort } from "./node-ports.ts";
import { openNetworks } from "./node-tls.ts";
import type { NodeStatus } from "./server/http-port.ts";

export interface RunningNode {
  readonly clientAddress: string;
  readonly httpAddress: string;
  readonly peerAddress: string;
  stop(): Promise<void>;
  status(): NodeStatus;
  /** Looks at once whether there are new certificates; null: this node has none. */
  readonly renewCertificates: (() => void) | null;
  /** Runs once when a shard has failed or a worker has died: the process should end. */
  onFailure(run: (reason: string) => void): void;
  /** Runs when a client asks for the node to be stopped. Until somebody listens, clients are refused that. */
  onShutdown(run: () => void): void;
}

/**
 * Resolves once clients are served. Throws the EnvelopeError that keeps the node from starting: DIRECTORY_IN_USE,
 * FOREIGN_DIRECTORY, NEWER_FORMAT, MISSING_FILE, CORRUPTION, IO, DISKFULL, CONFIG for an address that is taken, what keeps it from
 * joining, or NO_MEMBER when it was removed while it was away.
 */
export async function startNode(given: NodeSettings, environment: Environment): Promise<RunningNode> {
  const networks = openNetworks(given, environment, descriptorsMax());
  const peerEnvironment = { ...environment, network: networks.peer };
  const claim = await claimDirectory(given, peerEnvironment);
  const { settings, identity } = claim;
  const memberCount = identity.members.members.length;
  const connectionsMax = connectionsWithin(settings, memberCount, networks.handshakesMax, environment.log);
  const core = await openCore(claim, peerEnvironment);
  const peer = withPort(settings.peer, core.node.start());
  const { client, http } = settings;
  const ports = await openPorts(core, settings, networks, { client, http, peer }, connectionsMax, (reason) =>
    core.fail("CONFIG", reason),
  );
  return {
    clientAddress: ports.addresses.client,
    peerAddress: peer,
    httpAddress: ports.addresses.http ?? "",
    status: ports.status,
    renewCertificates: networks.renewCertificates,
    onFailure: (run) => core.onFailure(({ message }) => run(message)),
    onShutdown: ports.onShutdown,
    stop: async () => {
      await ports.close();
      await core.stop(() => ports.end());
    },
  };
}
