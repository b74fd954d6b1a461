/** When an open entry waits for more writers, and when it does not. */
import { expect, test } from "bun:test";
import { Gathering } from "../../src/cluster/gathering.ts";
import { StillClock } from "./leading-group.ts";

/** An entry of ten commands took 1 ms to commit; ten more had gathered meanwhile. */
function afterCommit() {
  let looks = 0;
  const clock = new StillClock();
  const runs: (() => void)[] = [];
  clock.after = (_ms?: number, run?: () => void) => {
    if (run !== undefined) runs.push(run);
    return { cancel: () => undefined };
  };
  const gathering = new Gathering(clock, () => {
    looks += 1;
  });
  const commit = (answered: number, open: number) => {
    clock.nowMs += 1;
    gathering.committed(answered, open, clock.nowMs - 1);
  };
  commit(10, 10);
  return { clock, gathering, commit, runs, looks: () => looks };
}

test("behind an entry that is under way the next one always gathers", () => {
  const { gathering, clock } = afterCommit();
  clock.nowMs += 1000;
  expect(gathering.waits(100, 1)).toBe(true);
});

test("the answered writers are waited for, until most of them are back", () => {
  const { gathering } = afterCommit();
  expect([10, 17, 18].map((open) => gathering.waits(open, 0))).toEqual([true, true, false]);
});

test("nobody is waited for longer than the commit took, and somebody looks", () => {
  const { gathering, clock, runs, looks } = afterCommit();
  expect(gathering.waits(10, 0)).toBe(true);
  expect(gathering.waits(11, 0)).toBe(true);
  expect(runs.length).toBe(1);
  clock.nowMs += 1;
  runs[0]?.();
  expect([looks(), gathering.waits(11, 0)]).toEqual([1, false]);
});

test("a slow disk does not make the wait longer than its limit", () => {
  const { gathering, clock } = afterCommit();
  clock.nowMs += 500;
  gathering.committed(10, 10, clock.nowMs - 500);
  clock.nowMs += 3;
  expect(gathering.waits(10, 0)).toBe(false);
});

test("a first write after a quiet time does not wait", () => {
  const { gathering, clock, commit } = afterCommit();
  commit(1, 0);
  expect(gathering.waits(1, 0)).toBe(false);
  commit(10, 0);
  clock.nowMs += 50;
  expect(gathering.waits(1, 0)).toBe(false);
});

test("waits in vain become rare, and one that was worth it makes them usual again", () => {
  const { gathering, clock, commit } = afterCommit();
  const waitsAfter = (open: number): boolean => {
    commit(10, 10);
    const did = gathering.waits(10, 0);
    clock.nowMs += 2;
    if (did) gathering.waits(open, 0);
    gathering.proposed();
    return did;
  };
  const inVain = Array.from({ length: 12 }, () => waitsAfter(10));
  expect(inVain.map(Number).join("")).toBe("101001000010");
  const rest = Array.from({ length: 200 }, () => waitsAfter(20));
  expect(rest.slice(-5)).toEqual([true, true, true, true, true]);
});
