/**
 * Bit rot on one node of a cluster: bits of tables and of sealed segments of the log are turned over. The segments that
 * may still be written, and the one before them, are spared: damage to what no later group proves to be on disk cannot
 * be told from a torn write, and a voter that loses what it acknowledged is beyond what any protocol promises.
 */
import type { Random } from "../core/random.ts";
import type { SimDisk } from "./sim-disk.ts";

const TABLE = /\/\d+\.sst$/;
const SEGMENT = /^(.*)\/\d{8,}\.evp$/;
/** Newest segments of each shard that are spared. */
const SPARED_SEGMENTS = 3;
const BITS_MAX = 3;

/** Says what was done, or null: there is nothing to damage yet. */
export function rot(disk: SimDisk, random: Random): string | null {
  const targets = [...disk.files().filter((path) => TABLE.test(path)), ...sealedSegments(disk.files())];
  const path = targets[random.below(Math.max(1, targets.length))];
  const byteCount = path === undefined ? 0 : disk.byteCount(path);
  // A table may just have been created.
  if (path === undefined || byteCount === 0) return null;
  const bits = Array.from({ length: random.between(1, BITS_MAX) }, () => {
    const position = random.below(byteCount);
    const bit = random.below(8);
    disk.flipBit(path, position, bit);
    return `${position}.${bit}`;
  });
  return `bits ${bits.join(", ")} of ${path} are turned over`;
}

function sealedSegments(files: readonly string[]): string[] {
  const byShard = Map.groupBy(
    files.filter((path) => SEGMENT.test(path)),
    (path) => SEGMENT.exec(path)?.[1] ?? "",
  );
  return [...byShard.values()].flatMap((paths) => paths.sort().slice(0, -SPARED_SEGMENTS));
}
