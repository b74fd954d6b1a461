/**
 * Single bits of a value: set, read, counted, looked for. What is wrong with a range is said only where there is a value:
 * without one the answer does not depend on it, as in Redis.
 */
import { CommandType } from "../../record/command-format.ts";
import { encodeBit } from "../../record/part-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { bitAt, countBits, findBit } from "../bit-search.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand, writeCommand } from "../command-table.ts";
import { NOT_AN_INTEGER, SYNTAX } from "../texts.ts";
import { isBackwards, partBetween, type ValuePart } from "../value-part.ts";

export const BIT_COMMANDS: readonly CommandEntry[] = [
  writeCommand("setbit", 4, "Sets a bit of a value and returns what it was", setBit),
  readCommand("getbit", 3, "A bit of a value", getBit),
  readCommand("bitcount", -2, "How many bits of a value, or of a part of it, are one", bitCount),
  readCommand("bitpos", -3, "The first bit of a value, or of a part of it, that is one or zero", bitPosition),
];

const NO_BIT_OFFSET = "ERR bit offset is not an integer or out of range";
const NO_BIT = "ERR bit is not an integer or out of range";
const NO_WANTED_BIT = "ERR The bit argument must be 1 or 0.";

/** What a request says about the part of a value that it means; `end` null: to the end, whatever lies behind it. */
interface BitRange {
  readonly start: bigint;
  readonly end: bigint | null;
  readonly isInBits: boolean;
}

function setBit(client: ClientConnection, request: RequestArguments): void {
  const offset = bitOffset(client, request);
  const bit = request.integer(3);
  if (offset === null) client.replyError(NO_BIT_OFFSET);
  else if (bit !== 0n && bit !== 1n) client.replyError(NO_BIT);
  else {
    const value = encodeBit(offset, Number(bit));
    client.writeValue(CommandType.setBit, request, 1, { bytes: value, start: 0, end: value.length });
  }
}

function getBit(client: ClientConnection, request: RequestArguments): void {
  const offset = bitOffset(client, request);
  if (offset === null) client.replyError(NO_BIT_OFFSET);
  else client.readWith(request, 1, (reply, value) => reply.integer(value === null ? 0 : bitAt(value, offset)));
}

/** The second argument as the place of a bit in a value that is not longer than allowed, or null. */
function bitOffset(client: ClientConnection, request: RequestArguments): number | null {
  const offset = request.integer(2);
  const end = BigInt(client.port.settings.valueBytesMax) * 8n;
  return offset === null || offset < 0n || offset >= end ? null : Number(offset);
}

function bitCount(client: ClientConnection, request: RequestArguments): void {
  const range = countedRange(request);
  client.readWith(request, 1, (reply, value) => {
    if (value === null) reply.integer(0);
    else if (typeof range === "string") reply.error(range);
    else {
      const part = range === null ? null : bitsOf(range, value);
      reply.integer(part === null ? 0 : countBits(value, part.first, part.last));
    }
  });
}

/** null: nothing is in it; a text: what is wrong with it. */
function countedRange(request: RequestArguments): BitRange | string | null {
  if (request.count === 2) return { start: 0n, end: null, isInBits: false };
  if (request.count !== 4 && request.count !== 5) return SYNTAX;
  const start = request.integer(2);
  const end = request.integer(3);
  if (start === null || end === null) return NOT_AN_INTEGER;
  if (isBackwards(start, end)) return null;
  const isInBits = unitAt(request, 4);
  return isInBits === null ? SYNTAX : { start, end, isInBits };
}

function bitPosition(client: ClientConnection, request: RequestArguments): void {
  const bit = request.integer(2);
  if (bit === null) return client.replyError(NOT_AN_INTEGER);
  if (bit !== 0n && bit !== 1n) return client.replyError(NO_WANTED_BIT);
  const range = searchedRange(request);
  client.readWith(request, 1, (reply, value) => {
    // A key that is not there is a value of nothing but zeros.
    if (value === null) reply.integer(bit === 0n ? 0 : -1);
    else if (typeof range === "string") reply.error(range);
    else reply.integer(firstBit(value, Number(bit), range));
  });
}

/** A text: what is wrong with it. */
function searchedRange(request: RequestArguments): BitRange | string {
  if (request.count === 3) return { start: 0n, end: null, isInBits: false };
  if (request.count > 6) return SYNTAX;
  const start = request.integer(3);
  if (start === null) return NOT_AN_INTEGER;
  const isInBits = unitAt(request, 5);
  if (isInBits === null) return SYNTAX;
  if (request.count === 4) return { start, end: null, isInBits };
  const end = request.integer(4);
  return end === null ? NOT_AN_INTEGER : { start, end, isInBits };
}

/** Where nobody says where to end, zeros follow the value; in an empty part there is neither a zero nor a one. */
function firstBit(value: Uint8Array, bit: number, range: BitRange): number {
  const part = bitsOf(range, value);
  if (part === null) return -1;
  const place = findBit(value, bit, part.first, part.last);
  return place < 0 && bit === 0 && range.end === null ? value.length * 8 : place;
}

/** The unit of a range, by its place behind it: bits or bytes, and bytes where there is none; null: no unit. */
function unitAt(request: RequestArguments, index: number): boolean | null {
  if (index >= request.count) return false;
  const unit = request.word(index);
  return unit === "bit" ? true : unit === "byte" ? false : null;
}

function bitsOf({ start, end, isInBits }: BitRange, value: Uint8Array): ValuePart | null {
  const part = partBetween(start, end ?? -1n, isInBits ? value.length * 8 : value.length);
  return part === null || isInBits ? part : { first: part.first * 8, last: part.last * 8 + 7 };
}
