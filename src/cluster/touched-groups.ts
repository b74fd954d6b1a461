/**
 * Which groups of a node have something to do. A turn serves those alone, so that shards nobody uses cost next to nothing:
 * a group is *touched* by whatever comes for it or of it, and by each heartbeat that it is to send or has received. Where
 * a shard has no thread of its own, it is asked after a turn for one step of its own work after the other, and then for
 * when it wants a turn though nothing comes. Main thread only.
 */
import type { ShardGroup } from "./shard-group.ts";

/** What is needed of a group. */
export type ServedGroup = Pick<
  ShardGroup,
  "shard" | "beginTurn" | "drive" | "flush" | "settle" | "background" | "dueInMs" | "stir"
>;

export class TouchedGroups {
  #groups: readonly ServedGroup[] = [];
  /** By number, in the order in which they were touched. */
  #touched: number[] = [];
  #emptyList: number[] = [];
  readonly #isTouched: Uint8Array;
  /** Touched since it was driven last: a turn that has driven it has not seen that. */
  readonly #hasNews: Uint8Array;
  /** Those that may owe steps of their own work. */
  readonly #owing: number[] = [];
  readonly #isOwing: Uint8Array;
  /** When each shard wants a turn, on the monotonic clock. */
  readonly #dueMs: Float64Array;

  constructor(count: number) {
    this.#isTouched = new Uint8Array(count);
    this.#hasNews = new Uint8Array(count);
    this.#isOwing = new Uint8Array(count);
    this.#dueMs = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  }

  /** The groups, which may have touched themselves while they were made. All are served once. */
  serve(groups: readonly ServedGroup[]): void {
    this.#groups = groups;
    for (const { shard } of groups) this.touch(shard);
  }

  touch(shard: number): void {
    this.#hasNews[shard] = 1;
    if (this.#isTouched[shard] === 1) return;
    this.#isTouched[shard] = 1;
    this.#touched.push(shard);
  }

  get any(): boolean {
    return this.#touched.length > 0;
  }

  beginTurn(): void {
    for (const shard of this.#touched) this.#groups[shard]!.beginTurn();
  }

  /** False: nothing was wanted. Those that are touched meanwhile are driven, too. */
  drive(): boolean {
    let isBusy = false;
    for (const shard of this.#touched) {
      this.#hasNews[shard] = 0;
      if (this.#groups[shard]!.drive()) isBusy = true;
    }
    return isBusy;
  }

  flush(): void {
    for (const shard of this.#touched) this.#groups[shard]!.flush();
  }

  /** The end of a turn. What has come for a group since it was driven, and what its shard says now, is for the next one. */
  settle(): void {
    const served = this.#touched;
    this.#touched = this.#emptyList;
    for (const shard of served) this.#isTouched[shard] = 0;
    for (const shard of served) if (this.#hasNews[shard] === 1) this.touch(shard);
    for (const shard of served) {
      this.#groups[shard]!.settle();
      if (this.#isOwing[shard] === 0) {
        this.#isOwing[shard] = 1;
        this.#owing.push(shard);
      }
    }
    served.length = 0;
    this.#emptyList = served;
  }

  get owesSteps(): boolean {
    return this.#owing.length > 0;
  }

  /** One step of each that owes some. */
  step(nowMs: number): void {
    const owing = this.#owing;
    let count = 0;
    for (const shard of owing) {
      const group = this.#groups[shard]!;
      if (group.background()) owing[count++] = shard;
      else {
        this.#isOwing[shard] = 0;
        // What was due before is due still, however often the group is touched meanwhile.
        this.#dueMs[shard] = Math.min(this.#dueMs[shard]!, nowMs + group.dueInMs);
      }
    }
    owing.length = count;
  }

  /** When the first of them wants a turn. */
  get nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const dueMs of this.#dueMs) if (dueMs < nextMs) nextMs = dueMs;
    return nextMs;
  }

  /** Stirs, and so touches, those that want a turn by now. */
  touchDue(nowMs: number): void {
    for (const group of this.#groups) {
      const { shard } = group;
      if (this.#dueMs[shard]! > nowMs) continue;
      this.#dueMs[shard] = Number.POSITIVE_INFINITY;
      group.stir();
    }
  }
}
