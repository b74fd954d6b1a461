/**
 * How much larger a write may make its bucket at most, told by its bytes alone: of what is there already nothing is known, so
 * every key counts as new. Only the copy of a value says nothing about its size. Main thread only.
 */
import { CommandReader, CommandType } from "../record/command-format.ts";
import { bitOffset, RANGE_HEADER_BYTES, rangeOffset } from "../record/part-format.ts";
import { FLOAT_TEXT_BYTES_MAX } from "../core/extended-float.ts";
import { viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { transactionIn } from "../record/transaction-format.ts";

/** The longest text of an i64. */
const INTEGER_TEXT_BYTES_MAX = 20;
const EXPONENT = 0x65;
const LOWER_CASE = 0x20;

export class WriteGrowth {
  /** Of keys and values. */
  byteCount = 0;
  keyCount = 0;
  /** Values of unknown size beside them. */
  copyCount = 0;
  /** For the operations of a transaction, and of the one that may be in it. */
  readonly #commands = [new CommandReader(), new CommandReader()] as const;

  /** Whether it makes anything larger. */
  get isAny(): boolean {
    return this.keyCount > 0 || this.byteCount > 0;
  }

  /** Of a command whose value lies at [valueStart, valueEnd) of `bytes`. */
  of(type: CommandType, keyBytes: number, bytes: Uint8Array, valueStart: number, valueEnd: number): this {
    this.byteCount = 0;
    this.keyCount = 0;
    this.copyCount = 0;
    if (type === CommandType.transaction) this.#addTransaction(bytes.subarray(valueStart, valueEnd), 0);
    else this.#addCommand(type, keyBytes, bytes, valueStart, valueEnd);
    return this;
  }

  #addCommand(type: CommandType, keyBytes: number, bytes: Uint8Array, start: number, end: number): void {
    switch (type) {
      case CommandType.put:
      case CommandType.conditionalPut:
      case CommandType.append:
        return this.#add(keyBytes, end - start);
      case CommandType.increment:
        return this.#add(keyBytes, INTEGER_TEXT_BYTES_MAX);
      case CommandType.incrementFloat:
        return this.#add(keyBytes, hasExponent(bytes, start, end) ? FLOAT_TEXT_BYTES_MAX : end - start);
      case CommandType.setRange: {
        const offset = rangeOffset(viewOf(bytes), start, end);
        const writtenBytes = end - start - RANGE_HEADER_BYTES;
        return writtenBytes > 0 ? this.#add(keyBytes, offset + writtenBytes) : undefined;
      }
      case CommandType.setBit: {
        const offset = bitOffset(viewOf(bytes), start, end);
        return offset < 0 ? undefined : this.#add(keyBytes, Math.floor(offset / 8) + 1);
      }
      case CommandType.rename:
        // Its value is there already.
        this.byteCount += end - start;
        return;
      case CommandType.copy:
        this.copyCount += 1;
        return this.#add(end - start, 0);
      default:
        return;
    }
  }

  #addTransaction(bytes: Uint8Array, depth: number): void {
    const transaction = transactionIn(bytes);
    const command = this.#commands[depth];
    // What does not parse, or lies deeper, changes nothing.
    if (transaction instanceof EnvelopeError || command === undefined) return;
    for (const operation of transaction.operations) {
      if (operation.kind === "read") continue;
      command.over(operation.command).read(0, operation.command.length);
      const { type, keyStart, keyEnd, valueStart, valueEnd } = command;
      if (type === CommandType.transaction) this.#addTransaction(command.value(), depth + 1);
      else this.#addCommand(type, keyEnd - keyStart, operation.command, valueStart, valueEnd);
    }
  }

  #add(keyBytes: number, valueBytes: number): void {
    this.byteCount += keyBytes + valueBytes;
    this.keyCount += 1;
  }
}

/** As in 1e300, whose text is three hundred digits. */
function hasExponent(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((bytes[i]! | LOWER_CASE) === EXPONENT) return true;
  return false;
}
