/**
 * The rules of log and commit, and the limits. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex } from "../../src/core/ids.ts";
import type { Append, RaftMessage } from "../../src/raft/messages.ts";
import { accepted, append, entry, leader, member, replies, tell, terms, work } from "./support/hand-fed.ts";
import { proposal } from "./support/member.ts";

describe("replication", () => {
  test("2: a leader only appends: what a leader of an older term sends leaves its log alone", () => {
    const one = leader(3, { term: 2, log: [1, 2, 2] });
    const before = terms(one);
    expect(tell(one, append(2, [1, 1], [entry(2, 1)]))).toMatchObject([{ type: "heartbeatReply", term: 3 }]);
    expect([one.raft.role, terms(one)]).toEqual(["leader", before]);
  });

  test("4: whoever lacks a committed entry finds no majority among those who have it", () => {
    // 2@2 is on the disks of two voters of three, and committed; the third knows of nothing.
    const votes = [member(3, { term: 2, log: [1, 2], commit: 2 }), member(3, { term: 2, log: [1, 2] })].map((voter) => {
      for (let ticks = 0; ticks < 10; ticks++) voter.raft.tick();
      voter.raft.step({ type: "vote", from: 3, to: 1, term: 9, lastIndex: 5, lastTerm: 1 } as never);
      voter.persist();
      voter.collect();
      voter.persist();
      return [...(voter.collect()?.messages ?? [])];
    });
    for (const messages of votes) expect(replies(messages, "voteReply")).toMatchObject([{ granted: false }]);
  });

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

  test("a commit is not told before the entries it means have been handed out", () => {
    const follower = member(3, { term: 1, log: [1, 1, 1] });
    tell(follower, append(1, [3, 1], [entry(4, 1)]));
    // The write of 4@1 is under way when another leader's 4@3 takes its place, committed already.
    follower.raft.step({ from: 3, to: 1, ...append(3, [3, 1], [entry(4, 3)], 4) } as unknown as RaftMessage);
    const early = work(follower);
    expect(early.entries).toEqual([]);
    expect(early.commitIndex as number).toBe(3);
    follower.persist();
    const late = work(follower);
    expect(late.entries).toMatchObject([{ index: 4, term: 3 }]);
    expect(late.commitIndex as number).toBe(4);
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
    for (const text of ["a", "b", "c"]) proposal(one, text);
    one.collect();
    tell(one, accepted(1, 2));
    const refusal = { type: "appendReply", term: 1, rejected: true, hintIndex: 0, hintTerm: 0, readRound: 0 } as const;
    expect(replies(tell(one, { ...refusal, matchIndex: 2 }), "append")).toEqual([]);
    expect(replies(tell(one, { ...refusal, matchIndex: 3 }), "append")).toMatchObject([{ previousIndex: 2 }]);
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

  test("3: entries from the disk that are not this log's any more are sent to nobody", () => {
    const one = leader(2, { term: 1, log: [1, 1, 1] });
    const refusal = { rejected: true, matchIndex: 3, hintIndex: 0, hintTerm: 0, readRound: 0 };
    tell(one, { type: "appendReply", term: 2, ...refusal });
    expect(one.reads).toHaveLength(1);
    one.raft.entriesRead(1 as LogIndex, [entry(1, 1), entry(2, 9), entry(3, 9)]);
    const [sent] = replies(work(one).messages, "append");
    expect(sent?.type === "append" && sent.entries.map(({ index }) => index as number)).toEqual([1]);
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
