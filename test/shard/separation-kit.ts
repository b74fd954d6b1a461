/** Shards whose values stay in the log, with segments so small that they come and go. */
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import type { ValueOptions } from "../../src/storage/value-options.ts";
import { KIB, testOptions } from "./shard-harness.ts";

export const EVERY_VALUE: ValueOptions = {
  thresholdBytes: 0,
  collectBelow: 0,
  segmentBytes: 16 * KIB,
  hotKeyBytes: 0,
};

export const LARGE_VALUES: ValueOptions = { ...EVERY_VALUE, thresholdBytes: 100 };

/** A file is collected as soon as less than so much of it is alive. */
export const COLLECTED: ValueOptions = { ...EVERY_VALUE, collectBelow: 0.7 };

/** The Bitcask profile with memory for few keys. */
export const HOT_AND_COLD: ValueOptions = { ...COLLECTED, hotKeyBytes: 2 * KIB };

/** Absent: as without separation. */
export function separated(values?: ValueOptions): Partial<ShardOptions> {
  if (values === undefined) return {};
  const { tree, log } = testOptions("");
  return { tree: { ...tree, values }, log: { ...log, segmentBytes: 32 * KIB } };
}
