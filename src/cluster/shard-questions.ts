/**
 * What this node has asked a shard of its own and not heard yet. An answer carries the number of its question: `done` with
 * a result where there is nothing else to say, or another reply. Main thread only.
 */
import type { ShardLink, ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { errorResult } from "../record/result.ts";

/** A reply that answers a question. */
export type Answer = Extract<ShardReply, { readonly requestId: number }>;
type Numbered = Extract<ShardRequest, { readonly requestId: number }>;
type Unnumbered<One> = One extends Numbered ? Omit<One, "requestId"> : never;
/** A request that is answered, without the number it is going to get. */
export type Question = Unnumbered<Numbered>;

export class ShardQuestions {
  readonly #link: ShardLink;
  readonly #wake: () => void;
  readonly #listeners = new Map<number, (answer: Answer) => void>();
  #last = 0;

  /** `wake` brings the turn in which the question leaves. */
  constructor(link: ShardLink, wake: () => void) {
    this.#link = link;
    this.#wake = wake;
  }

  /** `done` is called once, with the answer or, when the shard has failed, with that. */
  ask(question: Question, done: (answer: Answer) => void): void {
    const requestId = ++this.#last;
    this.#listeners.set(requestId, done);
    this.#link.send({ ...question, requestId } as Numbered);
    this.#wake();
  }

  answered(answer: Answer): void {
    const listener = this.#listeners.get(answer.requestId);
    this.#listeners.delete(answer.requestId);
    listener?.(answer);
  }

  /** The shard has failed. */
  fail(): void {
    const result = errorResult("IO", "the shard has failed");
    for (const requestId of [...this.#listeners.keys()]) this.answered({ type: "done", requestId, result });
  }
}

/** Why an answer is not the one hoped for: the shard's own words, if it has any. */
export function whyNot(answer: Answer): string {
  return answer.type === "done" && answer.result.kind === "error" ? answer.result.message : answer.type;
}
