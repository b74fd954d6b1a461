/** INCR and its relatives. The shard adds; here an integer becomes eight bytes, and a float stays text. */
import { parseExtendedFloat } from "../../core/extended-float.ts";
import { CommandType } from "../../record/command-format.ts";
import { I64_MIN } from "../../wire/resp-integer.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, writeCommand } from "../command-table.ts";
import { ReplyShape } from "../reply-shape.ts";
import { NOT_A_FLOAT, NOT_AN_INTEGER } from "../texts.ts";

export const COUNTER_COMMANDS: readonly CommandEntry[] = [
  writeCommand("incr", 2, "Adds one", (client, request) => add(client, request, 1n)),
  writeCommand("decr", 2, "Subtracts one", (client, request) => add(client, request, -1n)),
  writeCommand("incrby", 3, "Adds an integer", (client, request) => {
    const amount = request.integer(2);
    if (amount === null) client.replyError(NOT_AN_INTEGER);
    else add(client, request, amount);
  }),
  writeCommand("decrby", 3, "Subtracts an integer", (client, request) => {
    const amount = request.integer(2);
    if (amount === null) client.replyError(NOT_AN_INTEGER);
    else if (amount === I64_MIN) client.replyError("ERR decrement would overflow");
    else add(client, request, -amount);
  }),
  writeCommand("incrbyfloat", 3, "Adds a number with a fraction", (client, request) => {
    const { bytes, starts, ends } = request;
    const isFloat = parseExtendedFloat(bytes, starts[2]!, ends[2]!) !== null;
    if (isFloat) client.write(CommandType.incrementFloat, 0, request, 1, 2, 0, ReplyShape.plain);
    else client.replyError(NOT_A_FLOAT);
  }),
];

/** The coordinator copies it before the call returns, so one is enough. */
const AMOUNT = new Uint8Array(8);
const AMOUNT_VIEW = new DataView(AMOUNT.buffer);
const AMOUNT_RANGE = { bytes: AMOUNT, start: 0, end: 8 } as const;

function add(client: ClientConnection, request: RequestArguments, amount: bigint): void {
  AMOUNT_VIEW.setBigInt64(0, amount, true);
  client.writeValue(CommandType.increment, request, 1, AMOUNT_RANGE);
}
