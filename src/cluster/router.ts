/**
 * The coordinator of a node (see `coordinator.ts`): finds the shard of a key, and takes the short way (this node leads
 * it) or the long one (an Operation that waits for, or travels to, the leader). Bucket names become ids here; an id
 * that turns out to be fenced, or a name that is not known, is looked up in shard 0 before anything is said about it.
 * Main thread only.
 *
 * Length: one short method for each thing a connection may ask.
 */
import { SYSTEM_BUCKET } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import type { Clock } from "../env/clock.ts";
import { type ByteRange, CommandType, withSession } from "../record/command-format.ts";
import { errorResult, NIL, OK, type Result } from "../record/result.ts";
import type { Transaction } from "../record/transaction-format.ts";
import { BucketAdmin, type SystemAccess } from "./bucket-admin.ts";
import { BucketLookUps } from "./bucket-look-ups.ts";
import type { Catalog } from "./catalog.ts";
import type {
  BucketInfo,
  BucketQuota,
  BucketRef,
  Coordinator,
  MemberStatus,
  Ordering,
  ReadMode,
  ShardScan,
  ShardStatus,
  Waiter,
} from "./coordinator.ts";
import { DISK_FULL, type Lane } from "./lane.ts";
import type { Membership } from "./membership.ts";
import {
  bucketOf,
  ConnectionOrdering,
  detachedCommand,
  isAbandoned,
  type Operation,
  type Work,
  withBucket,
} from "./operation.ts";
import { SessionAdmin } from "./session-admin.ts";
import type { TokenTable } from "../core/token-table.ts";
import { splitRefusal, transactionCommand } from "./transaction-command.ts";

const OVERLOADED = errorResult("OVERLOADED", "the shard cannot keep up; it is safe to retry");
/** Bytes that may wait in an entry that Raft does not take. */
const OPEN_BYTES_MAX = 32 * 1024 * 1024;
/** Operations that may be under way to other nodes before clients are paused. */
const FORWARDED_MAX = 100_000;
const PAGE_BYTES_MAX = 256 * 1024;

/** What the node tells the router about itself. */
export interface NodeView {
  readonly nodeName: string;
  members(): readonly MemberStatus[];
  figures(): Readonly<Record<string, number>>;
  nameOf(nodeId: number): string | null;
  /** Names of those who belong to a shard's group. */
  groupOf(shard: number): { readonly voters: readonly string[]; readonly learners: readonly string[] };
  membership(): Pick<Membership, "add" | "remove" | "transfer">;
  wake(): void;
  readonly isTurnAhead: boolean;
}

export class Router implements Coordinator {
  readonly #lanes: readonly Lane[];
  readonly #tokens: TokenTable;
  readonly #catalog: Catalog;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #node: NodeView;
  readonly #requestTimeoutMs: number;
  readonly #valueBytesMax: number;
  /** The system buckets of all shards, wherever they are led. */
  readonly system: SystemAccess;
  readonly admin: BucketAdmin;
  readonly #lookUps: BucketLookUps;
  readonly #sessions: SessionAdmin;
  #relief: (() => void)[] = [];
  #sequence = 0;

  constructor(
    clock: Clock,
    random: Random,
    lanes: readonly Lane[],
    tokens: TokenTable,
    catalog: Catalog,
    node: NodeView,
    requestTimeoutMs: number,
    valueBytesMax: number,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#lanes = lanes;
    this.#tokens = tokens;
    this.#catalog = catalog;
    this.#node = node;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#valueBytesMax = valueBytesMax;
    this.system = this.#systemAccess();
    this.admin = new BucketAdmin(catalog, this.system);
    this.#lookUps = new BucketLookUps({
      ask: (name, done) => this.admin.lookUp(name, done),
      resubmit: (operation) => this.#resubmit(operation),
    });
    this.#sessions = new SessionAdmin(lanes.length, random, (shard, command, done) =>
      this.#submit({ kind: "write", command }, shard, null, null, { resolve: (_, result) => done(result) }, 0),
    );
    catalog.onNewId = (bucket) => this.#lookUps.renewed(bucket);
  }

  // ---- keys ------------------------------------------------------------------------------------------------------

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
  ): void {
    const { id, seed } = bucket;
    const shard = this.#tokens.shardOf(seed, key.bytes, key.start, key.end);
    const lane = this.#lane(shard);
    const { group } = lane;
    if (id === 0 || !lane.open || group.isFenced(id) || this.#lookUps.any) {
      const command = detachedCommand(type, modifiers, id, key, value, expiryMs);
      this.#submit({ kind: "write", command }, shard, bucket, ordering as ConnectionOrdering, waiter, tag);
      return;
    }
    if (!group.writable) return waiter.resolve(tag, DISK_FULL);
    if (group.openBytes > OPEN_BYTES_MAX) return waiter.resolve(tag, OVERLOADED);
    const refusal = lane.usage.refusal(type, id, key.end - key.start, value);
    if (refusal !== null) return waiter.resolve(tag, refusal);
    const index = group.write(type, modifiers, id, key, value, expiryMs, bucket.durability, waiter, tag);
    (ordering as ConnectionOrdering).wrote(shard, index, group.term);
  }

  read(
    ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const { id, seed } = bucket;
    const shard = this.#tokens.shardOf(seed, key.bytes, key.start, key.end);
    const lane = this.#lane(shard);
    const { group } = lane;
    if (id === 0 || !lane.open || group.isFenced(id) || this.#lookUps.any) {
      const { readMode, staleMs } = ordering as ConnectionOrdering;
      const isShort = readMode === "stale" && id !== 0 && !this.#lookUps.any;
      if (isShort && lane.followerReads.readStale(id, key, metadataOnly, staleMs, waiter, tag)) return;
      const read: ReadRequest = { type: "get", bucket: id, key: key.bytes.slice(key.start, key.end), metadataOnly };
      this.#submit({ kind: "read", read }, shard, bucket, ordering as ConnectionOrdering, waiter, tag);
      return;
    }
    const { readMode } = ordering as ConnectionOrdering;
    const ownWrite = (ordering as ConnectionOrdering).ownWriteIndex(shard, group.term);
    group.get(id, key, metadataOnly, ownWrite, group.self, readMode, waiter, tag);
  }

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
  ): void {
    const shard = this.#tokens.shardOf(bucket.seed, key.bytes, key.start, key.end);
    const command = detachedCommand(type, modifiers, bucket.id, key, value, expiryMs);
    const work = { kind: "write", command: withSession(command, session, sequence) } as const;
    this.#submit(work, shard, bucket, ordering as ConnectionOrdering, waiter, tag);
  }

  transact(ordering: Ordering, bucket: BucketRef, transaction: Transaction, waiter: Waiter, tag: number): void {
    const command = transactionCommand(this.#tokens, bucket, transaction, this.#valueBytesMax);
    if ("kind" in command) return waiter.resolve(tag, command);
    const { key, value } = command;
    this.write(ordering, CommandType.transaction, 0, bucket, key, value, 0, waiter, tag);
  }

  transactOnce(
    ordering: Ordering,
    session: number,
    sequence: number,
    bucket: BucketRef,
    transaction: Transaction,
    waiter: Waiter,
    tag: number,
  ): void {
    const command = transactionCommand(this.#tokens, bucket, transaction, this.#valueBytesMax);
    if ("kind" in command) return waiter.resolve(tag, command);
    const { key, value } = command;
    this.writeOnce(ordering, session, sequence, CommandType.transaction, 0, bucket, key, value, 0, waiter, tag);
  }

  readStamped(
    ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const { id, seed } = bucket;
    const shard = this.#tokens.shardOf(seed, key.bytes, key.start, key.end);
    const read: ReadRequest = { type: "stamped", bucket: id, key: key.bytes.slice(key.start, key.end), metadataOnly };
    this.#submit({ kind: "read", read }, shard, bucket, ordering as ConnectionOrdering, waiter, tag);
  }

  openSession(owner: string, ttlMs: number, waiter: Waiter, tag: number): void {
    this.#sessions.open(owner, ttlMs, (result) => waiter.resolve(tag, result));
  }

  closeSession(session: number, waiter: Waiter, tag: number): void {
    this.#sessions.close(session, (result) => waiter.resolve(tag, result));
  }

  settleReads(): void {
    for (const { group } of this.#lanes) group.settleReads();
  }

  page(
    bucket: BucketRef,
    shard: number,
    after: Uint8Array | null,
    examineMax: number,
    pattern: Uint8Array | null,
    mode: "keys" | "count",
    waiter: Waiter,
    tag: number,
  ): void {
    const read: ReadRequest = {
      type: "page",
      bucket: bucket.id,
      after,
      examineMax,
      bytesMax: PAGE_BYTES_MAX,
      pattern,
      mode,
    };
    this.#submit({ kind: "read", read }, shard, bucket, null, waiter, tag);
  }

  scan(bucket: BucketRef, shard: number, scan: ShardScan, waiter: Waiter, tag: number): void {
    const read: ReadRequest = { type: "scan", bucket: bucket.id, asOf: null, ...scan };
    this.#submit({ kind: "read", read }, shard, bucket, null, waiter, tag);
  }

  sample(bucket: BucketRef, shard: number, waiter: Waiter, tag: number): void {
    const read: ReadRequest = { type: "sample", bucket: bucket.id, random: this.#random.u32() };
    this.#submit({ kind: "read", read }, shard, bucket, null, waiter, tag);
  }

  newOrdering(): Ordering {
    return new ConnectionOrdering(this.shardCount);
  }

  setReadMode(ordering: Ordering, mode: ReadMode, staleMs: number): void {
    (ordering as ConnectionOrdering).readMode = mode;
    (ordering as ConnectionOrdering).staleMs = staleMs;
  }

  endOrdering(ordering: Ordering): void {
    (ordering as ConnectionOrdering).hasEnded = true;
  }

  // ---- buckets ---------------------------------------------------------------------------------------------------

  bucket(name: string): BucketRef {
    return this.#catalog.ref(name);
  }

  buckets(): readonly BucketInfo[] {
    return this.#catalog.list();
  }

  refreshBuckets(waiter: Waiter, tag: number): void {
    this.admin.refresh((result) => waiter.resolve(tag, result));
  }

  createBucket(name: string, durability: number | null, waiter: Waiter, tag: number): void {
    this.admin.create(name, durability, (result) => waiter.resolve(tag, result));
  }

  alterBucket(name: string, quota: Partial<BucketQuota>, waiter: Waiter, tag: number): void {
    this.admin.alter(name, quota, (result) => waiter.resolve(tag, result));
  }

  dropBucket(name: string, waiter: Waiter, tag: number): void {
    this.admin.drop(name, (result) => waiter.resolve(tag, result));
  }

  renewBucket(name: string, waiter: Waiter, tag: number): void {
    this.admin.renew(name, (result) => waiter.resolve(tag, result));
  }

  // ---- the node --------------------------------------------------------------------------------------------------

  maintain(what: "flush" | "compact", waiter: Waiter, tag: number): void {
    let waiting = this.#lanes.length;
    let failure: Result | null = null;
    for (const { group } of this.#lanes) {
      group.maintain(what, (result) => {
        if (result.kind === "error") failure = result;
        waiting -= 1;
        if (waiting === 0) waiter.resolve(tag, failure ?? OK);
      });
    }
  }

  addMember(name: string, peerAddress: string, waiter: Waiter, tag: number): void {
    this.#node.membership().add(name, peerAddress, (result) => waiter.resolve(tag, result));
  }

  removeMember(name: string, forced: boolean, waiter: Waiter, tag: number): void {
    this.#node.membership().remove(name, forced, (result) => waiter.resolve(tag, result));
  }

  transferShard(shard: number, name: string, waiter: Waiter, tag: number): void {
    this.#node.membership().transfer(shard, name, (result) => waiter.resolve(tag, result));
    this.#node.wake();
  }

  get shardCount(): number {
    return this.#lanes.length;
  }

  get nodeName(): string {
    return this.#node.nodeName;
  }

  get congested(): boolean {
    for (const lane of this.#lanes) if (lane.group.congested || lane.waitingCount > FORWARDED_MAX) return true;
    return false;
  }

  get isTurnAhead(): boolean {
    return this.#node.isTurnAhead;
  }

  onRelief(run: () => void): void {
    this.#relief.push(run);
    this.#node.wake();
  }

  shards(): readonly ShardStatus[] {
    return this.#lanes.map(({ group, leader }) => ({
      shard: group.shard,
      role: group.role,
      term: group.term,
      leader: this.#node.nameOf(leader),
      ...this.#node.groupOf(group.shard),
      commitIndex: group.commitIndex,
      appliedIndex: group.appliedIndex,
      quarantined: group.quarantinedCount,
    }));
  }

  members(): readonly MemberStatus[] {
    return this.#node.members();
  }

  figures(): Readonly<Record<string, number>> {
    return this.#node.figures();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  timeOf({ seed }: BucketRef, key: ByteRange): number {
    const { group } = this.#lane(this.#tokens.shardOf(seed, key.bytes, key.start, key.end));
    return Math.max(this.#clock.wallMs(), group.newestStampMs);
  }

  // ---- called by the node ----------------------------------------------------------------------------------------

  /** Moves held operations, and tells paused connections when they may go on. */
  pump(): void {
    for (const lane of this.#lanes) lane.pump();
    if (this.#relief.length === 0 || this.congested) return;
    const waiting = this.#relief;
    this.#relief = [];
    for (const run of waiting) run();
  }

  /** Whether operations or paused connections wait for what the next turn may find. */
  get awaitsTurn(): boolean {
    if (this.#relief.length > 0) return true;
    for (const lane of this.#lanes) if (lane.isWaiting) return true;
    return false;
  }

  /** Gets the result of every operation that took the long way. */
  settled(operation: Operation, result: Result): void {
    const fenced = result.kind === "error" && result.code === "FENCED";
    const mayGoOn = !isAbandoned(operation) && this.#clock.monotonicMs() < operation.deadlineMs;
    if (fenced && operation.bucket !== null && mayGoOn) {
      this.#lookUps.add(operation, operation.bucket, bucketOf(operation.work));
    } else operation.waiter.resolve(operation.tag, result);
    this.#lookUps.ended(operation);
  }

  // ---- private parts ---------------------------------------------------------------------------------------------

  #lane(shard: number): Lane {
    return this.#lanes[shard]!;
  }

  #submit(
    work: Work,
    shard: number,
    bucket: BucketRef | null,
    ordering: ConnectionOrdering | null,
    waiter: Waiter,
    tag: number,
  ): void {
    const operation: Operation = {
      sequence: ++this.#sequence,
      shard,
      work,
      bucket,
      ordering,
      afterOwnWrite: ordering === null || ordering.hasUnderway(shard),
      readMode: ordering?.readMode ?? "linearizable",
      staleMs: ordering?.staleMs ?? 0,
      waiter,
      tag,
      deadlineMs: this.#clock.monotonicMs() + this.#requestTimeoutMs,
    };
    this.#dispatch(operation);
    this.#node.wake();
  }

  #dispatch(operation: Operation): void {
    const { bucket, shard } = operation;
    if (bucket !== null && this.#lookUps.holds(bucket)) {
      this.#lookUps.add(operation, bucket, 0);
      return;
    }
    this.#lookUps.begun(operation);
    this.#lane(shard).submit(operation);
  }

  #resubmit(operation: Operation): void {
    const { ordering, bucket } = operation;
    const work = withBucket(operation.work, bucket?.id ?? 0);
    if (work.kind === "write" && bucket !== null) {
      const refusal = splitRefusal(this.#tokens, bucket.seed, work.command);
      if (refusal !== null) return operation.waiter.resolve(operation.tag, refusal);
    }
    const key = keyOf(work);
    const shard = key === null ? operation.shard : this.#tokens.shardOf(bucket?.seed ?? 0, key, 0, key.length);
    // The connection's writes that waited for the same name are under way since a moment ago.
    const afterOwnWrite = ordering === null || ordering.hasUnderway(shard);
    this.#dispatch({ ...operation, work, shard, afterOwnWrite });
  }

  #systemAccess(): SystemAccess {
    const submit = (shard: number, work: Work, done: (result: Result) => void): void =>
      this.#submit(work, shard, null, null, { resolve: (_, result) => done(result) }, 0);
    return {
      shardCount: this.shardCount,
      command: (shard, type, key, value, done) =>
        submit(
          shard,
          { kind: "write", command: detachedCommand(type, 0, SYSTEM_BUCKET, whole(key), whole(value), 0) },
          done,
        ),
      get: (shard, key, done) =>
        submit(shard, { kind: "read", read: { type: "get", bucket: SYSTEM_BUCKET, key, metadataOnly: false } }, done),
      page: (shard, after, pattern, done) =>
        submit(
          shard,
          {
            kind: "read",
            read: {
              type: "page",
              bucket: SYSTEM_BUCKET,
              after,
              examineMax: 1000,
              bytesMax: PAGE_BYTES_MAX,
              pattern,
              mode: "keys",
            },
          },
          (result) =>
            done(result === NIL ? { kind: "page", keys: [], matchCount: 0, byteCount: 0, next: null } : result),
        ),
    };
  }
}

function whole(bytes: Uint8Array): ByteRange {
  return { bytes, start: 0, end: bytes.length };
}

/** The user key that work is about; null for work on a shard as a whole. */
function keyOf(work: Work): Uint8Array | null {
  if (work.kind === "index") return null;
  if (work.kind === "read") return work.read.type === "get" || work.read.type === "stamped" ? work.read.key : null;
  const view = new DataView(work.command.buffer, work.command.byteOffset, work.command.length);
  const valueBytes = view.getUint32(24, true);
  const keyBytes = view.getUint32(20, true) & 0xff_ffff;
  const end = work.command.length - valueBytes;
  return work.command.subarray(end - keyBytes, end);
}
