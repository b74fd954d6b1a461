/**
 * ACL: users as Redis speaks of them, as far as that can be said in its words.
 *
 *   ACL WHOAMI | USERS | LIST | CAT | GETUSER <name> | DELUSER <name>
 *   ACL SETUSER <name> [on|off] [><password>] [~<prefix>*|allkeys] [+@read] [+@write] [+@admin] [+@all] [-@all]
 *
 * +@admin is the rights admin and cluster. SETUSER changes whoever's grants are for all buckets and have the same rights, which
 * is so for those it made itself; others are USER SET's. No answer holds a password or its hash.
 */
import { type Grant, ALL_RIGHTS, Right, type UserRecord } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { bucketCommand, type CommandEntry } from "../command-table.ts";
import { changeUser, removeUser } from "../access/user-changes.ts";
import { passwordOf, type UserOptions } from "../access/user-options.ts";
import { replyWhenDone } from "../bucket-steps.ts";
import { SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";
import { utf8 } from "../../core/bytes.ts";

export const ACL_COMMANDS: readonly CommandEntry[] = [
  bucketCommand("acl", -2, "ACL WHOAMI, USERS, LIST, CAT, GETUSER, SETUSER, DELUSER: users in Redis's words", acl, [
    "admin",
  ]),
];

/** The categories that a right stands for. */
const CATEGORIES: readonly (readonly [name: string, rights: number])[] = [
  ["read", Right.read],
  ["write", Right.write],
  ["admin", Right.admin | Right.cluster],
];
const GETUSER_FIELDS = 5;
const UNSAYABLE = "ERR the rights of this user cannot be said in Redis's words, use USER SET";

function acl(client: ClientConnection, request: RequestArguments): void {
  const action = request.word(1);
  const { users } = client.port.access.content;
  switch (action) {
    case "whoami":
      return replyTexts(client, request, 2, (reply) => reply.bulkText(client.login.principal.name));
    case "users":
      return replyList(client, request, client.port.access.isOpen ? ["default"] : [...users.keys()].sort());
    case "list":
      return replyList(
        client,
        request,
        [...users].sort().map(([name, record]) => describe(name, record)),
      );
    case "cat":
      return replyList(
        client,
        request,
        CATEGORIES.map(([name]) => name),
      );
    case "getuser":
      return request.count === 3 ? getUser(client, request.text(2)) : client.replyError(wrongArity("acl|getuser"));
    case "setuser":
      return request.count >= 3 ? setUser(client, request) : client.replyError(wrongArity("acl|setuser"));
    case "deluser":
      return request.count === 3 ? deleteUser(client, request.text(2)) : client.replyError(wrongArity("acl|deluser"));
    default:
      return client.replyError(unknownSubcommand(request, "ACL"));
  }
}

type Reply = ReturnType<ClientConnection["begin"]>;

function replyTexts(
  client: ClientConnection,
  request: RequestArguments,
  count: number,
  write: (reply: Reply) => void,
): void {
  if (request.count !== count) return client.replyError(SYNTAX);
  write(client.begin());
  client.end();
}

function replyList(client: ClientConnection, request: RequestArguments, texts: readonly string[]): void {
  replyTexts(client, request, 2, (reply) => writeTexts(reply, texts));
}

function writeTexts(reply: Reply, texts: readonly string[]): void {
  reply.array(texts.length);
  for (const text of texts) reply.bulkText(text);
}

function describe(name: string, record: UserRecord): string {
  const roles = record.roles.map((role) => `role:${role}`);
  return ["user", name, record.enabled ? "on" : "off", ...roles, keysText(record.grants), commandsText(record)]
    .filter((word) => word !== "")
    .join(" ");
}

function keysText(grants: readonly Grant[]): string {
  return grants.map(({ bucket, prefix }) => `${bucket === "*" ? "" : `${bucket}:`}~${latin(prefix)}*`).join(" ");
}

function commandsText({ grants }: UserRecord): string {
  const rights = grants.reduce((all, grant) => all | grant.rights, 0);
  const words = CATEGORIES.filter(([, bits]) => (rights & bits) !== 0).map(([name]) => `+@${name}`);
  return rights === ALL_RIGHTS ? "+@all" : ["-@all", ...words].join(" ");
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

function getUser(client: ClientConnection, name: string): void {
  const record = client.port.access.content.users.get(name);
  const reply = client.begin();
  if (record === undefined) reply.nil();
  else {
    reply.map(GETUSER_FIELDS);
    reply.bulkText("flags");
    writeTexts(reply, [record.enabled ? "on" : "off"]);
    reply.bulkText("passwords");
    reply.array(0);
    reply.bulkText("roles");
    writeTexts(reply, record.roles);
    reply.bulkText("commands");
    reply.bulkText(commandsText(record));
    reply.bulkText("keys");
    reply.bulkText(keysText(record.grants));
  }
  client.end();
}

function deleteUser(client: ClientConnection, name: string): void {
  const { access } = client.port;
  const known = access.content.users.get(name);
  if (known === undefined) {
    client.begin().integer(0);
    return client.end();
  }
  const slot = client.defer();
  removeUser(access, name, known, (error) =>
    client.settle(slot, (reply) => {
      if (error === null) reply.integer(1);
      else reply.error(error);
    }),
  );
}

interface Wanted {
  rights: number;
  prefixes: Uint8Array[];
  /** Whether rights or keys were spoken of. */
  isChanged: boolean;
}

function setUser(client: ClientConnection, request: RequestArguments): void {
  const { access } = client.port;
  const name = request.text(2);
  const known = access.content.users.get(name) ?? null;
  const wanted = known === null ? { rights: 0, prefixes: [], isChanged: false } : wantedOf(known);
  const options: UserOptions = {
    password: null,
    roles: null,
    grants: null,
    enabled: known === null ? false : null,
    rate: null,
  };
  for (let i = 3; i < request.count; i++) {
    const problem = take(request.text(i), options, wanted);
    if (problem !== null) return client.replyError(problem);
  }
  if (wanted?.isChanged === true) options.grants = grantsOf(wanted);
  changeUser(access, name, known, options, replyWhenDone(client));
}

/** Null: what the user may do cannot be said so. */
function wantedOf({ roles, grants }: UserRecord): Wanted | null {
  const rights = grants[0]?.rights ?? 0;
  const isPlain = roles.length === 0 && grants.every((grant) => grant.bucket === "*" && grant.rights === rights);
  return isPlain ? { rights, prefixes: grants.map(({ prefix }) => prefix), isChanged: false } : null;
}

function grantsOf({ rights, prefixes }: Wanted): Grant[] {
  return rights === 0 ? [] : prefixes.map((prefix) => ({ bucket: "*", prefix, rights }));
}

/** One modifier; an error reply where it is none of ours. */
function take(word: string, options: UserOptions, wanted: Wanted | null): string | null {
  const unknown = `ERR Error in ACL SETUSER modifier '${word.startsWith(">") ? ">(hidden)" : word.slice(0, 64)}': Syntax error`;
  const lower = word.toLowerCase();
  if (lower === "on" || lower === "off") {
    options.enabled = lower === "on";
    return null;
  }
  if (word.startsWith(">")) {
    const password = passwordOf(word.slice(1));
    if (typeof password === "string") return password;
    options.password = password;
    return null;
  }
  if (wanted === null) return UNSAYABLE;
  wanted.isChanged = true;
  return takeRights(word, lower, wanted) ? null : unknown;
}

function takeRights(word: string, lower: string, wanted: Wanted): boolean {
  const category = CATEGORIES.find(([name]) => lower === `+@${name}`);
  if (category !== undefined) wanted.rights |= category[1];
  else if (lower === "+@all" || lower === "allcommands") wanted.rights = ALL_RIGHTS;
  else if (lower === "-@all" || lower === "nocommands") wanted.rights = 0;
  else if (lower === "allkeys") wanted.prefixes = [new Uint8Array(0)];
  else if (lower === "resetkeys") wanted.prefixes = [];
  else if (/^~[^*?[\]\\]*\*$/.test(word)) wanted.prefixes.push(utf8(word.slice(1, -1)));
  else return false;
  return true;
}
