/**
 * Commands whose second word says what is to be done: found, checked and explained (HELP) in one place. The check comes
 * before the command is carried out or queued, so a handler has a word that is known and as many arguments as it takes.
 */
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { ClientConnection } from "./client-connection.ts";
import { type CommandEntry, type CommandHandler, NO_KEYS, type Subcommand, sessionCommand } from "./command-table.ts";
import { unknownSubcommand, wrongArity } from "./texts.ts";

/** A command on the session or the node with subcommands; HELP comes by itself. */
export function containerCommand(name: string, summary: string, given: readonly Subcommand[]): CommandEntry {
  const help: Subcommand = {
    ...{ name: "help", arity: 2, usage: "", summary: "Print this help.", keys: NO_KEYS },
    handler: (client) => replyHelp(client, name, subcommands),
  };
  const subcommands = [...given, help];
  const keys = given.find((subcommand) => subcommand.keys[0] > 0)?.keys ?? NO_KEYS;
  const handler: CommandHandler = (client, request) => chosenSubcommand(subcommands, request)?.handler(client, request);
  const entry = sessionCommand(name, -2, summary, handler);
  return keys === NO_KEYS ? { ...entry, subcommands } : { ...entry, subcommands, keys, flags: ["readonly"] };
}

/** What is wrong with the second word of a command, or with the number of its arguments; null: nothing. */
export function subcommandProblem(entry: CommandEntry, request: RequestArguments): string | null {
  if (entry.subcommands.length === 0 || request.count < 2) return null;
  const chosen = chosenSubcommand(entry.subcommands, request);
  if (chosen === null) return unknownSubcommand(request, entry.name.toUpperCase());
  return hasArity(request, chosen.arity) ? null : wrongArity(`${entry.name}|${chosen.name}`);
}

function chosenSubcommand(subcommands: readonly Subcommand[], request: RequestArguments): Subcommand | null {
  const word = request.word(1);
  return subcommands.find(({ name }) => name === word) ?? null;
}

export function subcommand(
  name: string,
  arity: number,
  usage: string,
  summary: string,
  handler: CommandHandler,
  keys = NO_KEYS,
): Subcommand {
  return { name, arity, usage, summary, keys, handler };
}

export function hasArity(request: RequestArguments, arity: number): boolean {
  return arity > 0 ? request.count === arity : request.count >= -arity;
}

export function replyHelp(client: ClientConnection, name: string, subcommands: readonly Subcommand[]): void {
  const reply = client.begin();
  reply.array(1 + 2 * subcommands.length);
  reply.simple(`${name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
  for (const { name: word, usage, summary } of subcommands) {
    reply.simple(`${word.toUpperCase()} ${usage}`.trim());
    reply.simple(`    ${summary}`);
  }
  client.end();
}
