/** CLIENT: what a connection is called and how it is treated, and who else is here. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import { SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const CLIENT_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("client", -2, "About this connection and the others", client),
];

/** All here are normal; the others are there to be asked for. */
const CLIENT_TYPES = new Set(["normal", "master", "replica", "slave", "pubsub"]);

type Action = (client: ClientConnection, request: RequestArguments) => void;

/** Number of arguments (negative: at least so many) and what to do. */
const ACTIONS: ReadonlyMap<string, readonly [arity: number, run: Action]> = new Map<string, readonly [number, Action]>([
  ["id", [2, (self) => replyInteger(self, self.id)]],
  ["getname", [2, getName]],
  ["setname", [3, setName]],
  ["setinfo", [4, setInfo]],
  ["info", [2, (self) => replyVerbatim(self, `${describe(self)}\n`)]],
  ["list", [-2, list]],
  ["kill", [-3, kill]],
  ["reply", [3, setReplies]],
  ["no-evict", [3, acceptSwitch]],
  ["no-touch", [3, acceptSwitch]],
  ["tracking", [-3, tracking]],
]);

function client(self: ClientConnection, request: RequestArguments): void {
  const word = request.word(1);
  const action = ACTIONS.get(word);
  if (action === undefined) {
    self.replyError(unknownSubcommand(request, "CLIENT"));
    return;
  }
  const [arity, run] = action;
  if (arity > 0 ? request.count !== arity : request.count < -arity) self.replyError(wrongArity(`client|${word}`));
  else run(self, request);
}

/** Names stand in lists of `field=value`, so they must be visible and without blanks. */
export function nameProblem(name: string): string | null {
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
    self.replyError(`ERR Unrecognized option '${request.text(2)}'`);
  } else if (nameProblem(value) !== null) {
    self.replyError(`ERR ${field} cannot contain spaces, newlines or special characters.`);
  } else {
    if (field === "lib-name") self.session.libraryName = value;
    else self.session.libraryVersion = value;
    self.replyOk();
  }
}

function describe(about: ClientConnection): string {
  const now = about.port.clock.monotonicMs();
  const { session } = about;
  return [
    `id=${about.id}`,
    `addr=${about.remoteAddress}`,
    `name=${session.name}`,
    `age=${Math.floor((now - about.openedMs) / 1000)}`,
    `db=${/^\d+$/.test(session.bucket.name) ? session.bucket.name : -1}`,
    `omem=${about.unsentBytes}`,
    `unanswered=${about.unansweredCount}`,
    `cmd=${about.lastCommand}`,
    "user=default",
    `lib-name=${session.libraryName}`,
    `lib-ver=${session.libraryVersion}`,
    `resp=${session.version}`,
  ].join(" ");
}

function list(self: ClientConnection, request: RequestArguments): void {
  const isTyped = request.count === 4 && request.word(2) === "type";
  const isById = request.count > 3 && request.word(2) === "id";
  if (request.count > 2 && !isTyped && !isById) {
    self.replyError(SYNTAX);
    return;
  }
  if (isTyped && !CLIENT_TYPES.has(request.word(3))) {
    self.replyError(`ERR Unknown client type '${request.text(3)}'`);
    return;
  }
  const ids = new Set<number>();
  for (let i = 3; isById && i < request.count; i++) ids.add(Number(request.integer(i) ?? -1n));
  let lines = "";
  for (const connection of self.port.connections()) {
    if (isById && !ids.has(connection.id)) continue;
    if (isTyped && request.word(3) !== "normal") continue;
    lines += `${describe(connection)}\n`;
  }
  replyVerbatim(self, lines);
}

/** The old form (an address) answers OK, the new one (ID or ADDR) how many were closed. */
function kill(self: ClientConnection, request: RequestArguments): void {
  const isOldForm = request.count === 3;
  const filter = isOldForm ? "addr" : request.word(2);
  if (!isOldForm && (request.count !== 4 || (filter !== "id" && filter !== "addr"))) {
    self.replyError(SYNTAX);
    return;
  }
  const wanted = request.text(isOldForm ? 2 : 3);
  const victims = [...self.port.connections()].filter((connection) =>
    filter === "id" ? String(connection.id) === wanted : connection.remoteAddress === wanted,
  );
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

function setReplies(self: ClientConnection, request: RequestArguments): void {
  const { session } = self;
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

function tracking(self: ClientConnection, request: RequestArguments): void {
  const mode = request.word(2);
  if (mode === "off") self.replyOk();
  else if (mode === "on") self.replyError("ERR client-side caching is not supported");
  else self.replyError(SYNTAX);
}
