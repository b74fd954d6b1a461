/** Random versions that are hard on tables: shared prefixes, prefixes of each other, several versions, many buckets. */
import type { Random } from "../../../src/core/random.ts";
import { compareUserKeys, VersionKind } from "../../../src/record/version.ts";
import { inOrder, type PlainVersion } from "./versions.ts";

const BUCKETS = [0, 1, 2, 255, 256, 0x10000, 0xfffffffe];

export function randomKey(random: Random): Uint8Array {
  const alphabet = random.chance(0.5) ? 2 : 256;
  const length = random.chance(0.05) ? random.between(200, 600) : random.below(12);
  return Uint8Array.from({ length }, () => random.below(alphabet));
}

/** In order, with distinct stamps. */
export function randomVersions(random: Random, count: number): PlainVersion[] {
  const versions: PlainVersion[] = [];
  for (let i = 0; i < count; ) {
    const bucket = BUCKETS[random.below(BUCKETS.length)] ?? 0;
    const key = randomKey(random);
    const versionCount = random.chance(0.1) ? random.between(2, 40) : 1;
    for (let v = 0; v < versionCount; v++, i++) {
      const kind = random.chance(0.2) ? VersionKind.tombstone : VersionKind.value;
      const valueBytes = kind === VersionKind.tombstone ? 0 : random.chance(0.03) ? 3000 : random.below(40);
      versions.push({
        bucket,
        key,
        stampHigh: random.below(3),
        stampLow: i * 2 + random.below(2),
        origin: random.between(1, 3),
        kind,
        expiryMs: random.chance(0.3) ? random.between(1, 2 ** 48) : 0,
        value: Uint8Array.from({ length: valueBytes }, () => random.below(256)),
      });
    }
  }
  return inOrder(versions);
}

/** The newest version of each key of an ordered list. */
export function newestOfEach(versions: readonly PlainVersion[]): PlainVersion[] {
  return versions.filter((version, i) => {
    const before = versions[i - 1];
    return before === undefined || compareUserKeys(before.bucket, before.key, version.bucket, version.key) !== 0;
  });
}
