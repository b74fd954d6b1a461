/** Values: SET in all its forms, GET in all of its, and what changes bytes in place. */
import {
  CommandType,
  MODIFIER_GET,
  MODIFIER_KEEPTTL,
  MODIFIER_NX,
  MODIFIER_PERSIST,
  MODIFIER_XX,
} from "../../record/command-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand, writeCommand } from "../command-table.ts";
import { absoluteExpiry, type ExpiryOption, isExpiryOption } from "../expiry-time.ts";
import { ReplyShape } from "../reply-shape.ts";
import { SYNTAX } from "../texts.ts";

export const STRING_COMMANDS: readonly CommandEntry[] = [
  writeCommand("set", -3, "Sets a key to a value", set),
  readCommand("get", 2, "The value of a key", (client, request) => client.read(request, 1, ReplyShape.plain)),
  writeCommand("getdel", 2, "The value of a key, which is removed", (client, request) =>
    client.write(CommandType.getDelete, 0, request, 1, 0, 0, ReplyShape.plain),
  ),
  writeCommand("getex", -2, "The value of a key, whose expiry may change", getex),
  writeCommand("getset", 3, "Sets a key and returns its old value", (client, request) =>
    client.write(CommandType.conditionalPut, MODIFIER_GET, request, 1, 2, 0, ReplyShape.plain),
  ),
  writeCommand("setnx", 3, "Sets a key that is not there", (client, request) =>
    client.write(CommandType.conditionalPut, MODIFIER_NX, request, 1, 2, 0, ReplyShape.flag),
  ),
  writeCommand("setex", 4, "Sets a key with an expiry in seconds", (client, request) =>
    setWithExpiry(client, request, "ex", "setex"),
  ),
  writeCommand("psetex", 4, "Sets a key with an expiry in milliseconds", (client, request) =>
    setWithExpiry(client, request, "px", "psetex"),
  ),
  writeCommand("append", 3, "Appends to a value", (client, request) =>
    client.write(CommandType.append, 0, request, 1, 2, 0, ReplyShape.plain),
  ),
  readCommand("strlen", 2, "The length of a value", (client, request) => client.read(request, 1, ReplyShape.length)),
];

type Modifiers = ReadonlyMap<string, number>;

const SET_MODIFIERS: Modifiers = new Map([
  ["nx", MODIFIER_NX],
  ["xx", MODIFIER_XX],
  ["get", MODIFIER_GET],
  ["keepttl", MODIFIER_KEEPTTL],
]);
const GETEX_MODIFIERS: Modifiers = new Map([["persist", MODIFIER_PERSIST]]);

/** Options of SET and GETEX. */
interface ValueOptions {
  readonly modifiers: number;
  readonly expiry: ExpiryOption | null;
  /** The argument that says when. */
  readonly expiryIndex: number;
}

/** The options from an argument on, or null: as in Redis each may be said again, and the last expiry counts. */
function optionsFrom(request: RequestArguments, first: number, known: Modifiers): ValueOptions | null {
  let modifiers = 0;
  let expiry: ExpiryOption | null = null;
  let expiryIndex = 0;
  for (let i = first; i < request.count; i++) {
    const option = request.word(i);
    const modifier = known.get(option);
    if (modifier !== undefined) modifiers |= modifier;
    else if (isExpiryOption(option) && (expiry ?? option) === option && i + 1 < request.count) {
      expiry = option;
      i += 1;
      expiryIndex = i;
    } else return null;
  }
  return contradicts(modifiers, expiry !== null) ? null : { modifiers, expiry, expiryIndex };
}

function contradicts(modifiers: number, hasExpiry: boolean): boolean {
  if ((modifiers & MODIFIER_NX) !== 0 && (modifiers & MODIFIER_XX) !== 0) return true;
  return hasExpiry && (modifiers & (MODIFIER_KEEPTTL | MODIFIER_PERSIST)) !== 0;
}

function set(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 3) {
    client.write(CommandType.put, 0, request, 1, 2, 0, ReplyShape.plain);
    return;
  }
  const options = optionsFrom(request, 3, SET_MODIFIERS);
  if (options === null) return client.replyError(SYNTAX);
  const { modifiers, expiry, expiryIndex } = options;
  const expiryMs = expiry === null ? 0 : expiryFor(client, request, expiryIndex, expiry, "set");
  if (typeof expiryMs === "string") return client.replyError(expiryMs);
  const type = modifiers === 0 ? CommandType.put : CommandType.conditionalPut;
  client.write(type, modifiers, request, 1, 2, expiryMs, ReplyShape.plain);
}

function getex(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 2) {
    client.read(request, 1, ReplyShape.plain);
    return;
  }
  const options = optionsFrom(request, 2, GETEX_MODIFIERS);
  if (options === null) return client.replyError(SYNTAX);
  const { modifiers, expiry, expiryIndex } = options;
  const expiryMs = expiry === null ? 0 : expiryFor(client, request, expiryIndex, expiry, "getex");
  if (typeof expiryMs === "number") {
    client.write(CommandType.getExpire, modifiers, request, 1, 0, expiryMs, ReplyShape.plain);
    return;
  }
  // A key that is not there has nothing to expire: what is wrong with the time is not looked at.
  client.readWith(request, 1, (reply, value) => (value === null ? reply.nil() : reply.error(expiryMs)));
}

function setWithExpiry(
  client: ClientConnection,
  request: RequestArguments,
  option: ExpiryOption,
  command: string,
): void {
  const expiryMs = expiryFor(client, request, 2, option, command);
  if (typeof expiryMs === "string") client.replyError(expiryMs);
  else client.write(CommandType.put, 0, request, 1, 3, expiryMs, ReplyShape.plain);
}

/** Milliseconds since 1970, or the text of an error. Here a time must lie after zero. */
function expiryFor(
  client: ClientConnection,
  request: RequestArguments,
  index: number,
  option: ExpiryOption,
  command: string,
): number | string {
  return absoluteExpiry(request.integer(index), option, client.timeOf(request, 1), command, true);
}
