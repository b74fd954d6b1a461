/**
 * The reading half of a group: reads are evaluated from memory if it holds the answer, through the link if not, and leave
 * when the leader is confirmed (see pending-reads.ts), or at once where a follower has learned from which index on they may.
 * Reads of single keys are gathered first and looked up together, by `settle`, which comes before anything that was written
 * after them can be applied. Main thread only.
 *
 * A read on the lease leaves without a round while the leader's lease holds. It holds before the read and, by a
 * clock read again, after it, or the read needs a round like any other: a process may be stopped in between for long.
 */
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import type { MemtableReader } from "../bridge/memtable-reader.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { type LogIndex, logIndex, type NodeId } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { type Stamp, stampMilliseconds } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import type { Raft } from "../raft/raft.ts";
import type { ByteRange } from "../record/command-format.ts";
import { NIL, type Result, ValueInPlace } from "../record/result.ts";
import { isVisible } from "../record/version.ts";
import type { Waiter } from "./coordinator.ts";
import { PendingReads, type Proof, type ReadGate } from "./pending-reads.ts";
import { ReadBatch } from "./read-batch.ts";
import type { ShardPort } from "./shard-port.ts";

export class LocalReader {
  readonly #raft: Raft;
  readonly #port: ShardPort;
  readonly #clock: Clock;
  readonly #stamps: Stamp;
  readonly #reads = new PendingReads();
  /** Reads of single keys that memory has answered, and those that the shard was asked for. */
  memoryCount = 0;
  shardCount = 0;
  #gate: ReadGate | null = null;
  #gathered = new ReadBatch();
  readonly #emptyBatches: ReadBatch[] = [];
  /** What a read that was begun on a lease still has to wait for: nothing, if that holds to the end. */
  readonly #gateAfterLease = (): ReadGate | null => (this.#leaseHolds() ? null : this.#roundGate());

  /** `stamps`: above every stamp of the log while this node leads. */
  constructor(raft: Raft, port: ShardPort, clock: Clock, stamps: Stamp) {
    this.#raft = raft;
    this.#port = port;
    this.#clock = clock;
    this.#stamps = stamps;
  }

  get pendingCount(): number {
    return this.#reads.count;
  }

  /** Later reads need a round of their own: this turn's is on its way. */
  closeGate(): void {
    this.#gate = null;
  }

  /**
   * One key, at the next `settle` or before, as of `atLeastIndex` or later; where a leader's word is to be proven, of all
   * that is committed too. True: nothing but that is needed to answer it.
   */
  get(
    bucket: number,
    key: ByteRange,
    metadataOnly: boolean,
    atLeastIndex: number,
    asker: NodeId,
    proof: Proof,
    waiter: Waiter,
    tag: number,
  ): boolean {
    const minIndex = proof === "index" ? logIndex(atLeastIndex) : this.#minIndex(atLeastIndex);
    const needsNoRound = proof === "index" || this.#raft.isConfirmedBy(asker) || this.#isOnLease(proof);
    if (this.#gathered.add(bucket, key, metadataOnly, minIndex, asker, proof, waiter, tag)) return needsNoRound;
    const settled = this.settle();
    if (this.#gathered.add(bucket, key, metadataOnly, minIndex, asker, proof, waiter, tag))
      return settled && needsNoRound;
    const hash = murmur3(key.bytes, key.start, key.end, bucket);
    return this.#evaluate(bucket, key, hash, metadataOnly, minIndex, asker, proof, waiter, tag) && settled;
  }

  /** Evaluates everything gathered. False: something of it waits for the shard, or for confirmation. */
  settle(): boolean {
    let resolved = true;
    while (this.#gathered.count > 0) {
      const batch = this.#gathered;
      // Whoever is answered may read again.
      this.#gathered = this.#emptyBatches.pop() ?? new ReadBatch();
      if (!this.#evaluateBatch(batch)) resolved = false;
      batch.clear();
      this.#emptyBatches.push(batch);
    }
    return resolved;
  }

  /** Any other read. The request owns its bytes. */
  read(request: ReadRequest, ownWriteIndex: number, asker: NodeId, proof: Proof, waiter: Waiter, tag: number): void {
    const onLease = this.#isOnLease(proof);
    const gate = onLease ? null : this.#gateFor(proof, asker);
    this.#ask(request, this.#minIndex(ownWriteIndex), gate, onLease, waiter, tag);
  }

  /** Of a leader: the index from which on a replica shows everything acknowledged by now, and at least `ownWriteIndex`. */
  readIndex(ownWriteIndex: number, asker: NodeId, waiter: Waiter, tag: number): void {
    const result: Result = { kind: "integer", value: BigInt(this.#minIndex(ownWriteIndex)) };
    const gate = this.#gateFor("round", asker);
    if (gate === null) waiter.resolve(tag, result);
    else this.#reads.evaluated(waiter, tag, gate, result);
  }

  /** The shard's answer to a read it was asked for. */
  answered(requestId: number, result: Result): void {
    this.#reads.answered(requestId, result, this.#gateAfterLease);
  }

  confirmed(context: number): void {
    this.#reads.confirmed(context);
  }

  failed(context: number): void {
    this.#reads.failed(context);
  }

  /** This node leads no more: what the shard still owes is given up. */
  leaderLost(): void {
    this.#reads.leaderLost();
  }

  /** Gives up on reads asked at or before `askedMs`; those gathered are evaluated first, and are of now. */
  expire(askedMs: number): void {
    this.settle();
    // The open gate may be among those that are given up: nobody may join it afterwards.
    this.closeGate();
    this.#reads.expire(askedMs);
  }

  #evaluateBatch(batch: ReadBatch): boolean {
    const { count, hashes, buckets, keyStarts, tags, waiters } = batch;
    const key = { bytes: batch.keys, start: 0, end: 0 };
    let resolved = true;
    this.#port.memtables.warm(hashes, count);
    for (let i = 0; i < count; i++) {
      key.start = keyStarts[i]!;
      key.end = keyStarts[i + 1]!;
      const metadataOnly = batch.metadataOnly(i);
      const minIndex = batch.minIndex(i);
      const asker = batch.asker(i);
      const proof = batch.proof(i);
      if (!this.#evaluate(buckets[i]!, key, hashes[i]!, metadataOnly, minIndex, asker, proof, waiters[i]!, tags[i]!))
        resolved = false;
    }
    return resolved;
  }

  #evaluate(
    bucket: number,
    key: ByteRange,
    hash: number,
    metadataOnly: boolean,
    minIndex: LogIndex,
    asker: NodeId,
    proof: Proof,
    waiter: Waiter,
    tag: number,
  ): boolean {
    const onLease = this.#isOnLease(proof);
    let gate = onLease ? null : this.#gateFor(proof, asker);
    const { state, memtables } = this.#port;
    if (state.readable(minIndex)) {
      const found = memtables.find(bucket, key.bytes, key.start, key.end, hash);
      if (found !== null || state.missIsFinal) {
        this.memoryCount += 1;
        if (onLease) gate = this.#gateAfterLease();
        this.#answer(found, metadataOnly, gate, waiter, tag);
        return gate === null;
      }
    }
    this.shardCount += 1;
    const copy = key.bytes.slice(key.start, key.end);
    this.#ask({ type: "get", bucket, key: copy, metadataOnly }, minIndex, gate, onLease, waiter, tag);
    return false;
  }

  #minIndex(ownWriteIndex: number): LogIndex {
    return logIndex(Math.max(this.#raft.commitIndex, ownWriteIndex));
  }

  /** The round of confirmation that reads of this turn share; null where none is needed. */
  #gateFor(proof: Proof, asker: NodeId): ReadGate | null {
    return proof === "index" || this.#raft.isConfirmedBy(asker) ? null : this.#roundGate();
  }

  #isOnLease(proof: Proof): boolean {
    return proof === "lease" && this.#leaseHolds();
  }

  #leaseHolds(): boolean {
    return this.#raft.leaseIndex(this.#clock.monotonicMs()) !== null;
  }

  #roundGate(): ReadGate {
    if (this.#gate !== null) return this.#gate;
    const gate = this.#reads.openGate(this.#clock.monotonicMs());
    if (this.#raft.readIndex(gate.context) === true) this.#gate = gate;
    else this.#reads.failed(gate.context);
    return gate;
  }

  #answer(
    found: MemtableReader | null,
    metadataOnly: boolean,
    gate: ReadGate | null,
    waiter: Waiter,
    tag: number,
  ): void {
    let result: Result = NIL;
    if (found !== null && isVisible(found.kind, found.expiryMs, found.expiryMs === 0 ? 0 : this.#readingMs)) {
      const { valueBytes, valueStart, valueEnd, expiryMs } = found;
      if (gate === null && !metadataOnly)
        return waiter.resolve(tag, new ValueInPlace(valueBytes, valueStart, valueEnd, expiryMs));
      const value = metadataOnly ? EMPTY_BYTES : valueBytes.slice(valueStart, valueEnd);
      result = { kind: "version", valueBytes: valueEnd - valueStart, expiryMs, value };
    }
    if (gate === null) waiter.resolve(tag, result);
    else this.#reads.evaluated(waiter, tag, gate, result);
  }

  /** As the shard has it: never before the stamps of the log, or what a command found expired would be there again. */
  get #readingMs(): number {
    return Math.max(this.#clock.wallMs(), stampMilliseconds(this.#stamps.high, this.#stamps.low));
  }

  #ask(
    read: ReadRequest,
    minIndex: LogIndex,
    gate: ReadGate | null,
    onLease: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const requestId = this.#reads.ask(waiter, tag, gate, onLease, this.#clock.monotonicMs());
    this.#port.link.send({ type: "read", requestId, minIndex, read });
  }
}
