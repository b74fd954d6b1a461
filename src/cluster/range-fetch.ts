/**
 * A damaged member's way back: it asks its shard which ranges of keys are lost, asks one member after the other for them, its
 * leader first, and fetches them piece by piece at the pace of its own disk. Several damages are repaired one after the
 * other, each from whoever is whole there, so members that are damaged in different places repair each other.
 *
 *   idle ──► beginning ──► opening ──► fetching ──► ending ──► idle: repaired, or to be tried with the next member
 *
 * Meanwhile the shard applies nothing behind the index of the repair, which a leader cannot do. A leader only asks who could
 * give the ranges, and hands over to a voter that is whole; then it is a follower and repairs itself. Main thread only.
 */
import type { TableKeyRange } from "../bridge/repair-protocol.ts";
import type { ShardRequest } from "../bridge/shard-protocol.ts";
import { at } from "../core/assert.ts";
import type { LogIndex, NodeId } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { RepairAsk, RepairGiven } from "./repair-frame-format.ts";
import { type Answer, type Question, whyNot } from "./shard-questions.ts";

/** Between two attempts that came to nothing. */
const RETRY_MS = 1_000;
/** An answer that has not come by then was lost with a connection. A piece is asked for again, anything else given up. */
const ANSWER_MS = 2_000;
/** A member that gives no piece for so long is not waited for. */
const GIVE_UP_MS = 10_000;
/** What has come waits for the leader's entries, and for the disk, at most so long. */
const END_MS = 60_000;

export interface RangeFetchPorts {
  /** Asks the shard. */
  ask(question: Question, done: (answer: Answer) => void): void;
  /** Tells the shard. */
  tell(request: Extract<ShardRequest, { readonly type: "repairAbandon" }>): void;
  /** Asks another member: what the question names is not looked at any more when this returns. */
  request(to: NodeId, ask: RepairAsk): void;
  /** The other members, the leader first. */
  others(): readonly NodeId[];
  isLeading(): boolean;
  /** Leading: this member has everything and nothing damaged. */
  handTo(node: NodeId): void;
}

interface Fetching {
  readonly from: NodeId;
  readonly number: number;
  /** False: it is only asked who could give the ranges. */
  readonly holds: boolean;
  state: "beginning" | "opening" | "fetching" | "ending";
  /** Of what the other member has opened. */
  id: number | null;
  ordinal: number;
  /** The piece has been asked for and has not come. */
  isAsked: boolean;
  /** When something last went on, and when it was last asked for. */
  movedMs: number;
  askedMs: number;
}

export class RangeFetch {
  readonly #shard: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ports: RangeFetchPorts;
  #fetching: Fetching | null = null;
  #attempts = 0;
  #number = 0;
  #nextMs = 0;

  constructor(shard: number, clock: Clock, log: Logger, ports: RangeFetchPorts) {
    this.#shard = shard;
    this.#clock = clock;
    this.#log = log;
    this.#ports = ports;
  }

  tick(isDamaged: boolean): void {
    const fetching = this.#fetching;
    const nowMs = this.#clock.monotonicMs();
    if (fetching === null) {
      if (isDamaged && nowMs >= this.#nextMs) this.#begin(nowMs);
      return;
    }
    if (fetching.holds && this.#ports.isLeading()) return this.#giveUp(fetching, "this node leads");
    const quietMs = nowMs - fetching.movedMs;
    const limitMs = { beginning: END_MS, opening: ANSWER_MS, fetching: GIVE_UP_MS, ending: END_MS }[fetching.state];
    if (quietMs > limitMs) return this.#giveUp(fetching, "it takes too long");
    const isLost = fetching.state === "fetching" && fetching.isAsked && nowMs - fetching.askedMs > ANSWER_MS;
    if (isLost) this.#askForPiece(fetching);
  }

  given(from: NodeId, given: RepairGiven): void {
    const fetching = this.#fetching;
    if (fetching === null || from !== fetching.from || given.number !== fetching.number) return;
    switch (given.kind) {
      case "refused":
        return this.#giveUp(fetching, given.why);
      case "opened":
        if (fetching.state === "opening") this.#opened(fetching, given.id, given.index, given.isWhole);
        return;
      case "piece":
        if (fetching.state === "fetching" && fetching.isAsked) this.#take(fetching, given.bytes);
        return;
    }
  }

  /** The `attempts`-th other member is asked for the same damage as the one before it was, until all have been. */
  #begin(nowMs: number): void {
    const others = this.#ports.others();
    this.#nextMs = nowMs + RETRY_MS;
    if (others.length === 0) return;
    const from = at(others, this.#attempts % others.length);
    const attempt = Math.floor(this.#attempts / others.length);
    this.#attempts += 1;
    this.#number += 1;
    const fetching: Fetching = {
      from,
      number: this.#number,
      holds: !this.#ports.isLeading(),
      state: "beginning",
      id: null,
      ordinal: 0,
      isAsked: false,
      movedMs: nowMs,
      askedMs: nowMs,
    };
    this.#fetching = fetching;
    this.#ports.ask({ type: "repairBegin", attempt, holds: fetching.holds }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (answer.type !== "repairWanted") return this.#giveUp(fetching, whyNot(answer));
      if (answer.ranges.length === 0) this.#fetching = null;
      else this.#open(fetching, answer.minIndex, answer.ranges);
    });
  }

  #open(fetching: Fetching, minIndex: LogIndex, ranges: readonly TableKeyRange[]): void {
    this.#moveTo(fetching, "opening");
    const { from, number } = fetching;
    this.#ports.request(from, { kind: "open", number, minIndex, ranges });
  }

  #opened(fetching: Fetching, id: number, index: LogIndex, isWhole: boolean): void {
    fetching.id = id;
    if (!fetching.holds) {
      this.#close(fetching);
      this.#fetching = null;
      if (isWhole && this.#ports.isLeading()) this.#ports.handTo(fetching.from);
      return;
    }
    this.#moveTo(fetching, "fetching");
    this.#ports.ask({ type: "repairAt", index }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (!isOk(answer)) return this.#giveUp(fetching, whyNot(answer));
      this.#log.info("repairing damage from another member", { shard: this.#shard, from: fetching.from, index });
      this.#askForPiece(fetching);
    });
  }

  #askForPiece(fetching: Fetching): void {
    const { from, number, id, ordinal } = fetching;
    if (id === null) return;
    fetching.isAsked = true;
    fetching.askedMs = this.#clock.monotonicMs();
    this.#ports.request(from, { kind: "read", number, id, ordinal });
  }

  #take(fetching: Fetching, bytes: Uint8Array): void {
    fetching.isAsked = false;
    fetching.movedMs = this.#clock.monotonicMs();
    this.#ports.ask({ type: "repairPiece", bytes: bytes.slice() }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (answer.type !== "repairTaken") return this.#giveUp(fetching, whyNot(answer));
      fetching.ordinal += 1;
      if (answer.isLast) this.#end(fetching);
      else this.#askForPiece(fetching);
    });
  }

  #end(fetching: Fetching): void {
    this.#moveTo(fetching, "ending");
    this.#close(fetching);
    this.#ports.ask({ type: "repairEnd" }, (answer) => {
      if (this.#fetching !== fetching) return;
      if (!isOk(answer)) return this.#giveUp(fetching, whyNot(answer));
      this.#fetching = null;
      this.#attempts = 0;
      this.#nextMs = 0;
      this.#log.info("damage was repaired", { shard: this.#shard, from: fetching.from });
    });
  }

  #moveTo(fetching: Fetching, state: Fetching["state"]): void {
    fetching.state = state;
    fetching.movedMs = this.#clock.monotonicMs();
  }

  #close({ from, number, id }: Fetching): void {
    if (id !== null) this.#ports.request(from, { kind: "close", number, id });
  }

  #giveUp(fetching: Fetching, why: string): void {
    if (this.#fetching !== fetching) return;
    this.#fetching = null;
    if (fetching.state !== "ending") this.#close(fetching);
    if (fetching.holds) this.#ports.tell({ type: "repairAbandon" });
    this.#log.info("damage is not repaired yet", { shard: this.#shard, from: fetching.from, why });
  }
}

function isOk(answer: Answer): boolean {
  return answer.type === "done" && answer.result.kind === "ok";
}
