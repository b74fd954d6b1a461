/** JGET: one field of a JSON value. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand } from "../command-table.ts";
import { errorReply } from "../error-reply.ts";
import { fieldOf, parsePath } from "../json-path.ts";

export const JSON_COMMANDS: readonly CommandEntry[] = [
  readCommand("jget", 3, "A field of a JSON value, by path: name, address.city, tags[0]", jget),
];

function jget(client: ClientConnection, request: RequestArguments): void {
  const steps = parsePath(request.text(2));
  if (steps === null) return client.replyError("ERR invalid path, write it like name, address.city or tags[0]");
  client.readWith(request, 1, (reply, value) => {
    if (value === null) return reply.nil();
    const field = fieldOf(value, steps);
    if (field.kind === "found") reply.bulkText(plainText(field.value));
    else if (field.kind === "absent") reply.nil();
    else reply.error(errorReply("NOT_JSON", field.reason));
  });
}

/** Strings raw, everything else as JSON text. */
function plainText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
