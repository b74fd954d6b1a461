/** COMMAND, derived from the command table and from what Redis tells about its own (command-details.ts). */
import { utf8 } from "../../core/bytes.ts";
import { globMatches } from "../../core/glob.ts";
import { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespWriter } from "../../wire/resp-writer.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandDetails, detailsOf } from "../command-details.ts";
import { type CommandEntry, type CommandKeys, NO_KEYS, type Subcommand } from "../command-table.ts";
import { containerCommand, hasArity, subcommand } from "../subcommands.ts";
import { SYNTAX } from "../texts.ts";

const INFO = subcommand("info", -2, "[<command-name> ...]", "What clients need to know about commands.", info);
const CONTAINER = containerCommand("command", "The commands and their forms", [
  subcommand("count", 2, "", "How many commands there are.", (client) => {
    client.begin().integer(client.port.commands.entries.length);
    client.end();
  }),
  subcommand("list", -2, "[FILTERBY (MODULE|ACLCAT|PATTERN) <value>]", "The names of the commands.", list),
  INFO,
  subcommand("docs", -2, "[<command-name> ...]", "What commands do.", docs),
  subcommand("getkeys", -4, "<full-command>", "The keys in a command.", getKeys),
  subcommand("getkeysandflags", -4, "<full-command>", "The keys in a command, and what happens to them.", getKeys),
]);

/** COMMAND alone is COMMAND INFO. */
export const COMMAND_COMMANDS: readonly CommandEntry[] = [
  {
    ...CONTAINER,
    arity: -1,
    handler: (client, request) => (request.count === 1 ? INFO : CONTAINER).handler(client, request),
  },
];

const DETAIL_FIELDS = 10;

function list(client: ClientConnection, request: RequestArguments): void {
  const isFiltered = request.count === 5 && request.word(2) === "filterby";
  const kind = isFiltered ? request.word(3) : "";
  if ((request.count > 2 && !isFiltered) || (isFiltered && !["module", "aclcat", "pattern"].includes(kind))) {
    client.replyError(SYNTAX);
    return;
  }
  const isChosen = (entry: CommandEntry): boolean => {
    if (kind === "module") return false;
    if (kind === "pattern") return globMatches(utf8(request.word(4)), utf8(entry.name));
    return kind === "" || detailsOf(entry.name, entry, entry.keys).categories.includes(request.word(4));
  };
  const chosen = client.port.commands.entries.filter(isChosen);
  const reply = client.begin();
  reply.array(chosen.length);
  for (const entry of chosen) reply.bulkText(entry.name);
  client.end();
}

function info(client: ClientConnection, request: RequestArguments): void {
  const entries = chosenEntries(client, request);
  const reply = client.begin();
  reply.array(entries.length);
  for (const entry of entries) {
    if (entry === null) reply.nil();
    else writeEntry(reply, entry);
  }
  client.end();
}

function docs(client: ClientConnection, request: RequestArguments): void {
  const entries = chosenEntries(client, request).filter((entry) => entry !== null);
  const reply = client.begin();
  reply.map(entries.length);
  for (const entry of entries) writeDocs(reply, entry);
  client.end();
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

function writeEntry(reply: RespWriter, entry: CommandEntry): void {
  const keys = entry.subcommands.length > 0 ? NO_KEYS : entry.keys;
  writeDetails(reply, entry.name, entry.arity, keys, detailsOf(entry.name, entry, keys));
  if (entry.subcommands.length === 0) reply.set(0);
  else reply.array(entry.subcommands.length);
  for (const inner of entry.subcommands) {
    const name = `${entry.name}|${inner.name}`;
    writeDetails(reply, name, inner.arity, inner.keys, detailsOf(name, entry, inner.keys));
    reply.set(0);
  }
}

/** The ten fields of Redis 7 but the last, which are the subcommands. */
function writeDetails(
  reply: RespWriter,
  name: string,
  arity: number,
  keys: CommandKeys,
  { flags, categories, tips, keySpecs }: CommandDetails,
): void {
  reply.array(DETAIL_FIELDS);
  reply.bulkText(name);
  reply.integer(arity);
  reply.set(flags.length);
  for (const flag of flags) reply.simple(flag);
  for (const position of keys) reply.integer(position);
  reply.set(categories.length);
  for (const category of categories) reply.simple(`@${category}`);
  reply.set(tips.length);
  for (const tip of tips) reply.bulkText(tip);
  reply.set(keySpecs.length);
  for (const spec of keySpecs) writeKeySpec(reply, spec);
}

function writeKeySpec(reply: RespWriter, spec: CommandDetails["keySpecs"][number]): void {
  reply.map(spec.notes === null ? 3 : 4);
  if (spec.notes !== null) {
    reply.bulkText("notes");
    reply.bulkText(spec.notes);
  }
  reply.bulkText("flags");
  reply.set(spec.flags.length);
  for (const flag of spec.flags) reply.simple(flag);
  writeSearch(reply, "begin_search", "index", [["index", spec.first]]);
  writeSearch(reply, "find_keys", "range", [
    ["lastkey", spec.last],
    ["keystep", spec.step],
    ["limit", 0],
  ]);
}

function writeSearch(reply: RespWriter, name: string, type: string, fields: readonly [string, number][]): void {
  reply.bulkText(name);
  reply.map(2);
  reply.bulkText("type");
  reply.bulkText(type);
  reply.bulkText("spec");
  reply.map(fields.length);
  for (const [field, value] of fields) {
    reply.bulkText(field);
    reply.integer(value);
  }
}

function writeDocs(reply: RespWriter, entry: CommandEntry): void {
  const { subcommands } = entry;
  const isContainer = subcommands.length > 0;
  writeDoc(reply, entry.name, entry.summary, detailsOf(entry.name, entry, entry.keys), isContainer);
  if (!isContainer) return;
  reply.bulkText("subcommands");
  reply.map(subcommands.length);
  for (const { name, summary, keys } of subcommands) {
    const fullName = `${entry.name}|${name}`;
    writeDoc(reply, fullName, summary, detailsOf(fullName, entry, keys), false);
  }
}

/** A field more follows when there are subcommands. */
function writeDoc(
  reply: RespWriter,
  name: string,
  summary: string,
  details: CommandDetails,
  isContainer: boolean,
): void {
  reply.bulkText(name);
  const given: readonly (readonly [string, string])[] = [
    ["summary", summary],
    ["since", details.since],
    ["group", details.group],
    ["complexity", details.complexity],
  ];
  const fields = given.filter(([, value]) => value !== "");
  reply.map(fields.length + (isContainer ? 1 : 0));
  for (const [field, value] of fields) {
    reply.bulkText(field);
    reply.bulkText(value);
  }
}

/** The command behind the subcommand: one set of arguments for the whole thread. */
const INNER = new RequestArguments();

function getKeys(client: ClientConnection, request: RequestArguments): void {
  INNER.bytes = request.bytes;
  INNER.count = 0;
  for (let i = 2; i < request.count; i++) INNER.push(request.starts[i]!, request.ends[i]!);
  const found = innerCommand(client);
  if (typeof found === "string") {
    client.replyError(found);
    return;
  }
  const { keys, name, entry } = found;
  const flags = detailsOf(name, entry, keys).keySpecs.map((spec) => spec.flags);
  const [first, end, step] = keys;
  const last = end < 0 ? INNER.count + end : end;
  const withFlags = request.word(1) === "getkeysandflags";
  const reply = client.begin();
  reply.array(Math.floor((last - first) / step) + 1);
  for (let i = first; i <= last; i += step) {
    if (withFlags) reply.array(2);
    reply.bulk(INNER.view(i));
    if (!withFlags) continue;
    const own = flags[Math.min((i - first) / step, flags.length - 1)] ?? [];
    reply.set(own.length);
    for (const flag of own) reply.simple(flag);
  }
  client.end();
}

/** The command in `INNER` and where its keys are, or what is wrong with it. */
function innerCommand(client: ClientConnection): { entry: CommandEntry; name: string; keys: CommandKeys } | string {
  const entry = client.port.commands.find(INNER.bytes, INNER.starts[0]!, INNER.ends[0]!);
  const inner: Subcommand | null = entry?.subcommands.find(({ name }) => name === INNER.word(1)) ?? null;
  if (entry === null || (entry.subcommands.length > 0 && inner === null)) return "ERR Invalid command specified";
  const { keys, arity } = inner ?? entry;
  if (keys[0] === 0) return "ERR The command has no key arguments";
  if (!hasArity(INNER, arity)) return "ERR Invalid number of arguments specified for command";
  return { entry, keys, name: inner === null ? entry.name : `${entry.name}|${inner.name}` };
}
