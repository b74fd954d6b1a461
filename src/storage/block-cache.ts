/**
 * Blocks, unpacked, bounded in bytes, for all shards of a thread. Where tables are mapped only those come here that had to
 * be unpacked: any other is read where the file is mapped. Where tables are read past the kernel's page cache
 * (direct-blocks.ts) all blocks do, and this is what there is of a page cache.
 *
 * S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023): a new block enters a small queue of
 * a tenth of the bytes; if it is asked for again before it has passed through, it goes on to the main queue, where each
 * time round costs it one use. What leaves the small queue unused leaves a mark, and comes back straight into the main
 * queue. So blocks that are touched once pass by without driving out those in use. Walks enter nothing and use up
 * nothing: they look, and read and unpack for themselves what is not here.
 *
 * Bookkeeping is in typed arrays, a slot a block; slots hang in chains by hash and in the queues by links. A body is kept in
 * one of two ways. `put` keeps the very bytes, and who has got them may keep them, too: eviction only lets go of them.
 * `copyIn` copies them into a frame, memory that is used again for another block: a cache through which everything passes
 * would otherwise leave garbage faster than it is collected, and take several times its bytes. What is in a frame is good
 * only until the next `copyIn`. One thread.
 */
import { assert } from "../core/assert.ts";

/** A slot for so many bytes: blocks are seldom smaller. */
const BYTES_PER_SLOT = 2048;
const SLOTS_MIN = 16;
/** Frames come in multiples of this, so that one fits the next block. */
const FRAME_STEP_BYTES = 512;
/** Frames without a block that are kept, beside the cache's bytes. */
const SPARE_BYTES_MAX = 1024 * 1024;
const USES_MAX = 3;
/** A block that is larger than this part of the cache is not kept. */
const SHARE_MAX = 8;
/** The small queue's part of the bytes. */
const SMALL_SHARE = 10;
const NONE = -1;
const SMALL = 0;
const MAIN = 1;

export interface BlockCacheStats {
  readonly byteCount: number;
  readonly hitCount: number;
  readonly missCount: number;
}

export class BlockCache {
  readonly #bytesMax: number;
  #tableCount = 0;
  #hitCount = 0;
  #missCount = 0;
  /** Bytes in each queue. */
  readonly #queueBytes = new Float64Array(2);
  readonly #heads = new Int32Array(2).fill(NONE);
  readonly #tails = new Int32Array(2).fill(NONE);
  readonly #bodies: (Uint8Array | null)[];
  /** What a body is copied into; null: it is kept as it came. */
  readonly #frames: (Uint8Array | null)[];
  /** Bytes that a slot counts for: those of the frame, or of the body. */
  readonly #sizes: Float64Array;
  readonly #tables: Uint32Array;
  readonly #blocks: Uint32Array;
  readonly #uses: Uint8Array;
  /** The next slot of a queue, or of the free ones. */
  readonly #next: Int32Array;
  /** The first slot of each chain, and the next within it. */
  readonly #chains: Int32Array;
  readonly #chainNext: Int32Array;
  /** What left the small queue unused: a hash of it, at the place that the hash says. */
  readonly #marks: Uint32Array;
  #free = 0;
  /** Frames to be used again, by their bytes. */
  readonly #spare = new Map<number, Uint8Array[]>();
  #spareBytes = 0;

  /** At most `bytesMax` bytes of blocks; 0: nothing is kept. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    const slotCount = bytesMax === 0 ? 0 : Math.max(SLOTS_MIN, Math.ceil(bytesMax / BYTES_PER_SLOT));
    const chainCount = 2 ** Math.ceil(Math.log2(Math.max(1, slotCount)));
    this.#bodies = new Array<Uint8Array | null>(slotCount).fill(null);
    this.#frames = new Array<Uint8Array | null>(slotCount).fill(null);
    this.#sizes = new Float64Array(slotCount);
    this.#tables = new Uint32Array(slotCount);
    this.#blocks = new Uint32Array(slotCount);
    this.#uses = new Uint8Array(slotCount);
    this.#next = Int32Array.from({ length: slotCount }, (_, i) => (i + 1 < slotCount ? i + 1 : NONE));
    this.#chains = new Int32Array(chainCount).fill(NONE);
    this.#chainNext = new Int32Array(slotCount).fill(NONE);
    this.#marks = new Uint32Array(chainCount);
    if (slotCount === 0) this.#free = NONE;
  }

  /** A number for the blocks of one table, never given twice. */
  takeTable(): number {
    this.#tableCount += 1;
    return this.#tableCount;
  }

  get stats(): BlockCacheStats {
    return { byteCount: this.#byteCount, hitCount: this.#hitCount, missCount: this.#missCount };
  }

  /** The body of a block, or null. `isUse`: whether that is a reason to keep it. */
  get(table: number, block: number, isUse: boolean): Uint8Array | null {
    const slot = this.#find(table, block, hashOf(table, block));
    if (slot === NONE) {
      this.#missCount += 1;
      return null;
    }
    this.#hitCount += 1;
    if (isUse && this.#uses[slot]! < USES_MAX) this.#uses[slot]! += 1;
    return this.#bodies[slot]!;
  }

  /** Keeps a body that `get` did not have. */
  put(table: number, block: number, body: Uint8Array): void {
    if (this.#mayKeep(body.length)) this.#insert(table, block, body, null, body.length);
  }

  /** The same of a copy, which is returned; null: it is too large to be kept. */
  copyIn(table: number, block: number, body: Uint8Array): Uint8Array | null {
    const size = Math.ceil(body.length / FRAME_STEP_BYTES) * FRAME_STEP_BYTES;
    if (!this.#mayKeep(size)) return null;
    this.#makeRoom(size);
    const frame = this.#takeFrame(size);
    const copy = frame.subarray(0, body.length);
    copy.set(body);
    this.#insert(table, block, copy, frame, size);
    return copy;
  }

  #mayKeep(size: number): boolean {
    return size * SHARE_MAX <= this.#bytesMax;
  }

  #makeRoom(size: number): void {
    while (this.#free === NONE || this.#byteCount + size > this.#bytesMax) this.#evict();
  }

  #insert(table: number, block: number, body: Uint8Array, frame: Uint8Array | null, size: number): void {
    const hash = hashOf(table, block);
    assert(this.#find(table, block, hash) === NONE, "a block is kept once");
    this.#makeRoom(size);
    const slot = this.#free;
    this.#free = this.#next[slot]!;
    this.#bodies[slot] = body;
    this.#frames[slot] = frame;
    this.#sizes[slot] = size;
    this.#tables[slot] = table;
    this.#blocks[slot] = block;
    this.#uses[slot] = 0;
    const chain = this.#chainOf(hash);
    this.#chainNext[slot] = this.#chains[chain]!;
    this.#chains[chain] = slot;
    this.#enter(this.#marks[chain] === hash ? MAIN : SMALL, slot);
  }

  #takeFrame(size: number): Uint8Array {
    const frame = this.#spare.get(size)?.pop();
    if (frame === undefined) return new Uint8Array(size);
    this.#spareBytes -= size;
    return frame;
  }

  #giveFrame(frame: Uint8Array): void {
    if (this.#spareBytes + frame.length > SPARE_BYTES_MAX) {
      // They were left by blocks of other sizes than those that come now.
      this.#spare.clear();
      this.#spareBytes = 0;
    }
    const stack = this.#spare.get(frame.length);
    if (stack === undefined) this.#spare.set(frame.length, [frame]);
    else stack.push(frame);
    this.#spareBytes += frame.length;
  }

  /** Lets go of a table's blocks, of which there are `blockCount`. */
  forget(table: number, blockCount: number): void {
    if (this.#bytesMax === 0) return;
    for (let block = 0; block < blockCount; block++) {
      const slot = this.#find(table, block, hashOf(table, block));
      // Its slot stays in its queue, unused, until its turn comes.
      if (slot !== NONE) this.#uses[slot] = 0;
    }
  }

  get #byteCount(): number {
    return this.#queueBytes[SMALL]! + this.#queueBytes[MAIN]!;
  }

  #find(table: number, block: number, hash: number): number {
    if (this.#bytesMax === 0) return NONE;
    let slot = this.#chains[this.#chainOf(hash)]!;
    while (slot !== NONE && (this.#tables[slot] !== table || this.#blocks[slot] !== block))
      slot = this.#chainNext[slot]!;
    return slot;
  }

  #chainOf(hash: number): number {
    return (hash >>> 1) & (this.#chains.length - 1);
  }

  #enter(queue: number, slot: number): void {
    const last = this.#tails[queue]!;
    if (last === NONE) this.#heads[queue] = slot;
    else this.#next[last] = slot;
    this.#tails[queue] = slot;
    this.#next[slot] = NONE;
    this.#queueBytes[queue]! += this.#sizes[slot]!;
  }

  #leave(queue: number): number {
    const slot = this.#heads[queue]!;
    assert(slot !== NONE, "a queue that is asked has a block");
    this.#heads[queue] = this.#next[slot]!;
    if (this.#heads[queue] === NONE) this.#tails[queue] = NONE;
    this.#queueBytes[queue]! -= this.#sizes[slot]!;
    return slot;
  }

  /** One step towards room: a block goes, or goes on. */
  #evict(): void {
    const smallHasMost = this.#queueBytes[SMALL]! * SMALL_SHARE > this.#bytesMax;
    const isSmall = this.#heads[MAIN] === NONE || (smallHasMost && this.#heads[SMALL] !== NONE);
    const slot = this.#leave(isSmall ? SMALL : MAIN);
    const uses = this.#uses[slot]!;
    if (uses > 0) {
      this.#uses[slot] = isSmall ? 0 : uses - 1;
      this.#enter(MAIN, slot);
      return;
    }
    const hash = hashOf(this.#tables[slot]!, this.#blocks[slot]!);
    if (isSmall) this.#marks[this.#chainOf(hash)] = hash;
    this.#unchain(slot, this.#chainOf(hash));
    const frame = this.#frames[slot]!;
    if (frame !== null) this.#giveFrame(frame);
    this.#bodies[slot] = null;
    this.#frames[slot] = null;
    this.#next[slot] = this.#free;
    this.#free = slot;
  }

  #unchain(slot: number, chain: number): void {
    let before = NONE;
    for (let at = this.#chains[chain]!; at !== slot; at = this.#chainNext[at]!) before = at;
    if (before === NONE) this.#chains[chain] = this.#chainNext[slot]!;
    else this.#chainNext[before] = this.#chainNext[slot]!;
  }
}

/** Never 0, which stands for no mark. */
function hashOf(table: number, block: number): number {
  let hash = Math.imul(table, 0x9e37_79b1) ^ Math.imul(block, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2_ae35);
  return ((hash ^ (hash >>> 13)) | 1) >>> 0;
}
