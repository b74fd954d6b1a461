/**
 * READ: how reads are kept from seeing the past.
 *
 *   READ MODE <mode>              all reads of single keys of this connection from now on
 *   READ AT <mode> <command …>    those of one command: GET, MGET, EXISTS, STRLEN, TTL and the like
 *
 *   mode:  linearizable | lease | follower | stale <milliseconds>
 */
import { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import type { ReadChoice } from "../session.ts";
import { NOT_AN_INTEGER, SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const READ_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("read", -2, "READ MODE, READ AT: whether reads are linearizable, or how old they may be", read),
];

const STALE_MS_MAX = 86_400_000n;
const MODES = new Set(["linearizable", "lease", "follower", "stale"]);
/** The arguments of the command behind READ AT: one set for the whole thread. */
const INNER = new RequestArguments();

function read(client: ClientConnection, request: RequestArguments): void {
  const action = request.word(1);
  if (action !== "mode" && action !== "at") return client.replyError(unknownSubcommand(request, "READ"));
  const choice = choiceIn(request) ?? wrongArity(`read|${action}`);
  if (typeof choice === "string") return client.replyError(choice);
  const next = choice.mode === "stale" ? 4 : 3;
  if (action === "at") readAt(client, request, next, choice);
  else if (request.count !== next) client.replyError(wrongArity("read|mode"));
  else {
    client.setReadMode(choice);
    client.replyOk();
  }
}

/** What stands in the third argument, and in the fourth; or what is wrong with it; null: nothing stands there. */
function choiceIn(request: RequestArguments): ReadChoice | string | null {
  if (request.count < 3) return null;
  const mode = request.word(2) as ReadChoice["mode"];
  if (!MODES.has(mode)) return SYNTAX;
  if (mode !== "stale") return { mode, staleMs: 0 };
  if (request.count < 4) return null;
  const staleMs = request.integer(3);
  if (staleMs === null) return NOT_AN_INTEGER;
  if (staleMs < 0n || staleMs > STALE_MS_MAX) return `ERR the milliseconds are 0 to ${STALE_MS_MAX}`;
  return { mode, staleMs: Number(staleMs) };
}

/** Its reads take the mode with them when they are submitted, which is at once. */
function readAt(client: ClientConnection, request: RequestArguments, first: number, choice: ReadChoice): void {
  if (first >= request.count) return client.replyError(wrongArity("read|at"));
  INNER.bytes = request.bytes;
  INNER.count = 0;
  for (let i = first; i < request.count; i++) INNER.push(request.starts[i]!, request.ends[i]!);
  const entry = client.port.commands.find(INNER.bytes, INNER.starts[0]!, INNER.ends[0]!);
  if (entry === null || entry.exclusive || !entry.flags.includes("readonly")) {
    return client.replyError("ERR READ AT takes a command that reads keys, such as GET");
  }
  const usual = client.session.read;
  client.setReadMode(choice);
  client.runInner(entry, INNER);
  client.setReadMode(usual);
}
