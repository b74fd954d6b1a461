/** A group whose files are damaged, or whose node is about to stop, lets others lead. */
import { expect, test } from "bun:test";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { LeadingGroup } from "./leading-group.ts";

const TICKS = 60;

test("45: with damage it does not campaign, until that is gone", () => {
  const leading = stepDown(new LeadingGroup());
  leading.damage(1);
  expect(campaigns(leading)).toBe(false);
  leading.damage(0);
  expect(campaigns(leading)).toBe(true);
});

test("45: with damage it votes", () => {
  const leading = stepDown(new LeadingGroup());
  leading.damage(1);
  for (let ticks = 0; ticks < TICKS; ticks++) leading.tick();
  const last = { lastIndex: logIndex(99), lastTerm: term(leading.group.term), isTransfer: false };
  const head = { from: nodeId(2), to: nodeId(1), term: term(leading.group.term + 1) };
  leading.group.step({ type: "vote", ...head, ...last });
  leading.turn();
  expect(leading.sent.at(-1)).toMatchObject({ type: "voteReply", granted: true });
});

test("a node that is about to stop does not campaign any more", () => {
  const leading = stepDown(new LeadingGroup());
  leading.group.leave(() => true);
  expect(campaigns(leading)).toBe(false);
});

test("a node that has handed a shard over, and stays, campaigns when that one is gone", () => {
  const leading = new LeadingGroup();
  leading.group.handOver(() => true);
  expect(campaigns(stepDown(leading))).toBe(true);
});

function stepDown(leading: LeadingGroup): LeadingGroup {
  const news = { commitIndex: logIndex(0), readRound: 0, releaseIndex: logIndex(0) };
  const head = { from: nodeId(2), to: nodeId(1), term: term(leading.group.term + 1) };
  leading.group.step({ type: "heartbeat", ...head, ...news });
  leading.turn();
  return leading;
}

function campaigns(leading: LeadingGroup): boolean {
  const asked = (): number => leading.sent.filter(({ type }) => type === "preVote").length;
  const before = asked();
  for (let ticks = 0; ticks < TICKS; ticks++) leading.tick();
  return asked() > before;
}
