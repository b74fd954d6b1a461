/**
 * The snapshots of a shard: stamps at which somebody reads, so that what was visible then is kept. A snapshot is a stamp
 * and a moment of the clock, no more: it holds no table and no arena. What it reads stays because whoever drops versions
 * asks here first: the memtable when a version is overwritten, a flush or compaction when it begins.
 *
 * A job goes by the snapshots there were at its start. One taken later is safe: its stamp is not below any version the
 * job reads, so it wants only the newest version of each key among them, and that one a job never drops; and what had
 * expired for the job has expired for the snapshot, whose moment is not before that of the stamps.
 *
 * Snapshots are bounded in number and in age; one that has grown too old protects nothing any more, and a read through it
 * is refused. They live in memory: a restart ends them. Shard thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import { compareStamps, type Stamp, stampMilliseconds } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import type { Retention } from "../storage/retention.ts";

export interface SnapshotLimits {
  readonly snapshotsMax: number;
  /** 0: age does not count. */
  readonly snapshotAgeMs: number;
}

/** A moment that can be read. */
export interface ReadPoint {
  /** The newest version of each key not above this is seen. */
  readonly stamp: Stamp;
  /** The moment by which expiry is judged: what is seen does not change with time. */
  readonly nowMs: number;
}

export interface Snapshot extends ReadPoint {
  /** Lets go of it; calling it again has no effect. */
  release(): void;
}

interface Taken {
  readonly stamp: Stamp;
  readonly nowMs: number;
  readonly takenMs: number;
}

export class Snapshots {
  readonly #clock: Clock;
  readonly #limits: SnapshotLimits;
  readonly #changed: () => void;
  /** In the order in which they were taken, which is that of stamps. */
  readonly #live: Taken[] = [];
  /** Every moment from here on stays readable. */
  #from: Stamp | null = null;
  #isEnded = false;

  /** `changed` is called whenever there is another newest stamp to be kept. */
  constructor(clock: Clock, limits: SnapshotLimits, changed: () => void) {
    this.#clock = clock;
    this.#limits = limits;
    this.#changed = changed;
  }

  get count(): number {
    this.#endOld();
    return this.#live.length;
  }

  /** Milliseconds since the oldest was taken, 0 when there is none. */
  get oldestAgeMs(): number {
    this.#endOld();
    const oldest = this.#live[0];
    return oldest === undefined ? 0 : this.#clock.monotonicMs() - oldest.takenMs;
  }

  /** The stamp of the newest snapshot, at or below which overwritten versions are read; null: none are. */
  get newestStamp(): Stamp | null {
    return this.#live.at(-1)?.stamp ?? null;
  }

  get keepsEverything(): boolean {
    return this.#from !== null;
  }

  /** A snapshot at the last applied stamp. Throws OVERLOADED when there are as many as there may be. */
  take(stamp: Stamp): Snapshot {
    this.#endOld();
    if (this.#live.length >= this.#limits.snapshotsMax) {
      throw new EnvelopeError(
        "OVERLOADED",
        `there are ${this.#live.length} snapshots, as many as snapshotsMax allows: release one and try again`,
      );
    }
    const nowMs = Math.max(this.#clock.wallMs(), stampMilliseconds(stamp.high, stamp.low));
    const taken: Taken = { stamp, nowMs, takenMs: this.#clock.monotonicMs() };
    this.#live.push(taken);
    this.#changed();
    return { stamp, nowMs, release: () => this.#release(taken) };
  }

  /**
   * From now on every moment from `stamp` on stays readable, but for those that are past already: `lastStamp` is the
   * last one applied. Null: the present and the snapshots are enough again.
   */
  retainFrom(stamp: Stamp | null, lastStamp: Stamp): void {
    const floor = this.#from ?? lastStamp;
    this.#from =
      stamp === null ? null : compareStamps(stamp.high, stamp.low, floor.high, floor.low) > 0 ? stamp : floor;
    this.#changed();
  }

  /** What there was to read has been replaced: nothing is kept any more, not even what was the present. */
  end(): void {
    this.#isEnded = true;
    this.#from = null;
    this.#live.length = 0;
  }

  /** Of some keys nothing is known any more but what is visible now: earlier moments are not kept, and not read. */
  forgetPast(lastStamp: Stamp): void {
    this.#live.length = 0;
    if (this.#from !== null) this.#from = lastStamp;
    this.#changed();
  }

  /** Throws HISTORY_GONE unless everything that was visible at the stamp is still there. */
  check(stamp: Stamp, lastStamp: Stamp): void {
    this.#endOld();
    if (!this.#isEnded && compareStamps(stamp.high, stamp.low, lastStamp.high, lastStamp.low) >= 0) return;
    const from = this.#from;
    if (from !== null && compareStamps(stamp.high, stamp.low, from.high, from.low) >= 0) return;
    for (const { stamp: live } of this.#live) if (live.high === stamp.high && live.low === stamp.low) return;
    throw new EnvelopeError(
      "HISTORY_GONE",
      "versions of that moment are no longer kept: the snapshot was released or grew older than snapshotAgeMs allows",
    );
  }

  /** What a job that begins now has to keep. */
  retention(): Retention {
    this.#endOld();
    return { snapshots: this.#live.map(({ stamp }) => stamp), from: this.#from };
  }

  /** What expired at or before this moment is visible to no reader of the past. */
  get oldestMoment(): number {
    let oldest = this.#from === null ? Number.POSITIVE_INFINITY : stampMilliseconds(this.#from.high, this.#from.low);
    for (const { nowMs } of this.#live) oldest = Math.min(oldest, nowMs);
    return oldest;
  }

  #release(taken: Taken): void {
    const position = this.#live.indexOf(taken);
    if (position < 0) return;
    this.#live.splice(position, 1);
    this.#changed();
  }

  #endOld(): void {
    const { snapshotAgeMs } = this.#limits;
    if (snapshotAgeMs === 0 || this.#live.length === 0) return;
    const bornAfter = this.#clock.monotonicMs() - snapshotAgeMs;
    const young = this.#live.findIndex(({ takenMs }) => takenMs > bornAfter);
    if (young === 0) return;
    this.#live.splice(0, young < 0 ? this.#live.length : young);
    this.#changed();
  }
}
