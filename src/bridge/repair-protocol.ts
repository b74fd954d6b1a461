/**
 * The part of the protocol between main and a shard that is about repair: what one member has in ranges of keys is given to
 * another, which has lost it (shard/range-source.ts, shard/range-repair.ts). And its codec, by the rules of
 * shard-request-codec.ts.
 */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { type LogIndex, logIndex } from "../core/ids.ts";
import { unreachable } from "../core/assert.ts";

/** From one table key to another, both included: the bucket, big-endian, then the key. */
export interface TableKeyRange {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

export type RepairRequest =
  /**
   * What there is to repair from other members: `repairWanted`. Of several damages it is the `attempt`-th that is spoken of.
   * With `holds` nothing more is applied from now on, until the repair ends or is given up.
   */
  | { readonly type: "repairBegin"; readonly requestId: number; readonly attempt: number; readonly holds: boolean }
  /** Another member gives the ranges as of this entry: `done`, with an error when that is behind what is applied. */
  | { readonly type: "repairAt"; readonly requestId: number; readonly index: LogIndex }
  /** The next piece (record/range-piece-format.ts): `repairTaken`, or `done` with an error. */
  | { readonly type: "repairPiece"; readonly requestId: number; readonly bytes: Uint8Array }
  /** All pieces have come: `done` when what they hold has taken the place of what was damaged. */
  | { readonly type: "repairEnd"; readonly requestId: number }
  /** The repair that was begun comes to nothing. */
  | { readonly type: "repairAbandon" }
  /** Another member has lost these ranges: `rangeOpened`, or `done` with an error, if `minIndex` is not applied yet among others. */
  | {
      readonly type: "rangeOpen";
      readonly requestId: number;
      readonly minIndex: LogIndex;
      readonly ranges: readonly TableKeyRange[];
    }
  /** The next piece of what was opened, or the last one again: `rangePiece`, or `done` with an error. */
  | { readonly type: "rangeRead"; readonly requestId: number; readonly id: number; readonly ordinal: number }
  /** Nobody reads it any more. */
  | { readonly type: "rangeClose"; readonly id: number };

export type RepairReply =
  /** Empty: nothing is damaged that ranges could repair. They are wanted as of an entry that is not behind `minIndex`. */
  | {
      readonly type: "repairWanted";
      readonly requestId: number;
      readonly minIndex: LogIndex;
      readonly ranges: readonly TableKeyRange[];
    }
  /** There is room for the next piece. */
  | { readonly type: "repairTaken"; readonly requestId: number; readonly isLast: boolean }
  /** The ranges are given as of this entry. `isWhole`: nothing at all is damaged here. */
  | {
      readonly type: "rangeOpened";
      readonly requestId: number;
      readonly id: number;
      readonly index: LogIndex;
      readonly isWhole: boolean;
    }
  | { readonly type: "rangePiece"; readonly requestId: number; readonly bytes: Uint8Array };

/** Types of messages, apart from all others of their kind. */
export const REPAIR_REQUEST = {
  repairBegin: 101,
  repairAt: 102,
  repairPiece: 103,
  repairEnd: 104,
  repairAbandon: 105,
  rangeOpen: 106,
  rangeRead: 107,
  rangeClose: 108,
} as const satisfies Record<RepairRequest["type"], number>;

export const REPAIR_REPLY = {
  repairWanted: 101,
  repairTaken: 102,
  rangeOpened: 103,
  rangePiece: 104,
} as const satisfies Record<RepairReply["type"], number>;

export function encodeRepairRequest(request: RepairRequest, into: ByteWriter): void {
  switch (request.type) {
    case "repairBegin":
      into.u64(request.requestId);
      into.u32(request.attempt);
      into.u8(request.holds ? 1 : 0);
      break;
    case "repairAt":
      into.u64(request.requestId);
      into.u64(request.index);
      break;
    case "repairPiece":
      into.u64(request.requestId);
      into.blob(request.bytes);
      break;
    case "repairEnd":
      into.u64(request.requestId);
      break;
    case "repairAbandon":
      break;
    case "rangeOpen":
      into.u64(request.requestId);
      into.u64(request.minIndex);
      encodeRanges(request.ranges, into);
      break;
    case "rangeRead":
      into.u64(request.requestId);
      into.u32(request.id);
      into.u32(request.ordinal);
      break;
    case "rangeClose":
      into.u32(request.id);
      break;
    default:
      unreachable(request);
  }
}

export function decodeRepairRequest(type: number, from: ByteReader): RepairRequest {
  switch (type) {
    case REPAIR_REQUEST.repairBegin:
      return { type: "repairBegin", requestId: from.u64(), attempt: from.u32(), holds: from.flag() };
    case REPAIR_REQUEST.repairAt:
      return { type: "repairAt", requestId: from.u64(), index: logIndex(from.u64()) };
    case REPAIR_REQUEST.repairPiece:
      return { type: "repairPiece", requestId: from.u64(), bytes: from.blob() };
    case REPAIR_REQUEST.repairEnd:
      return { type: "repairEnd", requestId: from.u64() };
    case REPAIR_REQUEST.repairAbandon:
      return { type: "repairAbandon" };
    case REPAIR_REQUEST.rangeOpen:
      return { type: "rangeOpen", requestId: from.u64(), minIndex: logIndex(from.u64()), ranges: decodeRanges(from) };
    case REPAIR_REQUEST.rangeRead:
      return { type: "rangeRead", requestId: from.u64(), id: from.u32(), ordinal: from.u32() };
    case REPAIR_REQUEST.rangeClose:
      return { type: "rangeClose", id: from.u32() };
    default:
      throw from.invalid(`a request of unknown type ${type}`);
  }
}

export function encodeRepairReply(reply: RepairReply, into: ByteWriter): void {
  into.u64(reply.requestId);
  switch (reply.type) {
    case "repairWanted":
      into.u64(reply.minIndex);
      encodeRanges(reply.ranges, into);
      break;
    case "repairTaken":
      into.u8(reply.isLast ? 1 : 0);
      break;
    case "rangeOpened":
      into.u32(reply.id);
      into.u64(reply.index);
      into.u8(reply.isWhole ? 1 : 0);
      break;
    case "rangePiece":
      into.blob(reply.bytes);
      break;
    default:
      unreachable(reply);
  }
}

export function decodeRepairReply(type: number, from: ByteReader): RepairReply {
  switch (type) {
    case REPAIR_REPLY.repairWanted:
      return {
        type: "repairWanted",
        requestId: from.u64(),
        minIndex: logIndex(from.u64()),
        ranges: decodeRanges(from),
      };
    case REPAIR_REPLY.repairTaken:
      return { type: "repairTaken", requestId: from.u64(), isLast: from.flag() };
    case REPAIR_REPLY.rangeOpened:
      return decodeRangeOpened(from);
    case REPAIR_REPLY.rangePiece:
      return { type: "rangePiece", requestId: from.u64(), bytes: from.blob() };
    default:
      throw from.invalid(`a reply of unknown type ${type}`);
  }
}

function decodeRangeOpened(from: ByteReader): RepairReply {
  const requestId = from.u64();
  const id = from.u32();
  return { type: "rangeOpened", requestId, id, index: logIndex(from.u64()), isWhole: from.flag() };
}

const RANGE_BYTES_MIN = 8;

/** Ranges in a message: u32 count, then the smallest and the largest key of each. */
export function encodeRanges(ranges: readonly TableKeyRange[], into: ByteWriter): void {
  into.u32(ranges.length);
  for (const { smallest, largest } of ranges) {
    into.blob(smallest);
    into.blob(largest);
  }
}

/** Keys are views of the reader's bytes. */
export function decodeRanges(from: ByteReader): TableKeyRange[] {
  const ranges: TableKeyRange[] = [];
  for (let left = from.count(RANGE_BYTES_MIN); left > 0; left--) {
    const smallest = from.blob();
    ranges.push({ smallest, largest: from.blob() });
  }
  return ranges;
}
