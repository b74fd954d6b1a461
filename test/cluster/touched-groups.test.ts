/** A turn serves the groups that something came for, and nobody who waits for a time is forgotten. */
import { expect, test } from "bun:test";
import { DirectLink } from "../../src/cluster/direct-link.ts";
import { type ServedGroup, TouchedGroups } from "../../src/cluster/touched-groups.ts";

class FakeGroup implements ServedGroup {
  readonly shard: number;
  readonly calls: string[] = [];
  readonly #touched: TouchedGroups;
  stepCount = 0;
  dueInMs = Number.POSITIVE_INFINITY;
  onSettle: () => void = () => undefined;

  constructor(shard: number, touched: TouchedGroups) {
    this.shard = shard;
    this.#touched = touched;
  }

  beginTurn(): void {
    this.calls.push("begin");
  }

  drive(): boolean {
    this.calls.push("drive");
    return false;
  }

  flush(): void {
    this.calls.push("flush");
  }

  settle(): void {
    this.calls.push("settle");
    this.onSettle();
  }

  background(): boolean {
    this.calls.push("step");
    return this.stepCount-- > 0;
  }

  stir(): void {
    this.#touched.touch(this.shard);
  }

  take(): string {
    return this.calls.splice(0).join(" ");
  }
}

function setUp(count: number) {
  const touched = new TouchedGroups(count);
  const groups = Array.from({ length: count }, (_, shard) => new FakeGroup(shard, touched));
  touched.serve(groups);
  const turn = (nowMs = 0): void => {
    touched.beginTurn();
    touched.drive();
    touched.flush();
    touched.settle();
    while (touched.owesSteps) touched.step(nowMs);
  };
  turn();
  for (const group of groups) group.take();
  return { touched, groups, turn };
}

test("only what was touched is served, once", () => {
  const { touched, groups, turn } = setUp(3);
  touched.touch(2);
  touched.touch(2);
  turn();
  expect(groups.map((group) => group.take())).toEqual(["", "", "begin drive flush settle step"]);
  turn();
  expect(groups.map((group) => group.take())).toEqual(["", "", ""]);
});

test("what a shard says at the end of a turn is for the next one", () => {
  const { touched, groups, turn } = setUp(1);
  groups[0]!.onSettle = () => {
    groups[0]!.onSettle = () => undefined;
    touched.touch(0);
  };
  touched.touch(0);
  turn();
  expect([groups[0]!.take(), touched.any]).toEqual(["begin drive flush settle step", true]);
  turn();
  expect([groups[0]!.take(), touched.any]).toEqual(["begin drive flush settle step", false]);
});

test("a shard is asked for steps until it owes none", () => {
  const { touched, groups, turn } = setUp(2);
  groups[1]!.stepCount = 2;
  touched.touch(1);
  turn();
  expect(groups[1]!.take()).toBe("begin drive flush settle step step step");
});

test("a time that a shard wants a turn at comes, however often it is touched before", () => {
  const { touched, groups, turn } = setUp(2);
  groups[1]!.dueInMs = 500;
  for (let nowMs = 0; nowMs < 500; nowMs += 100) {
    touched.touch(1);
    turn(nowMs);
  }
  expect(touched.nextDueMs).toBe(500);
  touched.touchDue(499);
  expect(touched.any).toBe(false);
  groups[1]!.dueInMs = Number.POSITIVE_INFINITY;
  touched.touchDue(500);
  expect(touched.any).toBe(true);
  turn(500);
  expect(touched.nextDueMs).toBe(Number.POSITIVE_INFINITY);
});

test("a shard on this thread is left alone while it owes nothing, and called when it is sent something or stirred", () => {
  const calls: string[] = [];
  const shard = {
    handle: () => calls.push("handle"),
    takeAndWrite: () => calls.push("write"),
    settle: () => calls.push("settle"),
    backgroundStep: () => {
      calls.push("step");
      return false;
    },
    idleMs: 0,
  };
  const link = new DirectLink(shard);
  const turn = (): string => {
    link.flush();
    link.settle();
    link.background();
    return calls.splice(0).join(" ");
  };
  expect([turn(), turn()]).toEqual(["write settle step", ""]);
  link.send({ type: "stop" });
  expect([turn(), turn()]).toEqual(["handle write settle step", ""]);
  link.stir();
  expect([turn(), turn()]).toEqual(["write settle step", ""]);
});

test("what comes for a group behind its drive is for the next turn", () => {
  const { touched, groups, turn } = setUp(2);
  touched.touch(1);
  touched.beginTurn();
  touched.drive();
  touched.flush();
  // Here clients get their answers and go on.
  touched.touch(1);
  touched.touch(0);
  touched.settle();
  expect([groups[1]!.take(), touched.any]).toEqual(["begin drive flush settle", true]);
  groups[0]!.take();
  turn();
  const served = "begin drive flush settle step";
  expect(groups.map((group) => group.take())).toEqual([served, served]);
  expect(touched.any).toBe(false);
});
