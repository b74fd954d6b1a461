/**
 * The transactions of one connection: what it watches, what it has queued since MULTI, and the one that EXEC has under way.
 * Main thread only.
 */
import { assert } from "../core/assert.ts";
import type { Result } from "../record/result.ts";
import type { Condition } from "../record/transaction-format.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import type { ClientConnection } from "./client-connection.ts";
import { CommandQueue } from "./command-queue.ts";
import type { CommandEntry } from "./command-table.ts";
import { ReplyStream } from "./reply-stream.ts";
import { TransactionRun } from "./transaction-run.ts";
import type { WatchList } from "./watch-list.ts";

/** In the tags of replies within a transaction, above the bits that a reply stream uses. */
export const WITHIN_TRANSACTION = 0x4000_0000;

export class ClientTransactions {
  /** What is watched for the next one. */
  watches: WatchList | null = null;
  /** While handlers of queued commands run: where what they read, write and reply goes. */
  gathering: TransactionRun | null = null;
  readonly #client: ClientConnection;
  #queue: CommandQueue | null = null;
  /** EXEC is exclusive, so there is one at a time. */
  #run: TransactionRun | null = null;
  /** Of one transaction after the other; tags go on, so a reply that comes too late for its own finds no place. */
  #replies: ReplyStream | null = null;

  constructor(client: ClientConnection) {
    this.#client = client;
  }

  /** Bytes of memory that what is queued and what is watched takes. */
  get heldBytes(): number {
    return (this.#queue?.heldBytes ?? 0) + (this.watches?.heldBytes ?? 0);
  }

  get isQueueing(): boolean {
    return this.#queue !== null;
  }

  beginQueue(): void {
    this.#queue = new CommandQueue(this.#client.port.settings.valueBytesMax);
  }

  /** Queues no more; what was queued, or null when nothing was begun. */
  endQueue(): CommandQueue | null {
    const queue = this.#queue;
    this.#queue = null;
    return queue;
  }

  /** Whether the command is to be queued; then it is, or answered with why it cannot be. */
  takes(entry: CommandEntry, request: RequestArguments): boolean {
    if (this.#queue === null || entry.immediate) return false;
    const client = this.#client;
    const problem = this.#queue.add(entry, request);
    if (problem !== null) client.replyError(problem);
    else {
      client.begin().simple("QUEUED");
      client.end();
    }
    return true;
  }

  /** How a command is refused before it is looked at further: with an EXEC goes the transaction. */
  refusal(entry: CommandEntry, text: string): string {
    if (entry.name !== "exec") return text;
    this.#queue = null;
    this.watches = null;
    return `EXECABORT Transaction discarded because of: ${text.replace(/^ERR /, "")}`;
  }

  /** A command was refused before it could be queued. */
  spoilQueue(): void {
    if (this.#queue !== null) this.#queue.isSpoiled = true;
  }

  /** Carries out what was queued under these conditions, and answers EXEC. */
  run({ commands }: CommandQueue, conditions: readonly Condition[]): void {
    const client = this.#client;
    const { coordinator, session } = client;
    assert(this.#run === null, "transactions of a connection come one after the other");
    const slot = client.defer();
    this.#replies ??= new ReplyStream(client.port.pool, client.port.scratch, coordinator);
    const run = new TransactionRun(this.#replies, (write) => {
      this.#run = null;
      client.settle(slot, write);
    });
    this.#run = run;
    this.gathering = run;
    for (const { entry, request } of commands) this.#gather(run, entry, request);
    this.gathering = null;
    const transaction = run.transaction(conditions);
    if (transaction === null) run.decided();
    else coordinator.transact(session.ordering, session.bucket, transaction, run, 0);
  }

  /** As the connection's, of a reply within a transaction. */
  resolve(tag: number, result: Result): void {
    const run = this.#runOf(tag);
    run?.replies.resolve(tag - WITHIN_TRANSACTION, result);
  }

  settle(tag: number, write: (reply: RespWriter) => void, readBytes: number): void {
    const run = this.#runOf(tag);
    run?.replies.settle(tag - WITHIN_TRANSACTION, write, readBytes);
    run?.finishIfDone();
  }

  /** The connection is gone, or as new. */
  drop(): void {
    this.watches = null;
    this.#queue = null;
    this.#replies?.abandon();
  }

  /** Runs the handler of a queued command. One that replies nothing has a null in its place. */
  #gather(run: TransactionRun, entry: CommandEntry, request: RequestArguments): void {
    const { openCount, unsentBytes } = run.replies;
    this.#client.runInner(entry, request);
    if (run.replies.openCount === openCount && run.replies.unsentBytes === unsentBytes) {
      run.replies.begin(this.#client.session.version, false).nil();
      run.replies.end();
    }
    run.replied();
  }

  #runOf(tag: number): TransactionRun | null {
    return this.#run?.replies.isOpen(tag - WITHIN_TRANSACTION) === true ? this.#run : null;
  }
}
