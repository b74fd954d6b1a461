/** Mistakes in repairs that a test has to find, as changes of production text (test/sim/plant-bug.ts). */
import type { Change } from "../sim/planted-bugs.ts";

interface PlantedRepairBug {
  readonly changes: readonly Change[];
  /** The file, in this directory, of which a test must fail. */
  readonly foundBy: string;
}

export const PLANTED_REPAIR_BUGS: Readonly<Record<string, PlantedRepairBug>> = {
  "a repair leaves the member's own versions in the tables at the edges of the range": {
    changes: [
      {
        file: "src/storage/range-replacement.ts",
        text: "source: new OutsideCursor(new RunCursor([table]), this.#ranges),",
        replacement: "source: new RunCursor([table]),",
      },
    ],
    foundBy: "repair-model.test.ts",
  },
  "applying does not wait at the index of the repair": {
    changes: [
      {
        file: "src/shard/state-machine.ts",
        text: "Math.min(persistedIndex, this.#applyThrough, holdIndex)",
        replacement: "Math.min(persistedIndex, this.#applyThrough)",
      },
    ],
    foundBy: "repair-model.test.ts",
  },
  "a repair does not bring back what is remembered of sessions": {
    changes: [
      {
        file: "src/shard/quarantine.ts",
        text: "return joined(this.lacksSessions ? [...ranges, SESSION_RANGE] : ranges);",
        replacement: "return joined(ranges);",
      },
    ],
    foundBy: "range-repair.test.ts",
  },
};
