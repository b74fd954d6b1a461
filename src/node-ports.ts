/**
 * The ports through which clients reach a node: Redis's protocol, the binary one and HTTP, with who comes in. A part of the
 * composition root; main thread.
 */
import packageJson from "../package.json" with { type: "json" };
import type { ClusterNode } from "./cluster/cluster-node.ts";
import { isSetting, parseSetting, splitAddress, type NodeSettings } from "./config.ts";
import { EnvelopeError } from "./core/errors.ts";
import { descriptorsMax } from "./env/descriptors.ts";
import type { Logger } from "./env/environment.ts";
import { NodeAccess } from "./node-access.ts";
import type { NodeCore } from "./node-core.ts";
import type { NodeNetworks } from "./node-tls.ts";
import { binaryServices } from "./server/binary/binary-services.ts";
import type { BinaryServices } from "./server/binary/binary-session.ts";
import { ClientPort } from "./server/client-port.ts";
import { type HttpPort, type NodeStatus, startHttpPort } from "./server/http-port.ts";
import type { NodeControl } from "./server/node-control.ts";
import { DIRECT_FILES_MAX } from "./storage/direct-files.ts";

/**
 * File descriptors that are not for clients: the runtime, ports and HTTP; the log, tables and jobs of a shard; a thread; a
 * compactor; the connections to and from a member, old ones on their way out among them.
 */
const DESCRIPTORS_BASE = 24;
const DESCRIPTORS_OF_SHARD = 12;
const DESCRIPTORS_OF_WORKER = 2;
const DESCRIPTORS_OF_COMPACTOR = 4;
const DESCRIPTORS_OF_MEMBER = 4;
/** Others for which there is room at least: more members may come while the node runs. */
const MEMBERS_TO_COME = 4;

/** Where a node is reached; null: not at all. */
export interface PortAddresses {
  readonly client: string;
  readonly http: string | null;
  /** As it was bound before. */
  readonly peer: string | null;
}

export interface OpenPorts {
  readonly addresses: PortAddresses;
  status(): NodeStatus;
  /** Runs when a client asks for the node to be stopped. Until somebody listens, clients are refused that. */
  onShutdown(run: () => void): void;
  /** Takes no more clients; those who are there have what they asked for answered and sent, as far as they take it. */
  close(): Promise<void>;
  /** What is done after the last of them. */
  end(): Promise<void>;
}

/**
 * Resolves once clients are served. `unfit` is told later why they should not be any more: there are no users who could log in, and
 * others can reach the ports. Throws CONFIG for an address that is taken, and what keeps the node from serving.
 */
export async function openPorts(
  core: NodeCore,
  settings: NodeSettings,
  networks: NodeNetworks,
  wanted: PortAddresses,
  connectionsMax: number,
  unfit: (reason: string) => void,
): Promise<OpenPorts> {
  const { node, environment } = core;
  const { clock, log } = environment;
  const bound = Object.values(wanted).filter((address) => address !== null);
  const door = await NodeAccess.open(node, settings, bound, environment, unfit);
  networks.onRefused((port, from, why) => door.access.connectionRefused(port, from, why));
  node.onPeerRefused((from, why) => door.access.connectionRefused("peer", from, why));
  const { control, onShutdown } = nodeControl(settings, log, connectionsMax);
  const clientSettings = { ...settings, connectionsMax, version: packageJson.version };
  const clients = new ClientPort(node.coordinator, networks.client, clock, log, door.access, clientSettings, control);
  node.onTurnEnd(() => clients.turnEnded());
  let http: HttpPort | null = null;
  const close = async (): Promise<void> => {
    clients.close();
    await http?.stop();
    networks.stop();
  };
  try {
    door.start();
    if (core.isAlone) await core.until(() => node.hasLeaders && door.isKnown);
    if (core.isAlone && door.refusal !== null) throw door.refusal;
    const client = withPort(wanted.client, clients.listen(wanted.client));
    node.tellClientAddress(usableByOthers(client));
    if (wanted.http !== null) http = listenForHttp(wanted.http, networks, door, () => status());
    const addresses = { client, http: http?.address ?? null, peer: wanted.peer };
    const status = (): NodeStatus => statusOf(core.node, settings, addresses);
    log.info("serving", { ...addresses, shards: settings.shards });
    return { addresses, status, onShutdown, close, end: () => door.stop() };
  } catch (cause) {
    await close();
    await door.stop();
    throw cause;
  }
}

function listenForHttp(address: string, networks: NodeNetworks, door: NodeAccess, status: () => NodeStatus): HttpPort {
  const { host, port } = splitAddress(address);
  return startHttpPort(host, port, door.access, status, networks.http);
}

function statusOf(node: ClusterNode, settings: NodeSettings, addresses: PortAddresses): NodeStatus {
  return {
    node: settings.id,
    cluster: settings.cluster,
    version: packageJson.version,
    addresses,
    shards: node.coordinator.shards(),
    members: node.coordinator.members(),
    figures: node.coordinator.figures(),
  };
}

/** What a client inside this process is served by. */
export function embeddedServices({ node, settings, environment }: NodeCore): BinaryServices {
  return binaryServices(node.coordinator, environment.clock, { ...settings, version: packageJson.version });
}

/** Storage must never go without a descriptor because of clients. Throws CONFIG when none would be left for them. */
export function connectionsWithin(
  settings: NodeSettings,
  memberCount: number,
  handshakesMax: number,
  log: Logger,
): number {
  const descriptorCount = descriptorsMax();
  const others = Math.max(memberCount - 1, MEMBERS_TO_COME);
  const reserved =
    DESCRIPTORS_BASE +
    DESCRIPTORS_OF_SHARD * settings.shards +
    DESCRIPTORS_OF_WORKER * settings.workers +
    DESCRIPTORS_OF_COMPACTOR * settings.compactors +
    (settings.tableIo === "direct" ? DIRECT_FILES_MAX * (settings.shards + settings.compactors) : 0) +
    DESCRIPTORS_OF_MEMBER * others +
    handshakesMax;
  if (descriptorCount <= reserved) {
    const least = `at least ${reserved + 1} are needed`;
    throw new EnvelopeError("CONFIG", `the system allows ${descriptorCount} open files (ulimit -n); ${least}`);
  }
  const connectionsMax = Math.min(settings.connectionsMax, descriptorCount - reserved);
  if (connectionsMax < settings.connectionsMax) {
    log.warn("fewer connections than connectionsMax, for want of file descriptors", { connectionsMax });
  }
  return connectionsMax;
}

/** What clients may do to this node; whoever can stop it says so by `onShutdown`. */
function nodeControl(
  settings: NodeSettings,
  log: Logger,
  connectionsMax: number,
): { control: NodeControl; onShutdown: (run: () => void) => void } {
  let stop: (() => void) | null = null;
  const texts = Object.entries(settings)
    .filter(([name]) => isSetting(name))
    .map(([name, value]): [string, string] => [name, settingText(value)]);
  const control: NodeControl = {
    shutdown: () => {
      stop?.();
      return stop !== null;
    },
    settings: new Map(texts),
    parseSetting: (name, text) => {
      const parsed = parseSetting(name, text);
      const isTooMany = name === "connectionsMax" && "value" in parsed && Number(parsed.value) > connectionsMax;
      // Beyond what the node started with there may be no file descriptors.
      return isTooMany ? { problem: `must be at most ${connectionsMax} while the node runs` } : parsed;
    },
    setLogLevel: (level) => log.setLevel?.(level),
  };
  const onShutdown = (run: () => void): void => {
    stop = run;
  };
  return { control, onShutdown };
}

function settingText(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The address as bound: port 0 is answered with the one taken. */
export function withPort(address: string, port: number): string {
  return `${address.slice(0, address.lastIndexOf(":"))}:${port}`;
}

/** The address as others may be told it; empty where it stands for any interface of this machine. */
function usableByOthers(address: string): string {
  const { host } = splitAddress(address);
  return host === "0.0.0.0" || host === "::" || host === "[::]" ? "" : address;
}
