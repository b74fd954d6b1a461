/** A start that finds the log damaged, where there are others who have what it held: what goes on, what is said, and until when. */
import { expect, test } from "bun:test";
import type { LostEnd } from "../../src/bridge/shard-protocol.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { SimulatedCrash } from "../../src/sim/sim-disk.ts";
import { encodeEntry, KIB, put, testOptions } from "./shard-harness.ts";
import { Replica, ROOT } from "./replicas.ts";

const { log } = testOptions("");
const OPTIONS = { hasPeers: true, log: { ...log, segmentBytes: 64 * KIB } };
/** Every so many calls of a start the process dies. */
const CALLS_APART = 5;
const SEGMENT = /\d{8}\.evp$/;

/** Writes enough for several segments; the tables end somewhere in the second one if anything is flushed. */
function written(options: object, flushAt: number | null): Replica {
  const replica = new Replica({ ...OPTIONS, ...options });
  replica.send({ type: "saveHardState", term: term(4), vote: nodeId(2) });
  for (let i = 0; i < 80; i++) {
    replica.append([put(`k${i}`, `${i}`.padEnd(4000, "-"))], { term: 3 });
    replica.shard.turn();
    if (i === flushAt) replica.maintain("flush");
  }
  return replica;
}

function segmentsOf(replica: Replica): string[] {
  return replica.disk.files().filter((path) => SEGMENT.test(path));
}

/** Damages a group of the n-th segment. */
function damage(replica: Replica, segment: number): void {
  const path = segmentsOf(replica)[segment];
  if (path === undefined) throw new Error("there are too few segments");
  for (const position of [9000, 9001, 20_000]) replica.disk.flipBit(path, position, 3);
}

/** The leader of a later term sends everything behind what is there. */
function sendAll(replica: Replica, through: number, ofTerm: number): void {
  for (let index = replica.boot.lastIndex + 1; index <= through; index++) {
    const entry = encodeEntry(index, ofTerm, [put(`k${index - 1}`, `again ${index - 1}`)], replica.stamps);
    replica.send({
      type: "append",
      entries: [entry],
      commitIndex: logIndex(index),
      applyThrough: logIndex(index),
      wantResults: false,
    });
    replica.shard.turn();
  }
  replica.settle();
}

const KNOWN: LostEnd = { lastIndex: logIndex(80), lastTerm: term(3) };

for (const [what, segment, flushAt] of [
  ["before anything is in tables", 0, null],
  ["behind what is in tables", 3, 20],
  ["before what is in tables ends", 0, 40],
] as const) {
  test(`damage ${what}: the log ends before it, the end it had is known, and it is whole again in a later term`, () => {
    using replica = written({}, flushAt);
    replica.disk.crash({ sector: 1 });
    damage(replica, segment);
    replica.reopen();
    const { boot } = replica;
    expect(boot.lostEnd).toEqual(KNOWN);
    expect(boot.lastIndex).toBeLessThan(80);
    expect(boot.lastIndex).toBeGreaterThanOrEqual((flushAt ?? -1) + 1);
    expect(boot.hardTerm as number).toBe(5);
    expect(boot.hardVote as number).toBe(0);
    // A restart knows nothing else.
    replica.reopen();
    expect(replica.boot).toMatchObject({ lostEnd: KNOWN, lastIndex: boot.lastIndex, hardTerm: term(5) });
    // Entries of an earlier term do not make it whole: their leader may count on what was acknowledged before.
    sendAll(replica, 79, 4);
    expect(replica.ofType("logWhole")).toEqual([]);
    replica.reopen();
    expect(replica.boot.lostEnd).toEqual(KNOWN);
    sendAll(replica, 80, 5);
    expect(replica.ofType("logWhole").length).toBe(1);
    expect(replica.disk.files().filter((path) => /log-loss|\.lost$/.test(path))).toEqual([]);
    replica.reopen();
    expect(replica.boot).toMatchObject({ lostEnd: null, lastIndex: logIndex(80) });
    expect(replica.get("k79")).toBe("again 79");
    if (flushAt !== null) expect(replica.get("k5")).toBe("5".padEnd(4000, "-"));
  });
}

test("where the last bytes are damaged too, nobody knows where the log ended", () => {
  using replica = written({}, null);
  replica.disk.crash({ sector: 1 });
  damage(replica, 0);
  const last = segmentsOf(replica).at(-1) ?? "";
  for (let position = 4100; position < 60_000; position += 1000) replica.disk.flipBit(last, position, 1);
  replica.reopen();
  expect(replica.boot.lostEnd).toEqual({ lastIndex: logIndex(0), lastTerm: term(0) });
});

test("where nobody else has it, a damaged log is refused, and nothing is changed", () => {
  // Not to be stopped at the end: it does not run.
  const replica = written({ hasPeers: false }, 20);
  replica.disk.crash({ sector: 1 });
  damage(replica, 3);
  const before = replica.disk.files().join();
  expect(() => replica.reopen()).toThrow("bytes that were durable are damaged");
  expect(replica.disk.files().join()).toBe(before);
});

test("whenever the process dies while it cuts its log, the next start says that something is lost", () => {
  for (const [segment, flushAt] of [
    [3, 20],
    [0, 40],
  ] as const) {
    let isThrough = false;
    for (let calls = 1; !isThrough; calls += CALLS_APART) {
      const replica = written({}, flushAt);
      replica.disk.crash({ sector: 1 });
      damage(replica, segment);
      replica.disk.plan(calls, { kind: "crash" });
      try {
        replica.reopen();
        isThrough = true;
      } catch (cause) {
        if (!(cause instanceof SimulatedCrash)) throw cause;
        replica.disk.crash({ sector: 0 });
        replica.reopen();
      }
      replica.disk.cancelPlans();
      expect(replica.boot.lostEnd, `${calls} calls, segment ${segment}`).not.toBeNull();
      sendAll(replica, 80, 6);
      expect(replica.ofType("logWhole").length, `${calls} calls, segment ${segment}`).toBe(1);
      expect(replica.disk.exists(ROOT)).toBe(true);
    }
  }
}, 120_000);
