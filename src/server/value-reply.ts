/** The waiter of a read whose reply is made of the value: a part of it, or what is found in it. */
import type { Waiter } from "../cluster/coordinator.ts";
import type { Result } from "../record/result.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import type { ClientConnection } from "./client-connection.ts";
import { errorReply } from "./error-reply.ts";

/** `value` is good during the call, null when the key is not there. */
export type WriteReply = (reply: RespWriter, value: Uint8Array | null) => void;

export class ValueReply implements Waiter {
  readonly #client: ClientConnection;
  readonly #write: WriteReply;

  constructor(client: ClientConnection, write: WriteReply) {
    this.#client = client;
    this.#write = write;
  }

  resolve(tag: number, result: Result): void {
    const value = result.kind === "version" ? result.value : null;
    const write = (reply: RespWriter): void => {
      if (result.kind === "error") reply.error(errorReply(result.code, result.message));
      else this.#write(reply, value);
    };
    this.#client.settle(tag, write, value === null ? 0 : value.length);
  }
}
