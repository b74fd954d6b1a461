/** A shard's directory as the production shard leaves it, and ways to damage it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandType } from "../../src/record/command-format.ts";
import { command, put, ShardHarness } from "../shard/shard-harness.ts";

/** Writes segments with and without hints, tables on several levels, tombstones and expiries below `directory`. */
export function fillShard(directory: string): string {
  const harness = new ShardHarness({ directory });
  for (let i = 0; i < 150; i++) harness.run(put(`key${i}`, "x".repeat(3000)), put("shared", String(i)));
  harness.maintain("flush");
  harness.clock.nowMs += 10_000;
  harness.settle();
  harness.run(command(CommandType.delete, "key1"), put("soon", "gone", { expiryMs: harness.stamps.ms + 60_000 }));
  harness.maintain("flush");
  for (let i = 0; i < 20; i++) harness.run(put(`tail${i}`, "\u0000\n".repeat(10)));
  harness.clock.nowMs += 10_000;
  harness.shard.turn();
  harness.stop();
  return join(directory, "shard-0000");
}

/** Paths of the files with this ending, in order. */
export function filesOf(directory: string, ending: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(directory, name));
}

export function flipBit(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 1;
  writeFileSync(path, bytes);
}

/** Names, lengths and contents: to prove that a tool has changed nothing. */
export function fingerprint(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path} ${Bun.hash(readFileSync(path))}`);
}
