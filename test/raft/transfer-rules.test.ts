/**
 * The rules of handing over a leadership. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId } from "../../src/core/ids.ts";
import { accepted, append, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import { proposal } from "./support/member.ts";

const two = 2 as NodeId;

describe("transfer", () => {
  test("the successor is told only when it has everything", () => {
    const one = leader(3);
    proposal(one, "a");
    one.collect();
    expect(one.raft.transferLeadership(two)).toBe(true);
    expect(replies(one.collect()?.messages ?? [], "timeoutNow")).toEqual([]);
    expect(replies(tell(one, accepted(1, 1)), "timeoutNow")).toEqual([]);
    expect(replies(tell(one, accepted(1, 2)), "timeoutNow")).toMatchObject([{ to: 2, term: 1 }]);
  });

  test("49: a transfer that times out resumes proposals", () => {
    const one = leader(3);
    one.raft.transferLeadership(two);
    expect(proposal(one, "a")).toBe("transferring");
    for (let ticks = 0; ticks < 9; ticks++) one.raft.tick();
    expect(proposal(one, "a")).toBe("transferring");
    tell(one, { type: "heartbeatReply", term: 1, readRound: 0, lastIndex: 1 });
    one.raft.tick();
    expect([one.raft.isTransferring, proposal(one, "a")]).toEqual([false, "2@1"]);
  });

  test("22: only the leader that is heard makes a voter campaign", () => {
    const voter = member(3, { term: 1 });
    tell(voter, append(1, [0, 0], []));
    tell(voter, { type: "timeoutNow", from: 3, term: 1 });
    expect(voter.raft.role).toBe("follower");
    tell(voter, { type: "timeoutNow", term: 1 });
    expect([voter.raft.role, voter.raft.term as number]).toEqual(["candidate", 2]);
  });

  test("22: a promise to a leader outlives its term, unless the leader takes it back", () => {
    const votes = (isTransfer: boolean): boolean[] => {
      const voter = member(3, { term: 1 });
      tell(voter, append(1, [0, 0], []));
      // Somebody's answer to a question of long ago brings a higher term, and with it nobody who leads.
      tell(voter, { type: "voteReply", from: 3, term: 2, granted: false });
      tell(voter, { type: "vote", from: 3, term: 2, lastIndex: 9, lastTerm: 1, isTransfer });
      voter.persist();
      return replies(work(voter).messages, "voteReply").map((reply) => reply.type === "voteReply" && reply.granted);
    };
    expect([votes(false), votes(true)]).toEqual([[false], [true]]);
  });

  test("18: a transfer asks for votes like any other candidate: the log decides", () => {
    const voter = member(3, { term: 1, log: [1, 1] });
    tell(voter, { type: "vote", term: 2, lastIndex: 1, lastTerm: 1, isTransfer: true });
    voter.persist();
    expect(replies(work(voter).messages, "voteReply")).toMatchObject([{ granted: false }]);
  });

  test("the successor is the eligible voter whose disk has most", () => {
    const one = leader(5);
    tell(one, accepted(1, 1, 3));
    expect(one.raft.successor(() => true) as number).toBe(3);
    expect(one.raft.successor((voter) => voter === 4) as number).toBe(4);
    expect(one.raft.successor(() => false) as number).toBe(0);
    expect(one.raft.commitIndex).toBe(0 as LogIndex);
  });
});
