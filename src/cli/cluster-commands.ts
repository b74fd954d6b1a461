/** The subcommands of `cluster`: what is said to one that runs (cluster-admin.ts). */
import type { Command } from "commander";
import { EnvelopeError } from "../core/errors.ts";
import { wholeNumber } from "./options.ts";
import { addTargetOptions, type TargetFlags, targetsOf } from "./target-options.ts";

/** Without any of these a cluster is started on this machine. */
export function addClusterChanges(cluster: Command, finish: (exitCode: number) => void): void {
  const change = async (flags: TargetFlags, ...command: string[]): Promise<void> => {
    const { changeCluster } = await import("./cluster-admin.ts");
    finish(await changeCluster(targetsOf(flags), ["MEMBER", ...command]));
  };
  addTargetOptions(cluster.command("status"))
    .description("members and shards of a running cluster")
    .action(async (flags: TargetFlags) => {
      const { clusterStatus } = await import("./cluster-admin.ts");
      finish(await clusterStatus(targetsOf(flags)));
    });
  addTargetOptions(cluster.command("add"))
    .description("keep a name for a node that is to join")
    .argument("<name>")
    .argument("<peer>", "host:port where it listens for other nodes")
    .action((name: string, peer: string, flags: TargetFlags) => change(flags, "ADD", name, peer));
  addTargetOptions(cluster.command("remove"))
    .description("let a member give away what it has and be forgotten")
    .argument("<name>")
    .option("--force <name>", "its name once more: remove it even if a shard loses its quorum by that")
    .action((name: string, flags: TargetFlags & { force?: string }) => {
      if (flags.force === undefined) return change(flags, "REMOVE", name);
      if (flags.force === name) return change(flags, "REMOVE", name, "FORCE");
      throw new EnvelopeError("INVALID_ARGUMENT", `--force names ${flags.force}, and ${name} is to be removed`);
    });
  addTargetOptions(cluster.command("transfer"))
    .description("have another voter lead a shard")
    .argument("<shard>", "its number", wholeNumber(0, 65_534))
    .argument("<name>")
    .action((shard: number, name: string, flags: TargetFlags) => change(flags, "TRANSFER", String(shard), name));
}
