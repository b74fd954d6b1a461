/** A part of a value: written over, read. */
import { CommandType } from "../../record/command-format.ts";
import { encodeRange } from "../../record/part-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { ArgumentRange } from "../argument-range.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand, writeCommand } from "../command-table.ts";
import { NOT_AN_INTEGER, VALUE_TOO_LARGE } from "../texts.ts";
import { isBackwards, partBetween } from "../value-part.ts";

export const PART_COMMANDS: readonly CommandEntry[] = [
  writeCommand("setrange", 4, "Writes over a part of a value", setRange),
  readCommand("getrange", 4, "A part of a value", getRange),
  readCommand("substr", 4, "A part of a value", getRange),
];

const NEGATIVE_OFFSET = "ERR offset is out of range";
const BYTES = new ArgumentRange();

function setRange(client: ClientConnection, request: RequestArguments): void {
  const offset = request.integer(2);
  if (offset === null) return client.replyError(NOT_AN_INTEGER);
  if (offset < 0n) return client.replyError(NEGATIVE_OFFSET);
  const byteCount = request.byteCount(3);
  // Nothing may be written anywhere, however far away.
  const place = byteCount === 0 ? 0n : offset;
  if (place + BigInt(byteCount) > BigInt(client.port.settings.valueBytesMax)) return client.replyError(VALUE_TOO_LARGE);
  const value = encodeRange(Number(place), BYTES.point(request, 3));
  client.writeValue(CommandType.setRange, request, 1, { bytes: value, start: 0, end: value.length });
}

function getRange(client: ClientConnection, request: RequestArguments): void {
  const start = request.integer(2);
  const end = request.integer(3);
  if (start === null || end === null) return client.replyError(NOT_AN_INTEGER);
  client.readWith(request, 1, (reply, value) => {
    const part = value === null || isBackwards(start, end) ? null : partBetween(start, end, value.length);
    if (value === null || part === null) reply.bulkText("");
    else reply.bulkRange(value, part.first, part.last + 1);
  });
}
