/** A group that stops hands its leadership over first, and takes nothing more meanwhile. */
import { expect, test } from "bun:test";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { LeadingGroup } from "./leading-group.ts";

const everybody = () => true;

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

function start() {
  const leading = new LeadingGroup();
  return {
    group: leading.group,
    turn: () => leading.turn(),
    tick: () => leading.tick(),
    confirm: () => leading.confirm(leading.round),
    told: () => leading.sent.filter(({ type }) => type === "timeoutNow").map(({ to }) => to as number),
  };
}
