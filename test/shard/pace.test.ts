import { expect, setDefaultTimeout, test } from "bun:test";
import { compactionBudget, flushBudget, type Pressure, writeDelayMicros } from "../../src/shard/pace.ts";

setDefaultTimeout(60_000);

const MIB = 1024 * 1024;
const STEP = 128 * 1024;
const NO_PRESSURE: Pressure = { excessRuns: 0, level0Tables: 4, debtBytes: 0, debtBytesMax: 1024 * MIB };

function pressed(more: Partial<Pressure>): Pressure {
  return { ...NO_PRESSURE, ...more };
}

test("a flush paced by what is written ends before the arena is full, whatever the batches are", () => {
  for (const batch of [1, 30, 500, 1000].map((kib) => kib * 1024)) {
    let done = 0;
    let used = 0;
    const arena = 64 * MIB;
    while (done < 2 * arena) {
      used += batch;
      expect(used, `batches of ${batch}`).toBeLessThan(arena);
      done += flushBudget(STEP, batch, arena, done, { leftBytes: arena - used, arenaBytes: arena });
    }
  }
});

test("a compaction of the whole debt ends before so many runs have come that writers are slowed", () => {
  const arena = 64 * MIB;
  const batch = 100 * 1024;
  const debtBytes = 512 * MIB;
  let done = 0;
  let written = 0;
  while (done < debtBytes * 2) {
    written += batch;
    const excessRuns = Math.floor(written / arena);
    expect(excessRuns).toBeLessThan(4);
    done += compactionBudget(STEP, batch, arena, pressed({ debtBytes, excessRuns }));
  }
});

test("no step is larger than a bounded number of steps, however far behind, and all are whole bytes", () => {
  const far = pressed({ debtBytes: 1e12, excessRuns: 100 });
  expect(compactionBudget(STEP, MIB, MIB, far)).toBe(32 * STEP);
  expect(flushBudget(STEP, MIB, 64 * MIB, 0, { leftBytes: 0, arenaBytes: 64 * MIB })).toBe(32 * STEP);
  const some = pressed({ debtBytes: 12_345_679 });
  expect(Number.isInteger(compactionBudget(STEP, 777, 64 * MIB, some))).toBe(true);
  expect(Number.isInteger(flushBudget(STEP, 77_777, 64 * MIB, 3, { leftBytes: 33 * MIB, arenaBytes: 64 * MIB }))).toBe(
    true,
  );
});

test("nothing is asked for and nobody is slowed while nothing is due", () => {
  expect(compactionBudget(STEP, MIB, 64 * MIB, NO_PRESSURE)).toBe(0);
  expect(writeDelayMicros(NO_PRESSURE)).toBe(0);
  expect(writeDelayMicros(pressed({ excessRuns: 4, debtBytes: 1024 * MIB }))).toBe(0);
});

test("the delay grows steadily with runs and with debt, up to a bound", () => {
  let last = 0;
  for (let excessRuns = 5; excessRuns <= 16; excessRuns++) {
    const delay = writeDelayMicros(pressed({ excessRuns }));
    expect(delay).toBeGreaterThan(last);
    last = delay;
  }
  expect(writeDelayMicros(pressed({ excessRuns: 1000 }))).toBe(last);
  expect(writeDelayMicros(pressed({ debtBytes: 4096 * MIB }))).toBe(last);
  expect(writeDelayMicros(pressed({ debtBytes: 1100 * MIB }))).toBeLessThan(last / 100);
});
