import { expect, test } from "bun:test";
import { murmur3 } from "../../src/core/murmur3.ts";
import { MAX_STAMP } from "../../src/core/stamp.ts";
import { Random } from "../../src/core/random.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import { LookUpBatch } from "../../src/storage/look-up-batch.ts";
import { Tree } from "../../src/storage/tree.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { randomKey, randomVersions } from "./support/random-versions.ts";
import { findIn, flush, IDENTITY, KEEP_ALL, type PlainVersion, run, SMALL, sameVersion } from "./support/versions.ts";

function foundAt(batch: LookUpBatch, i: number): Omit<PlainVersion, "bucket" | "key"> | null {
  if (batch.isFound[i] === 0) return null;
  return {
    stampHigh: batch.stampHigh[i] ?? 0,
    stampLow: batch.stampLow[i] ?? 0,
    origin: batch.origin[i] ?? 0,
    kind: batch.kind[i] === 1 ? 1 : 2,
    expiryMs: batch.expiryMs[i] ?? 0,
    value: batch.valueBytes[i]?.slice(batch.valueStart[i], batch.valueEnd[i]) ?? new Uint8Array(0),
  };
}

function checkBatches(seed: number): void {
  const random = new Random(seed);
  const tableIo = random.chance(0.5) ? "mmap" : "direct";
  const cache = new BlockCache(random.below(20_000));
  const tree = Tree.open(new MemoryDisk(), "d", { ...SMALL, tableIo }, IDENTITY, cache);
  const seen: PlainVersion[] = [];
  const batch = new LookUpBatch(random.between(1, 40));
  for (let index = 1; index <= 4; index++) {
    // Keys of earlier rounds come again, with stamps above and below.
    const versions = randomVersions(random, random.between(1, 120));
    const again = seen.slice(0, random.below(20)).map((version, i) => ({ ...version, stampHigh: index, stampLow: i }));
    const fresh = new Map(
      [...versions, ...again].map((version) => [`${version.stampHigh}.${version.stampLow}`, version]),
    );
    flush(tree, [...fresh.values()], index);
    seen.push(...fresh.values());
    if (random.chance(0.3)) run(tree.compactAll(KEEP_ALL));
    for (let round = 0; round < 10; round++) {
      const wanted = Array.from({ length: random.between(0, batch.capacity) }, () => {
        const known = seen[random.below(seen.length)];
        return known === undefined || random.chance(0.3) ? { bucket: 1, key: randomKey(random) } : known;
      });
      batch.clear();
      for (const { bucket, key } of wanted) batch.add(bucket, key, murmur3(key, 0, key.length, bucket));
      tree.findMany(batch, MAX_STAMP);
      for (const [i, { bucket, key }] of wanted.entries()) {
        const alone = findIn(tree, bucket, key);
        const together = foundAt(batch, i);
        const isSame =
          alone === null || together === null ? alone === together : sameVersion({ bucket, key, ...together }, alone);
        expect(isSame, `seed ${seed}`).toBe(true);
      }
    }
  }
  tree.close();
}

test("keys looked up together come to the same as each by itself", () => {
  const first = Math.floor(Math.random() * 1e9);
  for (let seed = first; seed < first + 25; seed++) checkBatches(seed);
});
