/** JGET: one field of a JSON value. */
import type { Waiter } from "../../cluster/coordinator.ts";
import type { Result } from "../../record/result.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand } from "../command-table.ts";
import { errorReply } from "../error-reply.ts";
import { fieldOf, type PathStep, parsePath } from "../json-path.ts";

export const JSON_COMMANDS: readonly CommandEntry[] = [
  readCommand("jget", 3, "A field of a JSON value, by path: name, address.city, tags[0]", jget),
];

function jget(client: ClientConnection, request: RequestArguments): void {
  const steps = parsePath(request.text(2));
  if (steps === null) client.replyError("ERR invalid path, write it like name, address.city or tags[0]");
  else client.readFor(request, 1, false, new FieldReply(client, steps), 0);
}

class FieldReply implements Waiter {
  readonly #client: ClientConnection;
  readonly #steps: readonly PathStep[];
  readonly #slot: number;

  constructor(client: ClientConnection, steps: readonly PathStep[]) {
    this.#client = client;
    this.#steps = steps;
    this.#slot = client.defer();
  }

  resolve(_tag: number, result: Result): void {
    this.#client.settle(this.#slot, (reply) => {
      if (result.kind === "error") reply.error(errorReply(result.code, result.message));
      else if (result.kind !== "version") reply.nil();
      else {
        const field = fieldOf(result.value, this.#steps);
        if (field.kind === "found") reply.bulkText(field.text);
        else if (field.kind === "absent") reply.nil();
        else reply.error(errorReply("NOT_JSON", field.reason));
      }
    });
  }
}
