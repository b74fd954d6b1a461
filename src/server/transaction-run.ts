/**
 * EXEC under way. The handlers of the queued commands run as ever, but what they read and write is gathered here as the
 * operations of one transaction, and what they reply goes into a stream of its own. When the results come each goes to
 * whoever waits for it, which completes that stream; then it is the answer to EXEC.
 *
 *   queued commands → handlers ─┬─ reads and writes → operations → coordinator.transact ─→ results ─┐
 *                               └─ replies ────────→ stream ←─── waiters ←──────────────────────────┘
 *
 * Main thread only.
 */
import type { Waiter } from "../cluster/coordinator.ts";
import { assert } from "../core/assert.ts";
import type { Result } from "../record/result.ts";
import type { Condition, Transaction, TransactionOperation } from "../record/transaction-format.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import { errorReply } from "./error-reply.ts";
import type { ReplyStream } from "./reply-stream.ts";

/** Writes the reply to EXEC. */
type Finish = (write: (reply: RespWriter) => void) => void;

export class TransactionRun implements Waiter {
  readonly replies: ReplyStream;
  readonly #operations: TransactionOperation[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #tags: number[] = [];
  readonly #finish: Finish;
  #replyCount = 0;
  #isDecided = false;
  #isFinished = false;

  /** `replies` is empty, and nobody else's until `finish` is called, which happens once. */
  constructor(replies: ReplyStream, finish: Finish) {
    this.replies = replies;
    this.#finish = finish;
  }

  /** An operation of the command whose handler runs; its result goes to `waiter`. */
  add(operation: TransactionOperation, waiter: Waiter, tag: number): void {
    this.#operations.push(operation);
    this.#waiters.push(waiter);
    this.#tags.push(tag);
  }

  /** A handler has run, and its reply is in the stream or has its place there. */
  replied(): void {
    this.#replyCount += 1;
  }

  /** All handlers have run: what they asked for, under these conditions. Null: there is nothing to be asked for. */
  transaction(conditions: readonly Condition[]): Transaction | null {
    if (conditions.length === 0 && this.#operations.length === 0) return null;
    return { conditions, operations: this.#operations };
  }

  /** Every operation is decided, or there is none. */
  decided(): void {
    this.#isDecided = true;
    this.finishIfDone();
  }

  resolve(_tag: number, result: Result): void {
    if (result.kind !== "results") {
      this.#end((reply) => {
        // Nothing but a watched key makes a condition.
        if (result.kind === "error" && result.code === "CONFLICT") reply.nullArray();
        else if (result.kind === "error") reply.error(errorReply(result.code, result.message));
        else assert(false, "a transaction comes to results or to an error");
      });
      return;
    }
    assert(result.results.length === this.#waiters.length, "each operation has its result");
    for (const [i, one] of result.results.entries()) this.#waiters[i]!.resolve(this.#tags[i]!, one);
    this.decided();
  }

  /** To be called when a reply has come into the stream later than its handler ran. */
  finishIfDone(): void {
    if (!this.#isDecided || this.replies.openCount > 0) return;
    this.#end((reply) => {
      reply.array(this.#replyCount);
      this.replies.writeTo(reply);
    });
  }

  #end(write: (reply: RespWriter) => void): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#finish(write);
    this.replies.abandon();
  }
}
