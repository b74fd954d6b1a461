/**
 * A byte range that is pointed at one argument after another, so that a command on its way costs no object. Valid until
 * it is pointed elsewhere: the coordinator copies what it keeps before its call returns.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { ByteRange } from "../record/command-format.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";

export class ArgumentRange implements ByteRange {
  bytes: Uint8Array = EMPTY_BYTES;
  start = 0;
  end = 0;

  point(request: RequestArguments, index: number): this {
    this.bytes = request.bytes;
    this.start = request.starts[index]!;
    this.end = request.ends[index]!;
    return this;
  }
}

export const NO_VALUE: ByteRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };
