/** Commands whose second word says what is to be done: found, checked and explained (HELP) in one place. */
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
  const byName = new Map(subcommands.map((subcommand) => [subcommand.name, subcommand]));
  const keys = given.find((subcommand) => subcommand.keys[0] > 0)?.keys ?? NO_KEYS;
  const handler: CommandHandler = (client, request) => {
    const chosen = byName.get(request.word(1));
    if (chosen === undefined) client.replyError(unknownSubcommand(request, name.toUpperCase()));
    else if (!hasArity(request, chosen.arity)) client.replyError(wrongArity(`${name}|${chosen.name}`));
    else chosen.handler(client, request);
  };
  const entry = sessionCommand(name, -2, summary, handler);
  return keys === NO_KEYS ? { ...entry, subcommands } : { ...entry, subcommands, keys, flags: ["readonly"] };
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
