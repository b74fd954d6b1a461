import { expect, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { valueFileId } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { MAX_STAMP } from "../../src/core/stamp.ts";
import { Random } from "../../src/core/random.ts";
import { CommandType, commandBytes, encodeCommand, sealCommand } from "../../src/record/command-format.ts";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from "../../src/record/segment-format.ts";
import { VersionKind } from "../../src/record/version.ts";
import { HotKeys } from "../../src/storage/hot-keys.ts";
import type { ValueLocator } from "../../src/storage/separating-cursor.ts";
import { Tree } from "../../src/storage/tree.ts";
import type { TreeOptions } from "../../src/storage/tree-options.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import {
  ArrayCursor,
  findIn,
  IDENTITY,
  KEEP_ALL,
  type PlainVersion,
  position,
  put,
  readText,
  run,
  SMALL,
  walk,
} from "./support/versions.ts";

const FILE = valueFileId(2);

/** The place that is remembered under a hash, or null. */
function placeOf(keys: HotKeys, hash: number): number | null {
  const slot = keys.find(hash);
  return slot < 0 ? null : keys.offsetAt(slot);
}

test("a hash leads to the place noted last or to none, within the memory it was given", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const keys = new HotKeys(10_000);
  expect(keys.byteCount).toBeLessThanOrEqual(10_000);
  expect(keys.byteCount).toBeGreaterThan(5000);
  const model = new Map<number, number>();
  let found = 0;
  for (let step = 0; step < 20_000; step++) {
    const hash = Math.imul(random.below(600), 0x9e37_79b9) >>> 0;
    const dice = random.below(10);
    if (dice < 4) {
      keys.put(hash, FILE, step, 10, 20);
      model.set(hash, step);
    } else if (dice === 4) {
      keys.forget(hash);
      model.delete(hash);
    }
    const place = placeOf(keys, hash);
    if (place === null) continue;
    found += 1;
    expect(place, `seed ${seed}`).toBe(model.get(hash)!);
  }
  expect(found, `seed ${seed}`).toBeGreaterThan(5000);
  expect(keys.keyCount * 25).toBeLessThanOrEqual(keys.byteCount);
});

test("a key that is read again and again outlives any number that are read once", () => {
  const keys = new HotKeys(0);
  keys.put(1, FILE, 111, 10, 20);
  for (let hash = 2; hash < 1000; hash++) {
    expect(placeOf(keys, 1)).toBe(111);
    keys.put(hash, FILE, hash, 10, 20);
  }
  expect(keys.keyCount).toBe(8);
  expect(placeOf(keys, 2)).toBeNull();
});

const HOT: TreeOptions = {
  ...SMALL,
  values: { thresholdBytes: 0, collectBelow: 0, segmentBytes: 4096, hotKeyBytes: 4096 },
};
const SEGMENT_BYTES = 64 * 1024;

/** A segment of the log with the puts of these versions, as far as a tree can tell, and where they lie in it. */
class FakeLog implements ValueLocator {
  segmentId = 1;
  commandOffset = 0;
  commandBytes = 0;
  readonly bytes = new Uint8Array(SEGMENT_BYTES);
  readonly #places = new Map<number, readonly [number, number]>();
  #end = SEGMENT_HEADER_BYTES;

  constructor() {
    const header = encodeSegmentHeader({
      ...IDENTITY,
      segmentId: 1,
      basePosition: 0,
      segmentBytes: SEGMENT_BYTES,
      firstGroup: 1,
      cutPosition: 0,
      provenBytes: SEGMENT_HEADER_BYTES,
      originIndex: 0,
      originTerm: 0,
      isRecycled: false,
    });
    this.bytes.set(header);
  }

  write(versions: readonly PlainVersion[]): void {
    const view = new DataView(this.bytes.buffer);
    for (const { bucket, key, stampHigh, stampLow, origin, value, expiryMs } of versions) {
      const start = this.#end;
      const ranges = [key, value].map((bytes) => ({ bytes, start: 0, end: bytes.length }));
      const [keyRange, valueRange] = ranges as [(typeof ranges)[0], (typeof ranges)[0]];
      const end = encodeCommand(this.bytes, view, start, CommandType.put, 0, bucket, keyRange, valueRange, expiryMs);
      expect(end - start).toBe(commandBytes(expiryMs === 0 ? 0 : 1, key.length, value.length));
      sealCommand(this.bytes, view, start, end, origin, stampHigh, stampLow);
      this.#places.set(stampLow, [start, end - start]);
      this.#end = end;
    }
  }

  find(_stampHigh: number, stampLow: number): boolean {
    [this.commandOffset, this.commandBytes] = this.#places.get(stampLow) ?? [0, 0];
    return this.#places.has(stampLow);
  }
}

interface HotTree {
  readonly disk: MemoryDisk;
  readonly tree: Tree;
  flush(index: number, versions: readonly PlainVersion[]): void;
}

/** A tree whose values all lie in one segment. */
function hotTree(): HotTree {
  const disk = new MemoryDisk();
  const log = new FakeLog();
  disk.replace("d/00000001.evp", log.bytes);
  const tree = Tree.open(disk, "d", HOT, IDENTITY);
  const flush = (index: number, versions: readonly PlainVersion[]): void => {
    log.write(versions);
    disk.bytesOf("d/00000001.evp").set(log.bytes);
    run(tree.beginFlush(new ArrayCursor(versions), position(index), KEEP_ALL, log));
  };
  return { disk, tree, flush };
}

test("the second read of a key needs no table, and tells the same of it as the first", () => {
  const { tree, flush } = hotTree();
  flush(1, [put("a", 1, "alpha", 1, 12_345), put("b", 2, "beta")]);
  const told = (): unknown[] => {
    const found = findIn(tree, 1, utf8("a"))!;
    return [found.kind, found.stampHigh, found.stampLow, found.origin, found.expiryMs, text(found.value)];
  };
  const first = told();
  expect(first).toEqual([VersionKind.value, 0, 1, 1, 12_345, "alpha"]);
  expect(tree.stats()).toMatchObject({ hotKeyCount: 1, hotKeyHits: 0 });
  expect(told()).toEqual(first);
  expect(tree.stats()).toMatchObject({ hotKeyCount: 1, hotKeyHits: 1 });
  expect(readText(tree, "a")).toBe("alpha");
  expect(readText(tree, "b")).toBe("beta");
  expect(tree.stats()).toMatchObject({ hotKeyCount: 2, hotKeyHits: 2 });
  using cursor = tree.cursor();
  expect(walk(cursor).map(({ key, value }) => `${text(key)}=${text(value)}`)).toEqual(["a=alpha", "b=beta"]);
  // Another bucket's key of the same name is another key.
  expect(findIn(tree, 2, utf8("a"))).toBeNull();
  tree.close();
});

test("a flush makes the places of the keys it writes forgotten, whatever it writes", () => {
  const { tree, flush } = hotTree();
  flush(1, [put("a", 1, "one"), put("b", 2, "one"), put("c", 3, "one")]);
  for (const key of ["a", "b", "c"]) expect([readText(tree, key), readText(tree, key)]).toEqual(["one", "one"]);
  flush(2, [put("a", 4, "two"), { ...put("b", 5, ""), kind: VersionKind.tombstone }]);
  expect(readText(tree, "a")).toBe("two");
  expect(findIn(tree, 1, utf8("b"))?.kind ?? VersionKind.tombstone).toBe(VersionKind.tombstone);
  expect(readText(tree, "c")).toBe("one");
  expect(tree.stats().valueFileCount).toBe(1);
  tree.close();
});

test("damage to what a remembered place leads to is found at every read", () => {
  const { disk, tree, flush } = hotTree();
  flush(1, [put("a", 1, "alpha")]);
  expect([readText(tree, "a"), readText(tree, "a")]).toEqual(["alpha", "alpha"]);
  const bytes = disk.bytesOf("d/00000001.evp");
  for (const offset of [0, 4, 8, 20, 28, 30]) {
    bytes[SEGMENT_HEADER_BYTES + offset]! ^= 1;
    expect(() => readText(tree, "a")).toThrow(EnvelopeError);
    bytes[SEGMENT_HEADER_BYTES + offset]! ^= 1;
  }
  expect(readText(tree, "a")).toBe("alpha");
  tree.close();
});

test("two keys of one hash never get each other's value", () => {
  const { tree, flush } = hotTree();
  flush(1, [put("a", 1, "alpha"), put("b", 2, "beta")]);
  const b = utf8("b");
  readText(tree, "a");
  // As if the hash of "b" were that of "a".
  const a = utf8("a");
  const found = tree.find(1, b, 0, 1, murmur3(a, 0, 1, 1), MAX_STAMP);
  if (found !== null) expect(text(found.value)).toBe("beta");
  expect(tree.stats().hotKeyHits).toBe(0);
  tree.close();
});
