/** Mistakes in repairs that the model test of repairs has to find, as changes of production text (test/sim/plant-bug.ts). */
import type { Change } from "../sim/planted-bugs.ts";

export const PLANTED_REPAIR_BUGS: Readonly<Record<string, { readonly changes: readonly Change[] }>> = {
  "a repair leaves the member's own versions in the tables at the edges of the range": {
    changes: [
      {
        file: "src/storage/range-replacement.ts",
        text: "source: new OutsideCursor(new RunCursor([table]), this.#ranges),",
        replacement: "source: new RunCursor([table]),",
      },
    ],
  },
  "applying does not wait at the index of the repair": {
    changes: [
      {
        file: "src/shard/shard.ts",
        text: "Math.min(this.#persisted.index, this.#applyThrough, this.#repair.holdIndex)",
        replacement: "Math.min(this.#persisted.index, this.#applyThrough)",
      },
    ],
  },
  "a repair does not bring back what is remembered of sessions": {
    changes: [
      {
        file: "src/shard/quarantine.ts",
        text: "return joined(this.lacksSessions ? [...ranges, SESSION_RANGE] : ranges);",
        replacement: "return joined(ranges);",
      },
    ],
  },
};
