/** CONFIG: how this node behaves, told and, where that is possible, changed. */
import { utf8 } from "../../core/bytes.ts";
import { globMatches } from "../../core/glob.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import type { CommandEntry } from "../command-table.ts";
import { applyChange, type Change, changeOf, isImmutable, settingText, settingTexts } from "../live-settings.ts";
import { containerCommand, subcommand } from "../subcommands.ts";
import { echo, SYNTAX } from "../texts.ts";

export const CONFIG_COMMANDS: readonly CommandEntry[] = [
  containerCommand("config", "Settings of this node, under their own names and under Redis's", [
    subcommand("get", -3, "<pattern> [<pattern> ...]", "Settings whose names match.", configGet),
    subcommand("set", -4, "<name> <value> [<name> <value> ...]", "Change settings until the node stops.", configSet),
    subcommand("resetstat", 2, "", "Begin to count anew what INFO counts.", (client) => {
      client.port.resetCounters();
      client.replyOk();
    }),
    subcommand("rewrite", 2, "", "Refused: settings files are written by people.", (client) =>
      client.replyError("ERR The server is running without a config file"),
    ),
  ]),
];

function configGet(client: ClientConnection, request: RequestArguments): void {
  const patterns: Uint8Array[] = [];
  for (let i = 2; i < request.count; i++) patterns.push(utf8(request.word(i)));
  const chosen = settingTexts(client.port).filter(([name]) =>
    patterns.some((pattern) => globMatches(pattern, utf8(name.toLowerCase()))),
  );
  const reply = client.begin();
  reply.map(chosen.length);
  for (const [name, value] of chosen) {
    reply.bulkText(name);
    reply.bulkText(value);
  }
  client.end();
}

/** All of the changes, or none. */
function configSet(client: ClientConnection, request: RequestArguments): void {
  if (request.count % 2 !== 0) {
    client.replyError(SYNTAX);
    return;
  }
  const problem = namesProblem(client, request);
  if (problem !== null) {
    client.replyError(problem);
    return;
  }
  const changes: Change[] = [];
  for (let i = 2; i < request.count; i += 2) {
    const change = changeOf(client.port, request.word(i), request.text(i + 1));
    if (typeof change === "string") {
      client.replyError(failed(request, i, change));
      return;
    }
    if (change !== null) changes.push(change);
  }
  for (const change of changes) applyChange(client.port, change);
  client.replyOk();
}

/** The first name that cannot be set, in Redis's words. */
function namesProblem(client: ClientConnection, request: RequestArguments): string | null {
  const seen = new Set<string>();
  for (let i = 2; i < request.count; i += 2) {
    const name = request.word(i);
    if (settingText(client.port, name) === null) {
      return `ERR Unknown option or number of arguments for CONFIG SET - '${echo(request, i)}'`;
    }
    if (isImmutable(client.port, name)) return failed(request, i, "can't set immutable config");
    if (seen.has(name)) return failed(request, i, "duplicate parameter");
    seen.add(name);
  }
  return null;
}

function failed(request: RequestArguments, index: number, why: string): string {
  return `ERR CONFIG SET failed (possibly related to argument '${echo(request, index)}') - ${why}`;
}
