/**
 * The bugs that the simulator must find, as changes of one line of production text. Nothing in production code knows of
 * them: `plant-bug.ts` changes the text while the module is loaded.
 */
export interface PlantedBug {
  readonly file: string;
  /** Found exactly once in the file, or the planting fails. */
  readonly text: string;
  readonly replacement: string;
  /** Seeds from 1 on within which a violation must show. */
  readonly seedCount: number;
}

export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  "acknowledge before the sync": {
    file: "src/shard/shard.ts",
    text: 'this.#persisted.endGroup(group);\n      this.#reply({ type: "persisted", lastIndex, lastTerm });',
    replacement: "",
    seedCount: 100,
  },
  "count a commit for an entry of an earlier term": {
    file: "src/raft/leadership.ts",
    text: "if (index <= committed || index < this.startIndex) return;",
    replacement: "if (index <= committed) return;\n if (index < this.startIndex) return this.#log.commitTo(index);",
    seedCount: 200,
  },
  "forget the vote on restart": {
    file: "src/shard/recovery.ts",
    text: "hardVote: hardState.vote,",
    replacement: "hardVote: 0 as typeof hardState.vote,",
    seedCount: 200,
  },
};
