/** The model and the bookkeeping that a simulated engine is judged by: if they were wrong, so would every verdict be. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type LogIndex, logIndex, term } from "../../src/core/ids.ts";
import { HybridClock } from "../../src/core/stamp.ts";
import { SYNC } from "../../src/record/durability.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { type CommandDraft, type EngineEntry, makeEntry } from "../../src/sim/engine-command.ts";
import { EngineLog } from "../../src/sim/engine-log.ts";
import { EngineModel, placeBehind, placeIn } from "../../src/sim/engine-model.ts";
import { judgeRead } from "../../src/sim/engine-reads.ts";
import { EngineWitness } from "../../src/sim/engine-witness.ts";

setDefaultTimeout(60_000);

const clock = new HybridClock();
const NOW_MS = 1_700_000_000_000;

function draft(type: CommandType, key: string, value = "", more: Partial<CommandDraft> = {}): CommandDraft {
  return { type, modifiers: 0, bucket: 1, key, value, expiryMs: 0, ...more };
}

function entry(index: number, term: number, ...drafts: CommandDraft[]): EngineEntry {
  return makeEntry(index, term, drafts, clock, NOW_MS, SYNC);
}

test("the model answers for any place in the log", () => {
  const model = new EngineModel(100);
  model.apply(entry(1, 1, draft(CommandType.put, "k", "5"), draft(CommandType.append, "k", "7")));
  model.apply(entry(2, 1, draft(CommandType.delete, "k"), draft(CommandType.delete, "k")));
  expect(model.get(1, "k", placeIn(1, 0), NOW_MS)?.value).toBe("5");
  expect(model.get(1, "k", placeBehind(1), NOW_MS)?.value).toBe("57");
  expect(model.get(1, "k", placeBehind(2), NOW_MS)).toBeNull();
  expect(model.outcomesOf(1)).toEqual([null, "integer 2"]);
  expect(model.outcomesOf(2)).toEqual(["integer 1", "integer 0"]);
  model.forgetBehind(1);
  expect(model.get(1, "k", placeBehind(2), NOW_MS)?.value).toBe("57");
});

test("the model writes over parts, sets bits and adds floats, and stops at the longest value", () => {
  const model = new EngineModel(12);
  const range = (offset: number, more: string): CommandDraft =>
    draft(CommandType.setRange, "k", `${String.fromCharCode(offset)}\0\0\0${more}`);
  const bit = (offset: number): CommandDraft =>
    draft(CommandType.setBit, "k", `${String.fromCharCode(offset)}\0\0\0\x01`);
  model.apply(entry(1, 1, draft(CommandType.put, "k", "abc"), range(1, "x"), range(5, "yz"), range(11, "no")));
  expect(model.get(1, "k", placeBehind(1), NOW_MS)?.value).toBe("axc\0\0yz");
  expect(model.outcomesOf(1)).toEqual([null, "integer 3", "integer 7", "error TOO_LARGE"]);
  model.apply(entry(2, 1, bit(0), bit(1), bit(66), bit(96), range(200, "")));
  expect(model.get(1, "k", placeBehind(2), NOW_MS)?.value).toBe("\xe1xc\0\0yz\0\x20");
  expect(model.outcomesOf(2)).toEqual(["integer 0", "integer 1", "integer 0", "error TOO_LARGE", "integer 9"]);
  const add = (key: string, amount: string): CommandDraft => draft(CommandType.incrementFloat, key, amount);
  model.apply(entry(3, 1, add("f", "1.5"), add("f", "2"), add("f", "1e13"), add("k", "1"), add("f", "inf")));
  const refusals = ["error TOO_LARGE", "error NOT_A_FLOAT", "error OVERFLOW"];
  expect(model.outcomesOf(3)).toEqual(["bytes 1.5", "bytes 3.5", ...refusals]);
});

test("the model lets a key go at its very millisecond", () => {
  const model = new EngineModel(100);
  model.apply(entry(1, 1, draft(CommandType.put, "k", "v", { expiryMs: NOW_MS + 10 })));
  expect(model.keys(1, placeBehind(1), NOW_MS + 9)).toEqual(["k"]);
  expect(model.keys(1, placeBehind(1), NOW_MS + 10)).toEqual([]);
});

test("a log may come back at any state since the last acknowledged one, and at no other", () => {
  const log = new EngineLog();
  log.append([entry(1, 1), entry(2, 1), entry(3, 1)]);
  expect(log.acknowledge(3, 1)).toBe(true);
  log.append([entry(4, 1)]);
  log.append([entry(2, 2)]);
  expect(log.acknowledge(5, 1)).toBe(false);
  const ends = [3, 4, 2].map((index) => log.stateEndingAt(index, index === 2 ? 2 : 1, "nothing")?.length ?? null);
  expect(ends).toEqual([3, 4, 2]);
  expect(log.stateEndingAt(2, 1, "nothing")).toBeNull();
  expect(log.stateEndingAt(0, 0, "nothing")).toBeNull();
  expect(log.stateEndingAt(0, 0, "what was not proven")?.length).toBe(0);
});

test("what a later group has proven may not be missing even after damage", () => {
  const log = new EngineLog();
  log.append([entry(1, 1)]);
  log.acknowledge(1, 1);
  log.append([entry(2, 1)]);
  log.acknowledge(2, 1);
  expect(log.stateEndingAt(0, 0, "what was not proven")).toBeNull();
  expect(log.stateEndingAt(1, 1, "what was not proven")?.length).toBe(1);
});

test("a page must hold every visible key between its ends and no other", () => {
  const model = new EngineModel(100);
  model.apply(entry(1, 1, ...["a", "b", "c"].map((key) => draft(CommandType.put, key, "v"))));
  const read = {
    type: "page",
    bucket: 1,
    after: null,
    examineMax: 10,
    bytesMax: 100,
    pattern: null,
    mode: "keys",
  } as const;
  const judge = (keys: string[], next: string | null): string | null =>
    judgeRead(
      model,
      read,
      {
        kind: "page",
        keys: keys.map(bytes),
        matchCount: keys.length,
        byteCount: 0,
        next: next === null ? null : bytes(next),
      },
      placeBehind(1),
      NOW_MS,
    );
  expect(judge(["a", "b", "c"], null)).toBeNull();
  expect(judge(["a", "b"], "b")).toBeNull();
  expect(judge(["a", "b"], null)).not.toBeNull();
  expect(judge(["a", "c"], "c")).not.toBeNull();
  expect(judge(["a", "b", "d"], null)).not.toBeNull();
});

test("the witness complains about entries applied before they are durable, and about wrong results", () => {
  const heard = (
    results: readonly { index: LogIndex; ordinal: number; result: { kind: "ok"; durability: "sync" } }[],
    isDurable: boolean,
  ) => {
    const witness = new EngineWitness(100, () => NOW_MS);
    witness.sentEntries([entry(1, 1, draft(CommandType.delete, "k"))], true);
    witness.decidedIndex = 1;
    if (isDurable) witness.heard({ type: "persisted", lastIndex: logIndex(1), lastTerm: term(1) });
    witness.heard({ type: "applied", appliedIndex: logIndex(1), stampHigh: 0, stampLow: 0, results, system: [] });
    return witness.violations;
  };
  expect(heard([], false)).toEqual(["applied 1, durable is 0"]);
  const ok = { index: logIndex(1), ordinal: 0, result: { kind: "ok", durability: "sync" } } as const;
  expect(heard([ok], true)).toEqual(["entry 1 came to [0: ok] instead of [0: integer 0]"]);
});

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}
