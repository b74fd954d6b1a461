/** CLIENT: what a connection is called and how it is treated, and who else is here. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { clientLines, describe } from "../client-list.ts";
import { killFilter } from "../client-kill.ts";
import type { ClientConnection } from "../client-connection.ts";
import type { CommandEntry } from "../command-table.ts";
import { containerCommand, subcommand } from "../subcommands.ts";
import { echo, NOT_AN_INTEGER, SYNTAX, unknownForm } from "../texts.ts";

const TRACKING_NEEDED =
  "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
const NAME_LENGTH_MAX = 1_024;
const PAUSE_REFUSED = "ERR CLIENT PAUSE is not supported: clients of the other nodes would write on";

export const CLIENT_COMMANDS: readonly CommandEntry[] = [
  containerCommand("client", "About this connection and the others", [
    subcommand("id", 2, "", "The number of this connection.", (self) => replyInteger(self, self.id)),
    subcommand("getname", 2, "", "The name of this connection.", getName),
    subcommand("setname", 3, "<name>", "Give this connection a name.", setName),
    subcommand("setinfo", 4, "<LIB-NAME|LIB-VER> <value>", "Say which library this is.", setInfo),
    subcommand("info", 2, "", "What is known of this connection.", (self) =>
      replyVerbatim(self, `${describe(self.port, self)}\n`),
    ),
    subcommand("list", -2, "[TYPE <type>] [ID <id> ...]", "What is known of all connections.", list),
    subcommand("kill", -3, "<addr:port>|<filter> <value> ...", "Close connections.", kill),
    subcommand("reply", 3, "(ON|OFF|SKIP)", "Whether commands are answered.", setReplies),
    subcommand("no-evict", 3, "(ON|OFF)", "Accepted: nothing is evicted here.", acceptSwitch),
    subcommand("no-touch", 3, "(ON|OFF)", "Accepted: keys have no time of last use here.", acceptSwitch),
    subcommand("unblock", -3, "<id> [TIMEOUT|ERROR]", "0: no command blocks here.", unblock),
    subcommand("pause", -3, "<timeout> [WRITE|ALL]", "Refused.", pause),
    subcommand("unpause", 2, "", "Accepted: nobody is paused.", (self) => self.replyOk()),
    subcommand("tracking", -3, "(ON|OFF) ...", "ON is refused.", tracking),
    subcommand("trackinginfo", 2, "", "That there is no tracking.", trackingInfo),
    subcommand("getredir", 2, "", "-1: there is no tracking.", (self) => replyInteger(self, -1)),
    subcommand("caching", 3, "(YES|NO)", "Refused: there is no tracking.", caching),
  ]),
];

/** Names stand in lists of `field=value`, so they must be visible and without blanks. */
export function nameProblem(name: string): string | null {
  if (name.length > NAME_LENGTH_MAX) return `ERR Client names cannot be longer than ${NAME_LENGTH_MAX} characters.`;
  return /^[!-~]*$/.test(name) ? null : "ERR Client names cannot contain spaces, newlines or special characters.";
}

function replyInteger(self: ClientConnection, value: number): void {
  self.begin().integer(value);
  self.end();
}

function replyVerbatim(self: ClientConnection, text: string): void {
  self.begin().verbatim(text);
  self.end();
}

function getName(self: ClientConnection): void {
  const reply = self.begin();
  if (self.session.name === "") reply.nil();
  else reply.bulkText(self.session.name);
  self.end();
}

function setName(self: ClientConnection, request: RequestArguments): void {
  const name = request.text(2);
  const problem = nameProblem(name);
  if (problem !== null) {
    self.replyError(problem);
    return;
  }
  self.session.name = name;
  self.replyOk();
}

function setInfo(self: ClientConnection, request: RequestArguments): void {
  const field = request.word(2);
  const value = request.text(3);
  if (field !== "lib-name" && field !== "lib-ver") {
    self.replyError(`ERR Unrecognized option '${echo(request, 2)}'`);
  } else if (value.length > NAME_LENGTH_MAX) {
    self.replyError(`ERR ${field} cannot be longer than ${NAME_LENGTH_MAX} characters.`);
  } else if (nameProblem(value) !== null) {
    self.replyError(`ERR ${field} cannot contain spaces, newlines or special characters.`);
  } else {
    if (field === "lib-name") self.session.libraryName = value;
    else self.session.libraryVersion = value;
    self.replyOk();
  }
}

function list(self: ClientConnection, request: RequestArguments): void {
  const lines = clientLines(self.port, request);
  if (lines.error !== null) self.replyError(lines.error);
  else replyVerbatim(self, lines.text);
}

/** The old form (an address) answers OK, the new one (filters) how many were closed. */
function kill(self: ClientConnection, request: RequestArguments): void {
  const filter = killFilter(self, request);
  if (typeof filter === "string") {
    self.replyError(filter);
    return;
  }
  const victims = self.port.connections().filter(filter);
  const isOldForm = request.count === 3;
  if (isOldForm && victims.length === 0) {
    self.replyError("ERR No such client");
    return;
  }
  if (isOldForm) self.replyOk();
  else replyInteger(self, victims.length);
  for (const victim of victims) {
    if (victim === self) victim.finish();
    else victim.abort(`killed by client ${self.id}`);
  }
}

/** Within a transaction it would leave gaps in the one reply to all of it. */
function setReplies(self: ClientConnection, request: RequestArguments): void {
  const { session } = self;
  if (self.transactions.gathering !== null) {
    self.replyError("ERR CLIENT REPLY is not allowed inside a transaction");
    return;
  }
  const mode = request.word(2);
  if (mode === "on") {
    session.replies = "on";
    self.replyOk();
  } else if (mode === "off") session.replies = "off";
  else if (mode === "skip") {
    if (session.replies !== "off") session.replies = "skipNext";
  } else self.replyError(SYNTAX);
}

/** Nothing is evicted here and no key has a time of last use: both switches are obeyed by doing nothing. */
function acceptSwitch(self: ClientConnection, request: RequestArguments): void {
  const mode = request.word(2);
  if (mode === "on" || mode === "off") self.replyOk();
  else self.replyError(SYNTAX);
}

function unblock(self: ClientConnection, request: RequestArguments): void {
  const reason = request.count > 3 ? request.word(3) : "timeout";
  if (request.count > 4) self.replyError(unknownForm(request, "CLIENT"));
  else if (reason !== "timeout" && reason !== "error") {
    self.replyError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  } else if (request.integer(2) === null) self.replyError(NOT_AN_INTEGER);
  else replyInteger(self, 0);
}

function pause(self: ClientConnection, request: RequestArguments): void {
  const mode = request.count > 3 ? request.word(3) : "all";
  const timeout = request.integer(2);
  if (request.count > 4) self.replyError(unknownForm(request, "CLIENT"));
  else if (mode !== "write" && mode !== "all") self.replyError("ERR CLIENT PAUSE mode must be WRITE or ALL");
  else if (timeout === null) self.replyError("ERR timeout is not an integer or out of range");
  else if (timeout < 0n) self.replyError("ERR timeout is negative");
  else if (timeout === 0n) self.replyOk();
  else self.replyError(PAUSE_REFUSED);
}

function tracking(self: ClientConnection, request: RequestArguments): void {
  const mode = request.word(2);
  if (!isTracking(request)) self.replyError(SYNTAX);
  else if (mode === "off") self.replyOk();
  else if (mode === "on") self.replyError("ERR client-side caching is not supported");
  else self.replyError(SYNTAX);
}

/** Whether everything behind ON or OFF is an option. */
function isTracking(request: RequestArguments): boolean {
  for (let i = 3; i < request.count; i++) {
    const option = request.word(i);
    if (option === "redirect" || option === "prefix") i += 1;
    else if (!["bcast", "optin", "optout", "noloop"].includes(option)) return false;
    if (i >= request.count) return false;
  }
  return true;
}

function trackingInfo(self: ClientConnection): void {
  const reply = self.begin();
  reply.map(3);
  reply.bulkText("flags");
  reply.set(1);
  reply.bulkText("off");
  reply.bulkText("redirect");
  reply.integer(-1);
  reply.bulkText("prefixes");
  reply.array(0);
  self.end();
}

function caching(self: ClientConnection): void {
  self.replyError(TRACKING_NEEDED);
}
