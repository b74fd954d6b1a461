/** The subcommands about who is trusted: `certs` makes certificates, `audit` looks at what was recorded. */
import type { Command } from "commander";
import { nameList, wholeNumber } from "./options.ts";

const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];

interface CertsFlags {
  readonly out: string;
  readonly cluster: string;
  readonly nodes: readonly string[];
  readonly hosts: readonly string[];
  readonly clients: readonly string[];
  readonly days: number;
}

export function addCerts(parent: Command, finish: (exitCode: number) => void): void {
  parent
    .command("certs")
    .description("make an authority for development, and certificates for nodes and clients")
    .requiredOption("--out <directory>", "where the files go; an authority that is there already signs")
    .option("--cluster <name>", "name of the cluster, as the nodes have it", "envelopedb")
    .option("--nodes <names>", "nodes, by commas", nameList, ["n1", "n2", "n3"])
    .option("--hosts <names>", "host names and addresses of the nodes for clients, by commas", nameList, LOCAL_HOSTS)
    .option("--clients <names>", "common names of client certificates, by commas", nameList, ["client"])
    .option("--days <count>", "how long they are valid", wholeNumber(1, 3_650), 365)
    .action(async (flags: CertsFlags) => {
      const { runCerts } = await import("./certs.ts");
      finish(await runCerts(flags));
    });
}

export function addAudit(parent: Command, finish: (exitCode: number) => void): void {
  parent
    .command("audit")
    .description("the audit log of a node")
    .command("verify")
    .description("follow the chain of the audit log through its files; changes nothing")
    .argument("<directory>", "data directory of the node")
    .action(async (directory: string) => {
      const { runAuditVerify } = await import("./audit.ts");
      finish(runAuditVerify(directory));
    });
}
