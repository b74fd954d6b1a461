import { expect, test } from "bun:test";
import { SharedState, STATE_BYTES } from "../../src/bridge/shared-state.ts";
import { WritePace } from "../../src/cluster/write-pace.ts";
import type { Clock } from "../../src/env/clock.ts";

const MIB = 1024 * 1024;

function paced() {
  const state = new SharedState(new SharedArrayBuffer(STATE_BYTES));
  const timers: { atMs: number; run: () => void }[] = [];
  let nowMs = 1000;
  let wakes = 0;
  const clock: Clock = {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    soon: () => undefined,
    after: (ms, run) => {
      timers.push({ atMs: nowMs + ms, run });
      return { cancel: () => undefined };
    },
  };
  const pace = new WritePace(state, clock, () => {
    wakes += 1;
  });
  return {
    state,
    pace,
    wakes: () => wakes,
    pass: (ms: number) => {
      nowMs += ms;
      for (const timer of timers.splice(0)) if (timer.atMs <= nowMs) timer.run();
    },
  };
}

test("without debt nothing is held", () => {
  const { pace } = paced();
  for (let i = 0; i < 100; i++) pace.proposed(MIB);
  expect(pace.isHolding).toBe(false);
});

test("the next entry waits for as long as the bytes before it are to wait, and is then woken once", () => {
  const { state, pace, wakes, pass } = paced();
  state.publishPressure(20_000, 5 * MIB, 0);
  pace.proposed(MIB / 2);
  expect([pace.isHolding, pace.isHolding]).toEqual([true, true]);
  pass(9);
  expect(pace.isHolding).toBe(true);
  pass(1);
  expect(pace.isHolding).toBe(false);
  expect(wakes()).toBeLessThanOrEqual(1);
  expect(state.debtBytes).toBe(5 * MIB);
});

test("waits too short for a timer are saved up", () => {
  const { state, pace } = paced();
  state.publishPressure(1000, 0, 0);
  let count = 0;
  while (!pace.isHolding) {
    pace.proposed(MIB / 10);
    count += 1;
  }
  expect(count).toBe(10);
});
