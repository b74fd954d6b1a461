/**
 * Snapshots of a shard for members that are too far behind for its log. One is made when somebody wants one and is there
 * for all who come while it is fetched; when nobody has asked for a piece of it for a while, it is dropped. Followers
 * fetch at their own pace, a bounded number of bytes at a time, so a slow one costs the leader no memory, and of its disk only
 * what has been compacted away meanwhile. Main thread only.
 */
import type { LogIndex, NodeId, Term } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import { type Answer, type Question, whyNot } from "./shard-questions.ts";
import type { SnapshotAsk, SnapshotGiven } from "./snapshot-frame-format.ts";

/** A snapshot of which nothing was asked for so long is nobody's any more. */
const IDLE_MS_MAX = 60_000;

export interface OfferedSnapshot {
  readonly id: number;
  readonly index: LogIndex;
  readonly term: Term;
  /** The body of the configuration in force there; empty: still the first one. */
  readonly configuration: Uint8Array;
}

/** The group that the snapshots are of. */
export interface SnapshotSourcePorts {
  ask(question: Question, done: (answer: Answer) => void): void;
  drop(id: number): void;
  /** Tells a follower, by way of Raft, that there is one for it. */
  offer(to: NodeId, snapshot: OfferedSnapshot): void;
  /** There will be none for it now. */
  failed(to: NodeId): void;
  give(to: NodeId, given: SnapshotGiven): void;
}

interface Made extends OfferedSnapshot {
  readonly description: Uint8Array;
}

export class SnapshotSource {
  readonly #shard: number;
  readonly #ports: SnapshotSourcePorts;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #waiting = new Set<NodeId>();
  #made: Made | null = null;
  #isMaking = false;
  #usedMs = 0;

  constructor(shard: number, clock: Clock, log: Logger, ports: SnapshotSourcePorts) {
    this.#shard = shard;
    this.#clock = clock;
    this.#log = log;
    this.#ports = ports;
  }

  /** A follower needs a snapshot of what is no earlier than `from`, where the log begins. */
  wanted(to: NodeId, from: LogIndex): void {
    if (this.#made !== null && this.#made.index + 1 >= from) return this.#ports.offer(to, this.#made);
    this.#waiting.add(to);
    this.#make();
  }

  asked(from: NodeId, { snapshot, piece }: SnapshotAsk): void {
    const made = this.#made;
    if (made === null || made.id !== snapshot) return this.#gone(from, snapshot);
    this.#usedMs = this.#clock.monotonicMs();
    if (piece === null) {
      this.#ports.give(from, { kind: "description", snapshot, description: made.description });
      return;
    }
    const { file, offset, byteCount } = piece;
    this.#ports.ask({ type: "snapshotRead", id: snapshot, file, offset, byteCount }, (answer) => {
      if (answer.type === "snapshotPiece") {
        this.#ports.give(from, { kind: "piece", snapshot, file, offset, bytes: answer.bytes });
        return;
      }
      // What cannot be read here is fetched from a snapshot that is made anew, or not at all.
      if (this.#made?.id === snapshot) this.#drop();
      this.#gone(from, snapshot);
    });
  }

  /** It has to be offered another one: as long as it is offered this one it asks for this one. */
  #gone(to: NodeId, snapshot: number): void {
    this.#ports.give(to, { kind: "gone", snapshot });
    this.#ports.failed(to);
  }

  tick(): void {
    if (this.#made !== null && this.#clock.monotonicMs() - this.#usedMs > IDLE_MS_MAX) this.#drop();
  }

  #make(): void {
    if (this.#isMaking) return;
    this.#drop();
    this.#isMaking = true;
    this.#ports.ask({ type: "snapshot" }, (answer) => {
      this.#isMaking = false;
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      if (answer.type === "snapshotMade") this.#offer(answer, waiting);
      else {
        this.#log.warn("no snapshot could be made", { shard: this.#shard, why: whyNot(answer) });
        for (const to of waiting) this.#ports.failed(to);
      }
    });
  }

  #offer(made: Made, waiting: readonly NodeId[]): void {
    this.#made = made;
    this.#usedMs = this.#clock.monotonicMs();
    this.#log.info("a snapshot is there to be fetched", { shard: this.#shard, index: made.index, by: waiting });
    for (const to of waiting) this.#ports.offer(to, made);
  }

  #drop(): void {
    if (this.#made !== null) this.#ports.drop(this.#made.id);
    this.#made = null;
  }
}
