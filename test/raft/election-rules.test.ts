/**
 * The rules of terms, votes and silence. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import { logIndex, type NodeId, type Term, term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { append, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import { Durable, Member } from "./support/member.ts";

describe("elections", () => {
  test("1: two leaders in one term stop the process", () => {
    const one = leader(3);
    expect(() => tell(one, append(one.raft.term, [0, 0], []))).toThrow("one leader a term");
  });

  test("6: a vote leaves only when it is on disk", () => {
    const voter = member(3);
    expect(tell(voter, { type: "vote", term: 1, lastIndex: 0, lastTerm: 0 })).toEqual([]);
    voter.persist();
    expect(work(voter).messages).toMatchObject([{ type: "voteReply", to: 2, granted: true }]);
  });

  test("6: a candidate asks, and counts itself, only when its vote is on disk", () => {
    const candidate = member(1);
    candidate.raft.campaign();
    expect(work(candidate).hardState).toEqual({ term: 1 as Term, vote: 1 as NodeId });
    expect(candidate.raft.role).toBe("candidate");
    candidate.persist();
    expect(candidate.raft.role).toBe("leader");
  });

  test("6: a report of an older hard state releases nothing", () => {
    const voter = member(3);
    tell(voter, { type: "voteReply", term: 5, granted: false });
    tell(voter, { type: "vote", term: 5, lastIndex: 0, lastTerm: 0 });
    voter.raft.hardStateSaved(5 as Term, 0 as NodeId);
    expect(voter.collect()).toBeNull();
    voter.raft.hardStateSaved(5 as Term, 2 as NodeId);
    expect(work(voter).messages).toMatchObject([{ type: "voteReply", granted: true }]);
  });

  test("8: stepping down saves the new term", () => {
    const one = leader(3);
    one.raft.step({ type: "heartbeatReply", from: 2, to: 1, term: 9, readRound: 0, lastIndex: 0 } as never);
    const ready = work(one);
    expect(ready.hardState).toEqual({ term: 9 as Term, vote: 0 as NodeId });
    expect(ready.roleChanged).toBe(true);
    expect(one.raft.role).toBe("follower");
  });

  test("17: a vote counts once, however often it arrives", () => {
    const candidate = member(5, {}, { preVote: false });
    candidate.raft.campaign();
    candidate.collect();
    candidate.persist();
    for (let i = 0; i < 5; i++) tell(candidate, { type: "voteReply", term: 1, granted: true });
    expect(candidate.raft.role).toBe("candidate");
    tell(candidate, { type: "voteReply", from: 3, term: 1, granted: true });
    expect(candidate.raft.role).toBe("leader");
  });

  test("17: a voter votes once a term, and again for the same candidate", () => {
    const voter = member(3, { term: 4, vote: 2 });
    expect(tell(voter, { type: "vote", from: 3, term: 4, lastIndex: 9, lastTerm: 3 })).toMatchObject([
      { granted: false },
    ]);
    expect(tell(voter, { type: "vote", from: 2, term: 4, lastIndex: 9, lastTerm: 3 })).toMatchObject([
      { granted: true },
    ]);
  });

  test("18: a vote needs a log with everything the voter has", () => {
    const cases = [
      { lastIndex: 2, lastTerm: 3, granted: false },
      { lastIndex: 9, lastTerm: 2, granted: false },
      { lastIndex: 3, lastTerm: 3, granted: true },
      { lastIndex: 1, lastTerm: 4, granted: true },
    ];
    for (const { granted, ...last } of cases) {
      const voter = member(3, { term: 3, log: [1, 2, 3] });
      tell(voter, { type: "vote", term: 5, ...last });
      voter.persist();
      expect(work(voter).messages).toMatchObject([{ type: "voteReply", granted }]);
      const asked = member(3, { term: 3, log: [1, 2, 3] });
      expect(tell(asked, { type: "preVote", term: 5, ...last })).toMatchObject([{ type: "preVoteReply", granted }]);
    }
  });

  test("19: a refused vote does not delay the voter's own campaign", () => {
    const ticksToCampaign = (disturbed: boolean): number => {
      const voter = member(3, { term: 2, log: [2, 2] });
      for (let ticks = 1; ticks < 40; ticks++) {
        voter.raft.tick();
        if (voter.raft.role !== "follower") return ticks;
        if (disturbed) tell(voter, { type: "vote", term: 2 + ticks, lastIndex: 1, lastTerm: 1 });
        voter.persist();
      }
      return 40;
    };
    expect(ticksToCampaign(true)).toBe(ticksToCampaign(false));
  });

  test("20: a pre-vote raises no term, neither the asker's nor the voter's", () => {
    const one = member(3, { term: 4 });
    expect(tell(one, { type: "preVote", term: 5, lastIndex: 0, lastTerm: 0 })).toMatchObject([
      { granted: true, term: 5 },
    ]);
    one.raft.campaign();
    const ready = work(one);
    expect(ready.hardState).toBeNull();
    expect(replies(ready.messages, "preVote")).toMatchObject([{ term: 5 }, { term: 5 }]);
    expect(one.raft.term as number).toBe(4);
  });

  test("22: who hears a leader is not drawn into a higher term by a candidate", () => {
    const follower = member(3, { term: 1 });
    tell(follower, append(1, [0, 0], []));
    expect(tell(follower, { type: "vote", from: 3, term: 7, lastIndex: 9, lastTerm: 6 })).toEqual([]);
    expect(follower.raft.term as number).toBe(1);
    for (let i = 0; i < 10; i++) follower.raft.tick();
    tell(follower, { type: "vote", from: 3, term: 7, lastIndex: 9, lastTerm: 6 });
    expect(follower.raft.term as number).toBe(7);
  });

  test("22: a stranger's answer and a misaddressed message are ignored", () => {
    const one = member(3);
    expect(tell(one, { type: "voteReply", from: 9, term: 7, granted: false })).toEqual([]);
    expect(tell(one, { type: "vote", to: 3, term: 7, lastIndex: 9, lastTerm: 6 })).toEqual([]);
    expect(one.raft.term as number).toBe(0);
  });

  test("21: a leader that hears from no quorum steps down, one that does stays", () => {
    const lonely = leader(3);
    const busy = leader(3);
    for (let i = 0; i < 40; i++) {
      lonely.raft.tick();
      busy.raft.tick();
      tell(busy, { type: "heartbeatReply", term: busy.raft.term, readRound: 0, lastIndex: 0 });
    }
    expect(lonely.raft.role).not.toBe("leader");
    expect(busy.raft.role).toBe("leader");
  });

  test("a restarted voter is silent for one least election timeout, a single or a new one is not", () => {
    const durable = new Durable();
    durable.term = 3;
    const restarted = new Member(1, [1, 2, 3], {}, durable, new Random(1));
    expect(tell(restarted, { type: "vote", term: 4, lastIndex: 9, lastTerm: 3 })).toEqual([]);
    expect(tell(restarted, { type: "vote", term: 3, lastIndex: 9, lastTerm: 3 })).toEqual([]);
    expect(restarted.raft.vote as number).toBe(0);
    for (let i = 0; i < 10; i++) restarted.raft.tick();
    tell(restarted, { type: "vote", term: 4, lastIndex: 9, lastTerm: 3 });
    expect(restarted.raft.vote as number).toBe(2);
    const own = new Durable();
    own.term = 3;
    const alone = new Member(1, [1], {}, own, new Random(1));
    alone.raft.campaign();
    alone.collect();
    alone.persist();
    expect(alone.raft.role).toBe("leader");
  });

  test("a candidate whose vote is not on disk yet does not run on to the next term", () => {
    const candidate = member(3, {}, { preVote: false });
    for (let i = 0; i < 100; i++) candidate.raft.tick();
    expect(candidate.raft.term as number).toBe(1);
  });

  test("45: a member with damage does not campaign, not even when it is asked to, but votes", () => {
    const damaged = member(3, { term: 1 });
    damaged.raft.restrain({ mayCampaign: false, mayVote: true });
    for (let ticks = 0; ticks < 60; ticks++) damaged.raft.tick();
    damaged.raft.campaign();
    tell(damaged, append(1, [0, 0], []));
    tell(damaged, { type: "timeoutNow", term: 1 });
    expect(damaged.raft.role).toBe("follower");
    for (let ticks = 0; ticks < 10; ticks++) damaged.raft.tick();
    expect(tell(damaged, { type: "preVote", term: 2, lastIndex: 0, lastTerm: 0 })).toMatchObject([{ granted: true }]);
    damaged.raft.restrain({ mayCampaign: true, mayVote: true });
    damaged.raft.campaign();
    expect(damaged.raft.role).toBe("preCandidate");
    damaged.raft.restrain({ mayCampaign: false, mayVote: true });
    expect(damaged.raft.role).toBe("follower");
  });

  test("45: one that is not sure of its log's end does not vote either, nor for itself", () => {
    const unsure = member(3, { term: 1 });
    unsure.raft.restrain({ mayCampaign: true, mayVote: false });
    expect(tell(unsure, { type: "preVote", term: 2, lastIndex: 0, lastTerm: 0 })).toMatchObject([{ granted: false }]);
    tell(unsure, { type: "vote", term: 2, lastIndex: 9, lastTerm: 1 });
    unsure.persist();
    expect(replies(work(unsure).messages, "voteReply")).toMatchObject([{ granted: false }]);
    unsure.raft.campaign();
    expect([unsure.raft.role, unsure.raft.vote as number]).toEqual(["follower", 0]);
  });

  test("45: one that has lost the end of its log votes by where it ended", () => {
    const poorer = member(3, { term: 7, log: [1, 1] });
    const lostEnd = { lastIndex: logIndex(6), lastTerm: term(5) };
    poorer.raft.restrain({ mayCampaign: false, mayVote: true, lostEnd });
    const asks = (lastIndex: number, lastTerm: number) =>
      tell(poorer, { type: "preVote", term: 8, lastIndex, lastTerm });
    expect(asks(9, 4)).toMatchObject([{ granted: false }]);
    expect(asks(5, 5)).toMatchObject([{ granted: false }]);
    expect(asks(6, 5)).toMatchObject([{ granted: true }]);
    expect(asks(3, 6)).toMatchObject([{ granted: true }]);
  });

  test("45: a leader that finds damage goes on leading", () => {
    const one = leader(3);
    one.raft.restrain({ mayCampaign: false, mayVote: true });
    expect(one.raft.role).toBe("leader");
  });

  test("entries of a term that the hard state has not reached bring the term back", () => {
    const one = member(3, { term: 2, vote: 3, log: [1, 5] });
    expect(one.raft.term as number).toBe(5);
    expect(one.raft.vote as number).toBe(0);
    expect(one.durable.term).toBe(5);
  });
});
