/**
 * The reads this node has evaluated or asked its shard for, and the proof they wait for. A linearizable read needs two
 * things in any order: its value as of an index that covers everything committed when it arrived, and a round of the
 * quorum, begun after it arrived, that confirms the leader (ReadIndex, Raft dissertation §6.4). Reads of one turn share
 * one round, here a gate. A single voter needs no round, nor does a read for which the leader's lease holds from before
 * it until after it. Main thread only.
 */
import type { Result } from "../record/result.ts";
import { errorResult } from "../record/result.ts";
import type { Waiter } from "./coordinator.ts";

const LEADER_LOST: Result = errorResult("UNAVAILABLE", "the leader changed during the read; it is safe to retry");
const TOO_LATE: Result = errorResult("UNAVAILABLE", "the read was not confirmed in time; it is safe to retry");

/** What shows that a read sees all it has to: a round, the leader's lease in its place, or the index it is read at. */
export type Proof = "round" | "lease" | "index";

type GateState = "waiting" | "confirmed" | "failed";

/** One round of confirmation and the reads that share it. */
export interface ReadGate {
  readonly context: number;
  readonly openedMs: number;
  state: GateState;
  readonly evaluated: PendingRead[];
}

interface PendingRead {
  readonly waiter: Waiter;
  readonly tag: number;
  /** Null: needs no confirmation. */
  readonly gate: ReadGate | null;
  /** Begun without a gate because the leader's lease held. */
  readonly isOnLease: boolean;
  readonly askedMs: number;
  result: Result | null;
}

export class PendingReads {
  /** Reads whose value the shard still owes, by request id. */
  readonly #asked = new Map<number, PendingRead>();
  readonly #gates = new Map<number, ReadGate>();
  #lastRequest = 0;
  #lastContext = 0;

  get count(): number {
    return this.#asked.size + this.#gates.size;
  }

  openGate(nowMs: number): ReadGate {
    const gate: ReadGate = { context: ++this.#lastContext, openedMs: nowMs, state: "waiting", evaluated: [] };
    this.#gates.set(gate.context, gate);
    return gate;
  }

  /** A read whose value is known already and only waits for its gate. `result` must own its bytes. */
  evaluated(waiter: Waiter, tag: number, gate: ReadGate, result: Result): void {
    if (gate.state === "failed") waiter.resolve(tag, LEADER_LOST);
    else gate.evaluated.push({ waiter, tag, gate, isOnLease: false, askedMs: gate.openedMs, result });
  }

  /** A read the shard is asked for; returns the request id under which its answer comes. */
  ask(waiter: Waiter, tag: number, gate: ReadGate | null, isOnLease: boolean, nowMs: number): number {
    const requestId = ++this.#lastRequest;
    this.#asked.set(requestId, { waiter, tag, gate, isOnLease, askedMs: nowMs, result: null });
    return requestId;
  }

  /** `gateAfterLease`: what a read that was begun on a lease has to wait for now. */
  answered(requestId: number, result: Result, gateAfterLease: () => ReadGate | null): void {
    const read = this.#asked.get(requestId);
    if (read === undefined) return;
    this.#asked.delete(requestId);
    const gate = read.isOnLease ? gateAfterLease() : read.gate;
    if (gate === null || gate.state === "confirmed") read.waiter.resolve(read.tag, result);
    else if (gate.state === "failed") read.waiter.resolve(read.tag, LEADER_LOST);
    else {
      read.result = result;
      gate.evaluated.push(read);
    }
  }

  confirmed(context: number): void {
    this.#settle(context, "confirmed", null);
  }

  failed(context: number): void {
    this.#settle(context, "failed", LEADER_LOST);
  }

  /**
   * This node leads no more. A read that waits for its connection's own write would be answered as of that write's index,
   * where another leader's log may hold what the connection has sent later; and any read can be sent again.
   */
  leaderLost(): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { waiter, tag } of asked) waiter.resolve(tag, LEADER_LOST);
  }

  /** Gives up on what was asked at or before `askedMs`: a read can always be sent again. */
  expire(askedMs: number): void {
    for (const gate of this.#gates.values()) {
      if (gate.openedMs > askedMs) break;
      this.#settle(gate.context, "failed", TOO_LATE);
    }
    for (const [requestId, read] of this.#asked) {
      if (read.askedMs > askedMs) break;
      this.#asked.delete(requestId);
      read.waiter.resolve(read.tag, TOO_LATE);
    }
  }

  #settle(context: number, state: GateState, failure: Result | null): void {
    const gate = this.#gates.get(context);
    if (gate === undefined) return;
    this.#gates.delete(context);
    gate.state = state;
    for (const read of gate.evaluated) {
      const result = failure ?? read.result;
      if (result !== null) read.waiter.resolve(read.tag, result);
    }
    gate.evaluated.length = 0;
  }
}
