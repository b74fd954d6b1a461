import { expect, setDefaultTimeout, test } from "bun:test";
import { resolveSettings } from "../../src/config.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { SESSION_BUCKET, SYSTEM_BUCKET } from "../../src/core/ids.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { encodeBit, encodeRange } from "../../src/record/part-format.ts";
import type { Result } from "../../src/record/result.ts";
import { SESSION_WINDOW } from "../../src/core/session-window.ts";
import { encodeSessionTtl } from "../../src/record/session-format.ts";
import { BUCKET, command, i64, KIB, put, ShardHarness, type TestCommand, u32 } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const SESSION = 0x1f_ffff_ffff_fffe;
const TTL_MS = 10_000;

function open(session = SESSION, ttlMs = TTL_MS): TestCommand {
  const once = { session, sequence: 0 };
  return command(CommandType.openSession, "", { bucket: SESSION_BUCKET, value: encodeSessionTtl(ttlMs), once });
}

function close(session = SESSION): TestCommand {
  return command(CommandType.closeSession, "", { bucket: SESSION_BUCKET, once: { session, sequence: 0 } });
}

function once(one: TestCommand, sequence: number, session = SESSION): TestCommand {
  return { ...one, once: { session, sequence } };
}

function increment(key: string, by = 1n): TestCommand {
  return command(CommandType.increment, key, { value: i64(by) });
}

function said(results: readonly Result[]): string {
  return results
    .map((result) => {
      if (result.kind === "integer") return String(result.value);
      if (result.kind === "bytes") return text(result.bytes);
      return result.kind === "error" ? result.code : result.kind;
    })
    .join(" ");
}

test("a command that comes again is not carried out again, and is told what it came to", () => {
  using shard = new ShardHarness();
  expect(said(shard.run(open()))).toBe("ok");
  expect(said(shard.run(once(increment("a"), 1), once(increment("a"), 1), once(increment("a"), 2)))).toBe("1 1 2");
  expect(said(shard.run(once(put("b", "x"), 3)))).toBe("ok");
  expect(said(shard.run(put("b", "y"), once(put("b", "x"), 3)))).toBe("ok");
  expect(shard.get("b")).toBe("y");
  const get = command(CommandType.getDelete, "b");
  expect(said(shard.run(once(get, 4), once(get, 4), once(get, 5)))).toBe("y y nil");
  const wrong = once(increment("text"), 6);
  expect(said(shard.run(put("text", "x"), wrong, put("text", "1"), wrong))).toBe("NOT_AN_INTEGER NOT_AN_INTEGER");
});

test("parts of a value and sums of floats are written once, and the room for the longest of them is asked for", () => {
  using shard = new ShardHarness({ memtableBytes: 256 * KIB });
  const x = { bytes: utf8("x"), start: 0, end: 1 };
  shard.run(open());
  for (let sequence = 1; sequence <= 60; sequence += 3) {
    const range = once(command(CommandType.setRange, "r", { value: encodeRange(16 * KIB - 1, x) }), sequence);
    const bit = once(command(CommandType.setBit, "b", { value: encodeBit(16 * KIB * 8 - 1, 1) }), sequence + 1);
    const float = once(command(CommandType.incrementFloat, "f", { value: utf8("1e4000") }), sequence + 2);
    const first = shard.run(range, bit, float);
    expect(first.map(({ kind }) => kind)).toEqual(["integer", "integer", "bytes"]);
    expect(shard.run(range, bit, float)).toEqual(first);
  }
  expect(shard.get("r")).toBe(`${"\0".repeat(16 * KIB - 1)}x`);
  expect(shard.get("b")).toBe(`${"\0".repeat(16 * KIB - 1)}\x01`);
  expect(shard.get("f")).toHaveLength(4002);
});

test("the smallest memtable that settings allow has room for the longest command of a session and for what is kept of it", () => {
  const bytesMax = 64 * KIB;
  const limits = { keyBytesMax: String(bytesMax), valueBytesMax: String(bytesMax) };
  const settle = (memtableBytes: number): number => {
    const flags = { ...limits, memtableBytes: String(memtableBytes) };
    return resolveSettings({ flags, environment: {}, file: null, cores: 2 }).memtableBytes;
  };
  let memtableBytes = 2 * bytesMax;
  while (!isAccepted(() => settle(memtableBytes))) memtableBytes += 64;
  using shard = new ShardHarness({ memtableBytes, options: { valueBytesMax: bytesMax } });
  shard.run(open());
  const key = "k".repeat(bytesMax);
  const value = "v".repeat(bytesMax);
  expect(said(shard.run(once(put(key, value), 1)))).toBe("ok");
  expect(said(shard.run(once(command(CommandType.persist, key), 2)))).toBe("0");
});

function isAccepted(settle: () => number): boolean {
  try {
    return settle() > 0;
  } catch {
    return false;
  }
}

test("what a session knows outlives flushes, compactions and restarts", () => {
  using shard = new ShardHarness();
  shard.run(open(), once(increment("a"), 1));
  shard.maintain("flush");
  shard.run(once(increment("a"), 2));
  shard.maintain("compact");
  shard.run(once(increment("a"), 3));
  shard.stop();
  shard.reopen();
  expect(said(shard.run(once(increment("a"), 1), once(increment("a"), 2), once(increment("a"), 3)))).toBe("1 2 3");
  expect(shard.get("a")).toBe("3");
});

test("without an open session nothing is carried out", () => {
  using shard = new ShardHarness();
  expect(said(shard.run(once(increment("a"), 1)))).toBe("SESSION_GONE");
  shard.run(open(), once(increment("a"), 1), close());
  expect(said(shard.run(once(increment("a"), 1), once(increment("a"), 2)))).toBe("SESSION_GONE SESSION_GONE");
  expect(shard.get("a")).toBe("1");
});

test("a session ends when it has not been used for its time, and lives as long as it is", () => {
  using shard = new ShardHarness();
  shard.run(open());
  for (let sequence = 1; sequence <= 10; sequence++) {
    shard.stamps.pass(TTL_MS * 0.6);
    expect(said(shard.run(once(increment("a"), sequence)))).toBe(String(sequence));
  }
  shard.stamps.pass(TTL_MS - 1);
  expect(said(shard.run(once(increment("a"), 10)))).toBe("10");
  shard.stamps.pass(TTL_MS + 1);
  expect(said(shard.run(once(increment("a"), 11)))).toBe("SESSION_GONE");
});

test("results are kept for the window, and an older command is refused rather than carried out", () => {
  using shard = new ShardHarness();
  shard.run(open());
  for (let sequence = 1; sequence <= SESSION_WINDOW + 1; sequence++) shard.run(once(increment("a"), sequence));
  expect(said(shard.run(once(increment("a"), 1), once(increment("a"), 2)))).toBe("SESSION_GONE 2");
  expect(shard.get("a")).toBe(String(SESSION_WINDOW + 1));
});

test("what a fence has refused may be asked for again on the bucket's next id", () => {
  using shard = new ShardHarness();
  const fence = command(CommandType.fence, `fence/${BUCKET}`, { bucket: SYSTEM_BUCKET, value: u32(BUCKET) });
  shard.run(open(), fence);
  expect(said(shard.run(once(increment("a"), 1), once({ ...increment("a"), bucket: 2 }, 1)))).toBe("FENCED 1");
});

test("what a command was told is what it is told after a crash, though its bucket is gone by then", () => {
  using shard = new ShardHarness();
  const fence = command(CommandType.fence, `fence/${BUCKET}`, { bucket: SYSTEM_BUCKET, value: u32(BUCKET) });
  shard.run(put("a", "5"));
  shard.maintain("flush");
  shard.run(open());
  expect(said(shard.run(once(increment("a"), 1)))).toBe("6");
  shard.run(fence);
  // The tables may go, but not before the replay can do without them.
  shard.settle();
  shard.reopen();
  expect(said(shard.run(once(increment("a"), 1)))).toBe("6");
});

test("a result too large to be kept is said to be so", () => {
  using shard = new ShardHarness();
  shard.run(open(), put("a", "x".repeat(5 * KIB)));
  const get = once(command(CommandType.getDelete, "a"), 1);
  expect(said(shard.run(get)).length).toBe(5 * KIB);
  // Not an error that would promise that nothing was carried out.
  expect(said(shard.run(get))).toBe("UNKNOWN_OUTCOME");
});

test("two sessions do not know of each other", () => {
  using shard = new ShardHarness();
  shard.run(open(1), open(2));
  expect(said(shard.run(once(increment("a"), 1, 1), once(increment("a"), 1, 2)))).toBe("1 2");
});

test("a session needs a time, and there is a limit to how many are open", () => {
  using shard = new ShardHarness({ memtableBytes: 4096 * KIB });
  expect(said(shard.run(open(1, 0)))).toBe("INVALID_ARGUMENT");
  const batch = (from: number): TestCommand[] => Array.from({ length: 1024 }, (_, i) => open(from + i));
  for (let i = 0; i < 4; i++)
    expect(new Set(shard.run(...batch(1 + i * 1024)).map(({ kind }) => kind))).toEqual(new Set(["ok"]));
  expect(said(shard.run(open(5000)))).toBe("OVERLOADED");
  expect(said(shard.run(open(1)))).toBe("ok");
  expect(said(shard.run(close(7), open(5000)))).toBe("ok ok");
});

test("where memtables fill up in the middle of entries, each command is carried out once all the same", () => {
  using shard = new ShardHarness({ memtableBytes: 64 * KIB });
  shard.run(open());
  let sequence = 0;
  for (let round = 0; round < 60; round++) {
    const commands: TestCommand[] = [];
    for (let i = 0; i < 40; i++) {
      sequence += 1;
      commands.push(once(increment(`counter${i % 3}`), sequence), put(`filler${i}`, "x".repeat(200)));
      commands.push(once(increment(`counter${i % 3}`), sequence));
    }
    shard.run(...commands);
    for (let i = 0; i < 20; i++) shard.shard.backgroundStep();
  }
  const sum = [0, 1, 2].reduce((total, i) => total + Number(shard.get(`counter${i}`)), 0);
  expect(sum).toBe(sequence);
});

test("the session bucket is no bucket of the system", () => {
  using shard = new ShardHarness();
  shard.run(open(), once(put("a", "x"), 1));
  shard.stop();
  shard.reopen();
  expect(shard.boot.system).toEqual([]);
});
