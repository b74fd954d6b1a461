/** A failure is shrunk to what it takes, and to nothing that does not fail; its written form means the same run. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type ClusterRun, runClusterSim } from "../../src/sim/cluster-sim.ts";
import { describeNumbers, parseNumbers, type Shortening, WHOLE } from "../../src/sim/shortening.ts";
import { shrink } from "../../src/sim/shrink.ts";

setDefaultTimeout(300_000);

const CALM = runClusterSim(1, "hunt", { omitted: new Set([1]), clientsMax: 1, troubledMsMax: 50 });

/** A cluster that fails as long as these misfortunes happen before its time is over, and two clients are there. */
function fragile(needed: readonly number[]) {
  return ({ omitted, clientsMax, troubledMsMax }: Shortening): ClusterRun => {
    const clientCount = Math.min(5, clientsMax);
    const troubledMs = Math.min(4000, troubledMsMax);
    const fails = needed.every((number) => !omitted.has(number)) && clientCount >= 2 && troubledMs >= 900;
    return { ...CALM, violations: fails ? ["broken"] : [], misfortuneCount: 20, clientCount, troubledMs };
  };
}

test.each([[[7]], [[3, 17]], [[1, 2, 19, 20]]])("only misfortunes %j are left", (needed) => {
  const run = fragile(needed);
  const least = shrink(run, WHOLE, run(WHOLE), 1000);
  const left = Array.from({ length: 20 }, (_, i) => i + 1).filter((number) => !least.shortening.omitted.has(number));
  expect(left).toEqual(needed);
  expect(least.run).toMatchObject({ violations: ["broken"], clientCount: 2 });
  expect(least.run.troubledMs).toBeLessThan(1100);
});

test("it ends with what fails when its runs are used up", () => {
  const run = fragile([3, 17]);
  const least = shrink(run, WHOLE, run(WHOLE), 5);
  expect(least.tryCount).toBe(5);
  expect(run(least.shortening).violations).toEqual(["broken"]);
});

test("misfortunes that are left out do not change the others, and the rest of a run is shorter", () => {
  const lines: string[] = [];
  const short = runClusterSim(7, "clocks", { omitted: new Set([2]), clientsMax: 1, troubledMsMax: 900 }, (line) => {
    lines.push(line);
  });
  const whole: string[] = [];
  runClusterSim(7, "clocks", WHOLE, (line) => whole.push(line));
  const struck = (trace: readonly string[], number: number) =>
    trace.map((line) => new RegExp(`nemesis: ${number} (\\w+)`).exec(line)?.[1]).find((found) => found !== undefined);
  expect(short).toMatchObject({ violations: [], clientCount: 1, troubledMs: 900 });
  expect(struck(whole, 2)).toBeDefined();
  expect(struck(lines, 2)).toBeUndefined();
  expect(struck(lines, 1)).toBe(struck(whole, 1) ?? "");
  expect(struck(lines, 3)).toBe(struck(whole, 3) ?? "");
});

test("numbers are written as ranges, and read back", () => {
  const numbers = new Set([4, 1, 2, 3, 9, 12, 11]);
  expect(describeNumbers(numbers)).toBe("1-4,9,11-12");
  expect(parseNumbers("1-4,9,11-12")).toEqual(numbers);
  expect(parseNumbers("4-")).toBeNull();
  expect(parseNumbers("")).toBeNull();
});
