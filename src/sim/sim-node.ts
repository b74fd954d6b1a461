/**
 * One member of a simulated cluster over all its lives. A life is the production node (the cluster layer, the shards
 * behind direct links) on a process of the scheduler; the disk goes from life to life.
 */
import { SYNC } from "../record/durability.ts";
import { SharedState } from "../bridge/shared-state.ts";
import { createShardMemory } from "../bridge/shard-memory.ts";
import { MemtableSet } from "../bridge/memtable-set.ts";
import type { ReadRequest, ShardReply } from "../bridge/shard-protocol.ts";
import { ClusterNode } from "../cluster/cluster-node.ts";
import type { Coordinator } from "../cluster/coordinator.ts";
import { DirectLink } from "../cluster/direct-link.ts";
import { Identity } from "../cluster/identity.ts";
import type { ShardPort } from "../cluster/shard-port.ts";
import { text } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type LogIndex, shardId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import type { Result } from "../record/result.ts";
import { BlockCache } from "../storage/block-cache.ts";
import { Shard } from "../shard/shard.ts";
import { type CommittedTerms, LogTerms, WatchedLink } from "./committed-terms.ts";
import type { Range, Scheduler } from "./scheduler.ts";
import { SimProcess } from "./scheduler.ts";
import { SimClock } from "./sim-clock.ts";
import { SimDisk, SimulatedCrash } from "./sim-disk.ts";
import type { Survival } from "./sim-inode.ts";
import type { Wire } from "./sim-network.ts";
import type { Trace } from "./trace.ts";

const DIRECTORY = "/data";
const PEER_PORT = 9101;
const CAPACITY_BYTES = 1 << 30;
const KIB = 1024;
/** Small, so that a short run meets them. */
const LIMITS = {
  valueBytesMax: 16 * KIB,
  uncommittedBytesMax: 256 * KIB,
  appendBytesMax: 4 * KIB,
  inflightBytesMax: 16 * KIB,
  inflightCountMax: 16,
  tailBytesMax: 32 * KIB,
};
/** Request ids of the inspector, far from those of the node. */
const INSPECTOR_REQUEST = 0x4000_0000;

export interface SimClusterShape {
  readonly memberNames: readonly string[];
  readonly shardCount: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
}

interface Life {
  readonly process: SimProcess;
  readonly clock: SimClock;
  readonly node: ClusterNode;
  readonly shards: readonly Shard[];
  readonly inspections: Map<number, (result: Result) => void>;
}

/** A key as a shard of one node has it. */
export type VisibleState = ReadonlyMap<string, string>;

export class SimNode {
  readonly name: string;
  readonly disk: SimDisk;
  readonly #scheduler: Scheduler;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #shape: SimClusterShape;
  readonly #committed: CommittedTerms;
  readonly #clockRate: number;
  #wallOffsetMs: number;
  #life: Life | null = null;
  #lifeCount = 0;
  /** Says why, when the node wants its process ended: a shard has failed. */
  onFailure: (why: string) => void = () => undefined;
  /** The process is dead already: `crash` or `kill` is due. */
  onDeath: () => void = () => undefined;

  constructor(
    name: string,
    scheduler: Scheduler,
    wire: Wire,
    trace: Trace,
    committed: CommittedTerms,
    shape: SimClusterShape,
    syncDelayMs: Range,
  ) {
    const { random } = scheduler;
    this.name = name;
    this.#scheduler = scheduler;
    this.#wire = wire;
    this.#trace = trace;
    this.#committed = committed;
    this.#shape = shape;
    this.#clockRate = 0.98 + 0.04 * random.fraction();
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
    return this.#life?.node.coordinator ?? null;
  }

  /** A new life on what the disk holds. A planned fault may end it before it has begun; then `onDeath` is called. */
  start(): void {
    const process = new SimProcess(this.name);
    this.#lifeCount += 1;
    this.#trace.note(`${this.name} starts`);
    this.disk.mount(process);
    try {
      this.#life = this.#begin(process);
      this.#life.node.start();
    } catch (thrown) {
      process.end();
      this.#end();
      if (!this.excuses(thrown)) throw thrown;
      this.#trace.note(`${this.name} died while starting: ${String(thrown)}`);
      this.onDeath();
    }
  }

  /** Whether an exception is what a disk was told to do. */
  excuses(thrown: unknown): boolean {
    return (
      thrown instanceof SimulatedCrash ||
      (thrown instanceof EnvelopeError && (this.disk.hasFailed || (thrown.code === "DISKFULL" && this.disk.isSqueezed)))
    );
  }

  #begin(process: SimProcess): Life {
    const { memberNames, shardCount, ...settings } = this.#shape;
    const clock = new SimClock(this.#scheduler, process, this.#clockRate, this.#wallOffsetMs);
    const network = this.#wire.attach(this.name, process);
    const seed = this.#scheduler.random.u32();
    const env: Environment = { disk: this.disk, network, clock, log: this.#trace.logger(this.name), seed };
    this.disk.makeDirectory(DIRECTORY);
    this.disk.lock(DIRECTORY);
    const identity = Identity.claim(this.disk, {
      directory: DIRECTORY,
      clusterName: "simulated",
      nodeName: this.name,
      memberNames,
      shardCount,
      randomHex: seed.toString(16),
    });
    const shards: Shard[] = [];
    const inspections = new Map<number, (result: Result) => void>();
    const openShard = (shard: number, onReply: (reply: ShardReply) => void): ShardPort => {
      const terms = new LogTerms(this.#committed, shard, this.name);
      const opened = openDirect(env, identity.clusterId, shard, terms, (reply) => {
        terms.onReply(reply);
        const inspect = reply.type === "readResult" ? inspections.get(reply.requestId) : undefined;
        if (inspect !== undefined && reply.type === "readResult") inspect(reply.result);
        else onReply(reply);
      });
      shards.push(opened.shard);
      return opened.port;
    };
    const peers = memberNames.map((name) => ({ name, address: `${name}:${PEER_PORT}` }));
    const peerAddress = `${this.name}:${PEER_PORT}`;
    const node = new ClusterNode(
      env,
      { ...settings, ...LIMITS, durability: SYNC, peerAddress, peers },
      identity,
      openShard,
    );
    node.onFailure((shard, code, message) => this.onFailure(`shard ${shard}: ${code} ${message}`));
    return { process, clock, node, shards, inspections };
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

  pause(ms: number): void {
    this.#trace.note(`${this.name} is stopped for ${ms} ms`);
    this.#life?.process.pauseUntil(this.#scheduler.nowMs + ms);
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

  /** What this node itself has applied, whoever leads. The run must be at rest. */
  visibleState(shard: number, bucketName: string): VisibleState {
    const bucket = this.coordinator?.bucket(bucketName).id ?? 0;
    const state = new Map<string, string>();
    for (let after: Uint8Array | null = null; ; ) {
      const page = this.#inspect(shard, {
        type: "page",
        bucket,
        after,
        examineMax: 1000,
        bytesMax: 64 * KIB,
        pattern: null,
        mode: "keys",
      });
      if (page.kind !== "page") throw new Error(`a page of ${this.name} came back as ${page.kind}`);
      for (const key of page.keys) {
        const found = this.#inspect(shard, { type: "get", bucket, key, metadataOnly: false });
        state.set(text(key), found.kind === "version" ? text(found.value) : found.kind);
      }
      if (page.next === null) return state;
      after = page.next;
    }
  }

  #inspect(shard: number, read: ReadRequest): Result {
    const life = this.#life;
    const target = life?.shards[shard];
    if (life === null || target === undefined) throw new Error(`${this.name} is down`);
    let answer: Result | null = null;
    life.inspections.set(INSPECTOR_REQUEST, (result) => {
      answer = result;
    });
    target.handle({ type: "read", requestId: INSPECTOR_REQUEST, minIndex: 0 as LogIndex, read });
    target.turn();
    if (answer === null) throw new Error(`${this.name} did not answer a read of what it has applied`);
    return answer;
  }
}

/** A shard on the node's own thread, with everything small so that a short run sees rotations, flushes, compactions. */
function openDirect(
  env: Environment,
  clusterIdHex: string,
  shard: number,
  terms: LogTerms,
  reply: (reply: ShardReply) => void,
): { shard: Shard; port: ShardPort } {
  const id = shardId(shard);
  const memory = createShardMemory(64 * KIB, 3);
  const clusterId = new Uint8Array(Buffer.from(clusterIdHex, "hex"));
  const options = {
    shard: id,
    directory: `${DIRECTORY}/shard-${String(shard).padStart(4, "0")}`,
    log: { shard: id, clusterId, segmentBytes: 64 * KIB, isDirect: false },
    tree: {
      blockBytes: 512,
      bloomBitsPerKey: 10,
      // Both, in one cluster.
      compaction: shard % 2 === 0 ? ("leveled" as const) : ("tiered" as const),
      compression: "none" as const,
      compressionLevel: 1,
      prefixFilterBytes: 0,
      blockChecks: "first" as const,
      tableIo: "mmap" as const,
      levelBytesBase: 64 * KIB,
      level0Tables: 2,
      tableBytesMax: 16 * KIB,
    },
    memtableAgeMs: 1500,
    valueBytesMax: 16 * KIB,
    replayBytesMax: 1024 * KIB,
    pendingBytesMax: 16 * KIB,
    groupBytesMax: 64 * KIB,
    idleProofMs: 50,
    debtBytesMax: 1024 * KIB,
    snapshotsMax: 16,
    snapshotAgeMs: 0,
    stepBytes: 4 * KIB,
    scrubBytesPerSecond: 0,
    scrubIntervalMs: 0,
  };
  const opened = Shard.open({ ...env, blockCache: new BlockCache(64 * KIB) }, options, memory, reply);
  const link = new DirectLink(opened);
  const state = new SharedState(memory.state);
  const memtables = new MemtableSet(state, memory.arenas);
  return {
    shard: opened,
    port: {
      link: new WatchedLink(link, terms),
      state,
      memtables,
      background: () => link.background(),
      dueInMs: () => link.dueInMs,
    },
  };
}
