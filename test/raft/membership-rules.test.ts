/**
 * The rules of configurations. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId, Term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { Configuration } from "../../src/raft/configuration.ts";
import { accepted, append, entry, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import { change, Durable, Member, proposal } from "./support/member.ts";

const voters = (member: Member): number[] => [...member.raft.configuration.voters];

/** An entry that makes these the group. */
function changeEntry(index: number, term: number, ids: readonly number[], learners: readonly number[] = []) {
  return { ...entry(index, term), configuration: { voters: ids, learners } as unknown as Configuration };
}

/** The leader of three, its first entry committed. */
function settledLeader(): Member {
  const one = leader(3);
  tell(one, accepted(1, 1));
  tell(one, accepted(1, 1, 3));
  return one;
}

/** A member that knows of no group. */
function stranger(): Member {
  const made = new Member(1, [], {}, new Durable(), new Random(2));
  made.collect();
  return made;
}

describe("membership", () => {
  test("30: nothing changes before an entry of the leader's term is committed", () => {
    const one = leader(3, { term: 1, log: [1, 1], commit: 2 });
    expect(change(one, [1, 2, 3, 4])).toBe("notReady");
    tell(one, accepted(2, 2));
    expect(change(one, [1, 2, 3, 4])).toBe("notReady");
    tell(one, accepted(2, 3));
    expect(change(one, [1, 2, 3, 4])).toBe("4@2");
    expect(change(member(3), [1, 2])).toBe("notLeader");
  });

  test("31: one change at a time, from its append to its commit", () => {
    const one = settledLeader();
    expect(change(one, [1, 2, 3, 4])).toBe("2@1");
    expect(change(one, [1, 2, 3])).toBe("pending");
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    expect(change(one, [1, 2, 3])).toBe("pending");
    tell(one, accepted(1, 2, 4));
    expect(change(one, [1, 2, 3])).toBe("3@1");
  });

  test("31: a change is of one voter, leaves one, and names nobody twice; learners change as they please", () => {
    const one = settledLeader();
    for (const [ids, learners] of [
      [[1, 2, 3, 4, 5], []],
      [[1, 2, 4], []],
      [[1], []],
      [[], [1]],
      [[1, 2, 3, 3], []],
      [[1, 2, 3], [3]],
    ] as const) {
      expect([ids, learners, change(one, ids, learners)]).toEqual([ids, learners, "invalid"]);
    }
    expect(change(one, [1, 2], [3, 4, 5])).toBe("2@1");
  });

  test("32: a configuration counts from append, for the leader that appends it and for the follower", () => {
    const one = settledLeader();
    change(one, [1, 2, 3, 4]);
    one.collect();
    one.persist();
    // Two of four are no majority.
    tell(one, accepted(1, 2));
    expect(one.raft.commitIndex as number).toBe(1);
    const follower = member(3, { term: 1 });
    tell(follower, append(1, [0, 0], [changeEntry(1, 1, [1, 2, 3, 4])]));
    expect(voters(follower)).toEqual([1, 2, 3, 4]);
  });

  test("32: and is rolled back with its entry, in the middle of the log and through several", () => {
    const follower = member(3, { term: 1 });
    tell(follower, append(1, [0, 0], [entry(1, 1), changeEntry(2, 1, [1, 2, 3, 4]), entry(3, 1)]));
    tell(follower, append(1, [3, 1], [changeEntry(4, 1, [1, 2, 3, 4, 5])]));
    expect(voters(follower)).toEqual([1, 2, 3, 4, 5]);
    tell(follower, { ...append(2, [3, 1], [entry(4, 2)]), from: 3 });
    expect(voters(follower)).toEqual([1, 2, 3, 4]);
    tell(follower, { ...append(3, [1, 1], [entry(2, 3)]), from: 3 });
    expect(voters(follower)).toEqual([1, 2, 3]);
  });

  test("32: a restart finds the configuration of the log's end", () => {
    const durable = new Durable();
    durable.entries = [entry(1, 1), changeEntry(2, 1, [1, 2]), entry(3, 1), changeEntry(4, 1, [1, 2, 3], [4])];
    const again = new Member(1, [1], {}, durable, new Random(1));
    expect([voters(again), again.raft.configuration.learners.map(Number)]).toEqual([[1, 2, 3], [4]]);
  });

  test("34: learners get everything and count for nothing: commits, reads, the quorum of a leader", () => {
    const one = settledLeader();
    change(one, [1, 2, 3], [4, 5, 6]);
    const sent = replies(work(one).messages, "append");
    expect(sent.map(({ to }) => to as number)).toEqual([2, 3, 4, 5, 6]);
    one.persist();
    for (const learner of [4, 5, 6]) tell(one, accepted(1, 2, learner));
    expect(one.raft.commitIndex as number).toBe(1);
    one.raft.readIndex(9);
    const [beat] = replies(work(one).messages, "heartbeat");
    const readRound = beat?.type === "heartbeat" ? beat.readRound : 0;
    for (const from of [4, 5, 6]) {
      one.raft.step({ type: "heartbeatReply", from, to: 1, term: 1, readRound, lastIndex: 2 } as never);
    }
    expect(one.collect()?.readStates ?? []).toEqual([]);
    const other = settledLeader();
    change(other, [1, 2, 3], [4, 5, 6]);
    other.collect();
    other.persist();
    tell(other, accepted(1, 2));
    expect(other.raft.commitIndex as number).toBe(2);
    for (let ticks = 0; ticks < 20; ticks++) {
      one.raft.tick();
      for (const from of [4, 5, 6]) tell(one, { type: "heartbeatReply", from, term: 1, readRound: 0, lastIndex: 2 });
    }
    expect(one.raft.role).toBe("follower");
  });

  test("34: a learner does not campaign, but votes for whoever asks: it may be a voter by then", () => {
    const learner = member(3, { term: 1 });
    tell(learner, append(1, [0, 0], [changeEntry(1, 1, [2, 3], [1])], 1));
    learner.persist();
    learner.collect();
    for (let ticks = 0; ticks < 40; ticks++) learner.raft.tick();
    learner.raft.campaign();
    expect(learner.raft.role).toBe("follower");
    tell(learner, { type: "vote", from: 9, term: 2, lastIndex: 1, lastTerm: 1 });
    learner.persist();
    expect(replies(work(learner).messages, "voteReply")).toMatchObject([{ to: 9, granted: true }]);
    learner.raft.step({ type: "timeoutNow", from: 9, to: 1, term: 2 } as never);
    expect(learner.raft.role).toBe("follower");
  });

  test("34: a vote of a learner or a stranger counts for nothing", () => {
    const durable = new Durable();
    durable.entries = [changeEntry(1, 1, [1, 2, 3], [4])];
    const candidate = new Member(1, [1], { preVote: false }, durable, new Random(1));
    candidate.raft.campaign();
    candidate.collect();
    candidate.persist();
    for (const from of [4, 9]) tell(candidate, { type: "voteReply", from, term: 2, granted: true });
    expect(candidate.raft.role).toBe("candidate");
    tell(candidate, { type: "voteReply", from: 2, term: 2, granted: true });
    expect(candidate.raft.role).toBe("leader");
  });

  test("35: a removed leader leads until that is committed, without its own vote, and steps down then", () => {
    const one = settledLeader();
    change(one, [2, 3]);
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    expect([one.raft.role, one.raft.commitIndex as number]).toEqual(["leader", 1]);
    const said = tell(one, accepted(1, 2, 3));
    expect([one.raft.role, one.raft.commitIndex as number]).toEqual(["follower", 2]);
    // The others hear of the commit, and one of them is asked to take over.
    expect(replies(said, "heartbeat")).toMatchObject([{ commitIndex: 2 }, { commitIndex: 2 }]);
    expect(replies(said, "timeoutNow").length).toBe(1);
    for (let ticks = 0; ticks < 40; ticks++) one.raft.tick();
    expect(one.raft.role).toBe("follower");
  });

  test("35: who may be the only one with the entry that removes it still campaigns, until it knows it committed", () => {
    const durable = new Durable();
    durable.term = 1;
    durable.entries = [entry(1, 1), changeEntry(2, 1, [2])];
    durable.commitIndex = 1;
    const removed = new Member(1, [1, 2], { preVote: false }, durable, new Random(1));
    for (let ticks = 0; ticks < 20 && removed.raft.role === "follower"; ticks++) removed.raft.tick();
    removed.collect();
    removed.persist();
    expect(removed.raft.role).toBe("candidate");
    // Its own vote is not one any more.
    tell(removed, { type: "voteReply", term: 2, granted: true });
    expect(removed.raft.role).toBe("leader");
    removed.collect();
    removed.persist();
    tell(removed, accepted(2, 3));
    expect([removed.raft.role, removed.raft.commitIndex as number]).toEqual(["follower", 3]);
  });

  test("22: who is in no configuration never campaigns, and takes entries, votes and news from anybody", () => {
    const one = stranger();
    for (let ticks = 0; ticks < 40; ticks++) one.raft.tick();
    one.raft.campaign();
    expect(one.raft.role).toBe("follower");
    tell(one, { type: "vote", from: 7, term: 3, lastIndex: 5, lastTerm: 2 });
    one.persist();
    expect(replies(work(one).messages, "voteReply")).toMatchObject([{ to: 7, granted: true }]);
    tell(one, { ...append(3, [0, 0], [entry(1, 1), changeEntry(2, 3, [7], [1])], 2), from: 7 });
    one.persist();
    expect(work(one).messages).toMatchObject([{ type: "appendReply", to: 7, matchIndex: 2 }]);
    expect([one.raft.commitIndex as number, voters(one)]).toEqual([2, [7]]);
  });

  test("22: a removed voter is asked nothing, and its answers do not disturb", () => {
    const one = settledLeader();
    change(one, [1, 2]);
    expect(replies(work(one).messages, "append").map(({ to }) => to as number)).toEqual([2]);
    one.persist();
    tell(one, {
      type: "appendReply",
      from: 3,
      term: 9,
      rejected: false,
      matchIndex: 2,
      hintIndex: 2,
      hintTerm: 0,
      readRound: 9,
    });
    tell(one, accepted(1, 2, 3));
    expect([one.raft.role, one.raft.term as number, one.raft.commitIndex as number]).toEqual(["leader", 1, 1]);
    // Nor does its campaign, while those who stay hear a leader.
    tell(one, { type: "vote", from: 3, term: 9, lastIndex: 9, lastTerm: 9 });
    expect([one.raft.role, one.raft.term as number]).toEqual(["leader", 1]);
  });

  test("nothing is taken for granted about a new member, whatever was released before it came", () => {
    const one = settledLeader();
    for (const index of [2, 3, 4]) {
      proposal(one, "x");
      one.collect();
      one.persist();
      tell(one, accepted(1, index));
      tell(one, accepted(1, index, 3));
    }
    expect(one.raft.releaseIndex as number).toBe(5);
    change(one, [1, 2, 3], [4]);
    const [probe] = work(one).messages.filter(({ to }) => (to as number) === 4);
    expect(probe).toMatchObject({ type: "append", previousIndex: 4 });
    const again = tell(one, {
      type: "appendReply",
      from: 4,
      term: 1,
      rejected: true,
      matchIndex: 4,
      hintIndex: 0,
      hintTerm: 0,
      readRound: 0,
    });
    expect(again).toMatchObject([{ type: "append", to: 4, previousIndex: 0 }]);
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    const beats = replies(work(one).messages, "heartbeat").filter(({ to }) => (to as number) === 4);
    expect(beats).toMatchObject([{ commitIndex: 0 }]);
  });

  test("26: a lease does not outlive the voters whose promises it was made of", () => {
    const one = leader(3, {}, { leaseMs: 100 });
    tell(one, accepted(1, 1));
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    const [beat] = replies(work(one).messages, "heartbeat");
    tell(one, {
      type: "heartbeatReply",
      term: 1,
      readRound: beat?.type === "heartbeat" ? beat.readRound : 0,
      lastIndex: 1,
    });
    expect(one.raft.leaseIndex(0)).toBe(1 as LogIndex);
    change(one, [1, 2, 3, 4]);
    expect(one.raft.leaseIndex(0)).toBeNull();
  });

  test("a group that becomes a single voter decides alone, and one that is none any more does not", () => {
    const one = leader(1);
    expect(one.raft.isAlone).toBe(true);
    expect(change(one, [1, 2])).toBe("2@1");
    expect(one.raft.isAlone).toBe(false);
    one.collect();
    one.persist();
    one.collect();
    expect(one.raft.commitIndex as number).toBe(1);
    expect(one.raft.readIndex(3)).toBe(true);
    expect(one.collect()?.readStates ?? []).toEqual([]);
    tell(one, accepted(1, 2));
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("what a leader has appended as the only voter its own disk commits, whoever has come meanwhile", () => {
    const one = leader(1);
    proposal(one, "a");
    expect(change(one, [1, 2])).toBe("3@1");
    proposal(one, "b");
    one.collect();
    expect(one.raft.commitIndex as number).toBe(1);
    one.persist();
    expect(one.raft.commitIndex as number).toBe(2);
    tell(one, accepted(1, 3));
    expect(one.raft.commitIndex as number).toBe(3);
  });

  test("what the only voter has appended its disk commits even when it leads no more", () => {
    const one = leader(1);
    proposal(one, "a");
    expect(change(one, [1, 2])).toBe("3@1");
    one.collect();
    tell(one, { type: "heartbeat", term: 2, commitIndex: 0, readRound: 0 });
    expect(one.raft.role).toBe("follower");
    one.persist();
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("25: reads that wait for others when a leader becomes the only voter wait no longer", () => {
    const one = leader(2);
    tell(one, accepted(1, 1));
    one.raft.readIndex(4);
    one.collect();
    one.raft.readIndex(5);
    expect(change(one, [1])).toBe("2@1");
    expect(work(one).readStates.map(({ context }) => context)).toEqual([4]);
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    expect(one.collect()?.readStates.map(({ context }) => context) ?? []).toEqual([5]);
  });

  test("nothing changes during a transfer", () => {
    const one = settledLeader();
    one.raft.transferLeadership(3 as NodeId);
    expect(change(one, [1, 2, 3, 4])).toBe("transferring");
    expect(one.raft.transferLeadership(4 as NodeId)).toBe("notVoter");
    expect(one.raft.term).toBe(1 as Term);
  });
});

describe("a member that was removed", () => {
  /** Member 1, which has committed as one of three what a leader of term 2 goes on from; it has heard of nobody since. */
  function leftBehind(): Member {
    const one = member(3, { term: 2, log: [1, 1, 2, 2], commit: 3 });
    for (let ticks = 0; ticks < 8; ticks++) one.raft.tick();
    one.collect();
    return one;
  }

  /** The log is given up for the configuration at `index`, of which the leader of `term` has told. */
  function partedAt(index: number, term: number): Member {
    const one = leftBehind();
    expect(one.startGivingUp(index, term)).toBe(true);
    one.collect();
    one.finishGivingUp();
    one.collect();
    return one;
  }

  const vote = (from: number, term: number, lastIndex: number) => ({
    type: "vote" as const,
    from,
    term,
    lastIndex,
    lastTerm: term - 1,
    isTransfer: true,
  });

  test("46: has nothing then, and neither votes nor campaigns, though it once could, in another life neither", () => {
    const one = partedAt(7, 3);
    one.restart();
    expect([one.raft.lastIndex, one.raft.commitIndex, one.raft.term].map(Number)).toEqual([0, 0, 3]);
    for (let ticks = 0; ticks < 40; ticks++) one.raft.tick();
    one.raft.campaign();
    expect(one.raft.role).toBe("follower");
    one.collect();
    tell(one, vote(2, 4, 5));
    one.persist();
    expect(replies(work(one).messages, "voteReply")).toMatchObject([{ granted: false }]);
    // An old configuration that comes with the entries makes it no voter.
    tell(one, append(4, [0, 0], [entry(1, 1), changeEntry(2, 1, [1, 2, 3]), entry(3, 1)], 3));
    for (let ticks = 0; ticks < 40; ticks++) one.raft.tick();
    expect(one.raft.role).toBe("follower");
  });

  test("46: votes again once its log has everything that it has ever acknowledged", () => {
    const one = partedAt(7, 3);
    const entries = [1, 1, 2, 2, 3, 3].map((term, i) => entry(i + 1, term));
    tell(one, append(4, [0, 0], entries));
    one.persist();
    tell(one, { type: "timeoutNow", term: 4 });
    tell(one, vote(3, 5, 9));
    one.persist();
    expect(replies(work(one).messages, "voteReply")).toMatchObject([{ term: 5, granted: false }]);
    tell(one, { ...append(5, [6, 3], [entry(7, 3)]), from: 3 });
    one.persist();
    one.collect();
    tell(one, vote(2, 6, 9));
    one.persist();
    expect(replies(work(one).messages, "voteReply")).toMatchObject([{ to: 2, granted: true }]);
  });

  test("keeps its log where it may know better, or hears a leader, or leads", () => {
    const knowing = leftBehind();
    tell(knowing, append(3, [4, 2], [changeEntry(5, 3, [2, 3]), changeEntry(6, 3, [2, 3], [1])]));
    for (let ticks = 0; ticks < 12; ticks++) knowing.raft.tick();
    expect(knowing.startGivingUp(5, 3)).toBe(false);
    // What a leader of an older term has put there is nothing that this one could have committed.
    expect(knowing.startGivingUp(5, 4)).toBe(true);
    const led = leftBehind();
    tell(led, append(3, [4, 2], [entry(5, 3)]));
    expect(led.startGivingUp(7, 3)).toBe(false);
    const one = settledLeader();
    expect(one.startGivingUp(7, 1)).toBe(false);
    expect(one.startGivingUp(7, 2)).toBe(true);
    expect(one.raft.role).toBe("follower");
  });

  test("takes no entries while its log goes", () => {
    const one = leftBehind();
    one.startGivingUp(7, 3);
    one.collect();
    expect(tell(one, append(3, [4, 2], [entry(5, 3)]))).toEqual([]);
    expect(one.raft.lastIndex as number).toBe(4);
  });

  test("gets everything again as a learner, whatever it had acknowledged before", () => {
    const one = settledLeader();
    change(one, [1, 2, 3], [4]);
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    tell(one, accepted(1, 2, 4));
    proposal(one, "x");
    one.collect();
    const refusal = {
      type: "appendReply" as const,
      from: 4,
      term: 1,
      rejected: true,
      hintIndex: 0,
      hintTerm: 0,
      readRound: 0,
    };
    expect(tell(one, { ...refusal, matchIndex: 2 })).toMatchObject([{ type: "append", to: 4, previousIndex: 0 }]);
    expect(one.raft.progressOf(4 as NodeId)?.matchIndex).toBe(0);
    // A voter has given up nothing: that is an old refusal.
    expect(tell(one, { ...refusal, from: 2, matchIndex: 2 })).toEqual([]);
    expect(one.raft.progressOf(2 as NodeId)?.matchIndex).toBe(2);
  });
});
