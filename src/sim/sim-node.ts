/**
 * One member of a simulated cluster over all its lives. A life is the production node (the cluster layer, the shards
 * behind direct links) on a process of the scheduler; the disk goes from life to life.
 */
import { SYNC } from "../record/durability.ts";
import type { ShardReply } from "../bridge/shard-protocol.ts";
import { ClusterNode } from "../cluster/cluster-node.ts";
import type { Coordinator } from "../cluster/coordinator.ts";
import { Identity } from "../cluster/identity.ts";
import { Joiner } from "../cluster/joiner.ts";
import type { MemberAdmin } from "../cluster/member-admin.ts";
import type { ShardPort } from "../cluster/shard-port.ts";
import { EnvelopeError } from "../core/errors.ts";
import { NO_NODE } from "../core/ids.ts";
import type { Stamp } from "../core/stamp.ts";
import type { MemberRecord } from "../record/member-format.ts";
import type { Environment } from "../env/environment.ts";
import type { Shard } from "../shard/shard.ts";
import { NodeLog } from "./node-log.ts";
import type { RaftRules } from "./raft-rules.ts";
import { type ReplicaState, replicaState } from "./replica-state.ts";
import type { Range, Scheduler } from "./scheduler.ts";
import { SimProcess } from "./scheduler.ts";
import { SimClock } from "./sim-clock.ts";
import { SimDisk, SimulatedCrash } from "./sim-disk.ts";
import { openSimShard } from "./sim-shard.ts";
import type { Survival } from "./sim-inode.ts";
import type { Wire } from "./sim-network.ts";
import type { Trace } from "./trace.ts";

const CLUSTER = "simulated";
const DIRECTORY = "/data";
/** The clocks of a node are off by this share at most. */
export const CLOCK_DRIFT_MAX = 0.05;
/** What a node may say of damaged files. */
const DAMAGE_CODES: readonly string[] = ["CORRUPTION", "MISSING_FILE", "FOREIGN_DIRECTORY", "NEWER_FORMAT"];
const PEER_PORT = 9101;
const CAPACITY_BYTES = 1 << 30;
const KIB = 1024;
/** Small, so that a short run meets them. */
const LIMITS = {
  valueBytesMax: 16 * KIB,
  uncommittedBytesMax: 256 * KIB,
  logRetainBytes: 64 * KIB,
  appendBytesMax: 4 * KIB,
  inflightBytesMax: 16 * KIB,
  inflightCountMax: 16,
  tailBytesMax: 32 * KIB,
};
const LEAVE_POLL_MS = 5;
/** After which a node that was not let in begins anew. */
const JOIN_MS = 2500;

export interface SimClusterShape {
  readonly memberNames: readonly string[];
  readonly shardCount: number;
  readonly replicationFactor: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
}

interface Life {
  readonly process: SimProcess;
  readonly clock: SimClock;
  readonly env: Environment;
  readonly identity: Identity;
  readonly shards: Shard[];
  /** Null while it asks to join. */
  node: ClusterNode | null;
}

export class SimNode {
  readonly name: string;
  readonly disk: SimDisk;
  readonly #scheduler: Scheduler;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #shape: SimClusterShape;
  readonly #rules: RaftRules;
  readonly #clockRate: number;
  readonly #logs = new Map<number, NodeLog>();
  #wallOffsetMs: number;
  #life: Life | null = null;
  #lifeCount = 0;
  #isDamaged = false;
  /** It has come back, or will, with an empty disk. */
  isWiped = false;
  /** Taken away for good. */
  isRetired = false;
  /** Where a node that is not one of the first members asks to be let in. */
  seedName: () => string = () => this.name;
  /** Says why, when the node wants its process ended: a shard has failed. */
  onFailure: (why: string) => void = () => undefined;
  /** The process is dead already: `crash` or `kill` is due. */
  onDeath: () => void = () => undefined;

  constructor(
    name: string,
    scheduler: Scheduler,
    wire: Wire,
    trace: Trace,
    rules: RaftRules,
    shape: SimClusterShape,
    syncDelayMs: Range,
  ) {
    const { random } = scheduler;
    this.name = name;
    this.#scheduler = scheduler;
    this.#wire = wire;
    this.#trace = trace;
    this.#rules = rules;
    this.#shape = shape;
    this.#clockRate = 1 - CLOCK_DRIFT_MAX + 2 * CLOCK_DRIFT_MAX * random.fraction();
    this.#wallOffsetMs = random.between(-500, 500);
    const sync = { scheduler, delayMs: syncDelayMs };
    this.disk = new SimDisk(random.u32(), { capacityBytes: CAPACITY_BYTES, sync });
  }

  get isUp(): boolean {
    return this.#life !== null;
  }

  get lifeCount(): number {
    return this.#lifeCount;
  }

  get process(): SimProcess | null {
    return this.#life?.process ?? null;
  }

  get coordinator(): Coordinator | null {
    return this.#life?.node?.coordinator ?? null;
  }

  /** Whom it takes for members; nobody, while it is none itself. */
  get members(): readonly MemberRecord[] {
    return this.#life?.node?.members.list() ?? [];
  }

  /** How new that is; −1: nobody. */
  get membersVersion(): number {
    return this.#life?.node?.members.version ?? -1;
  }

  /** The voters of each shard, as its log of it has them, whether it is up or not. */
  get votersKnown(): readonly (readonly string[])[] {
    return Array.from({ length: this.#shape.shardCount }, (_, shard) => this.logOf(shard).voters);
  }

  get memberAdmin(): MemberAdmin | null {
    return this.#life?.node?.memberAdmin ?? null;
  }

  /** A new life on what the disk holds. A planned fault may end it before it has begun; then `onDeath` is called. */
  start(): void {
    const process = new SimProcess(this.name);
    this.#lifeCount += 1;
    this.#trace.note(`${this.name} starts`);
    this.disk.mount(process);
    try {
      this.#life = this.#begin(process);
      if (this.#life.identity.nodeId === NO_NODE) this.#join(this.#life);
      else this.#takePart(this.#life);
    } catch (thrown) {
      process.end();
      this.#end();
      if (!this.excuses(thrown)) throw thrown;
      this.#trace.note(`${this.name} died while starting: ${String(thrown)}`);
      this.onDeath();
    }
  }

  /** Whether an exception is what a disk was told to do, or says that its files are damaged, which they are. */
  excuses(thrown: unknown): boolean {
    if (thrown instanceof SimulatedCrash) return true;
    if (!(thrown instanceof EnvelopeError)) return false;
    if (this.#isDamaged && DAMAGE_CODES.includes(thrown.code)) return true;
    return this.disk.hasFailed || (thrown.code === "DISKFULL" && this.disk.isSqueezed);
  }

  /** The log of a shard, whether the node is up or not. */
  logOf(shard: number): NodeLog {
    const known = this.#logs.get(shard);
    if (known !== undefined) return known;
    const { memberNames } = this.#shape;
    const first = memberNames.includes(this.name) ? memberNames : [];
    const log = new NodeLog(this.#rules, shard, this.name, first);
    this.#logs.set(shard, log);
    return log;
  }

  /** Whether this node, which is up, has bound a member to the data directory that speaks for it. */
  hasBound(name: string): boolean {
    return this.members.some((one) => one.name === name && one.incarnation !== "");
  }

  #begin(process: SimProcess): Life {
    const { memberNames, shardCount } = this.#shape;
    const clock = new SimClock(this.#scheduler, process, this.#clockRate, this.#wallOffsetMs);
    const network = this.#wire.attach(this.name, process);
    const seed = this.#scheduler.random.u32();
    const env: Environment = { disk: this.disk, network, clock, log: this.#trace.logger(this.name), seed };
    this.disk.makeDirectory(DIRECTORY);
    this.disk.lock(DIRECTORY);
    const identity = Identity.claim(this.disk, {
      directory: DIRECTORY,
      clusterName: CLUSTER,
      nodeName: this.name,
      memberNames,
      shardCount,
      randomHex: seed.toString(16),
      joins: !memberNames.includes(this.name),
      areShardsSaid: true,
      adopts: false,
    });
    return { process, clock, env, identity, shards: [], node: null };
  }

  /** Its process ends, and begins anew, when it is not let in for long: whom it asks may be gone. */
  #join(life: Life): void {
    const { electionMs, requestTimeoutMs, replicationFactor } = this.#shape;
    const { nodeName: name, incarnation } = life.identity;
    const { valueBytesMax } = LIMITS;
    const request = {
      name,
      incarnation,
      peerAddress: addressOf(name),
      rack: "",
      valueBytesMax,
      electionMs,
      replicationFactor,
    };
    const options = { seed: addressOf(this.seedName()), answerMs: 2 * requestTimeoutMs, giveUpMs: JOIN_MS };
    new Joiner(life.env, request, options, (outcome) => {
      if (this.#life !== life) return;
      if (outcome instanceof EnvelopeError) return this.onFailure(`not let in: ${outcome.message}`);
      // As an event of its own: what its disk throws then is not the connection's to catch.
      this.#scheduler.schedule(0, life.process, () => {
        life.identity.becomeMember(outcome);
        this.#takePart(life);
      });
    });
  }

  #takePart(life: Life): void {
    const { memberNames, shardCount: _shardCount, ...settings } = this.#shape;
    const { env, identity, shards } = life;
    const hasPeers = identity.members.members.length > 1;
    const openShard = (shard: number, onReply: (reply: ShardReply) => void): ShardPort => {
      const log = this.logOf(shard);
      const opened = openSimShard(env, DIRECTORY, identity.clusterId, shard, hasPeers, log, (reply) => {
        log.onReply(reply);
        onReply(reply);
      });
      shards.push(opened.shard);
      return opened.port;
    };
    const names = memberNames.includes(this.name) ? memberNames : [this.name];
    const peers = names.map((name) => ({ name, address: addressOf(name) }));
    const node = new ClusterNode(
      env,
      {
        ...settings,
        ...LIMITS,
        clusterName: CLUSTER,
        durability: SYNC,
        peerAddress: addressOf(this.name),
        peers,
        rack: "",
      },
      identity,
      openShard,
    );
    node.onFailure((shard, code, message) => this.onFailure(`shard ${shard}: ${code} ${message}`));
    node.onForgotten(() => this.#scheduler.schedule(0, null, () => this.#forgotten(life)));
    life.node = node;
    node.start();
  }

  /** The cluster has no such member any more: the node has nothing more to do. */
  #forgotten(life: Life): void {
    if (this.#life !== life) return;
    this.#trace.note(`${this.name} has left the cluster`);
    this.retire();
  }

  /** Power cut: what was not synced is at the mercy of `survival`. */
  crash(survival: Survival): void {
    this.#trace.note(`${this.name} loses power, sectors survive by ${survival.sector}`);
    this.#end();
    this.disk.crash(survival);
  }

  /** The process dies, the machine does not. */
  kill(): void {
    this.#trace.note(`${this.name} is killed`);
    this.#end();
    this.disk.kill();
  }

  /** The machine comes back with an empty disk. */
  wipe(): void {
    this.#trace.note(`${this.name} loses its disk`);
    this.#end();
    this.disk.replace();
    this.#logs.clear();
    this.isWiped = true;
  }

  /** Its files are no longer what it wrote. */
  damaged(what: string): void {
    this.#trace.note(`${this.name}: ${what}`);
    this.#isDamaged = true;
  }

  /** It is taken away. */
  retire(): void {
    this.isRetired = true;
    if (this.isUp) this.kill();
  }

  /** The node is told to stop, as by a signal, and its process ends when it has; then `gone` runs. */
  leave(gone: () => void): void {
    const life = this.#life;
    const node = life?.node ?? null;
    if (life === null || node === null) return gone();
    this.#trace.note(`${this.name} is told to stop`);
    node.stop();
    const look = (): void => {
      if (this.#life !== life) return;
      if (!node.stopped) return void life.clock.after(LEAVE_POLL_MS, look);
      this.kill();
      gone();
    };
    look();
  }

  pause(ms: number): void {
    this.#trace.note(`${this.name} is stopped for ${ms} ms`);
    this.#life?.process.pauseUntil(this.#scheduler.nowMs + ms);
  }

  /** It is stopped in the middle of something, at the n-th look at a clock from now on (from 1). */
  stall(readingsAhead: number, ms: number): void {
    this.#trace.note(`${this.name} is stopped for ${ms} ms, having looked at a clock ${readingsAhead} times more`);
    this.#life?.clock.planStall(readingsAhead, ms);
  }

  jumpClock(ms: number): void {
    this.#trace.note(`the clock of ${this.name} jumps by ${ms} ms`);
    this.#wallOffsetMs += ms;
    this.#life?.clock.jump(ms);
  }

  #end(): void {
    this.#life?.process.end();
    this.#life = null;
    this.#wire.detach(this.name);
  }

  /**
   * What a shard of this node has applied, whoever leads, as of the last applied stamp: `bucket/key` → value, buckets that
   * are fenced left out, and what it remembers of client sessions. Null: the node is down, in the middle of the next entry, or
   * says that files are damaged.
   */
  state(shard: number, stamp: Stamp, buckets: ReadonlySet<number>): ReplicaState | null {
    const reader = this.#life?.shards[shard]?.reader;
    if (reader === undefined || this.disk.isDead) return null;
    return this.disk.spare(() => {
      try {
        return replicaState(reader, stamp, buckets);
      } catch (thrown) {
        const isInsideEntry = thrown instanceof EnvelopeError && thrown.code === "HISTORY_GONE";
        if (isInsideEntry || (this.#isDamaged && this.excuses(thrown))) return null;
        throw thrown;
      }
    });
  }
}

function addressOf(name: string): string {
  return `${name}:${PEER_PORT}`;
}
