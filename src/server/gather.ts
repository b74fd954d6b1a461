/** Waiters for commands on several keys: one result per key, in the order they come; one reply when all are there. */
import type { Waiter } from "../cluster/coordinator.ts";
import type { Result } from "../record/result.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import type { ClientConnection } from "./client-connection.ts";
import { errorReply } from "./error-reply.ts";

abstract class Gather implements Waiter {
  readonly #client: ClientConnection;
  readonly #tag: number;
  #missing: number;
  #error: string | null = null;

  constructor(client: ClientConnection, count: number, isValue = false) {
    this.#client = client;
    this.#tag = client.defer(isValue);
    this.#missing = count;
  }

  resolve(place: number, result: Result): void {
    if (result.kind === "error") this.#error ??= errorReply(result.code, result.message);
    else this.take(place, result);
    this.#missing -= 1;
    if (this.#missing > 0) return;
    const write = (reply: RespWriter): void => {
      if (this.#error === null) this.write(reply);
      else reply.error(this.#error);
    };
    this.#client.settle(this.#tag, write, this.readBytes);
  }

  /** What the values among the results take. */
  protected get readBytes(): number {
    return 0;
  }

  protected abstract take(place: number, result: Result): void;
  protected abstract write(reply: RespWriter): void;
}

/** How many keys there were: integers are added up, anything else but nil counts as one. */
export class GatherCount extends Gather {
  #total = 0n;

  protected override take(_place: number, result: Result): void {
    if (result.kind === "integer") this.#total += result.value;
    else if (result.kind !== "nil") this.#total += 1n;
  }

  protected override write(reply: RespWriter): void {
    reply.integer(this.#total);
  }
}

type WriteValues = (reply: RespWriter, values: readonly (Uint8Array | null)[]) => void;

/** The values, null where a key is not there, and what the reply makes of them. */
export class GatherValues extends Gather {
  readonly #values: (Uint8Array | null)[];
  readonly #write: WriteValues;
  #readBytes = 0;

  constructor(client: ClientConnection, count: number, write: WriteValues) {
    super(client, count, true);
    this.#values = new Array<Uint8Array | null>(count).fill(null);
    this.#write = write;
  }

  protected override take(place: number, result: Result): void {
    if (result.kind !== "version") return;
    this.#values[place] = result.value.slice();
    this.#readBytes += result.value.length;
  }

  protected override get readBytes(): number {
    return this.#readBytes;
  }

  protected override write(reply: RespWriter): void {
    this.#write(reply, this.#values);
  }
}

/** OK once all are. */
export class GatherOk extends Gather {
  protected override take(): void {
    // Errors are kept by the caller; anything else is as good as OK.
  }

  protected override write(reply: RespWriter): void {
    reply.ok();
  }
}
