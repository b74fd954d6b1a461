/** What one connection sent on one key takes effect in that order, and an emptied bucket shows nothing of before. */
import { expect, test } from "bun:test";
import { History } from "../../src/sim/history.ts";
import type { KeyInput } from "../../src/sim/key-model.ts";
import { judge } from "../../src/sim/verdict.ts";

const get: KeyInput = { kind: "get" };
const set = (value: string): KeyInput => ({ kind: "set", value });
const add = (by: bigint): KeyInput => ({ kind: "increment", by });

/** All sent at once, in this order, on one connection; then answered in the order of `answers`. */
function pipelined(
  inputs: readonly KeyInput[],
  answers: readonly (readonly [call: number, output: string])[],
): History {
  const history = new History(() => 0);
  const session = history.newSession();
  const calls = inputs.map((input) => history.call("0", "k", input, session));
  for (const [call, output] of answers) history.returned(calls[call]!, output);
  for (const call of calls) if (call.outcome === null) history.forsaken(call);
  return history;
}

function wrongs(history: History): readonly string[] {
  return judge(history.keys()).wrong.map((text) => text.split("\n")[0] ?? "");
}

test("a read between two writes of its connection sees the first", () => {
  const inputs = [set("a"), get, set("b")];
  expect(
    wrongs(
      pipelined(inputs, [
        [0, "ok"],
        [1, "=a"],
        [2, "ok"],
      ]),
    ),
  ).toEqual([]);
  expect(
    wrongs(
      pipelined(inputs, [
        [2, "ok"],
        [1, "=a"],
        [0, "ok"],
      ]),
    ),
  ).toEqual([]);
  const broken = ["0/k does not keep the order of a connection:"];
  expect(
    wrongs(
      pipelined(inputs, [
        [0, "ok"],
        [1, "=b"],
        [2, "ok"],
      ]),
    ),
  ).toEqual(broken);
  expect(
    wrongs(
      pipelined(inputs, [
        [0, "ok"],
        [1, "nil"],
        [2, "ok"],
      ]),
    ),
  ).toEqual(broken);
});

test("a read may see what another connection wrote after the write before it", () => {
  const history = new History(() => 0);
  const [own, other] = [history.newSession(), history.newSession()];
  const first = history.call("0", "k", set("a"), own);
  const read = history.call("0", "k", get, own);
  const between = history.call("0", "k", set("x"), other);
  history.returned(read, "=x");
  history.returned(between, "ok");
  history.returned(first, "ok");
  expect(wrongs(history)).toEqual([]);
});

test("increments of one connection add up in the order they were sent", () => {
  const inputs = [add(1n), add(2n), add(4n)];
  expect(
    wrongs(
      pipelined(inputs, [
        [0, "1"],
        [1, "3"],
        [2, "7"],
      ]),
    ),
  ).toEqual([]);
  expect(
    wrongs(
      pipelined(inputs, [
        [0, "1"],
        [1, "7"],
        [2, "5"],
      ]),
    ),
  ).toEqual(["0/k does not keep the order of a connection:"]);
});

test("a write that was waited for while a later one was answered did not come after it", () => {
  const history = pipelined([set("lost"), set("b")], [[1, "ok"]]);
  const read = history.call("0", "k", get, history.newSession());
  history.returned(read, "=lost");
  expect(wrongs(history)).toEqual(["0/k does not keep the order of a connection:"]);
});

test("a write that was given up before may come late", () => {
  const history = new History(() => 0);
  const session = history.newSession();
  history.forsaken(history.call("0", "k", set("lost"), session));
  history.returned(history.call("0", "k", set("b"), session), "ok");
  history.returned(history.call("0", "k", get, session), "=lost");
  expect(wrongs(history)).toEqual([]);
});

test("what was there before a bucket was emptied is not read afterwards", () => {
  const history = new History(() => 0);
  const session = history.newSession();
  history.returned(history.call("1", "k", set("old"), session), "ok");
  const meanwhile = history.renew("1");
  const during = history.call("1", "k", set("new"), session);
  history.returned(during, "ok");
  // While it is being emptied both may be seen.
  history.returned(history.call("1", "k", get, session), "=old");
  history.renewed(meanwhile);
  history.returned(history.call("1", "k", get, session), "=new");
  expect(wrongs(history)).toEqual([]);
  history.returned(history.call("1", "k", get, session), "=old");
  expect(wrongs(history)[0]).toContain("shows what was there");
});

test("a write answered after a bucket was emptied is not lost, even if it is emptied again later", () => {
  const history = new History(() => 0);
  const session = history.newSession();
  history.renewed(history.renew("1"));
  history.returned(history.call("1", "k", set("a"), session), "ok");
  history.returned(history.call("1", "k", get, session), "nil");
  history.renewed(history.renew("1"));
  expect(wrongs(history)).toEqual(["1/k is not linearizable:"]);
});

test("a command of a session counts once, however often it was sent, and tells of its first time", () => {
  for (const [second, isGood] of [
    ["3", true],
    ["2", false],
  ] as const) {
    const history = new History(() => 0);
    const [one, other] = [history.newSession(), history.newSession()];
    const again = history.call("0", "k", add(1n), one);
    history.sentAgain(again);
    history.returned(history.call("0", "k", add(2n), other), second);
    history.returned(again, "1");
    expect(wrongs(history)).toEqual(isGood ? [] : ["0/k is not linearizable:"]);
    // Carried out twice.
    history.returned(history.call("0", "k", get, other), "=4");
    expect(wrongs(history)).toEqual(["0/k is not linearizable:"]);
  }
});

test("a command whose session has ended has happened by then, or never does", () => {
  for (const [shown, isGood] of [
    [["=b", "=b"], true],
    [["=a", "=a"], false],
    [["=b", "=a"], false],
  ] as const) {
    const history = new History(() => 0);
    const session = history.newSession();
    const lost = history.call("0", "k", set("a"), session);
    history.sentAgain(lost);
    history.gone(lost);
    history.returned(history.call("0", "k", set("b"), history.newSession()), "ok");
    for (const output of shown) history.returned(history.call("0", "k", get, history.newSession()), output);
    expect(wrongs(history).length).toBe(isGood ? 0 : 1);
  }
});
