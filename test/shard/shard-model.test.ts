import { expect, setDefaultTimeout, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { encodeBit, encodeRange } from "../../src/record/part-format.ts";
import { COLLECTED, EVERY_VALUE, HOT_AND_COLD, LARGE_VALUES, separated } from "./separation-kit.ts";
import {
  BUCKET,
  command,
  encodeEntry,
  i64,
  KIB,
  put,
  ShardHarness,
  Stamps,
  type TestCommand,
  testOptions,
} from "./shard-harness.ts";

setDefaultTimeout(60_000);

function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

interface ModelValue {
  readonly text: string;
  readonly expiryMs: number;
}

/** The plainest database there is; `nowMs` is the stamp of the command. */
class Model {
  readonly values = new Map<string, ModelValue>();

  apply(one: TestCommand, nowMs: number): void {
    const key = Buffer.from(one.key).toString();
    const found = this.values.get(key);
    const old = found !== undefined && (found.expiryMs === 0 || found.expiryMs > nowMs) ? found : undefined;
    const value = Buffer.from(one.value ?? []).toString();
    const expiryMs = one.expiryMs ?? 0;
    if (one.type === CommandType.put) this.values.set(key, { text: value, expiryMs });
    else if (one.type === CommandType.delete) this.values.delete(key);
    else if (one.type === CommandType.append) {
      this.values.set(key, { text: (old?.text ?? "") + value, expiryMs: old?.expiryMs ?? 0 });
    } else if (one.type === CommandType.setRange) {
      const offset = Buffer.from(one.value ?? []).readUInt32LE();
      const more = value.slice(4);
      const before = (old?.text ?? "").padEnd(offset, "\0");
      const whole = before.slice(0, offset) + more + before.slice(offset + more.length);
      this.values.set(key, { text: whole, expiryMs: old?.expiryMs ?? 0 });
    } else if (one.type === CommandType.setBit) {
      const place = Buffer.from(one.value ?? []).readUInt32LE() >>> 3;
      const bytes = Buffer.from((old?.text ?? "").padEnd(place + 1, "\0"), "latin1");
      bytes[place] = bytes.readUInt8(place) | 1;
      this.values.set(key, { text: bytes.toString("latin1"), expiryMs: old?.expiryMs ?? 0 });
    } else if (one.type === CommandType.incrementFloat) {
      if (old !== undefined && !/^-?\d+(\.\d+)?$/.test(old.text)) return;
      const sum = Number(old?.text ?? "0") + Number(value);
      this.values.set(key, { text: String(sum), expiryMs: old?.expiryMs ?? 0 });
    } else if (one.type === CommandType.increment) {
      if (old !== undefined && !/^-?[1-9]\d*$|^0$/.test(old.text)) return;
      const by = Buffer.from(one.value ?? []).readBigInt64LE();
      this.values.set(key, { text: String(BigInt(old?.text ?? "0") + by), expiryMs: old?.expiryMs ?? 0 });
    } else if (one.type === CommandType.expire && old !== undefined) {
      if (expiryMs <= nowMs) this.values.delete(key);
      else this.values.set(key, { text: old.text, expiryMs });
    }
  }

  visible(nowMs: number): Map<string, string> {
    const visible = new Map<string, string>();
    for (const [key, { text, expiryMs }] of [...this.values].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (expiryMs === 0 || expiryMs > nowMs) visible.set(key, text);
    }
    return visible;
  }
}

function randomCommand(random: Random, nowMs: number): TestCommand {
  const key = random.chance(0.5) ? `n${random.below(20)}` : `key:${random.below(300)}`;
  const dice = random.below(100);
  if (key.startsWith("n") && dice < 10) {
    return command(CommandType.incrementFloat, key, { value: utf8(String(random.between(-20, 20) / 4)) });
  }
  if (key.startsWith("n") && dice < 60) {
    return command(CommandType.increment, key, { value: i64(BigInt(random.between(-5, 50))) });
  }
  if (dice < 55) {
    const expiryMs = random.chance(0.2) ? nowMs + random.between(1, 400) : 0;
    return put(key, "v".repeat(random.below(200)) + random.below(1000), { expiryMs });
  }
  if (dice < 70) return command(CommandType.delete, key);
  if (dice < 80) return command(CommandType.append, key, { value: utf8("x".repeat(random.below(10))) });
  if (dice < 84) {
    const [offset, bytes] = [random.below(40), utf8("r".repeat(random.between(1, 30)))];
    return command(CommandType.setRange, key, { value: encodeRange(offset, { bytes, start: 0, end: bytes.length }) });
  }
  // The lowest bit of a byte, so that text stays text.
  if (dice < 87) return command(CommandType.setBit, key, { value: encodeBit(random.below(30) * 8 + 7, 1) });
  if (dice < 95) return command(CommandType.expire, key, { expiryMs: nowMs + random.between(-5, 500) });
  return put(key, String(random.below(1000)));
}

const PLACES_OF_VALUES = [
  ["in tables", undefined],
  ["in the log", EVERY_VALUE],
  ["in the log if they are large", LARGE_VALUES],
  ["in the log and collected", COLLECTED],
  ["in the log, some of them hot", HOT_AND_COLD],
] as const;

test.each(PLACES_OF_VALUES)(
  "random batches, flushes, compactions and restarts, values %s: the shard holds what a map would",
  (_, values) => {
    const seed = newSeed();
    const random = new Random(seed);
    using harness = new ShardHarness({ options: separated(values) });
    const model = new Model();
    for (let round = 0; round < 120; round++) {
      harness.stamps.pass(random.below(60));
      for (let entry = random.between(1, 4); entry > 0; entry--) {
        const commands: TestCommand[] = [];
        for (let count = random.between(1, 40); count > 0; count--) {
          commands.push(randomCommand(random, harness.stamps.ms));
        }
        for (const one of commands) model.apply(one, harness.stamps.ms);
        harness.append(commands);
      }
      harness.clock.nowMs = harness.stamps.ms;
      harness.shard.turn();
      for (let steps = random.below(4); steps > 0; steps--) harness.shard.backgroundStep();
      const dice = random.below(20);
      if (dice === 0) harness.maintain("flush");
      if (dice === 1) harness.maintain("compact");
      if (dice === 2) {
        harness.stop();
        harness.reopen();
        harness.send({ type: "commit", commitIndex: logIndex(harness.lastIndex) });
        harness.shard.turn();
        harness.settle();
      }
      if (dice === 3) harness.release(harness.lastIndex);
      if (round % 10 === 9 || dice < 3) {
        expect(harness.content(), `seed ${seed} round ${round}`).toEqual(model.visible(harness.clock.nowMs));
      }
    }
    expect(harness.stats().tableCount, `seed ${seed}: memory was small enough to be flushed`).toBeGreaterThan(0);
  },
);

test("two shards that apply the same entries come to the same state, however they flush", () => {
  const seed = newSeed();
  const random = new Random(seed);
  using left = new ShardHarness();
  using right = new ShardHarness({ memtableBytes: 256 * KIB });
  const stamps = new Stamps();
  for (let index = 1; index <= 200; index++) {
    stamps.pass(random.below(30));
    const commands = Array.from({ length: random.between(1, 30) }, () => randomCommand(random, stamps.ms));
    const entry = encodeEntry(index, 1, commands, stamps);
    for (const harness of [left, right]) {
      harness.clock.nowMs = stamps.ms;
      const applyThrough = logIndex(index);
      harness.send({ type: "append", entries: [entry], commitIndex: applyThrough, applyThrough, wantResults: true });
      harness.shard.turn();
      if (random.chance(0.1)) harness.settle();
      if (random.chance(0.02)) harness.maintain("compact");
    }
  }
  expect(left.content(), `seed ${seed}`).toEqual(right.content());
  const results = (harness: ShardHarness) => harness.ofType("applied").flatMap((reply) => reply.results);
  expect(results(left), `seed ${seed}`).toEqual(results(right));
});

test("one entry far larger than a memtable is applied, and survives a crash between its halves", () => {
  using harness = new ShardHarness({ options: { groupBytesMax: 8 * KIB } });
  const commands: TestCommand[] = [];
  for (let i = 0; i < 400; i++) {
    commands.push(put(`k${i}`, "x".repeat(500)));
    commands.push(command(CommandType.increment, "n", { value: i64(1n) }));
  }
  harness.run(...commands);
  expect(harness.get("n")).toBe("400");
  expect(harness.stats().flushedIndex).toBe(0);
  // No stop: the next process finds tables that hold a part of the entry, and a log that holds all of it.
  harness.reopen();
  harness.send({ type: "commit", commitIndex: logIndex(1) });
  harness.shard.turn();
  harness.settle();
  expect(harness.get("n")).toBe("400");
  expect(harness.content().size).toBe(401);
});

test("a flush that begins after a key expired keeps it for the replay of a command that still saw it", () => {
  using harness = new ShardHarness();
  harness.append([put("n", "7", { expiryMs: harness.stamps.ms + 50 })]);
  harness.append(Array.from({ length: 10 }, (_, i) => put(`filler${i}`, "x".repeat(8000))));
  harness.append([command(CommandType.increment, "n", { value: i64(1n) })]);
  // Without its expiry it is there to be read afterwards.
  harness.append([command(CommandType.persist, "n")]);
  harness.stamps.pass(100);
  harness.append([put("other", "1")]);
  harness.shard.turn();
  harness.settle();
  expect(harness.stats().flushCount).toBe(1);
  // No stop: what is not in tables is applied again.
  harness.reopen();
  harness.send({ type: "commit", commitIndex: logIndex(harness.lastIndex) });
  harness.shard.turn();
  harness.settle();
  expect(harness.get("n")).toBe("8");
});

test("the writer waits when main gives no arena back, and goes on when it does", () => {
  using harness = new ShardHarness({ returnsArenas: false });
  for (let i = 0; i < 60; i++) harness.append([put(`k${i}`, "x".repeat(8000))]);
  harness.shard.turn();
  const stuckAt = harness.ofType("applied").at(-1)?.appliedIndex ?? 0;
  expect(stuckAt).toBeLessThan(60);
  expect(harness.ofType("persisted").at(-1)?.lastIndex).toBe(logIndex(60));
  let given = 0;
  for (let i = 0; i < 200; i++) {
    for (const arena of harness.retiredArenas.slice(given)) harness.send({ type: "returnArena", arena });
    given = harness.retiredArenas.length;
    harness.shard.turn();
    harness.shard.backgroundStep();
  }
  expect(harness.ofType("applied").at(-1)?.appliedIndex).toBe(logIndex(60));
  expect(harness.content().size).toBe(60);
});

test("main finds in shared memory everything up to the applied index that it loads", () => {
  using harness = new ShardHarness();
  const state = new SharedState(harness.memory.state);
  const memtables = new MemtableSet(state, harness.memory.arenas);
  harness.run(put("k", "1"));
  expect(state.readable(logIndex(1))).toBe(true);
  expect(state.readable(logIndex(2))).toBe(false);
  expect(state.missIsFinal).toBe(true);
  expect(state.writable).toBe(true);
  harness.maintain("flush");
  expect(state.missIsFinal).toBe(false);
  memtables.retire(1);
  expect(state.newestArena).toBe(2);
});

test("a replay that needs more than one memtable leaves no key that main would call missing", () => {
  using harness = new ShardHarness({ memtableBytes: 64 * KIB });
  const keys = Array.from({ length: 900 }, (_, i) => `key:${i}`);
  // Nothing is flushed: no background step runs before the crash.
  for (const key of keys) harness.run(put(key, "v".repeat(100)));
  expect(harness.stats().tableCount).toBe(0);
  harness.reopen();
  harness.send({ type: "commit", commitIndex: logIndex(keys.length) });
  harness.shard.turn();
  expect(harness.stats().tableCount).toBeGreaterThan(0);
  const state = new SharedState(harness.memory.state);
  const memtables = new MemtableSet(state, harness.memory.arenas);
  for (const key of keys) {
    const bytes = utf8(key);
    const found = memtables.find(BUCKET, bytes, 0, bytes.length, murmur3(bytes, 0, bytes.length, BUCKET));
    expect(found !== null || !state.missIsFinal).toBe(true);
    expect(harness.get(key)).toBe("v".repeat(100));
  }
});

test("values of the largest size go in, stay and come back", () => {
  const valueBytesMax = 1024 * KIB;
  using harness = new ShardHarness({ memtableBytes: 4096 * KIB, options: { valueBytesMax } });
  const values = [1, 2, 3, 4, 5].map((n) => String(n).repeat(valueBytesMax));
  for (const [i, value] of values.entries()) harness.run(put(`k${i}`, value));
  const check = (): void => {
    for (const [i, value] of values.entries()) expect(harness.get(`k${i}`) === value).toBe(true);
  };
  check();
  harness.maintain("flush");
  check();
  harness.stop();
  harness.reopen();
  harness.send({ type: "commit", commitIndex: logIndex(5) });
  harness.shard.turn();
  check();
});

test("a memtable that has reached its age is flushed without being full", () => {
  using harness = new ShardHarness({ options: { memtableAgeMs: 1000 } });
  harness.run(put("k", "1"));
  harness.settle();
  expect(harness.stats().flushCount).toBe(0);
  harness.clock.nowMs += 1001;
  harness.settle();
  expect(harness.stats().flushCount).toBe(1);
  expect(harness.get("k")).toBe("1");
});

test("the log lets go of what is in tables and what no member needs, and of nothing else", () => {
  using harness = new ShardHarness();
  const fill = (): void => {
    for (let i = 0; i < 100; i++) harness.run(put(`k${i}`, "x".repeat(10_000)));
    harness.maintain("flush");
  };
  fill();
  const segments = harness.stats().segmentCount;
  expect(segments).toBeGreaterThan(2);
  harness.release(90);
  harness.shard.turn();
  harness.settle();
  expect(harness.stats().segmentCount).toBeLessThan(segments);
  harness.stop();
  harness.reopen();
  expect(harness.boot.firstIndex).toBeGreaterThan(1);
  expect(harness.boot.firstIndex).toBeLessThanOrEqual(90);
});

test("entries that are not in tables stay in the log, whoever else needs them no more", () => {
  const log = { ...testOptions("").log, segmentBytes: 16 * KIB };
  using harness = new ShardHarness({ options: { log } });
  for (let i = 0; i < 15; i++) harness.run(put(`k${i}`, "x".repeat(3000)));
  expect(harness.stats().segmentCount).toBeGreaterThan(2);
  harness.release(harness.lastIndex);
  harness.shard.turn();
  harness.settle();
  expect(harness.stats().flushCount).toBe(0);
  harness.reopen();
  harness.send({ type: "commit", commitIndex: logIndex(harness.lastIndex) });
  harness.shard.turn();
  expect(harness.content().size).toBe(15);
});

test("a log that is longer than members behind may ask for is cut where tables have it, and says so", () => {
  const log = { ...testOptions("").log, segmentBytes: 16 * KIB };
  using harness = new ShardHarness({ memtableBytes: 512 * KIB, options: { log } });
  for (let i = 0; i < 30; i++) harness.run(put(`k${i}`, "x".repeat(3000)));
  const retainedBytes = 64 * KIB;
  harness.release(1, retainedBytes);
  harness.shard.turn();
  harness.settle();
  expect(harness.ofType("logReleased")).toEqual([]);
  harness.maintain("flush");
  for (let i = 30; i < 40; i++) harness.run(put(`k${i}`, "x".repeat(3000)));
  harness.settle();
  const { segmentBytes } = harness.stats();
  expect(segmentBytes).toBeLessThanOrEqual(retainedBytes);
  expect(segmentBytes).toBeGreaterThan(retainedBytes - 16 * KIB - 1);
  const last = harness.ofType("logReleased").at(-1);
  expect(last?.firstIndex as number).toBeGreaterThan(1);
  expect(last?.previousTerm as number).toBe(1);
  harness.reopen();
  expect(harness.boot.firstIndex).toBe(last?.firstIndex as typeof harness.boot.firstIndex);
});

test("a start knows the configuration in force where the tables end, and those of the log behind it", () => {
  using harness = new ShardHarness();
  const known = (): string[] => harness.boot.configurations.map(({ index, body }) => `${index} ${text(body)}`);
  harness.run(put("k", "1"));
  harness.configure("first");
  harness.configure("second");
  harness.run(put("k", "2"));
  harness.maintain("flush");
  harness.configure("third");
  harness.run(put("k", "3"));
  const applied = harness.lastIndex;
  harness.configure("superseded", applied);
  harness.reopen();
  expect(known()).toEqual(["3 second", "5 third", "7 superseded"]);
  harness.lastIndex = applied;
  harness.configure("other", applied);
  harness.reopen();
  expect(known()).toEqual(["3 second", "5 third", "7 other"]);
  harness.run(put("k", "4"));
  harness.maintain("flush");
  harness.release(harness.lastIndex);
  harness.shard.turn();
  harness.settle();
  harness.stop();
  harness.reopen();
  expect(known()).toEqual(["7 other"]);
});

test("memtables too small for the longest value are refused at once", () => {
  expect(() => new ShardHarness({ options: { valueBytesMax: 60 * KIB } })).toThrow("too small");
});

test("what a restart has to read is bounded in bytes of log, the padding of its groups included", () => {
  using harness = new ShardHarness({ options: { replayBytesMax: 64 * KIB } });
  // Each in a group of its own, which takes a block of 4 KiB.
  for (let i = 0; i < 12; i++) harness.run(put(`key:${i}`, "v"));
  harness.settle();
  expect(harness.stats().flushCount).toBe(0);
  for (let i = 12; i < 24; i++) harness.run(put(`key:${i}`, "v"));
  harness.settle();
  expect(harness.stats().flushCount).toBe(1);
  expect(harness.stats().memtableEntries).toBe(0);
});
