/**
 * The composition root of a node: claims the data directory, opens its shards (in workers, or on this thread), joins
 * the cluster, and only then opens the ports to clients. Main thread.
 */
import packageJson from "../package.json" with { type: "json" };
import { ClusterNode } from "./cluster/cluster-node.ts";
import { Identity } from "./cluster/identity.ts";
import type { Membership } from "./cluster/join-format.ts";
import { Joiner } from "./cluster/joiner.ts";
import type { NodeSettings } from "./config.ts";
import { parseSetting, splitAddress } from "./config.ts";
import { EnvelopeError, type ErrorCode } from "./core/errors.ts";
import { NO_NODE } from "./core/ids.ts";
import { Random } from "./core/random.ts";
import { descriptorsMax } from "./env/descriptors.ts";
import type { Environment, Logger } from "./env/environment.ts";
import { NodeAccess } from "./node-access.ts";
import { openNetworks } from "./node-tls.ts";
import { type RunningShards, shardsInWorkers, shardsOnThisThread, type WorkerEvents } from "./node-shards.ts";
import { parseDurability, SYNC } from "./record/durability.ts";
import { ClientPort } from "./server/client-port.ts";
import type { NodeControl } from "./server/node-control.ts";
import { type NodeStatus, startHttpPort } from "./server/http-port.ts";
import { DIRECT_FILES_MAX } from "./storage/direct-files.ts";

const POLL_MS = 5;
/** Shards get this long to finish what they are doing when the node stops. */
const STOP_MS_MAX = 4_000;
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
const JOIN_SLACK_MS = 1_000;

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
  const { disk, clock, log } = environment;
  const networks = openNetworks(given, environment, descriptorsMax());
  const peerEnvironment = { ...environment, network: networks.peer };
  disk.makeDirectory(given.data);
  const lock = disk.lock(given.data);
  const identity = await claimDirectory(given, peerEnvironment);
  // Whoever joins has as many shards as the cluster.
  const settings = { ...given, shards: identity.shardCount };
  const connectionsMax = connectionsWithin(settings, identity.members.members.length, networks.handshakesMax, log);
  let failure: EnvelopeError | null = null;
  let tellFailure: ((reason: string) => void) | null = null;
  const fail = (code: ErrorCode, reason: string): void => {
    if (failure !== null) return;
    failure = new EnvelopeError(code, reason);
    tellFailure?.(reason);
  };
  let wake: () => void = () => undefined;
  const events = { died: (reason: string) => fail("IO", reason), repliesCame: () => wake() };
  const shards = hostShards(environment, settings, identity, events);
  const node = new ClusterNode(peerEnvironment, clusterSettings(settings), identity, shards.open);
  wake = () => node.turnNow();
  node.onFailure((shard, code, message) => fail(code, `shard ${shard}: ${message}`));
  node.onForgotten(() => fail("NO_MEMBER", "this node has been removed from the cluster"));
  shards.start();
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition() && failure === null) await new Promise<void>((resolve) => clock.after(POLL_MS, resolve));
  };
  await until(() => node.opened);
  if (failure !== null) throw failure;
  const peerPort = node.start();
  const door = await NodeAccess.open(node, settings, environment, (reason) => fail("CONFIG", reason));
  const { control, onShutdown } = nodeControl(settings, log, connectionsMax);
  const clientSettings = { ...settings, connectionsMax, version: packageJson.version };
  const clients = new ClientPort(node.coordinator, networks.client, clock, log, door.access, clientSettings, control);
  node.onTurnEnd(() => clients.turnEnded());
  door.start();
  if (identity.members.members.length === 1) {
    await until(() => node.hasLeaders && door.isKnown);
    if (door.refusal !== null) throw door.refusal;
  }
  const clientAddress = withPort(settings.client, clients.listen(settings.client));
  node.tellClientAddress(usableByOthers(clientAddress));
  const peerAddress = withPort(settings.peer, peerPort);
  const { host, port } = splitAddress(settings.http);
  const http = startHttpPort(host, port, door.access, () => status(), networks.http);
  const status = (): NodeStatus => ({
    node: settings.id,
    cluster: settings.cluster,
    version: packageJson.version,
    addresses: { client: clientAddress, peer: peerAddress, http: http.address },
    shards: node.coordinator.shards(),
    members: node.coordinator.members(),
    figures: node.coordinator.figures(),
  });
  log.info("serving", { client: clientAddress, peer: peerAddress, http: http.address, shards: settings.shards });
  return {
    clientAddress,
    peerAddress,
    httpAddress: http.address,
    status,
    renewCertificates: networks.renewCertificates,
    onFailure: (run) => {
      tellFailure = run;
      if (failure !== null) run(failure.message);
    },
    onShutdown,
    stop: async () => {
      clients.close();
      await http.stop();
      networks.stop();
      node.stop();
      const deadline = clock.monotonicMs() + STOP_MS_MAX;
      await until(() => node.stopped || clock.monotonicMs() > deadline);
      shards.stop();
      await door.stop();
      lock.release();
    },
  };
}

/** Shards in workers, or on this thread. */
function hostShards(
  environment: Environment,
  settings: NodeSettings,
  { clusterId, members }: Identity,
  events: WorkerEvents,
): RunningShards {
  const hasPeers = members.members.length > 1;
  return settings.workers === 0
    ? shardsOnThisThread(environment, settings, clusterId, hasPeers)
    : shardsInWorkers(environment, settings, clusterId, hasPeers, events);
}

/** What clients may do to this node; whoever can stop it says so by `onShutdown`. */
function nodeControl(
  settings: NodeSettings,
  log: Logger,
  connectionsMax: number,
): { control: NodeControl; onShutdown: (run: () => void) => void } {
  let stop: (() => void) | null = null;
  const texts = Object.entries(settings).map(([name, value]): [string, string] => [name, settingText(value)]);
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

/** Whose directory it is; a node that is to join has done so then. */
async function claimDirectory(settings: NodeSettings, environment: Environment): Promise<Identity> {
  const { join, joinTimeoutMs, requestTimeoutMs, rack, valueBytesMax, electionMs, replicationFactor } = settings;
  const identity = Identity.claim(environment.disk, {
    directory: settings.data,
    clusterName: settings.cluster,
    nodeName: settings.id,
    memberNames: settings.peers.map((peer) => peer.name),
    shardCount: settings.shards,
    randomHex: new Random(environment.seed).u32().toString(16),
    joins: join !== undefined,
  });
  if (identity.nodeId !== NO_NODE || join === undefined) return identity;
  const peerAddress = settings.peers.find(({ name }) => name === settings.id)?.address ?? settings.peer;
  if (splitAddress(peerAddress).port === 0) throw new EnvelopeError("CONFIG", "peer must say the port: others dial it");
  const { nodeName: name, incarnation } = identity;
  const shared = { valueBytesMax, electionMs, replicationFactor };
  const request = { name, incarnation, peerAddress, rack, ...shared };
  // A member answers when its own request has been answered and the new list has come.
  const options = { seed: join, answerMs: 2 * requestTimeoutMs + JOIN_SLACK_MS, giveUpMs: joinTimeoutMs };
  const outcome = await new Promise<Membership | EnvelopeError>((resolve) => {
    new Joiner(environment, request, options, resolve);
  });
  if (outcome instanceof EnvelopeError) throw outcome;
  identity.becomeMember(outcome);
  environment.log.info("joined the cluster", { through: join, nodeId: identity.nodeId });
  return identity;
}

/** Storage must never go without a descriptor because of clients. Throws CONFIG when none would be left for them. */
function connectionsWithin(settings: NodeSettings, memberCount: number, handshakesMax: number, log: Logger): number {
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

function clusterSettings(settings: NodeSettings) {
  return {
    clusterName: settings.cluster,
    peerAddress: settings.peer,
    peers: settings.peers,
    rack: settings.rack,
    replicationFactor: settings.replicationFactor,
    heartbeatMs: settings.heartbeatMs,
    electionMs: settings.electionMs,
    requestTimeoutMs: settings.requestTimeoutMs,
    durability: parseDurability(settings.durability) ?? SYNC,
    valueBytesMax: settings.valueBytesMax,
    uncommittedBytesMax: settings.uncommittedBytes,
    logRetainBytes: settings.logRetainBytes,
    appendBytesMax: settings.appendBytes,
    inflightBytesMax: settings.inflightBytes,
    inflightCountMax: settings.inflightCount,
    tailBytesMax: settings.logTailBytes,
  };
}

/** The address as bound: port 0 is answered with the one taken. */
function withPort(address: string, port: number): string {
  return `${address.slice(0, address.lastIndexOf(":"))}:${port}`;
}

/** The address as others may be told it; empty where it stands for any interface of this machine. */
function usableByOthers(address: string): string {
  const { host } = splitAddress(address);
  return host === "0.0.0.0" || host === "::" || host === "[::]" ? "" : address;
}
