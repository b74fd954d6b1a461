/**
 * The buckets that are gone in one shard, in the order in which their fences were applied, and how many of these fences are
 * in tables. Only what lies under such a one may be dropped from tables: after a crash the log is replayed from where they
 * end, and a command of that replay that came before a fence must find what it found the first time, because what it came
 * to may be kept (apply-session.ts). Shard thread.
 */
import { assert } from "../core/assert.ts";

export class Fences {
  readonly #buckets = new Set<number>();
  #inTables = 0;
  #takenCount = 0;

  get size(): number {
    return this.#buckets.size;
  }

  has(bucket: number): boolean {
    return this.#buckets.size > 0 && this.#buckets.has(bucket);
  }

  add(bucket: number): void {
    this.#buckets.add(bucket);
  }

  /** So many of the first are in tables. */
  get inTables(): number {
    return this.#inTables;
  }

  flushed(count: number): void {
    assert(count >= this.#inTables && count <= this.size, "fences that are in tables stay there");
    this.#inTables = count;
  }

  /** So many of the first. */
  first(count: number): ReadonlySet<number> {
    return new Set([...this.#buckets].slice(0, count));
  }

  /** Those whose fences have come into tables since the last call. */
  takeFlushed(): readonly number[] {
    if (this.#takenCount === this.#inTables) return [];
    const taken = [...this.#buckets].slice(this.#takenCount, this.#inTables);
    this.#takenCount = this.#inTables;
    return taken;
  }
}
