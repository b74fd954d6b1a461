/** `audit verify`: follows the chain of an audit log through its files and says where it is broken, and where it ends. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { AuditChain } from "../core/audit-format.ts";
import { EnvelopeError } from "../core/errors.ts";

const CURRENT = "audit.log";

/** `directory`: the data directory of a node. Returns the exit code: 1 when the chain is broken. Throws MISSING_FILE. */
export function runAuditVerify(directory: string): number {
  const files = auditFiles(directory);
  if (files.length === 0) throw new EnvelopeError("MISSING_FILE", `there is no audit log in ${directory}`);
  const chain = new AuditChain();
  for (const file of files) chain.follow(basename(file), readFileSync(file));
  for (const { file, line, what } of chain.breaks) process.stdout.write(`${file} line ${line}: ${what}\n`);
  const { sequence, hash } = chain.head ?? { sequence: 0, hash: "" };
  const state = chain.breaks.length === 0 ? "whole" : "BROKEN";
  process.stdout.write(
    `${state}: ${chain.lineCount} lines in ${files.length} files, the last is ${sequence} ${hash}\n`,
  );
  return chain.breaks.length === 0 ? 0 : 1;
}

/** In the order in which they were written. */
function auditFiles(directory: string): string[] {
  const numberOf = (name: string): number => (name === CURRENT ? 0 : Number(name.slice(CURRENT.length + 1)));
  return readdirSync(directory)
    .filter((name) => /^audit\.log(?:\.[1-9][0-9]{0,4})?$/.test(name))
    .sort((a, b) => numberOf(b) - numberOf(a))
    .map((name) => join(directory, name));
}
