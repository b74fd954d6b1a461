/** A read with a bound may show what was current within it, and nothing else: histories that are right and some that are not. */
import { expect, test } from "bun:test";
import { History } from "../../src/sim/history.ts";
import type { KeyInput } from "../../src/sim/key-model.ts";
import { judge } from "../../src/sim/verdict.ts";

const get: KeyInput = { kind: "get" };
const set = (value: string): KeyInput => ({ kind: "set", value });

/** What happens to one key, at times that a test chooses. */
class Story {
  #nowMs = 0;
  readonly history = new History(() => this.#nowMs);

  at(ms: number): this {
    this.#nowMs = ms;
    return this;
  }

  wrote(value: string): this {
    return this.did(set(value), "ok");
  }

  did(input: KeyInput, output: string): this {
    this.history.returned(this.history.call("0", "k", input, this.history.newSession()), output);
    return this;
  }

  read(output: string, staleMs: number): this {
    this.history.returned(this.history.staleRead("0", "k", get, staleMs), output);
    return this;
  }

  get isRight(): boolean {
    return judge(this.history.keys()).wrong.length === 0;
  }
}

/** `old` is written at 100, `new` at 200. */
function story(): Story {
  return new Story().at(100).wrote("old").at(200).wrote("new");
}

test("what was overwritten within the bound may be shown, and what was before it may not", () => {
  expect(story().at(250).read("=old", 51).isRight).toBe(true);
  expect(story().at(250).read("=old", 50).isRight).toBe(true);
  expect(story().at(250).read("=old", 49).isRight).toBe(false);
  expect(story().at(250).read("=new", 0).isRight).toBe(true);
});

test("a bound of nothing is linearizable", () => {
  expect(story().at(200).read("=old", 0).isRight).toBe(true);
  expect(story().at(201).read("=old", 0).isRight).toBe(false);
});

test("that nothing was there is true until the first write is older than the bound", () => {
  expect(story().at(250).read("nil", 150).isRight).toBe(true);
  expect(story().at(250).read("nil", 149).isRight).toBe(false);
});

test("what was removed may come back for as long as the bound says, and no longer", () => {
  const removed = () => story().at(300).did({ kind: "delete" }, "1");
  expect(removed().at(350).read("=new", 50).isRight).toBe(true);
  expect(removed().at(350).read("=old", 150).isRight).toBe(true);
  expect(removed().at(350).read("=new", 49).isRight).toBe(false);
  expect(removed().at(350).read("=old", 149).isRight).toBe(false);
});

test("nothing is shown that nobody had written yet, or that never was", () => {
  const early = new Story().at(100).read("=new", 1000).at(200).wrote("new");
  expect(early.isRight).toBe(false);
  expect(story().read("=other", 1000).isRight).toBe(false);
});

test("two such reads of one client may go back in time, an ordinary one may not", () => {
  expect(story().at(250).read("=new", 100).read("=old", 100).isRight).toBe(true);
  expect(story().at(250).read("=new", 100).did(get, "=old").isRight).toBe(false);
});

test("a write that was under way at the beginning of the bound may have come before it or after", () => {
  const story = new Story().at(100).wrote("old");
  const call = story.at(150).history.call("0", "k", set("new"), story.history.newSession());
  story.at(220).history.returned(call, "ok");
  expect(story.at(240).read("=old", 25).read("=new", 25).isRight).toBe(true);
  expect(story.at(240).read("=old", 15).isRight).toBe(false);
});

test("a read that takes long may show what came meanwhile", () => {
  const story = new Story().at(100).wrote("old");
  const call = story.at(150).history.staleRead("0", "k", get, 10);
  story.at(200).wrote("new").at(300).wrote("newer").history.returned(call, "=newer");
  expect(story.isRight).toBe(true);
});

test("of a counter no increment is missing that is older than the bound", () => {
  const counted = () =>
    new Story().at(100).did({ kind: "increment", by: 1n }, "1").at(200).did({ kind: "increment", by: 2n }, "3");
  expect(counted().at(250).read("=1", 60).isRight).toBe(true);
  expect(counted().at(250).read("=1", 40).isRight).toBe(false);
  expect(counted().at(250).read("=2", 500).isRight).toBe(false);
});

test("after a bucket was emptied what was in it is shown within the bound only", () => {
  const emptied = () => {
    const story = new Story().at(100).did(set("old"), "ok");
    const renewal = story.at(200).history.renew("0");
    story.history.renewed(renewal);
    return story.at(250);
  };
  expect(emptied().read("=old", 60).isRight).toBe(true);
  expect(emptied().read("=old", 40).isRight).toBe(false);
});
