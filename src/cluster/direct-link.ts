/**
 * The short way to a shard: the same object on this thread. Nothing is copied and nobody is woken, but main waits for
 * the disk. The simulator and the embedded library use it, and nodes with one or two cores. Main thread only.
 *
 * A shard that owes no steps is *idle* until it is sent something, says something, or its time has come (`stir`): calls in
 * between cost nothing.
 */
import type { ShardLink, ShardRequest } from "../bridge/shard-protocol.ts";

/** The shard as it is seen from here; what it says comes through the callback it was opened with. */
export interface DirectShard {
  handle(request: ShardRequest): void;
  takeAndWrite(): void;
  settle(): void;
  backgroundStep(): boolean;
  readonly idleMs: number;
}

export class DirectLink implements ShardLink {
  /** A shard that works within the call is never behind. */
  readonly congested = false;
  readonly #shard: DirectShard;
  /** It owes no steps. */
  #isIdle = false;
  /** It was sent something, or stirred, since its last turn began: a step that finds nothing to do is no answer to that. */
  #hasNews = true;

  constructor(shard: DirectShard) {
    this.#shard = shard;
  }

  send(request: ShardRequest): void {
    this.#hasNews = true;
    this.#shard.handle(request);
  }

  flush(): void {
    if (this.#isIdle && !this.#hasNews) return;
    this.#hasNews = false;
    this.#isIdle = false;
    this.#shard.takeAndWrite();
  }

  settle(): void {
    if (!this.#isIdle) this.#shard.settle();
  }

  /** One bounded step of the shard's own work, to be called between turns; true: there is more. */
  background(): boolean {
    if (this.#isIdle) return false;
    this.#isIdle = !this.#shard.backgroundStep();
    return !this.#isIdle;
  }

  /** It may have something to do in the next turn. */
  stir(): void {
    this.#hasNews = true;
  }

  get dueInMs(): number {
    return this.#shard.idleMs;
  }
}
