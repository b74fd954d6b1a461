/**
 * The arguments of one request: offsets into one array of bytes, so that a command on its way from socket to shard
 * costs no slices and no strings. The parser owns and reuses it: everything in it is valid until the parser goes on.
 */
import { EMPTY_BYTES, text } from "../core/bytes.ts";
import { parseI64 } from "./resp-integer.ts";

const ARGUMENTS_AT_FIRST = 8;

export class RequestArguments {
  bytes: Uint8Array = EMPTY_BYTES;
  count = 0;
  starts = new Int32Array(ARGUMENTS_AT_FIRST);
  ends = new Int32Array(ARGUMENTS_AT_FIRST);

  push(start: number, end: number): void {
    if (this.count === this.starts.length) this.#grow();
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.count += 1;
  }

  /** Moves every offset: the bytes they point into have been moved by the same distance. */
  shift(distance: number): void {
    for (let i = 0; i < this.count; i++) {
      this.starts[i]! += distance;
      this.ends[i]! += distance;
    }
  }

  byteCount(index: number): number {
    return this.ends[index]! - this.starts[index]!;
  }

  /** A view, valid until the parser goes on. */
  view(index: number): Uint8Array {
    return this.bytes.subarray(this.starts[index]!, this.ends[index]!);
  }

  copy(index: number): Uint8Array {
    return this.bytes.slice(this.starts[index]!, this.ends[index]!);
  }

  text(index: number): string {
    return text(this.view(index));
  }

  /** Lower-case text, for options and subcommands. */
  word(index: number): string {
    return this.text(index).toLowerCase();
  }

  /** The argument as a 64-bit integer in canonical decimal form, or null. */
  integer(index: number): bigint | null {
    return parseI64(this.bytes, this.starts[index]!, this.ends[index]!);
  }

  /** Lets go of the bytes, which may be a whole chunk of the network's, and of room for many arguments. */
  clear(): void {
    this.count = 0;
    this.bytes = EMPTY_BYTES;
    if (this.starts.length === ARGUMENTS_AT_FIRST) return;
    this.starts = new Int32Array(ARGUMENTS_AT_FIRST);
    this.ends = new Int32Array(ARGUMENTS_AT_FIRST);
  }

  #grow(): void {
    const starts = new Int32Array(this.starts.length * 2);
    const ends = new Int32Array(this.starts.length * 2);
    starts.set(this.starts);
    ends.set(this.ends);
    this.starts = starts;
    this.ends = ends;
  }
}
