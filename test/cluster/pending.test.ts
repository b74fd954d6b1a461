/** What clients are told: each operation exactly once, and never more than is known. */
import { expect, test } from "bun:test";
import { logIndex, type LogIndex, type Term, term } from "../../src/core/ids.ts";
import { newPendingEntry, PendingWrites } from "../../src/cluster/pending-writes.ts";
import { PendingReads } from "../../src/cluster/pending-reads.ts";
import { integerResult, NIL, type Result } from "../../src/record/result.ts";

function recorder() {
  const said: string[] = [];
  return {
    said,
    resolve: (tag: number, result: Result) => {
      said.push(`${tag}:${result.kind === "error" ? result.code : result.kind}`);
    },
  };
}

function entry(index: number, entryTerm: number, waiter: ReturnType<typeof recorder>, proposedMs = 0) {
  const pending = newPendingEntry();
  pending.index = index;
  pending.term = entryTerm;
  pending.proposedMs = proposedMs;
  pending.commitWaiters.push(waiter);
  pending.commitTags.push(index * 10);
  pending.applyWaiters.push(waiter, waiter);
  pending.applyTags.push(index * 10 + 1, index * 10 + 2);
  pending.applyOrdinals.push(1, 2);
  return pending;
}

const noLease = () => {
  throw new Error("no read was begun on a lease");
};

const terms =
  (known: Record<number, number>) =>
  (index: LogIndex): Term | undefined => {
    const found = known[index];
    return found === undefined ? undefined : term(found);
  };

test("a put is answered at its commit, a computed write at its result", () => {
  const waiter = recorder();
  const writes = new PendingWrites();
  writes.add(entry(1, 4, waiter));
  writes.add(entry(2, 4, waiter));
  writes.committed(logIndex(1), terms({ 1: 4, 2: 4 }));
  expect(waiter.said).toEqual(["10:ok"]);
  writes.applied(logIndex(1), 1, integerResult(7));
  writes.applied(logIndex(1), 2, NIL);
  expect(waiter.said).toEqual(["10:ok", "11:integer", "12:nil"]);
  writes.committed(logIndex(2), terms({ 1: 4, 2: 4 }));
  expect(waiter.said.slice(3)).toEqual(["20:ok"]);
  expect(writes.count).toBe(1);
});

test("an entry of another term at the index means not executed, and a result for it is nobody's", () => {
  const waiter = recorder();
  const writes = new PendingWrites();
  writes.add(entry(1, 4, waiter));
  writes.committed(logIndex(3), terms({ 1: 5 }));
  writes.applied(logIndex(1), 1, integerResult(1));
  expect(waiter.said).toEqual(["10:UNAVAILABLE", "11:UNAVAILABLE", "12:UNAVAILABLE"]);
  expect(writes.count).toBe(0);
});

test("what stands behind the commit in an older term's log will never be committed, and keeps nobody waiting", () => {
  const waiter = recorder();
  const writes = new PendingWrites();
  for (const index of [10, 11, 12, 13, 14]) writes.add(entry(index, 4, waiter));
  // Another leader's entry has taken the place of all but the first; this node leads again and proposes behind its own.
  writes.add(entry(13, 6, waiter));
  writes.committed(logIndex(10), terms({ 10: 4 }));
  writes.applied(logIndex(10), 1, NIL);
  expect(waiter.said).toEqual(["100:ok", "101:nil"]);
  writes.committed(logIndex(13), terms({ 10: 4, 11: 5, 12: 6, 13: 6 }));
  const older = [11, 12, 13, 14].flatMap((index) => [0, 1, 2].map((which) => `${index * 10 + which}:UNAVAILABLE`));
  expect(waiter.said.slice(2)).toEqual([...older, "130:ok"]);
});

test("an entry that the log does not reach back to any more may have been committed: unknown", () => {
  const waiter = recorder();
  const writes = new PendingWrites();
  writes.add(entry(1, 4, waiter));
  writes.committed(logIndex(9), terms({ 9: 5 }));
  expect(waiter.said).toEqual(["10:UNKNOWN_OUTCOME", "11:UNKNOWN_OUTCOME", "12:UNKNOWN_OUTCOME"]);
  expect(writes.count).toBe(0);
});

test("what is late is unknown, never failed, and is answered once", () => {
  const waiter = recorder();
  const writes = new PendingWrites();
  writes.add(entry(1, 4, waiter, 100));
  writes.add(entry(2, 4, waiter, 200));
  writes.committed(logIndex(1), terms({ 1: 4 }));
  writes.applied(logIndex(1), 1, NIL);
  writes.expire(150);
  expect(waiter.said).toEqual(["10:ok", "11:nil", "12:UNKNOWN_OUTCOME"]);
  writes.expire(250);
  expect(waiter.said.slice(3)).toEqual(["20:UNKNOWN_OUTCOME", "21:UNKNOWN_OUTCOME", "22:UNKNOWN_OUTCOME"]);
  writes.committed(logIndex(2), terms({ 1: 4, 2: 4 }));
  expect(waiter.said.length).toBe(6);
});

test("a read leaves only with both its value and the leader's confirmation, in either order", () => {
  const waiter = recorder();
  const reads = new PendingReads();
  const gate = reads.openGate(0);
  const first = reads.ask(waiter, 1, gate, false, 0);
  const second = reads.ask(waiter, 2, gate, false, 0);
  reads.evaluated(waiter, 3, gate, NIL);
  reads.answered(first, NIL, noLease);
  expect(waiter.said).toEqual([]);
  reads.confirmed(gate.context);
  expect(waiter.said).toEqual(["3:nil", "1:nil"]);
  reads.answered(second, NIL, noLease);
  expect(waiter.said).toEqual(["3:nil", "1:nil", "2:nil"]);
  expect(reads.count).toBe(0);
});

test("reads pending when the leader changes fail clearly, the late values too", () => {
  const waiter = recorder();
  const reads = new PendingReads();
  const gate = reads.openGate(0);
  const asked = reads.ask(waiter, 1, gate, false, 0);
  reads.evaluated(waiter, 2, gate, NIL);
  reads.failed(gate.context);
  reads.answered(asked, NIL, noLease);
  expect(waiter.said).toEqual(["2:UNAVAILABLE", "1:UNAVAILABLE"]);
});
