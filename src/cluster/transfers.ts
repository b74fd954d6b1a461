/**
 * Leadership handed over because somebody has asked for it, on any node: the one that leads is told, and whoever asked is
 * answered when the other one leads, or does not in time. Main thread only.
 */
import { nodeId, type NodeId } from "../core/ids.ts";
import { ByteReader } from "../core/byte-reader.ts";
import type { Clock } from "../env/clock.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { Lane } from "./lane.ts";
import type { PeerTransport } from "./peer-transport.ts";

/** A leader that hands over gives up after the least election timeout; its successor has an election to win. */
const ELECTIONS_MAX = 3;

interface Awaited {
  readonly lane: Lane;
  readonly to: NodeId;
  readonly deadlineMs: number;
  readonly done: (result: Result) => void;
}

export class Transfers {
  readonly #self: NodeId;
  readonly #lanes: readonly Lane[];
  readonly #transport: Pick<PeerTransport, "frame">;
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #reader = new ByteReader("PROTOCOL", "a transfer");
  #awaited: Awaited[] = [];

  constructor(
    self: NodeId,
    lanes: readonly Lane[],
    transport: Pick<PeerTransport, "frame">,
    electionMs: number,
    clock: Clock,
  ) {
    this.#self = self;
    this.#lanes = lanes;
    this.#transport = transport;
    this.#patienceMs = ELECTIONS_MAX * electionMs;
    this.#clock = clock;
  }

  /** Has a voter of a shard lead it; ok, or UNAVAILABLE, or INVALID_ARGUMENT for a shard that is none. */
  ask(shard: number, to: NodeId, done: (result: Result) => void): void {
    const lane = this.#lanes[shard];
    if (lane === undefined) return done(errorResult("INVALID_ARGUMENT", `there is no shard ${shard}`));
    const { leader, group } = lane;
    if (leader === to) return done(OK);
    if (leader === this.#self) group.handOverTo(to);
    else this.#transport.frame(leader, FrameType.handOver, shard, (writer) => writer.u16(to));
    this.#awaited.push({ lane, to, deadlineMs: this.#clock.monotonicMs() + this.#patienceMs, done });
  }

  /** Another node asks this one to hand a shard over. Throws PROTOCOL. */
  asked(lane: Lane, body: Uint8Array): void {
    const to = nodeId(this.#reader.over(body).u16());
    if (lane.group.accepting) lane.group.handOverTo(to);
  }

  /** Called now and then: whoever waits for what has come about is told. */
  look(): void {
    if (this.#awaited.length === 0) return;
    const awaited = this.#awaited;
    this.#awaited = [];
    const nowMs = this.#clock.monotonicMs();
    for (const one of awaited) {
      if (one.lane.leader === one.to) one.done(OK);
      else if (nowMs < one.deadlineMs) this.#awaited.push(one);
      else one.done(errorResult("UNAVAILABLE", "it has not taken over in time; it is safe to retry"));
    }
  }
}
