/**
 * TOKEN: what stands for a user for a while.
 *
 *   TOKEN ISSUE <user> <seconds> [GRANT <bucket> <prefix>* <rights>]…   a map: its id, the token, when it ends
 *   TOKEN REVOKE <token|id>                                             it is no longer good, on any node
 *   TOKEN ROTATE [NOW]                                                  a new key signs from now on; NOW: the old ones check no more
 *   TOKEN LIST                                                          a map of the ids of the keys and of what is called back
 *
 * A token that is called back by its id alone is remembered for as long as any token may live.
 */
import { isAccessName, type TokenKeyRecord } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { Access } from "../access/access.ts";
import { readToken, signingKey, signToken, TOKEN_BYTES_MAX, TOKEN_SECONDS_MAX } from "../access/tokens.ts";
import { errorOf } from "../access/user-changes.ts";
import { parseUserOptions } from "../access/user-options.ts";
import { type Done, replyWhenDone } from "../bucket-steps.ts";
import type { ClientConnection } from "../client-connection.ts";
import { bucketCommand, type CommandEntry } from "../command-table.ts";
import { SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const TOKEN_COMMANDS: readonly CommandEntry[] = [
  bucketCommand("token", -2, "TOKEN ISSUE, REVOKE, ROTATE, LIST: what stands for a user for a while", token, ["admin"]),
];

const SECRET_BYTES = 32;
const ID_BYTES = 16;
/** So long after its end no clock in the cluster takes a token for good. */
const FORGET_MS = 3_600_000;
const FORGET_COUNT = 16;
const LIFETIME = `ERR a token lives 1 to ${TOKEN_SECONDS_MAX} seconds`;

function token(client: ClientConnection, request: RequestArguments): void {
  switch (request.word(1)) {
    case "issue":
      return request.count >= 4 ? issue(client, request) : client.replyError(wrongArity("token|issue"));
    case "revoke":
      return request.count === 3 ? revoke(client, request.text(2)) : client.replyError(wrongArity("token|revoke"));
    case "rotate":
      return rotate(client, request);
    case "list":
      return request.count === 2 ? list(client) : client.replyError(wrongArity("token|list"));
    default:
      return client.replyError(unknownSubcommand(request, "TOKEN"));
  }
}

function issue(client: ClientConnection, request: RequestArguments): void {
  const { access } = client.port;
  const name = request.text(2);
  const user = access.content.users.get(name);
  const seconds = request.integer(3);
  if (user === undefined) return client.replyError("ERR there is no such user");
  if (seconds === null || seconds < 1n || seconds > BigInt(TOKEN_SECONDS_MAX)) return client.replyError(LIFETIME);
  const options = parseUserOptions(request, 4);
  if (typeof options === "string") return client.replyError(options);
  const { grants, password, roles, enabled, rate } = options;
  if (password !== null || roles !== null || enabled !== null || rate !== null) return client.replyError(SYNTAX);
  const slot = client.defer();
  const refuse = (problem: string): void => client.settle(slot, (reply) => reply.error(problem));
  withSigningKey(client, (keyId, key) => {
    if (key === null) return refuse(keyId);
    const nowMs = client.coordinator.wallMs();
    const id = randomHex();
    const expiresMs = nowMs + Number(seconds) * 1000;
    const claims = { id, keyId, user: name, userId: user.id, limits: grants ?? [], expiresMs };
    signToken(keyId, key.secret, claims, nowMs).then(
      (signed) =>
        client.settle(slot, (reply) => {
          reply.map(3);
          reply.bulkText("id");
          reply.bulkText(id);
          reply.bulkText("token");
          reply.bulkText(signed);
          reply.bulkText("expires");
          reply.integer(Math.floor(expiresMs / 1000));
        }),
      () => refuse("ERR the token could not be signed"),
    );
  });
}

/** The key that signs, made if there is none; or (key null) an error reply. */
function withSigningKey(client: ClientConnection, done: (id: string, key: TokenKeyRecord | null) => void): void {
  const { access } = client.port;
  const found = signingKey(access.content);
  if (found !== null) return done(found.id, found.key);
  addKey(access, client.coordinator.wallMs(), (error) => {
    const made = signingKey(access.content);
    if (made === null) done(error ?? "TRYAGAIN the new key is not known here yet", null);
    else done(made.id, made.key);
  });
}

function addKey(access: Access, nowMs: number, done: Done): void {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const record = { secret, createdMs: nowMs, retiredMs: 0, revision: 0 };
  access.admin.change("tokenKeys", `k${randomHex().slice(0, 12)}`, 0, record, (result) => done(errorOf(result)));
}

function revoke(client: ClientConnection, given: string): void {
  const { access } = client.port;
  const nowMs = client.coordinator.wallMs();
  const done = replyWhenDone(client);
  const enter = (id: string, expiresMs: number): void => {
    if (access.content.revocations.has(id)) return done(null);
    forgetEnded(access, nowMs);
    const record = { expiresMs, revision: 0 };
    access.admin.change("revocations", id, 0, record, (result) => done(errorOf(result)));
  };
  if (isAccessName(given) && !given.includes(".")) return enter(given, nowMs + TOKEN_SECONDS_MAX * 1000);
  if (given.length > TOKEN_BYTES_MAX) return done("ERR this is no token of ours that is still good");
  readToken(access.content, given, nowMs).then(
    (claims) => {
      if (claims === null) done("ERR this is no token of ours that is still good");
      else enter(claims.id, claims.expiresMs);
    },
    () => done("ERR the token could not be read"),
  );
}

/** What would be refused as too old needs not be called back any more; a few at a time. */
function forgetEnded(access: Access, nowMs: number): void {
  const ended = [...access.content.revocations].filter(([, { expiresMs }]) => nowMs > expiresMs + FORGET_MS);
  for (const [id, { revision }] of ended.slice(0, FORGET_COUNT)) {
    access.admin.remove("revocations", id, revision, () => undefined);
  }
}

/** A new key first: there is always one that signs. Then the old ones retire, or go. */
function rotate(client: ClientConnection, request: RequestArguments): void {
  const isNow = request.count === 3 && request.word(2) === "now";
  if (request.count > 2 && !isNow) return client.replyError(SYNTAX);
  const { access } = client.port;
  const nowMs = client.coordinator.wallMs();
  const old = [...access.content.tokenKeys];
  const done = replyWhenDone(client);
  const next = (error: string | null): void => {
    const [id, key] = old.pop() ?? [null, null];
    if (error !== null || id === null) return done(error);
    const isOver = key.retiredMs > 0 && nowMs > key.retiredMs + TOKEN_SECONDS_MAX * 1000;
    if (isNow || isOver) return access.admin.remove("tokenKeys", id, key.revision, (result) => next(errorOf(result)));
    if (key.retiredMs > 0) return next(null);
    access.admin.change("tokenKeys", id, key.revision, { ...key, retiredMs: nowMs }, (result) => next(errorOf(result)));
  };
  addKey(access, nowMs, next);
}

function list(client: ClientConnection): void {
  const { tokenKeys, revocations } = client.port.access.content;
  const signs = signingKey(client.port.access.content)?.id;
  const reply = client.begin();
  reply.map(2);
  reply.bulkText("keys");
  reply.array(tokenKeys.size);
  for (const id of [...tokenKeys.keys()].sort()) reply.bulkText(`${id} ${id === signs ? "signs" : "checks"}`);
  reply.bulkText("revoked");
  reply.array(revocations.size);
  for (const id of [...revocations.keys()].sort()) reply.bulkText(id);
  client.end();
}

function randomHex(): string {
  return crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
}
