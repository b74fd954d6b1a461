/**
 * The buckets that are gone in one shard: those whose fence is applied, and those whose fence this node, as leader, has
 * proposed. An operation on one of them is refused before it is proposed, so a write answered at its commit can never
 * be swallowed by a fence before it.
 *
 * That a bucket is gone is said only once its fence is applied. A fence that is merely proposed may be lost with its
 * leader, and the next one takes operations under that id again: who had been sent back to look for the newer id would be
 * overtaken by those of its connection that reach that leader. So whatever comes for such a bucket waits.
 *
 * Main thread only.
 */
import { text, viewOf } from "../core/bytes.ts";
import type { SystemChange } from "../bridge/shard-protocol.ts";

const PREFIX = "fence/";

export class FenceSet {
  readonly #applied = new Set<number>();
  readonly #expected = new Set<number>();

  has(bucket: number): boolean {
    return (
      (this.#applied.size > 0 && this.#applied.has(bucket)) || (this.#expected.size > 0 && this.#expected.has(bucket))
    );
  }

  /** Whether a fence is under way of which nobody knows yet whether it will be. */
  awaits(bucket: number): boolean {
    return this.#expected.size > 0 && this.#expected.has(bucket);
  }

  expect(bucket: number): void {
    if (!this.#applied.has(bucket)) this.#expected.add(bucket);
  }

  /** Leadership is lost: what was proposed may never be committed. */
  forgetExpected(): void {
    this.#expected.clear();
  }

  learn(change: SystemChange): void {
    const key = text(change.key);
    if (!key.startsWith(PREFIX)) return;
    const bucket = Number(key.slice(PREFIX.length));
    if (change.value === null) this.#applied.delete(bucket);
    else this.#applied.add(bucket);
    this.#expected.delete(bucket);
  }
}

/** The value of a fence command: the id of the bucket, u32. */
export function encodeFence(bucket: number): Uint8Array {
  const value = new Uint8Array(4);
  viewOf(value).setUint32(0, bucket, true);
  return value;
}
