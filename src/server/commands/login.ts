/**
 * Who it is: AUTH, and HELLO, which may log in and choose the protocol at once.
 *
 *   AUTH <password>                          as the user "default"
 *   AUTH <user> <password>
 *   AUTH token <token>                       a token stands where the password does
 *   HELLO [2|3 [AUTH <user> <password>] [SETNAME <name>]]
 *
 * Nothing behind it runs before it is answered. Passwords are copied out of the request and wiped when they are checked.
 */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespVersion, RespWriter } from "../../wire/resp-writer.ts";
import type { LoginOutcome } from "../access/access.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import { SYNTAX, WRONG_PASSWORD } from "../texts.ts";
import { nameProblem } from "./client.ts";
import { REDIS_VERSION } from "./connection.ts";

export const LOGIN_COMMANDS: readonly CommandEntry[] = [
  { ...sessionCommand("hello", -1, "Chooses the protocol, RESP2 or RESP3; may log in", hello), exclusive: true },
  { ...sessionCommand("auth", -2, "Logs in, with a password or a token", auth), exclusive: true },
];

/** The user of those who name none. */
const DEFAULT_USER = "default";
const DEFAULT_NEEDS_NONE =
  "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
const HELLO_FIRST =
  "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
const NOT_KNOWN_YET = "TRYAGAIN who may come in is not known to this node yet";

function auth(client: ClientConnection, request: RequestArguments): void {
  if (request.count > 3) return client.replyError(SYNTAX);
  const user = request.count === 3 ? request.text(1) : DEFAULT_USER;
  if (client.port.access.isOpen) return replyOpen(client, request.count === 2, user);
  const slot = client.defer();
  logIn(client, user, request.copy(request.count - 1), (problem) =>
    client.settle(slot, (reply) => {
      if (problem === null) reply.ok();
      else reply.error(problem);
    }),
  );
}

/** As a Redis without passwords: its one user needs none. */
function replyOpen(client: ClientConnection, isUnnamed: boolean, user: string): void {
  if (isUnnamed) client.replyError(DEFAULT_NEEDS_NONE);
  else if (user === DEFAULT_USER) client.replyOk();
  else client.replyError(WRONG_PASSWORD);
}

function logIn(
  client: ClientConnection,
  user: string,
  password: Uint8Array,
  done: (problem: string | null) => void,
): void {
  client.login.logIn(user, password, (outcome) => done(problemOf(outcome)));
}

function problemOf(outcome: LoginOutcome): string | null {
  if (outcome.kind === "in") return null;
  if (outcome.kind === "unknown") return NOT_KNOWN_YET;
  if (outcome.kind === "wrong") return WRONG_PASSWORD;
  return `RATELIMIT too many failed logins, try again in ${Math.ceil(outcome.waitMs / 1000)} s`;
}

interface Greeting {
  version: RespVersion;
  name: string | null;
  user: string | null;
  passwordIndex: number;
}

function hello(client: ClientConnection, request: RequestArguments): void {
  const { access } = client.port;
  const { session } = client;
  const greeting = greetingIn(client, request);
  if (typeof greeting === "string") return client.replyError(greeting);
  const { user, passwordIndex } = greeting;
  if (user !== null && access.isOpen && user !== DEFAULT_USER) return client.replyError(WRONG_PASSWORD);
  if (user === null || access.isOpen) {
    if (client.login.isStranger) return client.replyError(HELLO_FIRST);
    greet(client, greeting);
    writeHello(client, client.begin());
    return client.end();
  }
  // The reply is in the version that is asked for; one that says why not looks the same in both.
  const before = session.version;
  session.version = greeting.version;
  const slot = client.defer();
  session.version = before;
  logIn(client, user, request.copy(passwordIndex), (problem) => {
    if (problem === null) greet(client, greeting);
    client.settle(slot, (reply) => {
      if (problem === null) writeHello(client, reply);
      else reply.error(problem);
    });
  });
}

/** What is asked for, or what is wrong with it. */
function greetingIn(client: ClientConnection, request: RequestArguments): Greeting | string {
  const greeting: Greeting = { version: client.session.version, name: null, user: null, passwordIndex: 0 };
  if (request.count > 1) {
    const asked = request.integer(1);
    if (asked === null) return "ERR Protocol version is not an integer or out of range";
    if (asked !== 2n && asked !== 3n) return "NOPROTO unsupported protocol version";
    greeting.version = asked === 3n ? 3 : 2;
  }
  for (let i = 2; i < request.count; ) {
    const option = request.word(i);
    if (option === "auth" && i + 2 < request.count) {
      greeting.user = request.text(i + 1);
      greeting.passwordIndex = i + 2;
      i += 3;
    } else if (option === "setname" && i + 1 < request.count) {
      greeting.name = request.text(i + 1);
      i += 2;
    } else return `ERR Syntax error in HELLO option '${request.text(i)}'`;
  }
  return (greeting.name === null ? null : nameProblem(greeting.name)) ?? greeting;
}

function greet({ session }: ClientConnection, { version, name }: Greeting): void {
  session.version = version;
  if (name !== null) session.name = name;
}

function writeHello(client: ClientConnection, reply: RespWriter): void {
  reply.map(7);
  for (const [field, value] of [
    ["server", "redis"],
    ["version", REDIS_VERSION],
    ["proto", client.session.version],
    ["id", client.id],
    ["mode", "standalone"],
    ["role", "master"],
  ] as const) {
    reply.bulkText(field);
    if (typeof value === "number") reply.integer(value);
    else reply.bulkText(value);
  }
  reply.bulkText("modules");
  reply.array(0);
}
