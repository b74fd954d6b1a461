/**
 * USER and ROLE: who may do what.
 *
 *   USER LIST | INFO <name> | DEL <name>
 *   USER ADD <name> PASSWORD <password> [ROLES …] [GRANT …]… [DISABLED]
 *   USER SET <name> [PASSWORD <password>] [ROLES …] [GRANT …]… [ENABLED|DISABLED]
 *   ROLE LIST | INFO <name> | DEL <name>
 *   ROLE ADD|SET <name> GRANT <bucket> <prefix>* <rights> …
 *
 * access/user-options.ts says what the options are. No answer holds a password or its hash.
 */
import type { Grant } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { BUILT_IN_ROLES } from "../access/roles.ts";
import { changeRole, changeUser, removeRole, removeUser } from "../access/user-changes.ts";
import { grantText, parseUserOptions } from "../access/user-options.ts";
import { replyWhenDone } from "../bucket-steps.ts";
import type { ClientConnection } from "../client-connection.ts";
import { bucketCommand, type CommandEntry } from "../command-table.ts";
import { SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const USER_COMMANDS: readonly CommandEntry[] = [
  bucketCommand("user", -2, "USER LIST, INFO, ADD, SET, DEL: who may come in", user, ["admin"]),
  bucketCommand(
    "role",
    -1,
    "The role of this node, as Redis tells it; ROLE LIST, INFO, ADD, SET, DEL: rights that users share",
    role,
    ["admin"],
  ),
];

function user(client: ClientConnection, request: RequestArguments): void {
  const { access } = client.port;
  const action = request.word(1);
  if (action === "list") return replyNames(client, request, [...access.content.users.keys()]);
  if (!isAction(action)) return client.replyError(unknownSubcommand(request, "USER"));
  if (request.count < 3) return client.replyError(wrongArity(`user|${action}`));
  const name = request.text(2);
  const known = access.content.users.get(name) ?? null;
  if (action !== "add" && known === null) return client.replyError("ERR there is no such user");
  if (action === "add" && known !== null) return client.replyError("ERR there is such a user already");
  if (action === "info") return userInfo(client, name);
  if (action === "del") return removeUser(access, name, known!, replyWhenDone(client));
  const options = parseUserOptions(request, 3);
  if (typeof options === "string") return client.replyError(options);
  if (action === "add" && options.password === null) return client.replyError("ERR a new user needs a PASSWORD");
  changeUser(access, name, known, options, replyWhenDone(client));
}

/** Every node takes every command, so to a Redis client each looks like a primary, and like one without replicas. */
function nodeRole(client: ClientConnection): void {
  const reply = client.begin();
  reply.array(3);
  reply.bulkText("master");
  reply.integer(0);
  reply.array(0);
  client.end();
}

function role(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 1) return nodeRole(client);
  const { access } = client.port;
  const { roles } = access.content;
  const action = request.word(1);
  if (action === "list") return replyNames(client, request, [...BUILT_IN_ROLES.keys(), ...roles.keys()]);
  if (!isAction(action)) return client.replyError(unknownSubcommand(request, "ROLE"));
  if (request.count < 3) return client.replyError(wrongArity(`role|${action}`));
  const name = request.text(2);
  const known = roles.get(name) ?? null;
  if (action === "info") return roleInfo(client, BUILT_IN_ROLES.get(name) ?? known?.grants ?? null);
  if (action === "add" && known !== null) return client.replyError("ERR there is such a role already");
  if (action !== "add" && known === null) return client.replyError("ERR there is no such role that could be changed");
  if (action === "del") return removeRole(access, name, known!, replyWhenDone(client));
  const options = parseUserOptions(request, 3);
  if (typeof options === "string") return client.replyError(options);
  const { grants, password, roles: others, enabled, rate } = options;
  if (grants === null || password !== null || others !== null || enabled !== null || rate !== null)
    return client.replyError(SYNTAX);
  changeRole(access, name, known, grants, replyWhenDone(client));
}

type Action = "info" | "add" | "set" | "del";

function isAction(word: string): word is Action {
  return word === "info" || word === "add" || word === "set" || word === "del";
}

function replyNames(client: ClientConnection, request: RequestArguments, names: readonly string[]): void {
  if (request.count !== 2) return client.replyError(SYNTAX);
  const reply = client.begin();
  reply.array(names.length);
  for (const name of [...names].sort()) reply.bulkText(name);
  client.end();
}

function userInfo(client: ClientConnection, name: string): void {
  const record = client.port.access.content.users.get(name);
  if (record === undefined) return client.replyError("ERR there is no such user");
  const reply = client.begin();
  reply.map(5);
  reply.bulkText("name");
  reply.bulkText(name);
  reply.bulkText("enabled");
  reply.integer(record.enabled ? 1 : 0);
  reply.bulkText("roles");
  reply.array(record.roles.length);
  for (const one of record.roles) reply.bulkText(one);
  reply.bulkText("grants");
  reply.array(record.grants.length);
  for (const grant of record.grants) reply.bulkText(grantText(grant));
  reply.bulkText("rate");
  reply.integer(record.rate ?? 0);
  client.end();
}

function roleInfo(client: ClientConnection, grants: readonly Grant[] | null): void {
  if (grants === null) return client.replyError("ERR there is no such role");
  const reply = client.begin();
  reply.array(grants.length);
  for (const grant of grants) reply.bulkText(grantText(grant));
  client.end();
}
