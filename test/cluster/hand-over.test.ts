/** A group that stops hands its leadership over first, and takes nothing more meanwhile. */
import { expect, test } from "bun:test";
import { EMPTY_BYTES } from "../../src/core/bytes.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { SYNC } from "../../src/record/durability.ts";
import { OwnDisk } from "../../src/cluster/own-disk.ts";
import { LeadingGroup } from "./leading-group.ts";

const everybody = () => true;
const NOTHING = { bytes: EMPTY_BYTES, start: 0, end: 0 };

test("the successor is a connected voter, and is asked once it has everything", () => {
  const { group, ...leading } = start();
  group.handOver((peer) => peer === 2);
  leading.turn();
  expect([leading.told(), group.isHandingOver, group.accepting]).toEqual([[2], true, false]);
});

test("the voter with most of the log is preferred", () => {
  const { group, ...leading } = start();
  group.handOver(everybody);
  leading.turn();
  // Node 2 alone has confirmed the leader's first entry.
  expect(leading.told()).toEqual([2]);
});

test("a certain node takes over if it is another voter, whoever has more of the log, and nobody else in its place", () => {
  for (const [node, isVoter] of [
    [3, true],
    [1, false],
    [4, false],
  ] as const) {
    const { group, ...leading } = start();
    group.handOverTo(nodeId(node));
    leading.turn();
    expect([node, group.isHandingOver, group.accepting]).toEqual([node, isVoter, !isVoter]);
  }
});

test("without anybody connected there is nothing to wait for", () => {
  const { group } = start();
  group.handOver(() => false);
  expect([group.isHandingOver, group.accepting]).toEqual([false, true]);
});

test("it is over when the successor speaks, or when it never does", () => {
  const taken = start();
  taken.group.handOver(everybody);
  taken.turn();
  const news = { commitIndex: logIndex(taken.group.commitIndex), readRound: 0, releaseIndex: logIndex(0) };
  taken.group.step({
    type: "heartbeat",
    from: nodeId(2),
    to: nodeId(1),
    term: term(taken.group.term + 1),
    ...news,
  });
  taken.turn();
  expect([taken.group.role, taken.group.isHandingOver]).toEqual(["follower", false]);

  const ignored = start();
  ignored.group.handOver(everybody);
  for (let ticks = 0; ticks < 6; ticks++) {
    ignored.tick();
    ignored.confirm();
  }
  expect([ignored.group.role, ignored.group.isHandingOver, ignored.group.accepting]).toEqual(["leader", false, true]);
});

test("a leader whose disk is full for long hands over to one that is well, and to nobody else", () => {
  const { group, tick, told, ...leading } = start();
  leading.fill(true);
  for (let ticks = 0; ticks < 12; ticks++) {
    tick();
    leading.confirm();
    group.relieve(() => false);
  }
  expect([told(), group.accepting]).toEqual([[], true]);
  for (let ticks = 0; ticks < 6 && told().length === 0; ticks++) {
    tick();
    leading.confirm();
    group.relieve((peer) => peer === 2);
    leading.turn();
  }
  expect(told()).toEqual([2]);
});

test("a leader whose disk is much slower than those of a majority hands over to one of them", () => {
  const leading = new LeadingGroup();
  const { group } = leading;
  const told = (): number[] => leading.sent.filter(({ type }) => type === "timeoutNow").map(({ to }) => to);
  leading.acknowledge(3);
  leading.syncsNothing = true;
  leading.appliesNothing = true;
  const nobody = { resolve: () => undefined };
  group.write(CommandType.put, 0, 1, NOTHING, NOTHING, 0, SYNC, nobody, 1);
  leading.turn();
  for (const follower of [2, 3]) leading.acknowledge(follower);
  for (let ticks = 0; ticks < 12 && told().length === 0; ticks++) {
    leading.tick();
    leading.confirm(leading.round);
    group.relieve((peer) => peer === 3);
    leading.turn();
  }
  expect(told()).toEqual([3]);
});

test("a disk is slow if it has not had for long what others have committed without it", () => {
  const slow = new OwnDisk(3);
  const seen = (commit: number, persisted: number): boolean => slow.isInTheWay(true, commit, persisted);
  expect([seen(5, 5), seen(9, 5), seen(20, 8), seen(30, 8), seen(40, 8)]).toEqual([false, false, false, false, true]);
  // It begins anew; and one that goes on, however far behind, is not slow.
  expect([seen(50, 9), seen(60, 10), seen(70, 50), seen(80, 70), seen(90, 80)]).toEqual(Array(5).fill(false));
  expect([seen(99, 80), seen(99, 99), seen(99, 99)]).toEqual([false, false, false]);
  slow.isInTheWay(false, 99, 99);
  slow.forget();
  expect([1, 2, 3].map(() => slow.isInTheWay(false, 99, 99))).toEqual([false, false, true]);
});

function start() {
  const leading = new LeadingGroup();
  return {
    group: leading.group,
    turn: () => leading.turn(),
    tick: () => leading.tick(),
    fill: (isFull: boolean) => leading.fill(isFull),
    confirm: () => leading.confirm(leading.round),
    told: () => leading.sent.filter(({ type }) => type === "timeoutNow").map(({ to }) => to as number),
  };
}
