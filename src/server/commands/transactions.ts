/**
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH. What is queued becomes one transaction of one shard: all or nothing, with nothing
 * between, where a command that fails has its error in its place, as in Redis.
 */
import type { Waiter } from "../../cluster/coordinator.ts";
import type { Result } from "../../record/result.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { ALL_KEYS, type CommandEntry, controlCommand, sessionCommand } from "../command-table.ts";
import { errorReply } from "../error-reply.ts";
import { WatchList } from "../watch-list.ts";

export const TRANSACTION_COMMANDS: readonly CommandEntry[] = [
  controlCommand("multi", 1, "Begins a transaction: commands are queued until EXEC", multi),
  { ...controlCommand("exec", 1, "Carries out what is queued, all or nothing", exec), exclusive: true },
  controlCommand("discard", 1, "Forgets what is queued", discard),
  { ...controlCommand("watch", -2, "EXEC does nothing if one of these keys has changed", watch), keys: ALL_KEYS },
  sessionCommand("unwatch", 1, "Watches no key any more", (client) => {
    client.transactions.watches = null;
    client.replyOk();
  }),
];

const ABORTED = "EXECABORT Transaction discarded because of previous errors.";
const OTHER_BUCKET = "CROSSSLOT the watched keys are in another bucket than the transaction";

function multi(client: ClientConnection): void {
  if (client.transactions.isQueueing) client.replyError("ERR MULTI calls can not be nested");
  else {
    client.transactions.beginQueue();
    client.replyOk();
  }
}

function exec(client: ClientConnection): void {
  const { watches } = client.transactions;
  const queue = client.transactions.endQueue();
  if (queue === null) return client.replyError("ERR EXEC without MULTI");
  client.transactions.watches = null;
  if (queue.isSpoiled) return client.replyError(ABORTED);
  if (watches !== null && watches.bucket.name !== client.session.bucket.name) return client.replyError(OTHER_BUCKET);
  const conditions = watches === null ? [] : watches.conditions;
  if (conditions !== null) return client.transactions.run(queue, conditions);
  client.begin().nullArray();
  client.end();
}

function discard(client: ClientConnection): void {
  if (client.transactions.endQueue() === null) return client.replyError("ERR DISCARD without MULTI");
  client.transactions.watches = null;
  client.replyOk();
}

function watch(client: ClientConnection, request: RequestArguments): void {
  if (client.transactions.isQueueing) return client.replyError("ERR WATCH inside MULTI is not allowed");
  const { bucket } = client.session;
  client.transactions.watches ??= new WatchList(bucket);
  const { watches } = client.transactions;
  if (watches.bucket.name !== bucket.name)
    return client.replyError("CROSSSLOT the keys watched already are in another bucket");
  if (watches.isFullWith(request.count - 1)) return client.replyError("ERR too many keys are watched");
  const keys: Uint8Array[] = [];
  for (let i = 1; i < request.count; i++) {
    const key = request.copy(i);
    if (watches.add(key)) keys.push(key);
  }
  if (keys.length === 0) return client.replyOk();
  const waiter = new WatchReply(client, watches, keys);
  for (const [i, key] of keys.entries()) client.readStampedFor(key, waiter, i);
}

/** OK when all versions are known. One that cannot be read fails the transaction as well, should nobody look at the error. */
class WatchReply implements Waiter {
  readonly #client: ClientConnection;
  readonly #watches: WatchList;
  readonly #keys: readonly Uint8Array[];
  readonly #tag: number;
  #missing: number;
  #error: string | null = null;

  constructor(client: ClientConnection, watches: WatchList, keys: readonly Uint8Array[]) {
    this.#client = client;
    this.#watches = watches;
    this.#keys = keys;
    this.#missing = keys.length;
    this.#tag = client.defer();
  }

  resolve(place: number, result: Result): void {
    this.#watches.found(this.#keys[place]!, result);
    if (result.kind === "error") this.#error ??= errorReply(result.code, result.message);
    this.#missing -= 1;
    if (this.#missing > 0) return;
    this.#client.settle(this.#tag, (reply) => {
      if (this.#error === null) reply.ok();
      else reply.error(this.#error);
    });
  }
}
