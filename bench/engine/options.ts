/** The command line of the engine benchmark. */
import { tmpdir } from "node:os";
import { Command, Option } from "commander";
import { wholeNumber } from "../../src/cli/options.ts";
import type { EngineName } from "./job.ts";
import { FULL, SHORT, type Sizes } from "./plan.ts";

const OWN: readonly EngineName[] = ["envelope", "envelope-direct"];
const PEERS: readonly EngineName[] = ["rocksdb", "rocksdb-tuned", "leveldb", "lmdb"];

export interface EngineBenchOptions {
  readonly sizes: Sizes;
  /** Names of measures; null: all. */
  readonly only: readonly string[] | null;
  readonly engines: readonly EngineName[];
  readonly directory: string;
  readonly rounds: number;
  readonly memoryBytes: number;
  readonly json: boolean;
}

interface Flags {
  readonly full: boolean;
  readonly keys?: number;
  readonly reads?: number;
  readonly syncs?: number;
  readonly seconds?: number;
  readonly budgetKeys?: number;
  readonly only?: string;
  readonly peers?: string;
  readonly directory: string;
  readonly rounds: number;
  readonly memoryMib: number;
  readonly json: boolean;
}

/** Prints help or what is wrong, and ends the process, where the arguments ask for it. */
export function engineBenchOptions(args: readonly string[]): EngineBenchOptions {
  const program = new Command("bench engine")
    .description("one shard's engine beside RocksDB's db_bench, LevelDB and LMDB, on this machine")
    .option("--keys <count>", "keys written, and keys there to be read", wholeNumber(100, 1e9))
    .option("--reads <count>", "reads of a measure", wholeNumber(1, 1e9))
    .option("--syncs <count>", "groups of outstanding writes in a fillsync", wholeNumber(1, 1e9))
    .option("--seconds <seconds>", "length of readwhilewriting", wholeNumber(1, 3_600))
    .option("--budget-keys <count>", "keys of the measures with a memory limit", wholeNumber(0, 1e9))
    .option("--only <names>", "measures, by commas: fillrandom,readrandom")
    .option("--peers <names>", `engines beside envelope, by commas, or none: ${PEERS.join(",")}`)
    .option("--directory <directory>", "where the data goes; it is removed at the end", tmpdir())
    .option("--rounds <count>", "times the short measures are made, in turn; the median counts", wholeNumber(1, 99), 3)
    .option("--memory-mib <MiB>", "memory of the measures that have a limit", wholeNumber(64, 1_048_576), 512)
    .option("--json", "print the rows as one line of JSON", false)
    .addOption(new Option("--full", "the large sizes: it takes hours").default(false));
  const flags = program.parse([...args], { from: "user" }).opts<Flags>();
  const usual = flags.full ? FULL : SHORT;
  return {
    sizes: {
      ...usual,
      writeKeys: flags.keys ?? usual.writeKeys,
      readKeys: flags.keys ?? usual.readKeys,
      reopenKeys: flags.keys === undefined ? usual.reopenKeys : [flags.keys],
      reads: flags.reads ?? usual.reads,
      seeks: flags.reads === undefined ? usual.seeks : Math.ceil(flags.reads / 10),
      syncGroups: flags.syncs ?? usual.syncGroups,
      budgetKeys: flags.budgetKeys ?? usual.budgetKeys,
      mixedSeconds: flags.seconds ?? usual.mixedSeconds,
    },
    only: flags.only?.split(",") ?? null,
    engines: [...OWN, ...(flags.peers === undefined ? PEERS : peersOf(flags.peers, program))],
    directory: flags.directory,
    rounds: flags.rounds,
    memoryBytes: flags.memoryMib * 1024 * 1024,
    json: flags.json,
  };
}

function peersOf(text: string, program: Command): EngineName[] {
  if (text === "none" || text === "") return [];
  return text.split(",").map((name) => {
    const engine = PEERS.find((known) => known === name);
    return engine ?? program.error(`error: no peer is named ${name}; there are ${PEERS.join(", ")}`);
  });
}
