/** A short campaign against every target, and every input that was ever found. `run.ts` goes on for longer. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { memoryUsage } from "bun:jsc";
import { outcomeOf, runCampaign } from "./campaign.ts";
import { FOUND } from "./found.ts";
import { TARGETS } from "./targets.ts";

setDefaultTimeout(60_000);

const INPUTS = 3_000;
const SEED = 20_260;
const HEAP_GROWTH_MAX = 16 * 1024 * 1024;
/** What was ever set aside, used or not: nothing that is only announced may be. */
const MEMORY_GROWTH_MAX = 256 * 1024 * 1024;

describe("whatever comes is read or refused, whole or in pieces, and nothing is kept:", () => {
  for (const target of TARGETS) {
    test(target.name, async () => {
      const before = memoryUsage().peakCommit;
      const { findings, acceptedCount, heapBytesEarly, heapBytesLate } = await runCampaign(target, INPUTS, SEED);
      const told = findings.map(({ inputSeed, what, input }) => ({
        inputSeed,
        what,
        input: Buffer.from(input).toString("hex"),
      }));
      expect(told).toEqual([]);
      expect(acceptedCount).toBeGreaterThan(0);
      expect(acceptedCount).toBeLessThan(INPUTS);
      expect(heapBytesLate - heapBytesEarly).toBeLessThan(HEAP_GROWTH_MAX);
      expect(memoryUsage().peakCommit - before).toBeLessThan(MEMORY_GROWTH_MAX);
    });
  }
});

describe("inputs that were found:", () => {
  for (const { target: name, what, hex, times } of FOUND) {
    test(what, () => {
      const target = TARGETS.find((one) => one.name === name);
      if (target === undefined) throw new Error(`there is no target ${name}`);
      const once = Buffer.from(hex, "hex");
      const input = new Uint8Array(Buffer.concat(new Array<Buffer>(times).fill(once)));
      const before = memoryUsage().peakCommit;
      const outcome = outcomeOf(target, input, 1);
      expect(typeof outcome === "object" ? outcome.what : "none").toBe("none");
      expect(memoryUsage().peakCommit - before).toBeLessThan(MEMORY_GROWTH_MAX);
    });
  }
});
