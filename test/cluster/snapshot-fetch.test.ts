/** A follower's way to a snapshot: whatever comes late or twice, Raft and the shard hear the same end of it. */
import { expect, test } from "bun:test";
import type { Answer, Question } from "../../src/cluster/shard-questions.ts";
import { SnapshotFetch } from "../../src/cluster/snapshot-fetch.ts";
import { logIndex, nodeId } from "../../src/core/ids.ts";
import type { Clock } from "../../src/env/clock.ts";
import { OK } from "../../src/record/result.ts";

const LEADER = nodeId(2);
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

class Follower {
  readonly events: string[] = [];
  readonly fetch: SnapshotFetch;
  nowMs = 0;
  readonly #asked: ((answer: Answer) => void)[] = [];

  constructor() {
    const clock = { monotonicMs: () => this.nowMs } as Clock;
    this.fetch = new SnapshotFetch(0, clock, SILENT, {
      ask: (question: Question, done) => {
        this.events.push(question.type);
        this.#asked.push(done);
      },
      request: (_to, { piece }) => this.events.push(piece === null ? "ask what it is" : `ask at ${piece.offset}`),
      startInstall: () => true,
      installed: () => this.events.push("installed"),
      abandoned: () => this.events.push("abandoned"),
    });
  }

  take(): string[] {
    return this.events.splice(0);
  }

  /** The shard answers the oldest question. */
  answer(answer: Answer): void {
    this.#asked.shift()?.(answer);
  }
}

/** A follower that has everything of a snapshot of one file; its shard has been told to take it over. */
function ending(): Follower {
  const follower = new Follower();
  const { fetch } = follower;
  fetch.begin({ from: LEADER, id: 7, index: logIndex(5) });
  fetch.given(LEADER, { kind: "description", snapshot: 7, description: new Uint8Array(1) });
  follower.answer({ type: "installBegun", requestId: 1, files: [{ byteCount: 3, heldBytes: 0 }] });
  follower.nowMs += 2_500;
  fetch.tick();
  fetch.given(LEADER, { kind: "piece", snapshot: 7, file: 0, offset: 0, bytes: new Uint8Array(3) });
  follower.answer({ type: "done", requestId: 2, result: OK });
  expect(follower.take()).toEqual([
    "ask what it is",
    "installBegin",
    "ask at 0",
    "ask at 0",
    "installPiece",
    "installEnd",
  ]);
  return follower;
}

test("the leader's word that the snapshot is gone comes too late once the shard takes it over", () => {
  const follower = ending();
  // The answer to what was asked a second time.
  follower.fetch.given(LEADER, { kind: "gone", snapshot: 7 });
  expect(follower.take()).toEqual([]);
  follower.answer({ type: "installed", requestId: 3, boot: {} as never });
  expect(follower.take()).toEqual(["installed"]);
});

test("what the shard refuses at the end is abandoned", () => {
  const follower = ending();
  follower.answer({ type: "done", requestId: 3, result: { kind: "error", code: "CORRUPTION", message: "damaged" } });
  expect(follower.take()).toEqual(["abandoned"]);
});

test("a snapshot that is gone before all of it has come is abandoned", () => {
  const follower = new Follower();
  follower.fetch.begin({ from: LEADER, id: 7, index: logIndex(5) });
  follower.fetch.given(LEADER, { kind: "gone", snapshot: 6 });
  follower.fetch.given(nodeId(3), { kind: "gone", snapshot: 7 });
  expect(follower.take()).toEqual(["ask what it is"]);
  follower.fetch.given(LEADER, { kind: "gone", snapshot: 7 });
  expect(follower.take()).toEqual(["abandoned"]);
});
