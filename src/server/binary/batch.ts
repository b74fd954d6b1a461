/**
 * Batches: a reply for each operation, in order. What several values come to must fit into one frame: an operation whose value
 * would not is told so in its place. Main thread only.
 */
import type { Waiter } from "../../cluster/coordinator.ts";
import { NIL, type Result } from "../../record/result.ts";
import type { OperationReply } from "../../wire/binary-messages.ts";
import type { ReadEstimate } from "../read-estimate.ts";
import { failure, operationReply, type ReplyForm } from "./replies.ts";

/** What a reply takes in its frame besides its value, at most, errors apart. */
const REPLY_BYTES = 64;
const READ_TOO_LARGE = failure("TOO_LARGE", "the values of the batch are too large for one reply; ask for fewer");
const OLD_TOO_LARGE = failure("TOO_LARGE", "it was done, but the old value is too large for the reply of the batch");

/** Counts the bytes of the replies of one batch. */
class ReplyBudget {
  #left: number;

  constructor(byteCount: number) {
    this.#left = byteCount;
  }

  fitted(form: ReplyForm, reply: OperationReply): OperationReply {
    const valueBytes = reply.type === "value" ? reply.value.length : 0;
    if (valueBytes > 0 && valueBytes + REPLY_BYTES > this.#left) return form.isWrite ? OLD_TOO_LARGE : READ_TOO_LARGE;
    this.#left -= valueBytes + REPLY_BYTES;
    return reply;
  }
}

/** The replies to a transaction: good as long as its result is. */
export function atomicReplies(
  forms: readonly ReplyForm[],
  results: readonly Result[],
  replyBytesMax: number,
): readonly OperationReply[] {
  const budget = new ReplyBudget(replyBytesMax);
  return forms.map((form, i) => budget.fitted(form, operationReply(form, results[i] ?? NIL)));
}

/** Gathers the results of operations that are each for themselves; the tag of each is its place. */
export class BatchReplies implements Waiter {
  /** Nobody wants to know any more: results are counted and dropped. */
  isDropped = false;
  readonly #forms: readonly ReplyForm[];
  readonly #replies: OperationReply[];
  readonly #budget: ReplyBudget;
  readonly #reads: ReadEstimate;
  readonly #done: (replies: readonly OperationReply[]) => void;
  #waitingCount: number;

  constructor(
    forms: readonly ReplyForm[],
    reads: ReadEstimate,
    replyBytesMax: number,
    done: (replies: readonly OperationReply[]) => void,
  ) {
    this.#forms = forms;
    this.#replies = new Array(forms.length);
    this.#reads = reads;
    this.#budget = new ReplyBudget(replyBytesMax);
    this.#done = done;
    this.#waitingCount = forms.length;
  }

  /** To be told before a read is submitted. */
  reads(): void {
    this.#reads.opened();
  }

  resolve(place: number, result: Result): void {
    const form = this.#forms[place]!;
    if (!form.isWrite) this.#reads.answered(result.kind === "version" ? result.value.length : 0);
    if (!this.isDropped) this.#replies[place] = detached(this.#budget.fitted(form, operationReply(form, result)));
    this.#settled();
  }

  /** Answers an operation that is not submitted. */
  refuse(place: number, reply: OperationReply): void {
    this.#replies[place] = reply;
    this.#settled();
  }

  #settled(): void {
    this.#waitingCount -= 1;
    if (this.#waitingCount === 0) this.#done(this.#replies);
  }
}

function detached(reply: OperationReply): OperationReply {
  return reply.type === "value" ? { ...reply, value: reply.value.slice() } : reply;
}
