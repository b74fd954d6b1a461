/** The properties of Raft one by one, each on a core fed by hand. The numbers are the lines of the list of faults, §2. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import type { LogIndex, NodeId, Term } from "../../src/core/ids.ts";
import type { Append, RaftEntry, RaftMessage } from "../../src/raft/messages.ts";
import type { RaftOptions, Ready } from "../../src/raft/ready.ts";
import { Durable, Member, proposal } from "./support/member.ts";

interface Disk {
  readonly term?: number;
  readonly vote?: number;
  readonly log?: readonly number[];
  readonly commit?: number;
}

function entry(index: number, term: number, text = `${index}@${term}`): RaftEntry {
  return {
    index: index as LogIndex,
    term: term as Term,
    bytes: new TextEncoder().encode(text),
    isConfiguration: false,
  };
}

/** Member 1 of `voters`, past the silence after its restart. */
function member(voters: number, disk: Disk = {}, options: Partial<RaftOptions> = {}): Member {
  const durable = new Durable();
  durable.term = disk.term ?? 0;
  durable.vote = disk.vote ?? 0;
  durable.entries = (disk.log ?? []).map((term, i) => entry(i + 1, term));
  durable.commitIndex = disk.commit ?? 0;
  const ids = Array.from({ length: voters }, (_, i) => i + 1);
  const made = new Member(1, ids, options, durable, new Random(2));
  if (durable.term > 0) for (let i = 0; i < 10; i++) made.raft.tick();
  made.collect();
  made.persist();
  made.collect();
  return made;
}

/** Steps a message to member 1 and returns what it says then. Fields as in RaftMessage, brands aside. */
function tell(to: Member, message: Record<string, unknown> & { type: RaftMessage["type"] }): readonly RaftMessage[] {
  to.raft.step({ from: 2, to: 1, ...message } as unknown as RaftMessage);
  return to.collect()?.messages ?? [];
}

function append(
  term: number,
  previous: readonly [number, number],
  entries: readonly RaftEntry[],
  commit = 0,
): Record<string, unknown> & { type: "append" } {
  const [previousIndex, previousTerm] = previous;
  return {
    type: "append",
    term,
    previousIndex,
    previousTerm,
    entries,
    commitIndex: commit,
    readRound: 1,
    releaseIndex: 1,
  };
}

function accepted(term: number, matchIndex: number, from = 2): Record<string, unknown> & { type: "appendReply" } {
  return {
    type: "appendReply",
    from,
    term,
    rejected: false,
    matchIndex,
    hintIndex: matchIndex,
    hintTerm: 0,
    readRound: 0,
  };
}

function work(of: Member): Ready {
  const ready = of.collect();
  if (ready === null) throw new Error("there is work");
  return ready;
}

/** Member 1 as the leader of the next term, its own first entry on its disk. */
function leader(voters: number, disk: Disk = {}, options: Partial<RaftOptions> = {}): Member {
  const made = member(voters, disk, { preVote: false, ...options });
  made.raft.campaign();
  made.collect();
  made.persist();
  for (let voter = 2; voter <= Math.floor(voters / 2) + 1; voter++) {
    tell(made, { type: "voteReply", from: voter, term: made.raft.term, granted: true });
  }
  expect(made.raft.role).toBe("leader");
  made.collect();
  made.persist();
  made.collect();
  return made;
}

function terms(of: Member): number[] {
  return Array.from({ length: of.raft.lastIndex }, (_, i) => of.raft.termAt((i + 1) as LogIndex) as number);
}

function replies(messages: readonly RaftMessage[], type: RaftMessage["type"]): readonly RaftMessage[] {
  return messages.filter((message) => message.type === type);
}

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

  test("22: a stranger's and a misaddressed message are ignored", () => {
    const one = member(3);
    expect(tell(one, { type: "vote", from: 9, term: 7, lastIndex: 9, lastTerm: 6 })).toEqual([]);
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
    for (let i = 0; i < 10; i++) restarted.raft.tick();
    tell(restarted, { type: "vote", term: 4, lastIndex: 9, lastTerm: 3 });
    expect(restarted.raft.vote as number).toBe(2);
    const alone = new Member(1, [1], {}, durable, new Random(1));
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

  test("entries of a term that the hard state has not reached bring the term back", () => {
    const one = member(3, { term: 2, vote: 3, log: [1, 5] });
    expect(one.raft.term as number).toBe(5);
    expect(one.raft.vote as number).toBe(0);
    expect(one.durable.term).toBe(5);
  });
});

describe("replication", () => {
  test("3: an append behind an unknown entry is refused with a place to look", () => {
    const follower = member(3, { term: 3, log: [1, 1, 2, 2] });
    expect(tell(follower, append(3, [9, 3], []))).toMatchObject([
      { rejected: true, matchIndex: 9, hintIndex: 4, hintTerm: 2 },
    ]);
    expect(tell(follower, append(3, [4, 3], []))).toMatchObject([{ rejected: true, matchIndex: 4, hintIndex: 4 }]);
    expect(tell(follower, append(3, [4, 1], []))).toMatchObject([{ rejected: true, hintIndex: 2, hintTerm: 1 }]);
    expect(terms(follower)).toEqual([1, 1, 2, 2]);
  });

  test("7: what is not on disk is not acknowledged", () => {
    const follower = member(3, { term: 1, log: [1] });
    expect(tell(follower, append(1, [1, 1], [entry(2, 1)]))).toMatchObject([{ matchIndex: 1, hintIndex: 2 }]);
    expect(tell(follower, append(1, [2, 1], [entry(3, 1)]))).toEqual([]);
    follower.persist(1);
    expect(work(follower).messages).toMatchObject([{ matchIndex: 2 }]);
    follower.persist(1);
    expect(work(follower).messages).toMatchObject([{ matchIndex: 3 }]);
  });

  test("12: a follower commits no further than the last entry the leader has just confirmed", () => {
    const follower = member(3, { term: 2, log: [1, 1, 1, 2] });
    tell(follower, append(3, [2, 1], [], 4));
    expect(follower.raft.commitIndex as number).toBe(2);
    tell(follower, append(3, [2, 1], [entry(3, 1)], 4));
    expect(follower.raft.commitIndex as number).toBe(3);
  });

  test("13: an old append does not cut off what a later one brought", () => {
    const follower = member(3, { term: 1, log: [1] });
    tell(follower, append(1, [1, 1], [entry(2, 1), entry(3, 1)]));
    tell(follower, append(1, [1, 1], [entry(2, 1)]));
    expect(terms(follower)).toEqual([1, 1, 1]);
    // Nor does one of a new leader that only asks about what matches.
    tell(follower, append(2, [1, 1], [entry(2, 1)]));
    expect(terms(follower)).toEqual([1, 1, 1]);
    expect(follower.pending.filter(({ kind }) => kind === "entries")).toHaveLength(1);
  });

  test("14: a conflict with a committed entry stops the process and leaves it alone", () => {
    const follower = member(3, { term: 1, log: [1, 1], commit: 2 });
    tell(follower, append(2, [1, 1], [entry(2, 2)]));
    expect(terms(follower)).toEqual([1, 1]);
  });

  test("15: replies out of order never lower a match index", () => {
    const one = leader(3);
    for (const text of ["a", "b", "c"]) proposal(one, text);
    one.collect();
    tell(one, accepted(1, 4));
    one.persist();
    one.collect();
    expect(one.raft.commitIndex as number).toBe(4);
    tell(one, accepted(1, 2));
    tell(one, accepted(1, 4, 3));
    expect(one.raft.releaseIndex as number).toBe(5);
    tell(one, accepted(1, 2));
    proposal(one, "d");
    expect(replies(work(one).messages, "append")).toMatchObject([{ previousIndex: 4 }, { previousIndex: 4 }]);
  });

  test("15: a late refusal of what has been acknowledged since is ignored", () => {
    const one = leader(3);
    tell(one, accepted(1, 1));
    const refusal = {
      type: "appendReply",
      term: 1,
      rejected: true,
      matchIndex: 1,
      hintIndex: 0,
      hintTerm: 0,
      readRound: 0,
    } as const;
    expect(replies(tell(one, refusal), "append")).toEqual([]);
  });

  test("16: replies of an older term are ignored", () => {
    const one = leader(3, { term: 4, log: [1] });
    const before = one.raft.commitIndex;
    tell(one, accepted(4, 2));
    tell(one, accepted(3, 2, 3));
    expect(one.raft.commitIndex).toBe(before);
    tell(one, accepted(5, 2));
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("a message of an older leader is answered with the term of today", () => {
    const follower = member(3, { term: 6 });
    expect(tell(follower, append(5, [0, 0], [entry(1, 5)]))).toMatchObject([{ type: "heartbeatReply", term: 6 }]);
    expect(terms(follower)).toEqual([]);
  });

  test("an append whose entries do not follow each other is ignored", () => {
    const follower = member(3, { term: 1, log: [1] });
    expect(tell(follower, append(1, [1, 1], [entry(3, 1)]))).toEqual([]);
    expect(tell(follower, append(1, [1, 1], [entry(2, 9)]))).toEqual([]);
    expect(terms(follower)).toEqual([1]);
  });
});

describe("commit", () => {
  test("9: a leader counts itself only after its own sync", () => {
    const one = leader(3);
    proposal(one, "a");
    one.collect();
    tell(one, accepted(1, 2));
    expect(one.raft.commitIndex as number).toBe(1);
    one.persist();
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("9: a single voter, too", () => {
    const one = leader(1);
    expect(one.raft.commitIndex as number).toBe(1);
    proposal(one, "a");
    one.collect();
    expect(one.raft.commitIndex as number).toBe(1);
    one.persist();
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("9: followers alone are a majority", () => {
    const one = leader(3);
    proposal(one, "a");
    one.collect();
    tell(one, accepted(1, 2));
    tell(one, accepted(1, 2, 3));
    expect(one.raft.commitIndex as number).toBe(2);
  });

  test("10: an older term's entry is committed only behind one of this term", () => {
    const one = leader(3, { term: 2, log: [1, 2] });
    tell(one, accepted(3, 2));
    expect(one.raft.commitIndex as number).toBe(0);
    tell(one, accepted(3, 3));
    expect(one.raft.commitIndex as number).toBe(3);
  });

  test("11: the commit index never falls", () => {
    const follower = member(3, { term: 1, log: [1, 1, 1] });
    tell(follower, append(1, [3, 1], [], 3));
    tell(follower, append(1, [3, 1], [], 1));
    tell(follower, { type: "heartbeat", term: 1, commitIndex: 2, readRound: 1, releaseIndex: 1 });
    expect(follower.raft.commitIndex as number).toBe(3);
  });

  test("an acknowledgement beyond the leader's log is ignored", () => {
    const one = leader(3);
    tell(one, accepted(1, 1000));
    expect(one.raft.commitIndex as number).toBe(0);
  });
});

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

  test("a single voter confirms at once", () => {
    const one = leader(1);
    expect(one.raft.readIndex(4)).toBe(true);
    expect(work(one).readStates).toEqual([{ context: 4, index: 1 as LogIndex }]);
  });
});

describe("limits", () => {
  test("48: the uncommitted log is bounded, and opens again with the commit", () => {
    const one = leader(3, {}, { uncommittedBytesMax: 10 });
    tell(one, accepted(1, 1));
    expect(proposal(one, "12345678")).toBe("2@1");
    expect(proposal(one, "123")).toBe("full");
    expect(proposal(one, "12")).toBe("3@1");
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    expect(proposal(one, "123")).toBe("4@1");
    expect(proposal(member(3), "x")).toBe("notLeader");
  });

  test("48: an entry larger than the bound may go alone", () => {
    const one = leader(3, {}, { uncommittedBytesMax: 10 });
    tell(one, accepted(1, 1));
    expect(proposal(one, "x".repeat(100))).toBe("2@1");
    expect(proposal(one, "")).toBe("full");
  });

  test("what is in flight to a follower is bounded in count", () => {
    const one = leader(2, {}, { inflightCountMax: 3, appendBytesMax: 1 });
    tell(one, accepted(1, 1));
    for (let i = 0; i < 10; i++) proposal(one, "x");
    expect(replies(work(one).messages, "append")).toHaveLength(3);
    expect(replies(tell(one, accepted(1, 3)), "append")).toHaveLength(2);
  });

  test("what is in flight to a follower is bounded in bytes", () => {
    const one = leader(2, {}, { inflightBytesMax: 10, appendBytesMax: 4 });
    tell(one, accepted(1, 1));
    for (let i = 0; i < 20; i++) proposal(one, "xx");
    const sent = replies(work(one).messages, "append") as readonly Append[];
    expect(sent.map(({ entries }) => entries.length)).toEqual([2, 2, 1]);
  });

  test("proposals of one turn travel in one append", () => {
    const one = leader(2);
    tell(one, accepted(1, 1));
    for (let i = 0; i < 20; i++) proposal(one, "xx");
    const [sent, ...more] = replies(work(one).messages, "append") as readonly Append[];
    expect(sent?.entries).toHaveLength(20);
    expect(more).toEqual([]);
  });

  test("entries that nobody has any more are asked for once a heartbeat, not without end", () => {
    const one = leader(2, { term: 1, log: [1, 1, 1] });
    const refusal = {
      type: "appendReply",
      term: 2,
      rejected: true,
      matchIndex: 3,
      hintIndex: 1,
      hintTerm: 1,
      readRound: 0,
    } as const;
    one.raft.step({ from: 2, to: 1, ...refusal } as never);
    expect(work(one).reads).toEqual([{ from: 2 as LogIndex, bytesMax: 1024 }]);
    one.raft.entriesRead(2 as LogIndex, []);
    expect(one.collect()).toBeNull();
    one.raft.step({ type: "heartbeatReply", from: 2, to: 1, term: 2, readRound: 0, lastIndex: 0 } as never);
    expect(work(one).reads).toHaveLength(1);
  });

  test("release: only what every voter has on disk, and never beyond the commit", () => {
    const one = leader(3);
    proposal(one, "a");
    one.collect();
    one.persist();
    tell(one, accepted(1, 2));
    expect(one.raft.releaseIndex as number).toBe(1);
    tell(one, accepted(1, 1, 3));
    expect(one.raft.releaseIndex as number).toBe(2);
    const follower = member(3, { term: 1, log: [1, 1] });
    tell(follower, { type: "heartbeat", term: 1, commitIndex: 1, readRound: 1, releaseIndex: 9 });
    expect(follower.raft.releaseIndex as number).toBe(2);
  });
});
