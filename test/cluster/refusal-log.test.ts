/** Refusals are told apart while they are few, and counted while they are many. */
import { expect, test } from "bun:test";
import { RefusalLog } from "../../src/cluster/refusal-log.ts";

test("five lines a minute, then one with how many more there were", () => {
  const lines: string[] = [];
  let minuteIsOver: () => void = () => undefined;
  const quiet = { debug: () => undefined, info: () => undefined, error: () => undefined };
  const warn = (message: string, fields?: Record<string, unknown>): void => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  const clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    after: (_: number, run: () => void) => {
      minuteIsOver = run;
      return { cancel: () => undefined };
    },
    soon: () => undefined,
  };
  const refusals = new RefusalLog(clock, { ...quiet, warn }, "peer");
  for (let i = 0; i < 1000; i++) refusals.note(`somebody:${i}`, "no");
  expect(lines).toHaveLength(5);
  expect(lines[4]).toBe('connection refused {"port":"peer","from":"somebody:4","why":"no"}');
  minuteIsOver();
  expect(lines[5]).toBe('more connections refused {"port":"peer","count":995}');
  refusals.note("somebody", "no");
  minuteIsOver();
  expect(lines).toHaveLength(7);
});
