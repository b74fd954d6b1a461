/**
 * What a client connection may ask of its node. The coordinator finds the shard, stamps and proposes at the leader or
 * forwards to it, and resolves each operation exactly once: during the call (a read from memory) or later.
 * Main thread only.
 */
import type { ScanRequest } from "../bridge/shard-protocol.ts";
import type { ByteRange, CommandType } from "../record/command-format.ts";
import type { Result } from "../record/result.ts";
import type { Transaction } from "../record/transaction-format.ts";
import type { NodeReport } from "./node-report-format.ts";

/** What a bucket may hold and how fast it may be used; 0: without a limit. */
export interface BucketQuota {
  /** Of keys and values. */
  readonly bytes: number;
  readonly keys: number;
  /** Commands a second, of those who use it without a login. */
  readonly rate: number;
}

/** A bucket by name; the id behind the name may change (FLUSHDB), so connections hold this and never the id. */
export interface BucketRef {
  readonly name: string;
  /** 0 while the name is not known to exist. */
  readonly id: number;
  /** Decides in which shard a key is (core/token-table.ts); it stays when the bucket is emptied. */
  readonly seed: number;
  /** How sure its writes are when they are answered (record/durability.ts), where one node alone decides that. */
  readonly durability: number;
  readonly quota: BucketQuota;
}

/** Gets the result of the operation it tagged. Views in the result are valid only during the call. */
export interface Waiter {
  resolve(tag: number, result: Result): void;
}

/**
 * The order of one connection: operations submitted with the same one take effect in that order, per shard, and on one
 * bucket also while its id changes.
 */
export interface Ordering {
  readonly __ordering: never;
}

/**
 * How a read is kept from seeing the past.
 *
 *   linearizable  the leader answers, after a round that confirms it
 *   lease         the same without a round while its lease holds, which takes it for granted that the clocks of two
 *                 nodes run at rates less than a quarter apart
 *   follower      linearizable: the leader only says from which index on a replica is up to date, and the node that was
 *                 asked answers
 *   stale         what was current at some moment since a given time before the read arrived; the node that was asked
 *                 answers, if it knows that it can
 */
export type ReadMode = "linearizable" | "lease" | "follower" | "stale";

/** One page of a walk over keys and values, see ScanRequest. */
export type ShardScan = Omit<ScanRequest, "type" | "bucket" | "asOf">;

export interface BucketInfo {
  readonly name: string;
  readonly id: number;
}

export interface ShardStatus {
  readonly shard: number;
  readonly role: "leader" | "follower" | "candidate" | "preCandidate";
  readonly term: number;
  /** Name of the leader, or null while there is none. */
  readonly leader: string | null;
  /** Names of those who belong to its group, as this node knows it. */
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Files of the shard on this node that are known to be damaged. */
  readonly quarantined: number;
}

/** A node and the addresses it told its peers. */
export interface MemberStatus {
  readonly id: number;
  readonly name: string;
  readonly peerAddress: string;
  readonly rack: string;
  readonly state: "member" | "leaving";
  readonly connected: boolean;
  /** φ: how unlikely it is that this node lives and no news of it has come for so long; from 8 on it counts as gone. */
  readonly suspicion: number;
  /** What it last said of itself, by whomever it came; null: nothing was heard yet. */
  readonly report: NodeReport | null;
}

export interface Coordinator {
  newOrdering(): Ordering;
  /**
   * How reads of single keys of this connection are answered from now on; linearizable at first. `staleMs`: in the mode
   * `stale`, how old what they show may be.
   */
  setReadMode(ordering: Ordering, mode: ReadMode, staleMs: number): void;
  /** The connection has ended: of its operations those that still wait for a leader are dropped, not executed later. */
  endOrdering(ordering: Ordering): void;

  /** Never fails: a name nobody created gives a ref with id 0. */
  bucket(name: string): BucketRef;
  /** The live buckets, sorted by name. Linearizable: `resolve` gets `ok` once `buckets()` is up to date. */
  refreshBuckets(waiter: Waiter, tag: number): void;
  buckets(): readonly BucketInfo[];
  /** Creates a bucket whose name the caller has checked; ok, or BUCKET_EXISTS. `durability` null: as the node has it. */
  createBucket(name: string, durability: number | null, waiter: Waiter, tag: number): void;
  /** Changes what is chosen for a bucket, of what is given; ok, or NO_BUCKET. */
  alterBucket(name: string, quota: Partial<BucketQuota>, waiter: Waiter, tag: number): void;
  /** Drops a bucket; ok, or NO_BUCKET. */
  dropBucket(name: string, waiter: Waiter, tag: number): void;
  /** Empties a bucket (FLUSHDB); ok once no node sees its old keys. */
  renewBucket(name: string, waiter: Waiter, tag: number): void;

  /** Proposes a command on one key. `value` and `modifiers` are what the CommandType says; `expiryMs` 0: none. */
  write(
    ordering: Ordering,
    type: CommandType,
    modifiers: number,
    bucket: BucketRef,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    waiter: Waiter,
    tag: number,
  ): void;
  /**
   * As `write`, carried out once however often it is asked for under the same session and sequence: a retry gets what the
   * first one came to, or SESSION_GONE. Sequences of a session count from 1, and no more than SESSION_WINDOW of them
   * may be without an answer (core/session-window.ts).
   */
  writeOnce(
    ordering: Ordering,
    session: number,
    sequence: number,
    type: CommandType,
    modifiers: number,
    bucket: BucketRef,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    waiter: Waiter,
    tag: number,
  ): void;
  /**
   * Several operations on keys of one bucket and one shard, carried out as one command: all or none, with nothing between
   * them. Result: `results`, one for each operation in order, where one that fails has its error in its place and undoes
   * nothing; CONFLICT when a condition does not hold, and nothing is done; CROSS_SHARD when the keys are in several shards.
   * Takes what it needs of the transaction's bytes before it returns. Within the limits of transaction-format.ts.
   */
  transact(ordering: Ordering, bucket: BucketRef, transaction: Transaction, waiter: Waiter, tag: number): void;
  /** The same carried out once, as `writeOnce`. */
  transactOnce(
    ordering: Ordering,
    session: number,
    sequence: number,
    bucket: BucketRef,
    transaction: Transaction,
    waiter: Waiter,
    tag: number,
  ): void;
  /**
   * Opens a session that ends when it has not been used for `ttlMs`; integer: its number, as its owner knows it. Everybody
   * else here takes the number that is made of both (core/session-owner.ts).
   */
  openSession(owner: string, ttlMs: number, waiter: Waiter, tag: number): void;
  /** Ends a session; ok. */
  closeSession(session: number, waiter: Waiter, tag: number): void;
  /** Reads one key as the connection's mode has it: version or nil. It may wait for more of its kind until `settleReads`. */
  read(ordering: Ordering, bucket: BucketRef, key: ByteRange, metadataOnly: boolean, waiter: Waiter, tag: number): void;
  /** Reads one key as the leader has it, whatever the connection's mode, with the stamp of its version: stamped or nil. */
  readStamped(
    ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void;
  /** No more reads are to be expected soon: those that memory can answer are answered. */
  settleReads(): void;
  /** One page of the keys of one shard (0 ≤ shard < shardCount), see ReadRequest. */
  page(
    bucket: BucketRef,
    shard: number,
    after: Uint8Array | null,
    examineMax: number,
    pattern: Uint8Array | null,
    mode: "keys" | "count",
    waiter: Waiter,
    tag: number,
  ): void;
  /** One page of the keys and values of one shard: entries. */
  scan(bucket: BucketRef, shard: number, scan: ShardScan, waiter: Waiter, tag: number): void;
  /** Some key of one shard: bytes or nil. */
  sample(bucket: BucketRef, shard: number, waiter: Waiter, tag: number): void;
  /** On this node, every shard: memtables to tables (`flush`), or everything compacted (`compact`). Result: ok. */
  maintain(what: "flush" | "compact", waiter: Waiter, tag: number): void;

  /** Keeps a name for a node that is to come; ok, or MEMBER_EXISTS. */
  addMember(name: string, peerAddress: string, waiter: Waiter, tag: number): void;
  /**
   * Lets a member give away what it has and be forgotten; ok as soon as that is decided. NO_QUORUM where a shard would lose
   * its quorum by it, which `forced` takes into the bargain; NO_MEMBER.
   */
  removeMember(name: string, forced: boolean, waiter: Waiter, tag: number): void;
  /** Has a voter lead a shard; ok once it does. */
  transferShard(shard: number, name: string, waiter: Waiter, tag: number): void;

  readonly shardCount: number;
  readonly nodeName: string;
  /** Whether clients that write must be paused now; `onRelief` callbacks are called once when that ends. */
  readonly congested: boolean;
  onRelief(run: () => void): void;
  /** What is asked now is carried out at the end of a turn that is still to come. */
  readonly isTurnAhead: boolean;
  shards(): readonly ShardStatus[];
  members(): readonly MemberStatus[];
  /** Plain figures for INFO: name → number. */
  figures(): Readonly<Record<string, number>>;
  wallMs(): number;
  /**
   * What time it is for a key: that of the wall clock, or of the newest stamp that this node has seen in the key's shard if
   * that is later. Keys expire by it, so it is what a time to live is counted from.
   */
  timeOf(bucket: BucketRef, key: ByteRange): number;
}
