/** The subcommands of `cluster`: what is said to one that runs (cluster-admin.ts). */
import type { Command, Option } from "commander";
import type { Target } from "../client/target.ts";
import { EnvelopeError } from "../core/errors.ts";
import { wholeNumber } from "./options.ts";

interface ToTarget {
  readonly target: readonly Target[];
}

/** Without any of these a cluster is started on this machine. */
export function addClusterChanges(
  cluster: Command,
  targetOption: () => Option,
  finish: (exitCode: number) => void,
): void {
  const change = async ({ target }: ToTarget, ...command: string[]): Promise<void> => {
    const { changeCluster } = await import("./cluster-admin.ts");
    finish(await changeCluster(target, ["MEMBER", ...command]));
  };
  cluster
    .command("status")
    .description("members and shards of a running cluster")
    .addOption(targetOption())
    .action(async ({ target }: ToTarget) => {
      const { clusterStatus } = await import("./cluster-admin.ts");
      finish(await clusterStatus(target));
    });
  cluster
    .command("add")
    .description("keep a name for a node that is to join")
    .argument("<name>")
    .argument("<peer>", "host:port where it listens for other nodes")
    .addOption(targetOption())
    .action((name: string, peer: string, flags: ToTarget) => change(flags, "ADD", name, peer));
  cluster
    .command("remove")
    .description("let a member give away what it has and be forgotten")
    .argument("<name>")
    .option("--force <name>", "its name once more: remove it even if a shard loses its quorum by that")
    .addOption(targetOption())
    .action((name: string, flags: ToTarget & { force?: string }) => {
      if (flags.force === undefined) return change(flags, "REMOVE", name);
      if (flags.force === name) return change(flags, "REMOVE", name, "FORCE");
      throw new EnvelopeError("INVALID_ARGUMENT", `--force names ${flags.force}, and ${name} is to be removed`);
    });
  cluster
    .command("transfer")
    .description("have another voter lead a shard")
    .argument("<shard>", "its number", wholeNumber(0, 65_534))
    .argument("<name>")
    .addOption(targetOption())
    .action((shard: number, name: string, flags: ToTarget) => change(flags, "TRANSFER", String(shard), name));
}
