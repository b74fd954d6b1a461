/** The options of every client command: which servers, and how they are known and shown who calls. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import type { Target, TargetTls } from "../client/target.ts";
import { EnvelopeError } from "../core/errors.ts";
import { targetList } from "./options.ts";

const FIRST_ADDRESS = "127.0.0.1:9001";

export interface TargetFlags {
  readonly target: readonly Target[];
  readonly tls?: boolean;
  readonly tlsAuthority?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
}

export function addTargetOptions(command: Command): Command {
  const servers = new Option(
    "-t, --target <host:port,…>",
    "servers, tried in this order [login: ENVELOPEDB_USER, ENVELOPEDB_PASSWORD or ENVELOPEDB_TOKEN]",
  );
  return command
    .addOption(servers.argParser(targetList).default(targetList(FIRST_ADDRESS), FIRST_ADDRESS))
    .option("--tls", "speak TLS 1.3 with them; the other options of TLS imply it")
    .option("--tls-authority <file>", "PEM file with the authority of their certificates (default: the usual ones)")
    .option("--tls-certificate <file>", "PEM file with the certificate to show them")
    .option("--tls-key <file>", "PEM file with its key");
}

/** Throws CONFIG for a file that cannot be read, and for a certificate without its key. */
export function targetsOf(flags: TargetFlags): readonly Target[] {
  const { target, tls, tlsAuthority, tlsCertificate, tlsKey } = flags;
  if ((tlsCertificate === undefined) !== (tlsKey === undefined)) {
    throw new EnvelopeError("CONFIG", "--tls-certificate and --tls-key are given together or not at all");
  }
  if (tls !== true && tlsAuthority === undefined && tlsKey === undefined) return target;
  const secured: TargetTls = { authority: read(tlsAuthority), certificate: read(tlsCertificate), key: read(tlsKey) };
  return target.map((each) => ({ ...each, tls: secured }));
}

function read(path: string | undefined): string | null {
  if (path === undefined) return null;
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code}`);
  }
}
