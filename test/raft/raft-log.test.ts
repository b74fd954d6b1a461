/** The core's view of the log: terms of all of it, entries of its end, and what the disk has of it. */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId, Term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { RaftEntry } from "../../src/raft/messages.ts";
import { RaftLog } from "../../src/raft/raft-log.ts";
import { Durable } from "./support/member.ts";

function entry(index: number, term: number, size = 1): RaftEntry {
  return { index: index as LogIndex, term: term as Term, bytes: new Uint8Array(size), configuration: null };
}

function log(terms: readonly number[], tailBytesMax = 1000, voters: readonly number[] = [1, 2]): RaftLog {
  const durable = new Durable();
  durable.entries = terms.map((term, i) => entry(i + 1, term));
  const configuration = { voters: voters as NodeId[], learners: [] };
  return new RaftLog({ ...durable.boot(), configurations: [{ index: 0 as LogIndex, configuration }] }, tailBytesMax);
}

function indexes(entries: readonly RaftEntry[]): number[] {
  return entries.map(({ index }) => index);
}

describe("terms", () => {
  test("are known for the whole retained log and the entry before it, and nowhere else", () => {
    const durable = new Durable();
    durable.firstIndex = 5;
    durable.previousTerm = 2;
    durable.commitIndex = 4;
    durable.entries = [entry(5, 2), entry(6, 3), entry(7, 3)];
    const retained = new RaftLog(durable.boot(), 0);
    expect([3, 4, 5, 6, 7, 8].map((index) => retained.termAt(index) as number | undefined)).toEqual([
      undefined,
      2,
      2,
      3,
      3,
      undefined,
    ]);
  });

  test("agree with a plain array through random appends and truncations, and so does the search back", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const real = log([]);
      const model: number[] = [];
      let term = 1;
      for (let step = 0; step < 60; step++) {
        if (random.chance(0.3)) term += 1;
        const from = random.chance(0.3) ? random.between(1, model.length + 1) : model.length + 1;
        const kept = model.slice(0, from - 1);
        if (model[from - 1] === term) continue;
        real.merge([entry(from, term)], 0);
        model.splice(0, model.length, ...kept, term);
        const limit = random.between(0, term);
        const start = random.between(0, model.length);
        let expected = start;
        while (expected > 0 && model[expected - 1]! > limit) expected -= 1;
        expect(`${seed}: ${real.lastAtOrBelow(start, limit)}`).toBe(`${seed}: ${expected}`);
        expect(model.map((_, i) => real.termAt(i + 1) as number)).toEqual(model);
      }
    }
  });
});

describe("persistence", () => {
  test("every entry is handed out once, in order", () => {
    const one = log([1]);
    one.append(entry(2, 1));
    one.append(entry(3, 1));
    expect(indexes(one.takeUnwritten())).toEqual([2, 3]);
    expect(one.takeUnwritten()).toEqual([]);
    one.append(entry(4, 1));
    expect(indexes(one.takeUnwritten())).toEqual([4]);
  });

  test("a report of a superseded entry counts for nothing", () => {
    const one = log([1]);
    one.append(entry(2, 1));
    one.takeUnwritten();
    one.merge([entry(2, 2)], 1);
    one.persisted(2, 1);
    expect(one.persistedIndex as number).toBe(1);
    expect(indexes(one.takeUnwritten())).toEqual([2]);
    one.persisted(2, 2);
    expect(one.persistedIndex as number).toBe(2);
  });

  test("an entry that comes back after being superseded is not taken for the first copy of it", () => {
    const disk: string[] = [];
    const one = log([1]);
    const write = (): void => {
      for (const { index, term } of one.takeUnwritten()) disk.push(`${index}@${term}`);
    };
    one.append(entry(2, 1));
    write();
    one.merge([entry(2, 2)], 1);
    write();
    one.merge([entry(2, 1), entry(3, 3)], 1);
    write();
    // Whatever has been written is consistent: a report names it without ambiguity.
    expect(disk).toEqual(["2@1"]);
    one.persisted(2, 1);
    expect(one.persistedIndex as number).toBe(2);
    write();
    expect(disk).toEqual(["2@1", "3@3"]);
    one.persisted(3, 3);
    expect(one.persistedIndex as number).toBe(3);
  });

  test("a truncated entry is no longer on disk, even if it comes back the same", () => {
    const one = log([1, 1, 1]);
    one.merge([entry(2, 2)], 1);
    one.takeUnwritten();
    one.persisted(2, 2);
    one.merge([entry(2, 1), entry(3, 3)], 1);
    expect(one.persistedIndex as number).toBe(1);
    expect(indexes(one.takeUnwritten())).toEqual([2, 3]);
  });
});

describe("the tail in memory", () => {
  test("keeps its bound, but nothing that is uncommitted or not on disk is evicted", () => {
    const one = log([], 30);
    for (let index = 1; index <= 10; index++) one.append(entry(index, 1, 10));
    one.takeUnwritten();
    one.commitTo(10);
    expect(one.tailFirstIndex as number).toBe(1);
    one.persisted(4, 1);
    expect(one.tailFirstIndex as number).toBe(5);
    one.persisted(10, 1);
    expect(one.tailFirstIndex as number).toBe(8);
    expect(indexes(one.entriesFrom(8, 20))).toEqual([8, 9]);
    expect(indexes(one.entriesFrom(8, 1))).toEqual([8]);
  });

  test("is for others: where there is nobody else, nothing stays that is on disk", () => {
    const one = log([], 30, [1]);
    for (let index = 1; index <= 10; index++) one.append(entry(index, 1, 10));
    one.takeUnwritten();
    one.commitTo(10);
    one.persisted(9, 1);
    expect(one.tailFirstIndex as number).toBe(10);
  });

  test("uncommitted entries stay, whatever the disk says", () => {
    const one = log([], 0);
    for (let index = 1; index <= 3; index++) one.append(entry(index, 1, 10));
    one.takeUnwritten();
    one.persisted(3, 1);
    expect(one.tailFirstIndex as number).toBe(1);
    expect(one.bytesOf(1, 3)).toBe(30);
  });
});

test("a committed entry is never removed", () => {
  const one = log([1, 1, 1]);
  one.commitTo(2);
  expect(() => one.merge([entry(2, 2)], 0)).toThrow("never removed");
});
