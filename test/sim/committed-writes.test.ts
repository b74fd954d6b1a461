/** Where committed writes stand: each once, in the order in which its connection sent it, under an id that is not gone. */
import { expect, test } from "bun:test";
import { detachedCommand } from "../../src/cluster/operation.ts";
import { ProposalBatch } from "../../src/cluster/proposal-batch.ts";
import { logIndex, term } from "../../src/core/ids.ts";
import { HybridClock } from "../../src/core/stamp.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { CommandType, MODIFIER_NX, withSession } from "../../src/record/command-format.ts";
import { emptyEntry } from "../../src/record/entry-format.ts";
import { SYNC } from "../../src/record/durability.ts";
import { CommittedWrites } from "../../src/sim/committed-writes.ts";
import { type Call, History } from "../../src/sim/history.ts";
import type { KeyInput } from "../../src/sim/key-model.ts";

const KEY = "k1.0";
const get: KeyInput = { kind: "get" };
const set = (value: string): KeyInput => ({ kind: "set", value });
const setIfAbsent = (value: string): KeyInput => ({ kind: "setIfAbsent", value });
const add = (by: bigint): KeyInput => ({ kind: "increment", by });

/** A shard's log in one hand, and a history in the other. */
class Scene {
  readonly history = new History(() => 0);
  readonly writes = new CommittedWrites();
  readonly session = this.history.newSession();
  readonly #batch = new ProposalBatch(new HybridClock(), 1);
  #lastIndex = 0;

  /** All sent at once in this order. */
  send(...inputs: readonly KeyInput[]): readonly Call[] {
    return inputs.map((input) => this.history.call("1", KEY, input, this.session));
  }

  /** One entry with these writes, under an id of the bucket. */
  commit(bucket: number, ...inputs: readonly KeyInput[]): void {
    this.#commit(0, ...this.append(1, bucket, ...inputs));
  }

  /** One entry with a write as a command of a session. */
  commitOnce(shard: number, bucket: number, sequence: number, input: KeyInput): void {
    this.#batch.addEncoded(withSession(commandOf(bucket, input), 7, sequence), SYNC, 0);
    this.#commit(shard, ...this.#seal(1));
  }

  #commit(shard: number, index: number, entry: Uint8Array): void {
    this.writes.appended(shard, entry);
    this.writes.committed(shard, index, 1);
  }

  append(inTerm: number, bucket: number, ...inputs: readonly KeyInput[]): readonly [number, Uint8Array] {
    for (const input of inputs) this.#batch.addEncoded(commandOf(bucket, input), SYNC, 0);
    return this.#seal(inTerm);
  }

  #seal(inTerm: number): readonly [number, Uint8Array] {
    const index = ++this.#lastIndex;
    return [index, this.#batch.seal(logIndex(index), term(inTerm))];
  }

  wrongs(): readonly string[] {
    return this.writes.judge(this.history.keys());
  }
}

function commandOf(bucket: number, input: KeyInput): Uint8Array {
  const whole = (bytes: Uint8Array) => ({ bytes, start: 0, end: bytes.length });
  const key = whole(utf8(KEY));
  switch (input.kind) {
    case "set":
      return detachedCommand(CommandType.put, 0, bucket, key, whole(utf8(input.value)), 0);
    case "setIfAbsent":
      return detachedCommand(CommandType.conditionalPut, MODIFIER_NX, bucket, key, whole(utf8(input.value)), 0);
    case "increment": {
      const value = new Uint8Array(8);
      new DataView(value.buffer).setBigInt64(0, input.by, true);
      return detachedCommand(CommandType.increment, 0, bucket, key, whole(value), 0);
    }
    default:
      throw new Error("no write");
  }
}

function answer({ history }: Scene, ...answers: readonly (readonly [call: Call | undefined, output: string])[]): void {
  for (const [call, output] of answers) if (call !== undefined) history.returned(call, output);
}

test("writes that stand as they were sent are in order, in one entry or in several, under one id or a later one", () => {
  const scene = new Scene();
  const calls = scene.send(set("a"), set("b"), set("c"), set("d"));
  scene.commit(1, set("a"), set("b"));
  scene.commit(1, set("c"));
  scene.commit(64, set("d"));
  // In whichever order they are answered.
  answer(scene, [calls[3], "ok"], [calls[1], "ok"], [calls[0], "ok"], [calls[2], "ok"]);
  expect(scene.wrongs()).toEqual([]);
});

test("a write that stands before an earlier one of its connection is found: in an entry, in a log, under a former id", () => {
  for (const commit of [
    (scene: Scene) => scene.commit(1, set("b"), set("a")),
    (scene: Scene) => {
      scene.commit(1, set("b"));
      scene.commit(1, set("a"));
    },
    (scene: Scene) => {
      scene.commit(64, set("a"));
      scene.commit(1, set("b"));
    },
  ]) {
    const scene = new Scene();
    const [first, second] = scene.send(set("a"), set("b"));
    commit(scene);
    answer(scene, [first, "ok"], [second, "ok"]);
    expect(scene.wrongs()).toEqual(["1/k1.0 = b stands before k1.0 = a, sent first in session 1"]);
  }
});

test("writes of several connections may stand in any order", () => {
  const scene = new Scene();
  const [own] = scene.send(set("a"));
  const other = scene.history.call("1", KEY, set("b"), scene.history.newSession());
  scene.commit(1, set("b"), set("a"));
  answer(scene, [own, "ok"], [other, "ok"]);
  expect(scene.wrongs()).toEqual([]);
});

test("a write that nobody waited for any more may come late, one that was waited for may not", () => {
  for (const isWaitedFor of [false, true]) {
    const scene = new Scene();
    const [first, second] = scene.send(set("a"), set("b"));
    scene.commit(1, set("b"));
    scene.commit(1, set("a"));
    if (isWaitedFor) answer(scene, [second, "ok"]);
    scene.history.forsaken(first!);
    if (!isWaitedFor) answer(scene, [second, "ok"]);
    expect(scene.wrongs().length).toBe(isWaitedFor ? 1 : 0);
  }
});

test("a write stands once", () => {
  const scene = new Scene();
  const [call] = scene.send(set("a"));
  scene.commit(1, set("a"));
  scene.commit(64, set("a"));
  answer(scene, [call, "ok"]);
  expect(scene.wrongs()).toEqual(["k1.0 = a was written twice"]);
});

test("a command of a session may stand more than once, in one shard", () => {
  for (const [shard, sequence, wrongs] of [
    [0, 1, []],
    [1, 1, ["k1.0 = a was sent to shards 0 and 1"]],
    [0, 2, ["k1.0 = a was written twice"]],
  ] as const) {
    const scene = new Scene();
    const [call] = scene.send(set("a"));
    scene.commitOnce(0, 1, 1, set("a"));
    scene.commitOnce(shard, 64, sequence, set("a"));
    answer(scene, [call, "ok"]);
    expect(scene.wrongs()).toEqual([...wrongs]);
  }
});

test("what was sent later on its connection may come before a command that was sent again, and not before another one", () => {
  for (const isSentAgain of [false, true]) {
    const scene = new Scene();
    const [first, second] = scene.send(set("a"), set("b"));
    scene.commitOnce(0, 1, 2, set("b"));
    answer(scene, [second, "ok"]);
    if (isSentAgain) scene.history.sentAgain(first!);
    scene.commitOnce(0, 1, 1, set("a"));
    answer(scene, [first, "ok"]);
    expect(scene.wrongs().length).toBe(isSentAgain ? 0 : 1);
  }
});

test("entries that were replaced, and those without commands, hold nothing", () => {
  const scene = new Scene();
  const [call] = scene.send(set("a"));
  const [, replaced] = scene.append(1, 1, set("a"));
  scene.writes.appended(0, replaced);
  scene.writes.appended(0, emptyEntry(logIndex(1), term(2)));
  scene.writes.committed(0, 1, 2);
  scene.commit(1, set("a"));
  answer(scene, [call, "ok"]);
  expect(scene.wrongs()).toEqual([]);
});

test("reads of a connection do not go back, nor before its writes, nor ahead to what it wrote later", () => {
  for (const [shown, wrongs] of [
    [["=a", "=b"], []],
    [["=b", "=b"], []],
    [["nil", "=a"], []],
    [["=b", "=a"], ["1/a read of k1.0 = a stands before a read of k1.0 = b, sent first in session 1"]],
    [["=old", "=a"], ["1/a read of k1.0 = old stands before k1.0 = a, sent first in session 1"]],
    [["=a", "=c"], ["1/k1.0 = c stands before a read of k1.0 = c, sent first in session 1"]],
  ] as const) {
    const scene = new Scene();
    scene.commit(1, set("old"), set("a"), set("b"), set("c"));
    const calls = scene.send(set("a"), get, get, set("c"));
    scene.history.call("1", KEY, set("b"), scene.history.newSession());
    answer(scene, [calls[0], "ok"], [calls[1], shown[0]], [calls[2], shown[1]], [calls[3], "ok"]);
    expect(scene.wrongs()).toEqual([...wrongs]);
  }
});

test("a conditional write that did nothing is nothing that a read has to see", () => {
  for (const [output, count] of [
    ["nil", 0],
    ["ok", 1],
  ] as const) {
    const scene = new Scene();
    scene.commit(1, set("a"), setIfAbsent("b"));
    const [conditional, read] = scene.send(setIfAbsent("b"), get);
    answer(scene, [conditional, output], [read, "=a"]);
    expect(scene.wrongs().length).toBe(count);
  }
});

test("a counter stands where its newest bit does", () => {
  for (const [sum, count] of [
    ["=3", 0],
    ["=1", 1],
  ] as const) {
    const scene = new Scene();
    scene.commit(1, add(1n), add(2n));
    const [first, second, read] = scene.send(add(1n), add(2n), get);
    answer(scene, [first, "1"], [second, "3"], [read, sum]);
    expect(scene.wrongs().length).toBe(count);
  }
});

test("what is sent after a bucket was emptied does not stand under an id of before", () => {
  for (const [id, shown, wrongs] of [
    [64, "=new", []],
    [1, "nil", ["1/k1.0 = new stands under its former id 1, sent @5 though the bucket was emptied @3 to @4"]],
    [
      64,
      "=old",
      ["1/a read of k1.0 = old stands under its former id 1, sent @6 though the bucket was emptied @3 to @4"],
    ],
  ] as const) {
    const scene = new Scene();
    const [old] = scene.send(set("old"));
    scene.commit(1, set("old"));
    answer(scene, [old, "ok"]);
    scene.history.renewed(scene.history.renew("1"));
    scene.commit(id, set("new"));
    const other = scene.history.call("1", KEY, set("new"), scene.history.newSession());
    const read = scene.history.call("1", KEY, get, scene.history.newSession());
    answer(scene, [other, "ok"], [read, shown]);
    expect(scene.wrongs()).toEqual([...wrongs]);
  }
});

test("while a bucket is being emptied, and when nobody knows whether it was, both ids will do", () => {
  const scene = new Scene();
  const [old] = scene.send(set("old"));
  scene.commit(1, set("old"));
  answer(scene, [old, "ok"]);
  const emptying = scene.history.renew("1");
  scene.history.renew("1");
  const meanwhile = scene.history.call("1", KEY, set("new"), scene.history.newSession());
  scene.commit(1, set("new"));
  answer(scene, [meanwhile, "ok"]);
  scene.history.renewed(emptying);
  expect(scene.wrongs()).toEqual([]);
});
