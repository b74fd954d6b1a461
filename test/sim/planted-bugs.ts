/**
 * The bugs that the simulator must find, as changes of one line of production text. Nothing in production code knows of
 * them: `plant-bug.ts` changes the text while the module is loaded.
 */
import type { Weather } from "../../src/sim/cluster-sim.ts";

export interface PlantedBug {
  readonly file: string;
  /** Found exactly once in the file, or the planting fails. */
  readonly text: string;
  readonly replacement: string;
  /** Seeds from 1 on within which a violation must show. */
  readonly seedCount: number;
  readonly weather: Weather;
}

export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  "acknowledge before the sync": {
    file: "src/log/log.ts",
    text: "this.#file.beginSync((failure) => this.#syncEnded(ticket, failure));",
    replacement: "this.#syncEnded(ticket, null); this.#file.beginSync(() => undefined);",
    seedCount: 100,
    weather: "mixed",
  },
  "count a commit for an entry of an earlier term": {
    file: "src/raft/leadership.ts",
    text: "if (index <= committed || index < this.startIndex) return;",
    replacement: "if (index <= committed) return;\n if (index < this.startIndex) return this.#log.commitTo(index);",
    seedCount: 100,
    weather: "hunt",
  },
  // The vote alone is not enough to go wrong soon: pre-vote and the quiet time after a restart stand in the way.
  "forget the vote and its term on restart": {
    file: "src/log/hard-state-file.ts",
    text: "const state = found.state ?? FIRST_STATE;",
    replacement: "const state = FIRST_STATE;",
    seedCount: 100,
    weather: "hunt",
  },
};
