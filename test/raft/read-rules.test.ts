/**
 * The rules of linearizable reads. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId } from "../../src/core/ids.ts";
import { accepted, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import { proposal } from "./support/member.ts";

describe("reads", () => {
  const answer = (round: number, from = 2) =>
    ({ type: "heartbeatReply", from, to: 1, term: 1, readRound: round, lastIndex: 0 }) as const;

  test("23: no read index before a commit in the term", () => {
    const one = leader(3);
    expect(one.raft.readIndex(1)).toBe("notReady");
    tell(one, accepted(1, 1));
    expect(one.raft.readIndex(1)).toBe(true);
    expect(member(3).raft.readIndex(1)).toBe("notLeader");
  });

  test("23: only a round sent after the question confirms it", () => {
    const one = leader(3);
    tell(one, accepted(1, 1));
    one.raft.readIndex(7);
    one.raft.readIndex(8);
    const [beat] = replies(work(one).messages, "heartbeat");
    if (beat?.type !== "heartbeat") throw new Error("a round goes out");
    one.raft.step(answer(beat.readRound - 1) as never);
    expect(one.collect()?.readStates ?? []).toEqual([]);
    one.raft.readIndex(9);
    one.raft.step(answer(beat.readRound) as never);
    expect(work(one).readStates).toEqual([
      { context: 7, index: 1 as LogIndex },
      { context: 8, index: 1 as LogIndex },
    ]);
  });

  test("23: a new leader does not count the rounds of the one before", () => {
    const follower = member(3, { term: 1 });
    tell(follower, { type: "heartbeat", term: 1, commitIndex: 0, readRound: 50, releaseIndex: 1 });
    tell(follower, { type: "heartbeat", from: 3, term: 2, commitIndex: 0, readRound: 3, releaseIndex: 1 });
    follower.persist();
    expect(work(follower).messages).toMatchObject([{ term: 2, readRound: 3 }]);
  });

  test("24: a read's index is never below what was committed when it was asked", () => {
    const one = leader(3);
    tell(one, accepted(1, 1));
    proposal(one, "a");
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    one.raft.readIndex(1);
    const [beat] = replies(work(one).messages, "heartbeat");
    one.raft.step(answer(beat?.type === "heartbeat" ? beat.readRound : 0) as never);
    expect(work(one).readStates).toEqual([{ context: 1, index: 2 as LogIndex }]);
  });

  test("25: reads pending when the leadership ends fail", () => {
    const one = leader(3);
    tell(one, accepted(1, 1));
    one.raft.readIndex(1);
    one.collect();
    one.raft.readIndex(2);
    tell(one, { type: "voteReply", term: 5, granted: false });
    expect(one.raft.role).toBe("follower");
    expect(one.raft.readIndex(3)).toBe("notLeader");
  });

  test("25: and are named in Ready", () => {
    const one = leader(3);
    tell(one, accepted(1, 1));
    one.raft.readIndex(1);
    one.collect();
    one.raft.readIndex(2);
    one.raft.step({ type: "voteReply", from: 2, to: 1, term: 5, granted: false } as never);
    expect(work(one).readFailures).toEqual([1, 2]);
  });

  test("a read that a voter hands over is confirmed by that where the two are a majority, and nowhere else", () => {
    const confirmedBy = (voters: number) =>
      [1, 2, 9].map((asker) => leader(voters).raft.isConfirmedBy(asker as NodeId));
    expect([1, 2, 3, 4, 5].map(confirmedBy)).toEqual([
      [true, true, true],
      [false, true, false],
      [false, true, false],
      [false, false, false],
      [false, false, false],
    ]);
  });

  test("a single voter confirms at once", () => {
    const one = leader(1);
    expect(one.raft.readIndex(4)).toBe(true);
    expect(work(one).readStates).toEqual([{ context: 4, index: 1 as LogIndex }]);
  });
});
