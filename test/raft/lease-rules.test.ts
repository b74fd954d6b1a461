/**
 * The rules of leases. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId } from "../../src/core/ids.ts";
import { accepted, append, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import type { Member } from "./support/member.ts";

const LEASE = { leaseMs: 100 };

/** A heartbeat's round goes out at `sentMs`; returns its number. */
function beat(one: Member, sentMs: number): number {
  one.nowMs = sentMs;
  for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
  const [heartbeat] = replies(work(one).messages, "heartbeat");
  if (heartbeat?.type !== "heartbeat") throw new Error("a round goes out");
  return heartbeat.readRound;
}

function answer(one: Member, round: number, from = 2): void {
  tell(one, { type: "heartbeatReply", from, term: one.raft.term, readRound: round, lastIndex: 1 });
}

describe("leases", () => {
  test("26: a lease runs from the sending of a round that a majority has answered, not from the answer", () => {
    const one = leader(3, {}, LEASE);
    tell(one, accepted(1, 1));
    const round = beat(one, 1000);
    one.nowMs = 1090;
    expect(one.raft.leaseIndex(1090)).toBeNull();
    answer(one, round);
    expect(one.raft.leaseIndex(1090)).toBe(1 as LogIndex);
    expect(one.raft.leaseIndex(1099)).toBe(1 as LogIndex);
    expect(one.raft.leaseIndex(1100)).toBeNull();
  });

  test("26: it takes a majority", () => {
    const one = leader(5, {}, LEASE);
    tell(one, accepted(1, 1));
    tell(one, accepted(1, 1, 3));
    const round = beat(one, 1000);
    answer(one, round, 4);
    expect(one.raft.leaseIndex(1000)).toBeNull();
    answer(one, round, 4);
    expect(one.raft.leaseIndex(1000)).toBeNull();
    answer(one, round, 5);
    expect(one.raft.leaseIndex(1000)).toBe(1 as LogIndex);
  });

  test("26: an answer to an older round does not renew it", () => {
    const one = leader(3, {}, LEASE);
    tell(one, accepted(1, 1));
    const first = beat(one, 1000);
    beat(one, 1050);
    answer(one, first);
    expect(one.raft.leaseIndex(1099)).toBe(1 as LogIndex);
    expect(one.raft.leaseIndex(1100)).toBeNull();
  });

  test("23: no lease before a commit in the term", () => {
    const one = leader(3, { term: 1, log: [1, 1], commit: 2 }, LEASE);
    answer(one, beat(one, 1000));
    expect(one.raft.leaseIndex(1000)).toBeNull();
    tell(one, accepted(2, 3));
    expect(one.raft.leaseIndex(1000)).toBe(3 as LogIndex);
  });

  test("26: whoever begins to hand over has no lease any more in that term", () => {
    const one = leader(3, {}, LEASE);
    tell(one, accepted(1, 1));
    answer(one, beat(one, 1000));
    one.raft.transferLeadership(2 as NodeId);
    expect(one.raft.leaseIndex(1000)).toBeNull();
    one.collect();
    for (let ticks = 0; ticks < 10; ticks++) {
      one.raft.tick();
      answer(one, 1);
    }
    expect(one.raft.isTransferring).toBe(false);
    answer(one, beat(one, 1010));
    // The successor may still get the word, and would be voted for.
    expect(one.raft.leaseIndex(1010)).toBeNull();
  });

  test("26: a transfer that is off before the successor was told costs the lease nothing", () => {
    const one = leader(3, {}, LEASE);
    tell(one, accepted(1, 1));
    one.raft.transferLeadership(3 as NodeId);
    for (let ticks = 0; ticks < 10; ticks++) {
      one.raft.tick();
      answer(one, 1);
    }
    answer(one, beat(one, 1010));
    expect(one.raft.leaseIndex(1010)).toBe(1 as LogIndex);
  });

  test("26: a leader that steps down has none, and a group without leases never", () => {
    const one = leader(3, {}, LEASE);
    tell(one, accepted(1, 1));
    answer(one, beat(one, 1000));
    tell(one, { type: "voteReply", term: 5, granted: false });
    expect(one.raft.leaseIndex(1000)).toBeNull();
    const other = leader(3);
    tell(other, accepted(1, 1));
    answer(other, beat(other, 1000));
    expect(other.raft.leaseIndex(1000)).toBeNull();
  });

  test("26: a promise binds its maker, too", () => {
    const voter = member(3, { term: 1 }, LEASE);
    tell(voter, append(1, [0, 0], []));
    voter.raft.campaign();
    expect(voter.raft.role).toBe("follower");
    for (let ticks = 0; ticks < 10; ticks++) voter.raft.tick();
    voter.raft.campaign();
    expect(voter.raft.role).toBe("preCandidate");
  });

  test("a single voter needs nobody", () => {
    expect(leader(1, {}, LEASE).raft.leaseIndex(5)).toBe(1 as LogIndex);
  });
});
