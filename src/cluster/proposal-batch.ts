/**
 * The entry that is being filled: every command that arrives for a shard during one turn of the loop, encoded, stamped
 * and checksummed once, in the place where it stays until the log and the peers have it. Entries are cut from slabs,
 * so a turn allocates a view and not a buffer. Main thread only.
 */
import { assert } from "../core/assert.ts";
import { viewOf } from "../core/bytes.ts";
import type { LogIndex, Term } from "../core/ids.ts";
import type { HybridClock } from "../core/stamp.ts";
import {
  type ByteRange,
  type CommandType,
  commandBytes,
  encodeCommand,
  sealCommand,
} from "../record/command-format.ts";
import { OS_DECIDES } from "../record/durability.ts";
import { ENTRY_HEADER_BYTES, EntryKind, sealEntry } from "../record/entry-format.ts";

/** Small enough for the allocator to hand out the memory of a former slab, which the kernel need not clear again. */
const SLAB_BYTES = 256 * 1024;

export class ProposalBatch {
  readonly #clock: HybridClock;
  readonly #origin: number;
  #slab = newSlab(SLAB_BYTES);
  #view: DataView = viewOf(this.#slab);
  #start = 0;
  #end = ENTRY_HEADER_BYTES;
  commandCount = 0;
  #durability = OS_DECIDES;

  constructor(clock: HybridClock, origin: number) {
    this.#clock = clock;
    this.#origin = origin;
  }

  /** What is promised to those who wrote: the strongest that any of them was (record/durability.ts). */
  get durability(): number {
    return this.#durability;
  }

  /** Bytes of the entry so far, header included. */
  get byteCount(): number {
    return this.#end - this.#start;
  }

  /** Adds a command; returns its ordinal in the entry. */
  add(
    type: CommandType,
    modifiers: number,
    bucket: number,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    durability: number,
    wallMs: number,
  ): number {
    const flags = expiryMs === 0 ? 0 : 1;
    this.#reserve(commandBytes(flags, key.end - key.start, value.end - value.start));
    const offset = this.#end;
    this.#end = encodeCommand(this.#slab, this.#view, offset, type, modifiers, bucket, key, value, expiryMs);
    return this.#stamp(offset, durability, wallMs);
  }

  /** Adds a command that is encoded already, without its stamp. */
  addEncoded(command: Uint8Array, durability: number, wallMs: number): number {
    this.#reserve(command.length);
    const offset = this.#end;
    this.#slab.set(command, offset);
    this.#end = offset + command.length;
    return this.#stamp(offset, durability, wallMs);
  }

  /** Closes the entry under the index and term that Raft gave it, and begins the next one. */
  seal(index: LogIndex, term: Term): Uint8Array {
    assert(this.commandCount > 0, "only an entry with commands is proposed");
    const commands = EntryKind.commands;
    sealEntry(
      this.#slab,
      this.#view,
      this.#start,
      this.#end,
      index,
      term,
      this.commandCount,
      commands,
      this.#durability,
    );
    const entry = this.#slab.subarray(this.#start, this.#end);
    this.#begin(this.#end);
    return entry;
  }

  /** Forgets what was added since the last seal. */
  discard(): void {
    this.#begin(this.#start);
  }

  #begin(start: number): void {
    // Eight-byte alignment keeps the next header's fields off two cache lines where it can.
    this.#start = (start + 7) & ~7;
    this.#end = this.#start + ENTRY_HEADER_BYTES;
    this.commandCount = 0;
    this.#durability = OS_DECIDES;
    if (this.#end > this.#slab.length) this.#move(0);
  }

  #stamp(offset: number, durability: number, wallMs: number): number {
    if (durability < this.#durability) this.#durability = durability;
    const clock = this.#clock;
    clock.next(wallMs);
    sealCommand(this.#slab, this.#view, offset, this.#end, this.#origin, clock.high, clock.low);
    return this.commandCount++;
  }

  #reserve(byteCount: number): void {
    if (this.#end + byteCount > this.#slab.length) this.#move(byteCount);
  }

  /** Continues the open entry in a new slab; the old one lives as long as the entries cut from it. */
  #move(moreBytes: number): void {
    const filled = Math.min(this.#end, this.#slab.length) - this.#start;
    const kept = filled > 0 ? this.#slab.subarray(this.#start, this.#start + filled) : new Uint8Array(0);
    const needed = Math.max(kept.length, ENTRY_HEADER_BYTES) + moreBytes;
    const slab = newSlab(Math.max(SLAB_BYTES, needed * 2));
    slab.set(kept, 0);
    this.#slab = slab;
    this.#view = viewOf(slab);
    this.#start = 0;
    this.#end = Math.max(kept.length, ENTRY_HEADER_BYTES);
  }
}

/** Not cleared: every byte of an entry is written before the entry is sealed. */
function newSlab(byteCount: number): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.allocUnsafeSlow(byteCount);
  return new Uint8Array(buffer, byteOffset, length);
}
