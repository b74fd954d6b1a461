/** When keys expire: set, asked for, removed. */
import { CommandType, MODIFIER_GT, MODIFIER_LT, MODIFIER_NX, MODIFIER_XX } from "../../record/command-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand, writeCommand } from "../command-table.ts";
import { absoluteExpiry, type ExpiryOption } from "../expiry-time.ts";
import { ReplyShape } from "../reply-shape.ts";
import { echo } from "../texts.ts";

export const EXPIRY_COMMANDS: readonly CommandEntry[] = [
  expireCommand("expire", "ex", "Sets the expiry, in seconds from now"),
  expireCommand("pexpire", "px", "Sets the expiry, in milliseconds from now"),
  expireCommand("expireat", "exat", "Sets the expiry, in seconds since 1970"),
  expireCommand("pexpireat", "pxat", "Sets the expiry, in milliseconds since 1970"),
  readCommand("ttl", 2, "Seconds until a key expires", (client, request) =>
    client.read(request, 1, ReplyShape.ttlSeconds),
  ),
  readCommand("pttl", 2, "Milliseconds until a key expires", (client, request) =>
    client.read(request, 1, ReplyShape.ttlMs),
  ),
  readCommand("expiretime", 2, "When a key expires, in seconds since 1970", (client, request) =>
    client.read(request, 1, ReplyShape.expirySeconds),
  ),
  readCommand("pexpiretime", 2, "When a key expires, in milliseconds since 1970", (client, request) =>
    client.read(request, 1, ReplyShape.expiryMs),
  ),
  writeCommand("persist", 2, "Removes the expiry of a key", (client, request) =>
    client.write(CommandType.persist, 0, request, 1, 0, 0, ReplyShape.plain),
  ),
];

const MODIFIERS: ReadonlyMap<string, number> = new Map([
  ["nx", MODIFIER_NX],
  ["xx", MODIFIER_XX],
  ["gt", MODIFIER_GT],
  ["lt", MODIFIER_LT],
]);

function expireCommand(name: string, option: ExpiryOption, summary: string): CommandEntry {
  return writeCommand(name, -3, summary, (client, request) => expire(client, request, name, option));
}

function expire(client: ClientConnection, request: RequestArguments, name: string, option: ExpiryOption): void {
  const modifiers = modifiersOf(request);
  if (typeof modifiers === "string") {
    client.replyError(modifiers);
    return;
  }
  const expiry = absoluteExpiry(request.integer(2), option, client.timeOf(request, 1), name, false);
  if (typeof expiry === "string") client.replyError(expiry);
  else client.write(CommandType.expire, modifiers, request, 1, 0, expiry, ReplyShape.plain);
}

function modifiersOf(request: RequestArguments): number | string {
  let modifiers = 0;
  for (let i = 3; i < request.count; i++) {
    const modifier = MODIFIERS.get(request.word(i));
    if (modifier === undefined) return `ERR Unsupported option ${echo(request, i)}`;
    modifiers |= modifier;
  }
  if ((modifiers & MODIFIER_NX) !== 0 && modifiers !== MODIFIER_NX) {
    return "ERR NX and XX, GT or LT options at the same time are not compatible";
  }
  if ((modifiers & MODIFIER_GT) !== 0 && (modifiers & MODIFIER_LT) !== 0) {
    return "ERR GT and LT options at the same time are not compatible";
  }
  return modifiers;
}
