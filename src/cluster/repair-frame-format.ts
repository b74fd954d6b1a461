/**
 * How a member fetches ranges of keys that it has lost from another one: the bodies of `repairAsk` and `repairGiven` frames.
 * Each question has a number, which its answer repeats; what a broken connection has lost is asked for again or given up.
 *
 *   repairAsk     u64 number, u8 0, u64 least index, ranges        what you have in these ranges, as of that entry or later
 *                 u64 number, u8 1, u32 id, u32 ordinal            the piece of this ordinal, of what was opened under this id
 *                 u64 number, u8 2, u32 id                         thank you
 *   repairGiven   u64 number, u8 0, u32 id, u64 index, u8 whole    it can be had, as of this entry; 1: nothing is damaged here
 *                 u64 number, u8 1, bytes to the end               the piece (record/range-piece-format.ts)
 *                 u64 number, u8 2, text                           it cannot, and why
 *
 *   ranges        u32 count, then smallest and largest table key of each, both behind their length u32
 */
import { decodeRanges, encodeRanges, type TableKeyRange } from "../bridge/repair-protocol.ts";
import { unreachable } from "../core/assert.ts";
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { type LogIndex, logIndex } from "../core/ids.ts";

const OPEN = 0;
const READ = 1;
const CLOSE = 2;
const OPENED = 0;
const PIECE = 1;
const REFUSED = 2;

export type RepairAsk =
  | {
      readonly kind: "open";
      readonly number: number;
      readonly minIndex: LogIndex;
      readonly ranges: readonly TableKeyRange[];
    }
  | { readonly kind: "read"; readonly number: number; readonly id: number; readonly ordinal: number }
  | { readonly kind: "close"; readonly number: number; readonly id: number };

export type RepairGiven =
  | {
      readonly kind: "opened";
      readonly number: number;
      readonly id: number;
      readonly index: LogIndex;
      readonly isWhole: boolean;
    }
  | { readonly kind: "piece"; readonly number: number; readonly bytes: Uint8Array }
  | { readonly kind: "refused"; readonly number: number; readonly why: string };

export function encodeRepairAsk(ask: RepairAsk, into: ByteWriter): void {
  into.u64(ask.number);
  switch (ask.kind) {
    case "open":
      into.u8(OPEN);
      into.u64(ask.minIndex);
      encodeRanges(ask.ranges, into);
      return;
    case "read":
      into.u8(READ);
      into.u32(ask.id);
      into.u32(ask.ordinal);
      return;
    case "close":
      into.u8(CLOSE);
      into.u32(ask.id);
      return;
    default:
      unreachable(ask);
  }
}

/** Byte fields are views. Throws PROTOCOL. */
export function decodeRepairAsk(from: ByteReader): RepairAsk {
  const number = from.u64();
  const kind = from.u8();
  switch (kind) {
    case OPEN:
      return { kind: "open", number, minIndex: logIndex(from.u64()), ranges: decodeRanges(from) };
    case READ:
      return { kind: "read", number, id: from.u32(), ordinal: from.u32() };
    case CLOSE:
      return { kind: "close", number, id: from.u32() };
    default:
      throw from.invalid("a question about a repair of unknown kind");
  }
}

export function encodeRepairGiven(given: RepairGiven, into: ByteWriter): void {
  into.u64(given.number);
  switch (given.kind) {
    case "opened":
      into.u8(OPENED);
      into.u32(given.id);
      into.u64(given.index);
      into.u8(given.isWhole ? 1 : 0);
      return;
    case "piece":
      into.u8(PIECE);
      into.raw(given.bytes);
      return;
    case "refused":
      into.u8(REFUSED);
      into.text(given.why);
      return;
    default:
      unreachable(given);
  }
}

/** Byte fields are views. Throws PROTOCOL. */
export function decodeRepairGiven(from: ByteReader): RepairGiven {
  const number = from.u64();
  const kind = from.u8();
  switch (kind) {
    case OPENED:
      return { kind: "opened", number, id: from.u32(), index: logIndex(from.u64()), isWhole: from.flag() };
    case PIECE:
      return { kind: "piece", number, bytes: from.raw(from.remaining) };
    case REFUSED:
      return { kind: "refused", number, why: from.text() };
    default:
      throw from.invalid("an answer about a repair of unknown kind");
  }
}
