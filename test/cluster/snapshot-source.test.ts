/** A leader's snapshots: one for all who come, and whoever asks for one that is gone is offered another. */
import { expect, test } from "bun:test";
import type { Answer, Question } from "../../src/cluster/shard-questions.ts";
import { SnapshotSource } from "../../src/cluster/snapshot-source.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import type { Clock } from "../../src/env/clock.ts";

const [A, B] = [nodeId(2), nodeId(3)];
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

class Leader {
  readonly events: string[] = [];
  readonly source: SnapshotSource;
  nowMs = 0;
  /** The index at which the shard's tables end. */
  flushedIndex = 10;
  canRead = true;
  #lastId = 0;

  constructor() {
    const clock = { monotonicMs: () => this.nowMs } as Clock;
    this.source = new SnapshotSource(0, clock, SILENT, {
      ask: (question, done) => done(this.#answer(question)),
      drop: (id) => this.events.push(`drop ${id}`),
      offer: (to, { id, index }) => this.events.push(`offer ${to} ${id} at ${index}`),
      failed: (to) => this.events.push(`failed ${to}`),
      give: (to, { kind, snapshot }) => this.events.push(`give ${to} ${kind} of ${snapshot}`),
    });
  }

  #answer(question: Question): Answer {
    if (question.type === "snapshot") {
      const id = ++this.#lastId;
      const bytes = new Uint8Array(3);
      const place = { index: logIndex(this.flushedIndex), term: term(1) };
      return { type: "snapshotMade", requestId: 1, id, ...place, configuration: bytes, description: bytes };
    }
    if (this.canRead) return { type: "snapshotPiece", requestId: 1, bytes: new Uint8Array(1) };
    return { type: "done", requestId: 1, result: { kind: "error", code: "CORRUPTION", message: "unreadable" } };
  }

  take(): string[] {
    return this.events.splice(0);
  }
}

test("one snapshot serves all whom it brings to where the log begins; a later one takes its place", () => {
  const leader = new Leader();
  const { source } = leader;
  source.wanted(A, logIndex(11));
  source.wanted(B, logIndex(11));
  expect(leader.take()).toEqual(["offer 2 1 at 10", "offer 3 1 at 10"]);
  leader.flushedIndex = 20;
  source.wanted(B, logIndex(15));
  expect(leader.take()).toEqual(["drop 1", "offer 3 2 at 20"]);
  source.asked(A, { snapshot: 1, piece: null });
  expect(leader.take()).toEqual(["give 2 gone of 1", "failed 2"]);
  source.wanted(A, logIndex(15));
  source.asked(A, { snapshot: 2, piece: { file: 0, offset: 0, byteCount: 1 } });
  expect(leader.take()).toEqual(["offer 2 2 at 20", "give 2 piece of 2"]);
});

test("one that cannot be read is dropped, and one that nobody asks for after a while", () => {
  const leader = new Leader();
  const { source } = leader;
  source.wanted(A, logIndex(1));
  leader.canRead = false;
  source.asked(A, { snapshot: 1, piece: { file: 0, offset: 0, byteCount: 1 } });
  expect(leader.take()).toEqual(["offer 2 1 at 10", "drop 1", "give 2 gone of 1", "failed 2"]);
  source.wanted(A, logIndex(1));
  leader.nowMs += 60_000;
  source.tick();
  expect(leader.take()).toEqual(["offer 2 2 at 10"]);
  leader.nowMs += 1;
  source.tick();
  expect(leader.take()).toEqual(["drop 2"]);
});
