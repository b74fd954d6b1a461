/**
 * What the leader knows about one other member.
 *
 *   probe      where the logs match is unknown: one append, then wait for its answer or for a sign of life
 *   replicate  they match up to matchIndex: appends are pipelined, nextIndex runs ahead of the acknowledgements
 *   snapshot   what it needs next is in no log any more: it is offered a snapshot, if there is one yet, and sent no entries
 *
 * Replies come repeated and out of order, so matchIndex only rises, and a refusal counts only if it refuses what this
 * state has asked. Lost messages are noticed by the beat: a follower that answers heartbeats, but has acknowledged
 * nothing for a whole interval while something was under way, is `stalled`.
 */
import type { NodeId } from "../core/ids.ts";
import type { Inflight } from "./inflight.ts";
import type { Snapshot } from "./messages.ts";

/** What others may know of it. */
export type MemberProgress = Readonly<Pick<Progress, "matchIndex" | "silentTicks">>;

export class Progress {
  readonly id: NodeId;
  readonly inflight: Inflight;
  /** Known to be on the follower's disk and equal to the leader's log. */
  matchIndex = 0;
  nextIndex: number;
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** Probing: the question has been sent. */
  paused = false;
  /** Heard of since the last check of the quorum. */
  active = false;
  /** Ticks since it was heard of; without end before it ever was. */
  silentTicks = Number.POSITIVE_INFINITY;
  stalled = false;
  /** The snapshot it is offered. */
  snapshot: Snapshot | null = null;
  /** The offer is to be sent before the next heartbeat. */
  isOfferDue = false;
  /** No snapshot could be offered; wanted again after its next sign of life. */
  hasSnapshotFailed = false;
  /** What it needs next is in no log any more, as the disk says; asked again after its next sign of life. */
  isStarved = false;
  /** The newest read round it has answered. */
  readRound = 0;
  /** The newest commit index it has been told. */
  toldCommit = 0;
  #matchAtBeat = 0;
  #waitingAtBeat = false;

  constructor(id: NodeId, nextIndex: number, inflight: Inflight) {
    this.id = id;
    this.nextIndex = nextIndex;
    this.inflight = inflight;
  }

  get canSend(): boolean {
    if (this.state === "snapshot") return false;
    return this.state === "probe" ? !this.paused : !this.inflight.full;
  }

  sent(lastIndex: number, bytes: number): void {
    if (this.state === "probe") {
      this.paused = true;
      return;
    }
    this.nextIndex = lastIndex + 1;
    this.inflight.add(lastIndex, bytes);
  }

  /** An accepted append: `match` is on its disk, `received` is at least in its memory. True if matchIndex rose. */
  acknowledge(match: number, received: number): boolean {
    const rose = match > this.matchIndex;
    if (rose) {
      this.matchIndex = match;
      this.inflight.acknowledge(match);
    }
    if (this.state === "probe") this.found(received);
    this.nextIndex = Math.max(this.nextIndex, this.matchIndex + 1);
    return rose;
  }

  /** While probing: the follower's log matches up to `received`. Enough if that answers the question. */
  found(received: number): boolean {
    const known = Math.max(received, this.matchIndex);
    if (this.state !== "probe" || known < this.nextIndex - 1) return false;
    this.resumeAt(known + 1);
    return true;
  }

  /** Whether a refusal of the append behind `previousIndex` answers what this state has asked. */
  isRefused(previousIndex: number): boolean {
    if (previousIndex <= this.matchIndex) return false;
    return this.state === "replicate" || (this.state === "probe" && previousIndex === this.nextIndex - 1);
  }

  /** What it had on its disk it has given up: where the logs match is unknown, from the start. */
  forget(): void {
    this.matchIndex = 0;
    this.toldCommit = 0;
  }

  probeAt(nextIndex: number): void {
    this.state = "probe";
    this.paused = false;
    this.inflight.clear();
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
  }

  /** Everything from `nextIndex` on is sent (again), pipelined. */
  resumeAt(nextIndex: number): void {
    this.state = "replicate";
    this.stalled = false;
    this.snapshot = null;
    this.inflight.clear();
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
  }

  needSnapshot(): void {
    this.state = "snapshot";
    this.stalled = false;
    this.inflight.clear();
    this.snapshot = null;
    this.isOfferDue = false;
    this.hasSnapshotFailed = false;
  }

  offer(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    this.isOfferDue = true;
  }

  /** Called once a heartbeat interval. */
  beat(): void {
    // Not what is in flight: that is forgotten when sending begins anew, and an acknowledgement may be lost after it.
    const waiting = this.state === "replicate" && this.matchIndex < this.nextIndex - 1;
    this.stalled = waiting && this.#waitingAtBeat && this.#matchAtBeat === this.matchIndex;
    this.#waitingAtBeat = waiting;
    this.#matchAtBeat = this.matchIndex;
  }
}
