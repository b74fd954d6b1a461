/** COMMAND, derived from the command table, and CONFIG GET, which tells how this node really behaves. */
import { utf8 } from "../../core/bytes.ts";
import { globMatches } from "../../core/glob.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespWriter } from "../../wire/resp-writer.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import { SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const INTROSPECTION_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("command", -1, "The commands and their forms", command),
  sessionCommand("config", -2, "CONFIG GET: settings under Redis's names", config),
];

const DETAIL_FIELDS = 10;

function command(client: ClientConnection, request: RequestArguments): void {
  const { commands } = client.port;
  const action = request.count === 1 ? "info" : request.word(1);
  const reply = (write: (reply: RespWriter) => void): void => {
    write(client.begin());
    client.end();
  };
  switch (action) {
    case "count":
      if (request.count > 2) client.replyError(wrongArity("command|count"));
      else reply((writer) => writer.integer(commands.entries.length));
      return;
    case "list":
      if (request.count > 2) client.replyError(SYNTAX);
      else reply((writer) => writeNames(writer, commands.entries));
      return;
    case "info": {
      const entries = chosenEntries(client, request);
      reply((writer) => {
        writer.array(entries.length);
        for (const entry of entries) writeDetails(writer, entry);
      });
      return;
    }
    case "docs": {
      const entries = chosenEntries(client, request).filter((entry) => entry !== null);
      reply((writer) => {
        writer.map(entries.length);
        for (const entry of entries) writeDocs(writer, entry);
      });
      return;
    }
    default:
      client.replyError(unknownSubcommand(request, "COMMAND"));
  }
}

/** Those named behind the subcommand (null: no such command), or all. */
function chosenEntries(client: ClientConnection, request: RequestArguments): readonly (CommandEntry | null)[] {
  const { commands } = client.port;
  if (request.count <= 2) return commands.entries;
  const chosen: (CommandEntry | null)[] = [];
  for (let i = 2; i < request.count; i++) {
    chosen.push(commands.find(request.bytes, request.starts[i]!, request.ends[i]!));
  }
  return chosen;
}

function writeNames(reply: RespWriter, entries: readonly CommandEntry[]): void {
  reply.array(entries.length);
  for (const entry of entries) reply.bulkText(entry.name);
}

/** The ten fields of Redis 7; categories, tips, key specifications and subcommands stay empty. */
function writeDetails(reply: RespWriter, entry: CommandEntry | null): void {
  if (entry === null) {
    reply.nil();
    return;
  }
  reply.array(DETAIL_FIELDS);
  reply.bulkText(entry.name);
  reply.integer(entry.arity);
  reply.set(entry.flags.length);
  for (const flag of entry.flags) reply.simple(flag);
  for (const position of entry.keys) reply.integer(position);
  reply.set(0);
  reply.array(0);
  reply.array(0);
  reply.array(0);
}

function writeDocs(reply: RespWriter, entry: CommandEntry): void {
  reply.bulkText(entry.name);
  reply.map(2);
  reply.bulkText("summary");
  reply.bulkText(entry.summary);
  reply.bulkText("group");
  reply.bulkText(entry.keys[0] > 0 ? "string" : "server");
}

function config(client: ClientConnection, request: RequestArguments): void {
  const action = request.word(1);
  if (action === "get" && request.count > 2) configGet(client, request);
  else if (action === "get") client.replyError(wrongArity("config|get"));
  else if (action === "set") client.replyError("ERR CONFIG SET failed - settings are fixed while the node runs");
  else client.replyError(unknownSubcommand(request, "CONFIG"));
}

function configGet(client: ClientConnection, request: RequestArguments): void {
  const { settings } = client.port;
  const values: readonly (readonly [string, string])[] = [
    ["save", ""],
    ["appendonly", "yes"],
    ["appendfsync", "always"],
    ["databases", "16"],
    ["maxclients", String(settings.connectionsMax)],
    ["maxmemory", "0"],
    ["maxmemory-policy", "noeviction"],
    ["proto-max-bulk-len", String(settings.valueBytesMax)],
    ["client-output-buffer-limit", `normal ${settings.outputBytesMax} 0 0`],
    ["timeout", "0"],
  ];
  const patterns: Uint8Array[] = [];
  for (let i = 2; i < request.count; i++) patterns.push(utf8(request.word(i)));
  const chosen = values.filter(([name]) => patterns.some((pattern) => globMatches(pattern, utf8(name))));
  const reply = client.begin();
  reply.map(chosen.length);
  for (const [name, value] of chosen) {
    reply.bulkText(name);
    reply.bulkText(value);
  }
  client.end();
}
