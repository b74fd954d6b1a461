/** RENAME, RENAMENX, COPY, MSETNX: on several keys of one shard at once. */
import { CommandType, MODIFIER_NX } from "../../record/command-format.ts";
import type { TransactionOperation } from "../../record/transaction-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, writeCommand } from "../command-table.ts";
import { ReplyShape } from "../reply-shape.ts";
import { NOT_AN_INTEGER, SYNTAX, wrongArity } from "../texts.ts";

export const RENAMING_COMMANDS: readonly CommandEntry[] = [
  writeCommand("rename", 3, "Gives a key another name", (client, request) => rename(client, request, 0), [1, 2, 1]),
  writeCommand(
    "renamenx",
    3,
    "Gives a key another name, if nothing has that",
    (client, request) => rename(client, request, MODIFIER_NX),
    [1, 2, 1],
  ),
  writeCommand("copy", -3, "Copies a key", copy, [1, 2, 1]),
  writeCommand("msetnx", -3, "Sets several keys, if none of them is there", setAllAbsent, [1, -1, 2]),
];

/** Databases are buckets 0 to 15. */
const DATABASES = 16n;

function rename(client: ClientConnection, request: RequestArguments, modifiers: number): void {
  moveOrCopy(client, request, CommandType.rename, modifiers);
}

function copy(client: ClientConnection, request: RequestArguments): void {
  let modifiers = MODIFIER_NX;
  let database = client.session.bucket.name;
  for (let i = 3; i < request.count; i++) {
    const option = request.word(i);
    if (option === "replace") modifiers = 0;
    else if (option === "db" && i + 1 < request.count) {
      i += 1;
      const asked = request.integer(i);
      if (asked === null) return client.replyError(NOT_AN_INTEGER);
      if (asked < 0n || asked >= DATABASES) return client.replyError("ERR DB index is out of range");
      database = String(asked);
    } else return client.replyError(SYNTAX);
  }
  if (database !== client.session.bucket.name)
    return client.replyError("CROSSSLOT a key is copied within its bucket; read it and set it in the other one");
  if (Buffer.compare(request.view(1), request.view(2)) === 0)
    return client.replyError("ERR source and destination objects are the same");
  moveOrCopy(client, request, CommandType.copy, modifiers);
}

function moveOrCopy(client: ClientConnection, request: RequestArguments, type: CommandType, modifiers: number): void {
  const operation: TransactionOperation = {
    kind: "write",
    type,
    modifiers,
    key: request.copy(1),
    value: request.copy(2),
    expiryMs: 0,
  };
  client.transact({ conditions: [], operations: [operation] }, ReplyShape.only);
}

function setAllAbsent(client: ClientConnection, request: RequestArguments): void {
  if (request.count % 2 === 0) return client.replyError(wrongArity("msetnx"));
  const conditions = [];
  const operations: TransactionOperation[] = [];
  for (let i = 1; i < request.count; i += 2) {
    const key = request.copy(i);
    conditions.push({ kind: "absent", key } as const);
    const value = request.copy(i + 1);
    operations.push({ kind: "write", type: CommandType.put, modifiers: 0, key, value, expiryMs: 0 });
  }
  client.transact({ conditions, operations }, ReplyShape.allOrNone);
}
