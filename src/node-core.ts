/**
 * A node without its ports: claims the data directory, opens its shards (in workers, or on this thread) and takes its place
 * in the cluster. What a server and a database inside a process have in common. A part of the composition root; main thread.
 */
import { ClusterNode } from "./cluster/cluster-node.ts";
import { Identity } from "./cluster/identity.ts";
import type { Membership } from "./cluster/join-format.ts";
import { Joiner } from "./cluster/joiner.ts";
import { type NodeSettings, splitAddress } from "./config.ts";
import { EnvelopeError, type ErrorCode } from "./core/errors.ts";
import { NO_NODE } from "./core/ids.ts";
import { Random } from "./core/random.ts";
import type { DirectoryLock } from "./env/disk.ts";
import type { Environment } from "./env/environment.ts";
import { type RunningShards, shardsInWorkers, shardsOnThisThread, type WorkerEvents } from "./node-shards.ts";
import { parseDurability, SYNC } from "./record/durability.ts";

const POLL_MS = 5;
/** Shards get this long to finish what they are doing when the node stops. */
const STOP_MS_MAX = 4_000;
const JOIN_SLACK_MS = 1_000;

/** A data directory that nobody else has, and whose it is. */
export interface Claim {
  /** As given, but for what the directory knows better. */
  readonly settings: NodeSettings;
  readonly identity: Identity;
  readonly lock: DirectoryLock;
}

/**
 * Takes the directory, and for a node that is to join, a place in the cluster. Throws DIRECTORY_IN_USE, FOREIGN_DIRECTORY,
 * NEWER_FORMAT, CORRUPTION, IO, or what keeps it from joining.
 */
export async function claimDirectory(given: NodeSettings, environment: Environment): Promise<Claim> {
  const lock = lockedDirectory(given, environment);
  try {
    const identity = await memberOf(given, environment);
    // Whoever joins has as many shards as the cluster.
    return { settings: { ...given, shards: identity.shardCount }, identity, lock };
  } catch (cause) {
    lock.release();
    throw cause;
  }
}

/** Takes the directory of a node that is alone, whatever it is called. Throws as `claimDirectory` does. */
export function adoptDirectory(given: NodeSettings, environment: Environment): Claim {
  const lock = lockedDirectory(given, environment);
  try {
    const identity = claimedBy(given, environment, true);
    const { nodeName: id, shardCount: shards, members } = identity;
    // What its servers have said of it stays.
    const { peerAddress = "", rack = given.rack } = members.members[0] ?? {};
    const peer = peerAddress === "" ? given.peer : peerAddress;
    return { settings: { ...given, id, shards, rack, peer, peers: [{ name: id, address: peer }] }, identity, lock };
  } catch (cause) {
    lock.release();
    throw cause;
  }
}

function lockedDirectory({ data }: NodeSettings, { disk }: Environment): DirectoryLock {
  disk.makeDirectory(data);
  return disk.lock(data);
}

/** Resolves when all shards have recovered; otherwise gives the directory back and throws what is in the way. */
export async function openCore(claim: Claim, environment: Environment): Promise<NodeCore> {
  const core = NodeCore.open(claim, environment);
  try {
    await core.until(() => core.node.opened);
    return core;
  } catch (cause) {
    await core.stop();
    throw cause;
  }
}

export class NodeCore {
  readonly settings: NodeSettings;
  readonly environment: Environment;
  readonly node: ClusterNode;
  readonly #claim: Claim;
  readonly #shards: RunningShards;
  readonly #failureListeners: ((failure: EnvelopeError) => void)[] = [];
  #failure: EnvelopeError | null = null;
  /** Its shards will not say that they have stopped. */
  #hasLostWorker = false;

  private constructor(claim: Claim, environment: Environment) {
    const { settings, identity } = claim;
    this.settings = settings;
    this.environment = environment;
    this.#claim = claim;
    const died = (reason: string): void => {
      this.#hasLostWorker = true;
      this.fail("IO", reason);
    };
    const shards = hostShards(environment, settings, identity, { died, repliesCame: () => this.node.turnNow() });
    this.#shards = shards;
    try {
      this.node = new ClusterNode(environment, clusterSettings(settings), identity, shards.open);
    } catch (cause) {
      shards.stop();
      throw cause;
    }
    this.node.onTurnEnd(() => this.node.coordinator.settleReads());
    this.node.onFailure((shard, code, message) => this.fail(code, `shard ${shard}: ${message}`));
    this.node.onForgotten(() => this.fail("NO_MEMBER", "this node has been removed from the cluster"));
    shards.start();
  }

  /** Begins to open the shards. Gives the directory back when one of those on this thread cannot be. */
  static open(claim: Claim, environment: Environment): NodeCore {
    try {
      return new NodeCore(claim, environment);
    } catch (cause) {
      claim.lock.release();
      throw cause;
    }
  }

  /** Whether nobody else belongs to the cluster. */
  get isAlone(): boolean {
    return this.#claim.identity.members.members.length === 1;
  }

  /** Why this node cannot go on, which it was told first; null: it can. */
  get failure(): EnvelopeError | null {
    return this.#failure;
  }

  fail(code: ErrorCode, reason: string): void {
    if (this.#failure !== null) return;
    this.#failure = new EnvelopeError(code, reason);
    for (const tell of this.#failureListeners.splice(0)) tell(this.#failure);
  }

  /** Runs once, now if it has failed before. */
  onFailure(run: (failure: EnvelopeError) => void): void {
    if (this.#failure === null) this.#failureListeners.push(run);
    else run(this.#failure);
  }

  /** Resolves as soon as the condition holds; rejects with the failure if that comes first. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure !== null) throw this.#failure;
      await this.#pause();
    }
  }

  /**
   * Lets the shards finish, runs `last`, and gives the directory back; but not while a shard may still write to it, in which
   * case it is kept for as long as the process lives.
   */
  async stop(last: () => Promise<void> = async () => undefined): Promise<void> {
    const { clock, log } = this.environment;
    this.node.stop();
    const deadline = clock.monotonicMs() + STOP_MS_MAX;
    while (!this.node.stopped && !this.#hasLostWorker && clock.monotonicMs() <= deadline) await this.#pause();
    this.#shards.stop();
    await last();
    if (this.node.stopped) this.#claim.lock.release();
    else log.error("not all shards have stopped; the directory stays locked while the process lives", {});
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.environment.clock.after(POLL_MS, resolve));
  }
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

/** Whose directory it is; a new one belongs to this node. */
function claimedBy(settings: NodeSettings, { disk, seed }: Environment, adopts: boolean): Identity {
  return Identity.claim(disk, {
    directory: settings.data,
    clusterName: settings.cluster,
    nodeName: settings.id,
    memberNames: settings.peers.map((peer) => peer.name),
    shardCount: settings.shards,
    areShardsSaid: settings.areShardsSaid,
    randomHex: new Random(seed).u32().toString(16),
    joins: settings.join !== undefined,
    adopts,
  });
}

/** Who the node is; one that is to join has done so then. */
async function memberOf(settings: NodeSettings, environment: Environment): Promise<Identity> {
  const { join, joinTimeoutMs, requestTimeoutMs, rack, valueBytesMax, electionMs, replicationFactor } = settings;
  const identity = claimedBy(settings, environment, false);
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
