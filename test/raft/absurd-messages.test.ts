/** Messages of a member that cannot be true: they change nothing. What a large term does that can be. */
import { describe, expect, test } from "bun:test";
import type { LogIndex, Term } from "../../src/core/ids.ts";
import { append, entry, leader, member, tell, terms } from "./support/hand-fed.ts";

const ABSURD = 2 ** 53 - 1;

describe("a term out of reach is not heard, whatever the message:", () => {
  const snapshot = { id: 1, index: 9, term: 9, configuration: { voters: [1, 2, 3], learners: [] } };
  const beat = { commitIndex: 9, readRound: 1, releaseIndex: 1 };
  const messages = [
    append(ABSURD, [3, 2], [entry(4, 2)], 4),
    { type: "heartbeat", term: ABSURD, ...beat },
    { type: "vote", term: ABSURD, lastIndex: ABSURD, lastTerm: ABSURD, isTransfer: true },
    { type: "preVote", term: ABSURD, lastIndex: ABSURD, lastTerm: ABSURD },
    { type: "preVoteReply", term: ABSURD, granted: false },
    { type: "voteReply", term: ABSURD, granted: true },
    { type: "installSnapshot", term: ABSURD, snapshot },
    { type: "timeoutNow", term: ABSURD },
    { type: "appendReply", term: ABSURD, rejected: false, matchIndex: 3, hintIndex: 3, hintTerm: 0, readRound: 1 },
    { type: "heartbeatReply", term: ABSURD, readRound: 1, lastIndex: 3 },
  ] as const;
  for (const message of messages) {
    test(message.type, () => {
      for (const one of [member(3, { term: 2, log: [1, 2, 2], commit: 2 }), leader(3, { term: 2, log: [1, 2, 2] })]) {
        const { term, role, commitIndex } = one.raft;
        expect(tell(one, message)).toEqual([]);
        expect([one.raft.term, one.raft.role, one.raft.commitIndex]).toEqual([term, role, commitIndex]);
        expect(terms(one).slice(0, 3)).toEqual([1, 2, 2]);
      }
    });
  }
  test("a farewell", () => {
    const one = member(3, { term: 2, log: [1, 2, 2], commit: 2 });
    for (let ticks = 0; ticks < 20; ticks++) one.raft.tick();
    expect(one.raft.startGivingUp(9 as LogIndex, ABSURD as Term)).toBe(false);
  });
});

test("a large term within reach is entered, as any higher one, and there is a next one", () => {
  const one = member(3, { term: 2, log: [1, 2, 2], commit: 2 });
  tell(one, { type: "heartbeat", term: 2 ** 32, commitIndex: 0, readRound: 1, releaseIndex: 1 });
  expect([one.raft.term as number, one.raft.leader as number]).toEqual([2 ** 32, 2]);
  expect(terms(one)).toEqual([1, 2, 2]);
});

describe("an append of the present leader that contradicts what is committed is not heard:", () => {
  const committed = () => member(3, { term: 5, log: [1, 2, 5], commit: 3 });
  const cases: [string, ReturnType<typeof append>][] = [
    ["another term before the entries", append(6, [3, 1], [entry(4, 2)])],
    ["another entry among them", append(6, [1, 1], [entry(2, 1), entry(3, 1), entry(4, 1)])],
    ["another first entry", append(6, [0, 0], [entry(1, 4), entry(2, 4), entry(3, 4), entry(4, 4)])],
  ];
  for (const [what, message] of cases) {
    test(what, () => {
      const one = committed();
      expect(tell(one, message)).toEqual([]);
      expect([terms(one), one.raft.commitIndex as number]).toEqual([[1, 2, 5], 3]);
      // The very same leader is heard when it speaks the truth.
      tell(one, append(6, [3, 5], [entry(4, 6)]));
      expect(terms(one)).toEqual([1, 2, 5, 6]);
    });
  }
});

test("an index far ahead is refused with a place to look, and a commit beyond the log ends with the log", () => {
  const one = member(3, { term: 2, log: [1, 2, 2], commit: 1 });
  expect(tell(one, append(2, [ABSURD, 2], [], ABSURD))).toMatchObject([{ rejected: true, hintIndex: 3 }]);
  tell(one, append(2, [2, 2], [], ABSURD));
  expect(one.raft.commitIndex as number).toBe(2);
  tell(one, { type: "heartbeat", term: 2, commitIndex: ABSURD, readRound: 1, releaseIndex: ABSURD });
  expect([one.raft.commitIndex as number, one.raft.releaseIndex as number]).toEqual([3, 4]);
  expect(terms(one)).toEqual([1, 2, 2]);
});

test("a leader believes no answer about entries that it does not have", () => {
  const one = leader(3, { term: 2, log: [1, 2, 2] });
  const { commitIndex, term, lastIndex } = one.raft;
  const numbers = { hintTerm: 0, readRound: ABSURD };
  tell(one, { type: "appendReply", term, rejected: false, matchIndex: ABSURD, hintIndex: ABSURD, ...numbers });
  tell(one, { type: "appendReply", term, rejected: true, matchIndex: ABSURD, hintIndex: ABSURD, ...numbers });
  tell(one, { type: "heartbeatReply", term, readRound: ABSURD, lastIndex: ABSURD });
  expect([one.raft.commitIndex, one.raft.lastIndex, one.raft.role]).toEqual([commitIndex, lastIndex, "leader"]);
});

test("a snapshot of a later term than its leader's is no offer", () => {
  const one = member(3, { term: 2, log: [1, 2, 2], commit: 1 });
  const snapshot = { id: 1, index: 90, term: 4, configuration: { voters: [1, 2, 3], learners: [] } };
  expect(tell(one, { type: "installSnapshot", term: 3, snapshot })).toEqual([]);
  expect(one.raft.term as number).toBe(2);
});
