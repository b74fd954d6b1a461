/**
 * Reads of single keys that wait to be looked up together: their waits for memory, which do not depend on each other,
 * then pass in the time of one (see `MemtableSet.warm`). Numbers in typed arrays and one array of keys; nothing is made
 * for a read. Main thread only.
 */
import { copyBytes } from "../core/copy-bytes.ts";
import { type LogIndex, logIndex, type NodeId, nodeId } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import type { ByteRange } from "../record/command-format.ts";
import type { Waiter } from "./coordinator.ts";
import type { Proof } from "./pending-reads.ts";

/** Enough to keep all of a core's outstanding loads busy several times over. */
const READS_MAX = 64;
const KEY_BYTES_MAX = 8 * 1024;

export class ReadBatch {
  count = 0;
  readonly buckets = new Uint32Array(READS_MAX);
  readonly hashes = new Uint32Array(READS_MAX);
  readonly #askers = new Uint32Array(READS_MAX);
  readonly tags = new Float64Array(READS_MAX);
  readonly waiters: (Waiter | null)[] = new Array<Waiter | null>(READS_MAX).fill(null);
  /** The keys, one behind the other. */
  readonly keys = new Uint8Array(KEY_BYTES_MAX);
  /** Read i has the key at [keyStarts[i], keyStarts[i + 1]). */
  readonly keyStarts = new Int32Array(READS_MAX + 1);
  readonly #minIndexes = new Float64Array(READS_MAX);
  readonly #metadataOnly = new Uint8Array(READS_MAX);
  readonly #proofs = new Array<Proof>(READS_MAX).fill("round");

  /** False: no room. */
  add(
    bucket: number,
    key: ByteRange,
    metadataOnly: boolean,
    minIndex: LogIndex,
    asker: NodeId,
    proof: Proof,
    waiter: Waiter,
    tag: number,
  ): boolean {
    const place = this.count;
    if (place === READS_MAX) return false;
    const start = this.keyStarts[place]!;
    const end = start + key.end - key.start;
    if (end > KEY_BYTES_MAX) return false;
    copyBytes(key.bytes, key.start, key.end, this.keys, start);
    this.keyStarts[place + 1] = end;
    this.buckets[place] = bucket;
    this.hashes[place] = murmur3(this.keys, start, end, bucket);
    this.#minIndexes[place] = minIndex;
    this.#metadataOnly[place] = metadataOnly ? 1 : 0;
    this.#proofs[place] = proof;
    this.#askers[place] = asker;
    this.waiters[place] = waiter;
    this.tags[place] = tag;
    this.count = place + 1;
    return true;
  }

  minIndex(place: number): LogIndex {
    return logIndex(this.#minIndexes[place]!);
  }

  asker(place: number): NodeId {
    return nodeId(this.#askers[place]!);
  }

  proof(place: number): Proof {
    return this.#proofs[place]!;
  }

  metadataOnly(place: number): boolean {
    return this.#metadataOnly[place] === 1;
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) this.waiters[i] = null;
    this.count = 0;
  }
}
