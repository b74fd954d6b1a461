/** DEBUG: for tests of clients, and only where the setting `debugCommands` allows it. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { replyWhenDone, whenDone } from "../bucket-steps.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, NO_KEYS, sessionCommand, type Subcommand } from "../command-table.ts";
import { hasArity, replyHelp, subcommand } from "../subcommands.ts";
import { NOT_AN_INTEGER, unknownForm } from "../texts.ts";

const REFUSED =
  'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';
const SLEEP_SECONDS_MAX = 60;

const SUBCOMMANDS: readonly Subcommand[] = [
  subcommand("error", 3, "<message>", "Reply with an error.", (client, request) => client.replyError(request.text(2))),
  subcommand("sleep", 3, "<seconds>", "Answer so much later; others are not held up.", sleep),
  subcommand("reload", -2, "...", "Memtables of this node to tables.", (client) =>
    client.coordinator.maintain("flush", whenDone(replyWhenDone(client)), 0),
  ),
  subcommand("set-active-expire", 3, "<0|1>", "Accepted: expired keys are never seen.", setActiveExpire),
  { ...subcommand("help", 2, "", "Print this help.", help), keys: NO_KEYS },
];

export const DEBUG_COMMANDS: readonly CommandEntry[] = [
  { ...sessionCommand("debug", -2, "For tests, where the settings allow it", debug), exclusive: true },
];

function debug(client: ClientConnection, request: RequestArguments): void {
  if (!client.port.settings.debugCommands) {
    client.replyError(REFUSED);
    return;
  }
  const word = request.word(1);
  const found = SUBCOMMANDS.find(({ name, arity }) => name === word && hasArity(request, arity));
  if (found !== undefined) found.handler(client, request);
  else client.replyError(unknownForm(request, "DEBUG"));
}

function sleep(client: ClientConnection, request: RequestArguments): void {
  const seconds = Number(request.text(2));
  if (!(seconds >= 0 && seconds <= SLEEP_SECONDS_MAX)) {
    client.replyError(`ERR the seconds are 0 to ${SLEEP_SECONDS_MAX}`);
    return;
  }
  const slot = client.defer();
  client.port.clock.after(seconds * 1000, () => client.settle(slot, (reply) => reply.ok()));
}

function setActiveExpire(client: ClientConnection, request: RequestArguments): void {
  if (request.integer(2) === null) client.replyError(NOT_AN_INTEGER);
  else client.replyOk();
}

function help(client: ClientConnection): void {
  replyHelp(client, "debug", SUBCOMMANDS);
}
