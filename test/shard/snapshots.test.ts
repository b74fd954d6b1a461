import { expect, test } from "bun:test";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import type { Stamp } from "../../src/core/stamp.ts";
import { CommandType } from "../../src/record/command-format.ts";
import type { Snapshot } from "../../src/shard/snapshots.ts";
import { MemoryDisk } from "../storage/support/memory-disk.ts";
import { BUCKET, command, put, ShardHarness } from "./shard-harness.ts";

const KEYS = Array.from({ length: 30 }, (_, i) => `key-${i}`);

function contentOf(harness: ShardHarness, at: Snapshot | null): (string | null)[] {
  return KEYS.map((key) => {
    const found = harness.shard.reader.get(BUCKET, utf8(key), at);
    return found === null ? null : text(found.value);
  });
}

function togetherOf(harness: ShardHarness, at: Snapshot | null): (string | null)[] {
  const found = harness.shard.reader.multiGet(BUCKET, KEYS.map(utf8), at);
  return found.map((one) => (one === null ? null : text(one.value)));
}

function codeOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}

function checkHistory(seed: number): void {
  const random = new Random(seed);
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  const held: { readonly snapshot: Snapshot; readonly content: (string | null)[] }[] = [];
  for (let step = 0; step < 250; step++) {
    const key = KEYS[random.below(KEYS.length)] ?? "";
    const draw = random.below(100);
    if (draw < 55) harness.run(put(key, `${step}`.padEnd(random.below(200), "-")));
    else if (draw < 65) harness.run(put(key, "brief", { expiryMs: harness.clock.nowMs + random.below(40) }));
    else if (draw < 77) harness.run(command(CommandType.delete, key));
    else if (draw < 83) harness.maintain("flush");
    else if (draw < 86) harness.maintain("compact");
    else if (draw < 90) harness.clock.nowMs += random.below(30);
    else if (draw < 94) held.splice(random.below(held.length + 1), 1)[0]?.snapshot.release();
    else if (held.length < 16) {
      const snapshot = harness.shard.reader.snapshot();
      held.push({ snapshot, content: contentOf(harness, snapshot) });
    }
    if (step % 10 !== 0) continue;
    for (const { snapshot, content } of held) {
      expect(contentOf(harness, snapshot), `seed ${seed}, step ${step}`).toEqual(content);
      expect(togetherOf(harness, snapshot), `seed ${seed}, step ${step}`).toEqual(content);
    }
    const now = KEYS.map((one) => harness.get(one));
    expect(contentOf(harness, null), `seed ${seed}, step ${step}`).toEqual(now);
    expect(togetherOf(harness, null), `seed ${seed}, step ${step}`).toEqual(now);
  }
}

test("a snapshot goes on seeing what was visible when it was taken", () => {
  const first = Math.floor(Math.random() * 1e9);
  for (let seed = first; seed < first + 15; seed++) checkHistory(seed);
}, 60_000);

test("a snapshot sees what a fresh one of the same moment saw, expiry and deletion included", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  harness.run(put("key-0", "stays"), put("key-1", "brief", { expiryMs: harness.clock.nowMs + 10 }));
  const snapshot = harness.shard.reader.snapshot();
  harness.clock.nowMs += 1000;
  harness.run(command(CommandType.delete, "key-0"), put("key-2", "later"));
  harness.maintain("compact");
  expect(contentOf(harness, snapshot).slice(0, 3)).toEqual(["stays", "brief", null]);
  expect(contentOf(harness, null).slice(0, 3)).toEqual([null, null, "later"]);
});

test("overwritten versions go when nobody reads them any more", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  harness.run(put("key-0", "one"));
  const snapshot = harness.shard.reader.snapshot();
  harness.run(put("key-0", "two"));
  harness.run(command(CommandType.delete, "key-0"));
  harness.maintain("compact");
  // The version of the snapshot, and the tombstone that hides it from everybody else.
  expect(harness.stats().tableEntries).toBe(2);
  snapshot.release();
  snapshot.release();
  harness.maintain("compact");
  expect(harness.stats().tableEntries).toBe(0);
});

test("a key written over and over under a snapshot does not fill the memtable", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  harness.run(put("key-0", "seen"));
  const snapshot = harness.shard.reader.snapshot();
  const main = new SharedState(harness.memory.state);
  const overwrite = (times: number): number => {
    for (let i = 0; i < times; i++) {
      main.noteReaderTurn();
      harness.run(put("key-0", "x".repeat(400)));
    }
    return harness.stats().memtableBytes;
  };
  const settled = overwrite(20);
  expect(overwrite(500)).toBe(settled);
  expect(contentOf(harness, snapshot)[0]).toBe("seen");
});

test("snapshots are bounded in number, and stats show the oldest", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk(), options: { snapshotsMax: 2 } });
  harness.run(put("key-0", "x"));
  const first = harness.shard.reader.snapshot();
  harness.clock.nowMs += 500;
  harness.shard.reader.snapshot();
  expect(codeOf(() => harness.shard.reader.snapshot())).toBe("OVERLOADED");
  expect(harness.stats()).toMatchObject({ snapshotCount: 2, oldestSnapshotAgeMs: 500 });
  first.release();
  expect(harness.stats()).toMatchObject({ snapshotCount: 1, oldestSnapshotAgeMs: 0 });
  harness.shard.reader.snapshot();
});

test("a snapshot that is too old is ended: reads through it are refused, and it keeps nothing", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk(), options: { snapshotAgeMs: 1000 } });
  harness.run(put("key-0", "old"));
  const snapshot = harness.shard.reader.snapshot();
  harness.run(put("key-0", "new"));
  harness.clock.nowMs += 999;
  expect(contentOf(harness, snapshot)[0]).toBe("old");
  harness.clock.nowMs += 1;
  expect(codeOf(() => contentOf(harness, snapshot))).toBe("HISTORY_GONE");
  expect(harness.stats()).toMatchObject({ snapshotCount: 0 });
  harness.maintain("compact");
  expect(harness.stats().tableEntries).toBe(1);
});

test("the moment of a stamp can be read only while it is kept", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  harness.run(put("key-0", "one"));
  const snapshot = harness.shard.reader.snapshot();
  const { stamp } = snapshot;
  expect(harness.shard.reader.get(BUCKET, utf8("key-0"), harness.shard.reader.asOf(stamp))).not.toBeNull();
  harness.run(put("key-0", "two"));
  const point = harness.shard.reader.asOf(stamp);
  expect(text(harness.shard.reader.get(BUCKET, utf8("key-0"), point)?.value ?? new Uint8Array(0))).toBe("one");
  snapshot.release();
  expect(codeOf(() => harness.shard.reader.asOf(stamp))).toBe("HISTORY_GONE");
});

test("every moment from a stamp on can be read while that is asked for", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  const { reader } = harness.shard;
  const random = new Random(5);
  harness.run(put("key-0", "before"));
  const early = reader.lastStamp;
  harness.run(put("key-0", "first"));
  reader.retainFrom({ high: 0, low: 0 });
  const moments: { readonly stamp: Stamp; readonly content: (string | null)[] }[] = [];
  for (let i = 0; i < 60; i++) {
    const key = KEYS[random.below(5)] ?? "";
    harness.run(random.chance(0.3) ? command(CommandType.delete, key) : put(key, String(i)));
    if (random.chance(0.1)) harness.maintain(random.chance(0.5) ? "flush" : "compact");
    const stamp = reader.lastStamp;
    moments.push({ stamp, content: KEYS.map((one) => harness.get(one)) });
  }
  const seenAt = (stamp: Stamp): (string | null)[] => {
    const point = reader.asOf(stamp);
    return KEYS.map((key) => reader.get(BUCKET, utf8(key), point)).map((one) =>
      one === null ? null : text(one.value),
    );
  };
  for (const { stamp, content } of moments) expect(seenAt(stamp)).toEqual(content);
  // What was past when it began is not promised.
  expect(codeOf(() => reader.asOf(early))).toBe("HISTORY_GONE");
  const later = moments[30]?.stamp ?? early;
  reader.retainFrom(later);
  harness.maintain("compact");
  expect(codeOf(() => reader.asOf(moments[29]?.stamp ?? early))).toBe("HISTORY_GONE");
  for (const { stamp, content } of moments.slice(30)) expect(seenAt(stamp)).toEqual(content);
  reader.retainFrom(null);
  expect(codeOf(() => reader.asOf(later))).toBe("HISTORY_GONE");
  expect(contentOf(harness, null)).toEqual(moments.at(-1)?.content ?? []);
});

test("the versions of one key that snapshots keep lie in one table, however many they are", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  const held: Snapshot[] = [];
  for (let i = 0; i < 12; i++) {
    harness.run(put("same", `${i}`.padEnd(4000, "-")));
    held.push(harness.shard.reader.snapshot());
  }
  harness.run(put("zzz", "behind"));
  harness.maintain("flush");
  harness.maintain("compact");
  for (const [i, snapshot] of held.entries()) {
    const found = harness.shard.reader.get(BUCKET, utf8("same"), snapshot);
    expect(text(found?.value ?? new Uint8Array(0))).toBe(`${i}`.padEnd(4000, "-"));
  }
});
