/**
 * A walk over the keys of a bucket, in all shards or some: shard after shard, page after page, one page underway at a time. Each page is a
 * bounded step of the shard, so a long walk does not keep anybody else waiting.
 */
import type { BucketRef, Coordinator, Waiter } from "../cluster/coordinator.ts";
import type { PageResult, Result } from "../record/result.ts";
import { errorReply } from "./error-reply.ts";
import type { Pace, TurnTaker } from "./turn-shares.ts";

const EXAMINE_MAX = 4096;
/** While others are active: a page must not take longer than the share of a turn. */
const EXAMINE_SHARED_MAX = 512;
/** Keys that are looked at in a microsecond. */
const KEYS_PER_MICRO = 4;

type Failure = Extract<Result, { readonly kind: "error" }>;

interface WalkVisitor {
  /** False ends the walk. */
  onPage(page: PageResult): boolean;
  /** Called once: null at the end (or after a page that ended the walk), else an error reply, and the error it words. */
  onEnd(error: string | null, cause: Result | null): void;
}

export class KeyWalk implements Waiter, TurnTaker {
  readonly #coordinator: Coordinator;
  readonly #bucket: BucketRef;
  readonly #pattern: Uint8Array | null;
  readonly #mode: "keys" | "count";
  readonly #visitor: WalkVisitor;
  /** Whose share of the turns is used; null: nobody's. */
  readonly #pace: Pace | null;
  #shard = 0;
  #endShard = 0;
  #after: Uint8Array | null = null;
  /** A page that comes during the call is taken in a loop, not by recursion. */
  #asking = false;
  #answered = false;
  #ended = false;

  constructor(
    coordinator: Coordinator,
    bucket: BucketRef,
    pattern: Uint8Array | null,
    mode: "keys" | "count",
    visitor: WalkVisitor,
    pace: Pace | null,
  ) {
    this.#coordinator = coordinator;
    this.#bucket = bucket;
    this.#pattern = pattern;
    this.#mode = mode;
    this.#visitor = visitor;
    this.#pace = pace;
  }

  /** Of the shards from `first` on, `end` not among them. */
  start(first = 0, end = this.#coordinator.shardCount): void {
    this.#shard = first;
    this.#endShard = end;
    this.#ask();
  }

  resolve(_tag: number, result: Result): void {
    if (result.kind === "page") this.#takePage(result);
    else if (result.kind === "error") this.#end(result);
    else this.#nextShard();
    if (this.#asking) this.#answered = true;
    else if (!this.#ended) this.#ask();
  }

  takeTurn(): void {
    this.#ask();
  }

  #takePage(page: PageResult): void {
    if (!this.#visitor.onPage(page)) {
      this.#end(null);
      return;
    }
    if (page.next === null) this.#nextShard();
    else this.#after = page.next.slice();
  }

  #nextShard(): void {
    this.#shard += 1;
    this.#after = null;
    if (this.#shard >= this.#endShard) this.#end(null);
  }

  #end(error: Failure | null): void {
    this.#ended = true;
    this.#visitor.onEnd(error === null ? null : errorReply(error.code, error.message), error);
  }

  #ask(): void {
    do {
      if (this.#pace !== null && !this.#pace.shares.hasShare(this.#pace.tenant)) {
        this.#pace.shares.wait(this.#pace.tenant, this);
        return;
      }
      const examineMax = pagedKeys(this.#pace, EXAMINE_MAX);
      this.#asking = true;
      this.#answered = false;
      this.#coordinator.page(this.#bucket, this.#shard, this.#after, examineMax, this.#pattern, this.#mode, this, 0);
      this.#asking = false;
    } while (this.#answered && !this.#ended);
  }
}

/** How many keys a page may look at, of those wanted; they are charged. */
export function pagedKeys(pace: Pace | null, wanted: number): number {
  if (pace === null) return wanted;
  const count = pace.shares.isContended ? Math.min(wanted, EXAMINE_SHARED_MAX) : wanted;
  pace.shares.charge(pace.tenant, count / KEYS_PER_MICRO);
  return count;
}
