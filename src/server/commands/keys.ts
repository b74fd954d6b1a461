/** Commands on several keys, and on keys without their values. Across shards none of them is atomic. */
import { CommandType } from "../../record/command-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespWriter } from "../../wire/resp-writer.ts";
import { NO_VALUE } from "../argument-range.ts";
import type { ClientConnection } from "../client-connection.ts";
import { ALL_KEYS, type CommandEntry, readCommand, writeCommand } from "../command-table.ts";
import { GatherCount, GatherOk, GatherValues } from "../gather.ts";
import { ReplyShape } from "../reply-shape.ts";
import { wrongArity } from "../texts.ts";

export const KEY_COMMANDS: readonly CommandEntry[] = [
  readCommand("mget", -2, "The values of several keys", mget, ALL_KEYS),
  writeCommand("mset", -3, "Sets several keys", mset, [1, -1, 2]),
  writeCommand("del", -2, "Removes keys", remove, ALL_KEYS),
  writeCommand("unlink", -2, "Removes keys", remove, ALL_KEYS),
  readCommand("exists", -2, "How many of the keys are there", exists, ALL_KEYS),
  readCommand("touch", -2, "How many of the keys are there", exists, ALL_KEYS),
  readCommand("type", 2, "The type of a key", (client, request) => client.read(request, 1, ReplyShape.type)),
];

function mget(client: ClientConnection, request: RequestArguments): void {
  const gather = new GatherValues(client, request.count - 1, writeValues);
  for (let i = 1; i < request.count; i++) client.readFor(request, i, false, gather, i - 1);
}

function writeValues(reply: RespWriter, values: readonly (Uint8Array | null)[]): void {
  reply.array(values.length);
  for (const value of values) {
    if (value === null) reply.nil();
    else reply.bulk(value);
  }
}

function mset(client: ClientConnection, request: RequestArguments): void {
  if (request.count % 2 === 0) {
    client.replyError(wrongArity("mset"));
    return;
  }
  const gather = new GatherOk(client, (request.count - 1) / 2);
  for (let i = 1; i < request.count; i += 2) {
    const value = { bytes: request.bytes, start: request.starts[i + 1]!, end: request.ends[i + 1]! };
    client.writeFor(CommandType.put, 0, request, i, value, 0, gather, 0);
  }
}

function remove(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 2) {
    client.write(CommandType.delete, 0, request, 1, 0, 0, ReplyShape.plain);
    return;
  }
  const gather = new GatherCount(client, request.count - 1);
  for (let i = 1; i < request.count; i++) client.writeFor(CommandType.delete, 0, request, i, NO_VALUE, 0, gather, 0);
}

function exists(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 2) {
    client.read(request, 1, ReplyShape.flag);
    return;
  }
  const gather = new GatherCount(client, request.count - 1);
  for (let i = 1; i < request.count; i++) client.readFor(request, i, true, gather, 0);
}
