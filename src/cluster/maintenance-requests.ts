/** Flushes, compactions and questions for figures that a shard has not answered yet. Main thread only. */
import type { ShardStats } from "../bridge/shard-protocol.ts";
import { errorResult, type Result } from "../record/result.ts";

/** Gets what a request came to. */
export type MaintenanceListener = (result: Result, stats: ShardStats | null) => void;

export class MaintenanceRequests {
  readonly #listeners = new Map<number, MaintenanceListener>();
  #last = 0;

  /** Returns the request id under which the answer comes. */
  add(listener: MaintenanceListener): number {
    const requestId = ++this.#last;
    this.#listeners.set(requestId, listener);
    return requestId;
  }

  answered(requestId: number, result: Result, stats: ShardStats | null): void {
    const listener = this.#listeners.get(requestId);
    this.#listeners.delete(requestId);
    listener?.(result, stats);
  }

  fail(): void {
    for (const requestId of [...this.#listeners.keys()]) {
      this.answered(requestId, errorResult("IO", "the shard has failed"), null);
    }
  }
}
