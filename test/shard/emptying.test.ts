/**
 * A shard that is told to be empty: it holds nothing then, remembers its vote and from where on it may vote again, and goes on
 * as a new one does. Every single call of the disk on the way fails or crashes in turn: what is found is all or nothing.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { ShardReply } from "../../src/bridge/shard-protocol.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { type PlannedFault, SimDisk, SimulatedCrash } from "../../src/sim/sim-disk.ts";
import { KIB, put, ShardHarness, testOptions } from "./shard-harness.ts";

setDefaultTimeout(120_000);

const { log } = testOptions("");
const OPTIONS = { log: { ...log, segmentBytes: 16 * KIB } };
const DIRECTORY = "/d";
const VOTES_FROM = logIndex(500);

function newDisk(): SimDisk {
  return new SimDisk(7, { capacityBytes: 1 << 28, sync: null });
}

function opened(disk: SimDisk): ShardHarness {
  return new ShardHarness({ disk, directory: DIRECTORY, options: OPTIONS });
}

/** Tables, a log behind them, and a vote. Returns what it holds. */
function filled(disk: SimDisk): Map<string, string> {
  const shard = opened(disk);
  shard.send({ type: "saveHardState", term: term(5), vote: nodeId(2) });
  for (let i = 0; i < 30; i++) shard.run(put(`k${i}`, "x".repeat(150)));
  shard.maintain("flush");
  shard.run(put("k1", "newer"));
  const content = shard.content();
  shard.stop();
  return content;
}

/** Throws where the shard fails or the process dies. */
function empty(shard: ShardHarness): ShardReply {
  const reply = shard.ask({ type: "empty", requestId: 0, votesFrom: VOTES_FROM });
  if (reply.type === "emptied") {
    shard.boot = reply.boot;
    shard.lastIndex = 0;
  }
  shard.settle();
  return reply;
}

const NOTHING = { firstIndex: 1, lastIndex: 0, commitIndex: 0, appliedIndex: 0, configurations: [], system: [] };

test("a shard that was emptied holds nothing, and remembers its vote and from where on it counts", () => {
  const disk = newDisk();
  expect(filled(disk).size).toBe(30);
  using shard = opened(disk);
  expect(empty(shard).type).toBe("emptied");
  const kept = { hardTerm: 5, hardVote: 2, votesFrom: VOTES_FROM as number };
  expect(shard.boot as object).toMatchObject({ ...NOTHING, ...kept });
  expect(shard.content().size).toBe(0);
  shard.run(put("k2", "again"));
  expect(shard.content()).toEqual(new Map([["k2", "again"]]));
  shard.stop();
  using again = opened(disk);
  expect(again.boot as object).toMatchObject({ lastIndex: 1, ...kept });
  expect(again.content()).toEqual(new Map([["k2", "again"]]));
});

test("the space of what was there is given back, and emptying goes on from one generation to the next", () => {
  const disk = newDisk();
  filled(disk);
  using shard = opened(disk);
  for (let times = 1; times <= 3; times++) {
    empty(shard);
    for (let i = 0; i < 40; i++) shard.run(put(`k${i}`, "x".repeat(150)));
    while (shard.shard.backgroundStep());
    const directories = disk.list(`${DIRECTORY}/shard-0000`).filter((name) => name.startsWith("generation-"));
    expect(directories).toEqual([`generation-0000000${times}`]);
    expect(disk.list(`${DIRECTORY}/shard-0000`).filter((name) => /^\d{8,}\./.test(name))).toEqual([]);
  }
});

test("a snapshot that was coming is given up, and may come again", () => {
  const disk = newDisk();
  filled(disk);
  using from = new ShardHarness({ disk: newDisk(), directory: DIRECTORY, options: OPTIONS });
  for (let i = 0; i < 60; i++) from.run(put(`s${i}`, "y".repeat(60)));
  const made = from.snapshot();
  if (made.type !== "snapshotMade") throw new Error(made.type);
  using to = opened(disk);
  const begin = { type: "installBegin" as const, requestId: 0, description: made.description };
  expect(to.ask(begin).type).toBe("installBegun");
  expect(empty(to).type).toBe("emptied");
  expect(to.ask({ type: "installEnd", requestId: 0 }).type).toBe("done");
  expect(to.ask(begin).type).toBe("installBegun");
});

const FAULTS: readonly PlannedFault[] = [
  { kind: "crash" },
  { kind: "fail", code: "IO" },
  { kind: "fail", code: "DISKFULL" },
];

for (const fault of FAULTS) {
  const what = fault.kind === "crash" ? "a crash" : `an error ${"code" in fault ? fault.code : ""}`;
  test(`${what} at any call of an emptying leaves everything or nothing, and never less than the vote`, () => {
    const seen = { all: 0, nothing: 0 };
    for (let call = 1; ; call++) {
      const disk = newDisk();
      const before = filled(disk);
      const callsBefore = disk.callCount;
      disk.plan(call, fault);
      let isWhole = false;
      try {
        const shard = opened(disk);
        isWhole = empty(shard).type === "emptied" && !shard.shard.stopped;
      } catch (cause) {
        if (!(cause instanceof EnvelopeError) && !(cause instanceof SimulatedCrash)) throw cause;
      }
      if (isWhole && disk.callCount < callsBefore + call) break;
      disk.cancelPlans();
      disk.crash({ sector: call % 3 === 0 ? 0 : call % 3 === 1 ? 1 : 0.5 });
      using after = opened(disk);
      after.send({ type: "commit", commitIndex: after.boot.lastIndex });
      after.shard.turn();
      const isEmpty = (after.boot.lastIndex as number) === 0;
      seen[isEmpty ? "nothing" : "all"] += 1;
      expect([after.boot.hardTerm, after.boot.hardVote].map(Number), `call ${call}`).toEqual([5, 2]);
      expect(after.content(), `call ${call}`).toEqual(isEmpty ? new Map() : before);
      if (isEmpty) expect(after.boot.votesFrom, `call ${call}`).toBe(VOTES_FROM);
      expect(empty(after).type, `call ${call}`).toBe("emptied");
      expect(after.content().size).toBe(0);
    }
    expect(seen.all).toBeGreaterThan(5);
    if (fault.kind === "crash") expect(seen.nothing).toBeGreaterThan(3);
  });
}
