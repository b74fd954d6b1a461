/**
 * The command line: arguments to one subcommand, errors to exit codes.
 *
 *   0  done          1  it failed, the message says why          2  the command or a setting is wrong
 *
 * Subcommands are loaded when they are called, so that `version` does not wait for a server to be parsed.
 */
import { availableParallelism, tmpdir } from "node:os";
import { Argument, Command, CommanderError, Option } from "commander";
import manifest from "../../package.json" with { type: "json" };
import type { BenchOptions } from "./bench.ts";
import { addClusterChanges } from "./cluster-commands.ts";
import type { ImportOptions } from "./import-options.ts";
import { ENGINE_PROFILES, type EngineProfile } from "../sim/engine-profiles.ts";
import { type Weather, WEATHERS } from "../sim/weathers.ts";
import { duration, misfortuneNumbers, pidList, realNumber, wholeNumber } from "./options.ts";
import type { PromptOptions } from "./prompt.ts";
import { addAudit, addCerts } from "./security-commands.ts";
import { stopSignals } from "./stop-signals.ts";
import { addTargetOptions, type TargetFlags, targetsOf } from "./target-options.ts";
import { settingDocs } from "../config.ts";
import { EnvelopeError } from "../core/errors.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const CONNECT_TIMEOUT_MS = 3_000;
const REPLY_TIMEOUT_MS = 15_000;
const FIRST_PORT = 9_001;

let exitCode = 0;
const finish = (code: number): void => {
  exitCode = code;
};

/** Runs what the arguments (without the program's name) ask for; returns the exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const program = new Command("envelopedb")
    .description("A durable, replicated key-value database.")
    .version(manifest.version, "-V, --version")
    .exitOverride()
    .enablePositionalOptions();
  for (const add of [addNode, addCluster, addPrompt, addImport, addBench]) add(program);
  for (const add of [addInspect, addVerify, addSim, addVersion]) add(program);
  for (const add of [addCerts, addAudit]) add(program, finish);
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (cause) {
    return failure(cause);
  }
}

/** Says what went wrong and returns the exit code for it. */
function failure(cause: unknown): number {
  if (cause instanceof CommanderError) {
    // Commander has printed its message already; asking for help is not a failure.
    return cause.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  if (!(cause instanceof EnvelopeError)) {
    process.stderr.write(`${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`);
    return EXIT_FAILED;
  }
  process.stderr.write(`envelopedb: ${cause.code}: ${cause.message}\n`);
  return cause.code === "CONFIG" || cause.code === "INVALID_ARGUMENT" ? EXIT_USAGE : EXIT_FAILED;
}

function addNode(parent: Command): void {
  const command = parent.command("node").description("run one node in this process");
  for (const { flag, variable, description, fallback } of settingDocs()) {
    const shown = fallback === null ? "" : ` (default: ${fallback})`;
    command.addOption(new Option(`${flag} <value>`, `${description}${shown} [${variable}]`));
  }
  command
    .option("--config <file>", "TOML file with settings by their names [ENVELOPEDB_CONFIG]")
    .addOption(new Option("--exit-with-parent").hideHelp())
    .action(async (options: Record<string, string> & { exitWithParent?: true; config?: string }) => {
      const { runNode } = await import("./node.ts");
      const { exitWithParent = false, config = process.env["ENVELOPEDB_CONFIG"] ?? null, ...flags } = options;
      exitCode = await runNode({ flags, configFile: config, exitWithParent });
    });
}

interface ClusterFlags {
  readonly nodes: number;
  readonly basePort: number;
  readonly data: string;
  readonly clear: boolean;
  readonly verbose: boolean;
  readonly tls: boolean;
  readonly shards?: number;
  readonly workers?: number;
  readonly config?: string;
}

function addCluster(parent: Command): void {
  const command = parent
    .command("cluster")
    .description("run several nodes on this machine, each a process of its own")
    .option("--nodes <count>", "how many", wholeNumber(1, 99), 3)
    .option(
      "--base-port <port>",
      "client port of the first; peer is 100 above, HTTP 200",
      wholeNumber(1, 65_535),
      FIRST_PORT,
    )
    .option("--data <directory>", "data of node n1 is in n1 below it", "./data")
    .option("--clear", "delete the data of these nodes first", false)
    .option("--shards <count>", "shards the cluster is born with (default: see node)", wholeNumber(1, 1_024))
    .option("--workers <count>", "threads of each node that host shards (default: see node)", wholeNumber(0, 256))
    .option("--config <file>", "TOML file with settings for all nodes")
    .option("--tls", "TLS on all ports, with certificates that are made for it (see certs)", false)
    .option("--verbose", "show all log lines of the nodes, not only warnings and errors", false)
    .action(async ({ shards, workers, config, ...rest }: ClusterFlags) => {
      const { runCluster } = await import("./cluster.ts");
      const nodeFlags = [
        ...(shards === undefined ? [] : ["--shards", String(shards)]),
        ...(workers === undefined ? [] : ["--workers", String(workers)]),
        ...(config === undefined ? [] : ["--config", config]),
      ];
      exitCode = await runCluster({ ...rest, nodeFlags });
    });
  addClusterChanges(command, finish);
}

function addPrompt(parent: Command): void {
  addTargetOptions(parent.command("cli"))
    .description("a prompt for commands; with -c, or fed by a pipe, without one")
    .option("--bucket <name>", "bucket to start in")
    .option("-c, --command <line>", "run one command and exit")
    .option("--raw", "print values as they are (default: unless on a terminal)")
    .option("--no-raw", "print values formatted")
    .action(async (flags: TargetFlags & { bucket?: string; command?: string; raw?: boolean }) => {
      const { runPrompt } = await import("./prompt.ts");
      const options: PromptOptions = {
        targets: targetsOf(flags),
        bucket: flags.bucket ?? null,
        command: flags.command ?? null,
        raw: flags.raw ?? null,
        historyFile: process.env["ENVELOPEDB_HISTORY"] ?? null,
      };
      exitCode = await runPrompt(options);
    });
}

interface ImportFlags
  extends TargetFlags,
    Pick<ImportOptions, "key" | "pipeline" | "resume" | "verify" | "verifyOnly"> {
  readonly bucket?: string;
  readonly checkpoint?: string;
  /** Milliseconds. */
  readonly giveUpAfter: number;
}

function addImport(parent: Command): void {
  addTargetOptions(parent.command("import"))
    .description("load JSON lines (plain or gzip), each line a record with itself as the value")
    .argument("<file>", "the input; - is standard input")
    .requiredOption(
      "--key <path>",
      "field that is the key (id, address.city), or text with fields in braces (city:{id})",
    )
    .option("--bucket <name>", "bucket to load into")
    .option("--pipeline <count>", "most records without an acknowledgement", wholeNumber(1, 65_536), 256)
    .option("--resume", "go on where an interrupted import stopped", false)
    .option("--checkpoint <file>", "where to keep how far it is (default: FILE.checkpoint)")
    .addOption(
      new Option("--give-up-after <time>", "end when nothing gets through for so long")
        .argParser(duration)
        .default(60_000, "60s"),
    )
    .option("--verify", "afterwards read every record back from every target and compare", false)
    .option("--verify-only", "only read back and compare", false)
    .action(async (file: string, { bucket, checkpoint, giveUpAfter, ...rest }: ImportFlags) => {
      const { runImport } = await import("./import.ts");
      const options: ImportOptions = {
        ...rest,
        file,
        targets: targetsOf(rest),
        bucket: bucket ?? null,
        checkpoint: checkpoint ?? null,
        giveUpAfterMs: giveUpAfter,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        replyTimeoutMs: REPLY_TIMEOUT_MS,
      };
      exitCode = await runImport(
        options,
        stopSignals([], (code) => process.exit(code)),
      );
    });
}

interface BenchFlags
  extends TargetFlags,
    Pick<
      BenchOptions,
      "clients" | "ops" | "pipeline" | "valueBytes" | "reads" | "keys" | "distribution" | "warmup" | "seed" | "json"
    > {
  readonly bucket?: string;
  readonly seconds?: number;
  readonly serverPid: readonly number[];
}

function addBench(parent: Command): void {
  const bench = addTargetOptions(parent.command("bench")).enablePositionalOptions();
  bench
    .description("put a load on running servers and measure it by the wall clock")
    .option("--bucket <name>", "bucket to work in")
    .option("--clients <count>", "connections", wholeNumber(1, 10_000), 50)
    .option("--ops <count>", "operations in all", wholeNumber(1, 1e12), 20_000)
    .option("--seconds <seconds>", "so long, instead of --ops", realNumber(0.001, 86_400))
    .option("--pipeline <count>", "requests sent together by a connection", wholeNumber(1, 10_000), 1)
    .option("--value-bytes <bytes>", "length of a value", wholeNumber(0, 16 * 1024 * 1024), 100)
    .option("--reads <share>", "share of GETs, 0 to 1; the rest are SETs", realNumber(0, 1), 0.5)
    .option("--keys <count>", "different keys", wholeNumber(1, 4_294_967_295), 100_000)
    .addOption(
      new Option("--distribution <kind>", "how keys are chosen").choices(["uniform", "zipfian"]).default("uniform"),
    )
    .option("--warmup <count>", "operations before the measurement", wholeNumber(0, 1e12), 0)
    .option("--seed <number>", "of keys and values", wholeNumber(0, 4_294_967_295), 1)
    .addOption(
      new Option("--server-pid <pids>", "servers whose processor time is counted, by commas")
        .argParser(pidList)
        .default([], "none"),
    )
    .option("--json", "print the result as one line of JSON", false)
    .action(async ({ bucket, seconds, serverPid, ...rest }: BenchFlags) => {
      const { runBench } = await import("./bench.ts");
      exitCode = await runBench({
        ...rest,
        targets: targetsOf(rest),
        bucket: bucket ?? null,
        seconds: seconds ?? null,
        serverPids: serverPid,
      });
    });
  bench
    .command("engine")
    .description("one shard's engine beside other storage engines, without a server (in the source repository only)")
    .argument("[arguments...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(async (args: string[]) => {
      const { runEngineBench } = await import("./bench-engine.ts");
      exitCode = await runEngineBench(args);
    });
}

function addInspect(parent: Command): void {
  parent
    .command("inspect")
    .description("print a file of a data directory (segment, hint, table, manifest, hard state, identity)")
    .argument("<file>", "which is only read")
    .option("--json", "an object a line instead of text, one for each part of the file", false)
    .option("--entries", "the entries of tables and hints too", false)
    .option("--limit <count>", "print so many parts at most; the rest are checked all the same", wholeNumber(0, 1e15))
    .action(async (file: string, flags: { json: boolean; entries: boolean; limit?: number }) => {
      const { runInspect } = await import("./inspect.ts");
      exitCode = runInspect(file, { limit: Number.POSITIVE_INFINITY, ...flags });
    });
}

function addVerify(parent: Command): void {
  parent
    .command("verify")
    .description("check every byte of a data directory, or one shard's, that no process uses; changes nothing")
    .argument("<directory>", "of a node, or of one shard in it")
    .option("--json", "an object a line instead of text, one for each finding and one for the sum", false)
    .option("--shallow", "headers, footers and manifests only", false)
    .action(async (directory: string, flags: { json: boolean; shallow: boolean }) => {
      const { runVerify } = await import("./verify.ts");
      exitCode = runVerify(directory, flags);
    });
}

interface SimFlags {
  readonly seeds: number;
  readonly seed: number;
  readonly weather: Weather;
  readonly parallel?: number | true;
  readonly omit: ReadonlySet<number>;
  readonly clients?: number;
  readonly troubleMs?: number;
  readonly shrink: number;
  readonly traces?: string;
  readonly profile: EngineProfile;
  readonly verbose: boolean;
}

function addSim(parent: Command): void {
  const sim = parent
    .command("sim")
    .description("simulated faults, judged from outside; a seed replays its run exactly")
    .addArgument(
      new Argument("[subject]", "what is simulated: a whole cluster, or the engine of one shard against a model")
        .choices(["cluster", "engine"])
        .default("cluster"),
    )
    .option("--seeds <count>", "runs, each with the next seed", wholeNumber(1, 1e9), 1)
    .option("--seed <number>", "the first seed", wholeNumber(0, 4_294_967_295), 1)
    .addOption(
      new Option("--profile <name>", "what befalls the engine").choices(ENGINE_PROFILES).default(ENGINE_PROFILES[0]),
    )
    .addOption(new Option("--weather <name>", "what befalls the cluster").choices(WEATHERS).default(WEATHERS[0]))
    .option("--verbose", "print the trace of every run of the engine", false);
  addClusterOptions(sim);
  sim.action(async (subject: "cluster" | "engine", { seed: firstSeed, seeds: seedCount, ...flags }: SimFlags) => {
    if (subject === "engine") {
      const { runEngine } = await import("./sim-engine.ts");
      exitCode = await runEngine({ ...flags, firstSeed, seedCount });
      return;
    }
    const { runSim } = await import("./sim-cluster.ts");
    const { weather, parallel = 1, omit, clients, troubleMs, shrink, traces } = flags;
    exitCode = await runSim({
      weather,
      firstSeed,
      seedCount,
      shortening: { omitted: omit, clientsMax: clients ?? Infinity, troubledMsMax: troubleMs ?? Infinity },
      threadCount: parallel === true ? availableParallelism() : parallel,
      triesMax: shrink,
      traceDirectory: traces ?? tmpdir(),
    });
  });
}

function addClusterOptions(sim: Command): void {
  sim
    .option("--parallel [threads]", "of the cluster: so many runs at once; one a core by default", wholeNumber(1, 1024))
    .option(
      "--shrink <runs>",
      "of the cluster: runs that may be spent on shrinking a failure",
      wholeNumber(0, 1e6),
      200,
    )
    .option("--traces <directory>", "of the cluster: where the traces of failures go (default: for temporary files)")
    .addOption(
      new Option("--omit <numbers>", "of the cluster: leave out these misfortunes, as 1-4,7")
        .argParser(misfortuneNumbers)
        .default(new Set(), "none"),
    )
    .option("--clients <count>", "of the cluster: no more clients than this", wholeNumber(1, 1000))
    .option("--trouble-ms <ms>", "of the cluster: misfortunes and clients end then", wholeNumber(1, 1e9));
}

function addVersion(parent: Command): void {
  parent
    .command("version")
    .description("print the version")
    .action(() => {
      process.stdout.write(`envelopedb ${manifest.version} (bun ${Bun.version})\n`);
    });
}
