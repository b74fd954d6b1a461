/**
 * The rules of snapshots, as the core sees them. Each on a core fed by hand; a number in front of
 * a promise is its place in the list of Raft properties the project keeps (docs).
 */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId, Term } from "../../src/core/ids.ts";
import { accepted, append, entry, leader, member, replies, tell, work } from "./support/hand-fed.ts";
import { type Member, proposal } from "./support/member.ts";

const three = 3 as NodeId;

function snapshotAt(index: number, term: number, voters: readonly number[] = [1, 2, 3], id = 7) {
  return {
    id,
    index: index as LogIndex,
    term: term as Term,
    configuration: { voters: voters as NodeId[], learners: [] },
  };
}

function offer(term: number, index: number, entryTerm: number, id = 7) {
  return { type: "installSnapshot", term, snapshot: snapshotAt(index, entryTerm, [1, 2, 3], id) } as const;
}

function refused(previousIndex: number, hintIndex: number, hintTerm = 1) {
  return {
    type: "appendReply",
    from: 3,
    term: 1,
    rejected: true,
    matchIndex: previousIndex,
    hintIndex,
    hintTerm,
    readRound: 0,
  } as const;
}

/** A leader of four entries, all committed, that has let go of the first two; node 3 has not been heard. */
function leaderWithoutBeginning(): Member {
  const one = leader(3);
  for (const index of [2, 3, 4]) {
    proposal(one, "x");
    one.collect();
    one.persist();
    tell(one, accepted(1, index));
  }
  // What is known to be committed is written down with the next entry.
  one.durable.commitIndex = 4;
  one.release(3);
  return one;
}

describe("a leader whose log does not reach back far enough", () => {
  test("38: wants a snapshot for whom it cannot send what comes next, once, and sends no entries meanwhile", () => {
    const one = leaderWithoutBeginning();
    expect(work(one).snapshotsWanted).toEqual([three]);
    expect(one.raft.needsSnapshot(three)).toBe(true);
    proposal(one, "y");
    expect(work(one).messages.filter(({ to }) => to === three)).toEqual([]);
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    const ready = work(one);
    expect(ready.snapshotsWanted).toEqual([]);
    expect(ready.messages.filter(({ to }) => to === three)).toMatchObject([{ type: "heartbeat" }]);
  });

  test("a follower whose log ends before the leader's begins needs one, one whose log ends just there does not", () => {
    for (const [hintIndex, wanted] of [
      [1, [three]],
      [2, []],
    ] as const) {
      const one = leader(3, { term: 0, log: [1, 1, 1, 1, 1], commit: 5 });
      one.release(3);
      one.collect();
      one.raft.step({ to: 1, ...refused(5, hintIndex), term: 2 } as never);
      expect([hintIndex, one.collect()?.snapshotsWanted]).toEqual([hintIndex, [...wanted]]);
    }
  });

  test("39: the offer carries index, term and configuration, and is repeated while it is needed", () => {
    const one = leaderWithoutBeginning();
    one.collect();
    const snapshot = snapshotAt(3, 1);
    expect(one.raft.offerSnapshot(three, snapshot)).toBe(true);
    expect(work(one).messages).toMatchObject([{ type: "installSnapshot", to: 3, term: 1, snapshot }]);
    expect(one.collect()).toBeNull();
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    expect(replies(work(one).messages, "installSnapshot").length).toBe(1);
  });

  test("goes on with entries behind the snapshot as soon as it is installed", () => {
    const one = leaderWithoutBeginning();
    one.collect();
    one.raft.offerSnapshot(three, snapshotAt(3, 1));
    one.collect();
    expect(tell(one, accepted(1, 3, 3))).toMatchObject([{ type: "append", to: 3, previousIndex: 3 }]);
    expect([one.raft.needsSnapshot(three), one.raft.offerSnapshot(three, snapshotAt(3, 1))]).toEqual([false, false]);
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    expect(replies(work(one).messages, "installSnapshot")).toEqual([]);
  });

  test("wants another one when the log has been released further meanwhile", () => {
    const one = leaderWithoutBeginning();
    one.collect();
    one.raft.offerSnapshot(three, snapshotAt(3, 1));
    one.release(5);
    one.collect();
    one.raft.step({ to: 1, ...accepted(1, 3, 3) } as never);
    expect(work(one).snapshotsWanted).toEqual([three]);
  });

  test("needs none for a member that turns out to have what is needed", () => {
    const one = leaderWithoutBeginning();
    one.collect();
    one.raft.step({ type: "heartbeatReply", from: 3, to: 1, term: 1, readRound: 1, lastIndex: 2 } as never);
    expect(work(one).messages).toMatchObject([{ type: "append", to: 3, previousIndex: 2 }]);
    expect(one.raft.needsSnapshot(three)).toBe(false);
  });

  test("a failed one is wanted again, but not before the member is heard", () => {
    const one = leaderWithoutBeginning();
    one.collect();
    one.raft.offerSnapshot(three, snapshotAt(3, 1));
    one.collect();
    one.raft.snapshotFailed(three);
    for (let ticks = 0; ticks < 3; ticks++) one.raft.tick();
    const ready = work(one);
    expect([ready.snapshotsWanted, replies(ready.messages, "installSnapshot")]).toEqual([[], []]);
    one.raft.step({ type: "heartbeatReply", from: 3, to: 1, term: 1, readRound: 1, lastIndex: 0 } as never);
    expect(work(one).snapshotsWanted).toEqual([three]);
  });

  test("38: what is not committed is never let go of", () => {
    const one = leader(3);
    proposal(one, "x");
    one.collect();
    one.persist();
    expect(() => one.raft.logReleased(3 as LogIndex, 1 as Term)).toThrow("committed");
  });

  test("old entries that arrive after they were let go of are sent to nobody", () => {
    const one = leader(3, { term: 0, log: [1, 1, 1, 1, 1], commit: 5 });
    tell(one, { ...refused(5, 1), term: 2 });
    expect(one.reads.length).toBe(1);
    one.durable.release(3);
    const { reads } = one;
    one.raft.logReleased(3 as LogIndex, 1 as Term);
    one.raft.entriesRead(
      reads[0]!.from as LogIndex,
      [2, 3, 4, 5].map((index) => entry(index, 1)),
    );
    const ready = work(one);
    expect([ready.snapshotsWanted, replies(ready.messages, "append")]).toEqual([[three], []]);
  });

  test("a leader that is offered one has no use for it", () => {
    const one = leader(3);
    expect(one.raft.startInstall()).toBe(false);
    expect(member(3).raft.offerSnapshot(three, snapshotAt(0, 0))).toBe(false);
  });
});

describe("a follower that is offered a snapshot", () => {
  test("40: an older one is ignored: it has that already", () => {
    const follower = member(3, { term: 1, log: [1, 1, 1], commit: 3 });
    expect(tell(follower, offer(1, 2, 1))).toMatchObject([{ type: "appendReply", rejected: false, matchIndex: 3 }]);
    expect([follower.offer, follower.raft.startInstall()]).toEqual([null, false]);
    follower.release(3);
    expect(tell(follower, offer(1, 1, 1, 8))).toMatchObject([{ type: "appendReply", rejected: false, matchIndex: 3 }]);
    expect([follower.offer, follower.raft.startInstall()]).toEqual([null, false]);
  });

  test("one whose last entry is in the log is not needed: it says what is committed", () => {
    const follower = member(3, { term: 1, log: [1, 1, 1], commit: 1 });
    expect(tell(follower, offer(1, 2, 1))).toMatchObject([{ type: "appendReply", matchIndex: 2 }]);
    expect([follower.offer, follower.raft.commitIndex as number, follower.raft.lastIndex as number]).toEqual([
      null,
      2,
      3,
    ]);
  });

  test("hears a leader by it, and is told once", () => {
    const follower = member(3, { term: 1, log: [1] });
    follower.raft.step({ from: 2, to: 1, ...offer(2, 5, 2) } as never);
    const ready = work(follower);
    expect([follower.raft.leader as number, ready.install]).toEqual([2, { from: 2 as NodeId, ...snapshotAt(5, 2) }]);
    tell(follower, offer(2, 5, 2));
    expect(follower.collect()?.install ?? null).toBeNull();
    follower.raft.step({ from: 2, to: 1, ...offer(2, 9, 2, 8) } as never);
    expect(work(follower).install).toMatchObject({ id: 8, index: 9 });
  });

  test("39: installs index, term and configuration, and answers with that match", () => {
    const follower = member(3, { term: 2, vote: 2, log: [1, 1] });
    tell(follower, { type: "installSnapshot", term: 2, snapshot: snapshotAt(5, 2, [2, 3, 4]) });
    expect(follower.startInstall()).toBe(true);
    follower.finishInstall();
    expect(work(follower).messages).toMatchObject([{ type: "appendReply", to: 2, rejected: false, matchIndex: 5 }]);
    const { raft } = follower;
    expect([raft.term, raft.vote, raft.commitIndex, raft.lastIndex, raft.termAt(5 as LogIndex)]).toEqual([
      2, 2, 5, 5, 2,
    ] as never);
    expect(raft.configuration.voters as readonly number[]).toEqual([2, 3, 4]);
    tell(follower, append(2, [5, 2], [entry(6, 2)], 6));
    expect([raft.lastIndex as number, raft.commitIndex as number]).toEqual([6, 6]);
  });

  test("7: nothing that was acknowledged is lost: from the start of an installation on no entries are taken", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 5, 2));
    tell(follower, append(2, [1, 1], [entry(2, 2)]));
    expect(follower.startInstall()).toBe(true);
    expect(tell(follower, append(2, [2, 2], [entry(3, 2), entry(4, 2), entry(5, 2), entry(6, 2)]))).toEqual([]);
    expect(follower.raft.lastIndex as number).toBe(2);
    follower.finishInstall();
    expect(follower.raft.lastIndex as number).toBe(5);
  });

  test("41: nothing more is written to a log that is about to be replaced", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 5, 2));
    follower.raft.step({ from: 2, to: 1, ...append(2, [1, 1], [entry(2, 2)]) } as never);
    expect(follower.raft.startInstall()).toBe(true);
    expect(follower.collect()?.entries ?? []).toEqual([]);
    follower.raft.installAbandoned();
    expect(work(follower).entries).toMatchObject([{ index: 2 }]);
  });

  test("7: and none is begun that would cost an entry the log has by then", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 3, 2));
    tell(follower, append(2, [1, 1], [entry(2, 2), entry(3, 2), entry(4, 2)]));
    expect(follower.startInstall()).toBe(false);
    expect(follower.raft.lastIndex as number).toBe(4);
  });

  test("41: entries that conflict with it are gone with the log, whatever the disk says of them later", () => {
    const follower = member(3, { term: 2, log: [1, 1, 1, 1, 1, 1] });
    tell(follower, offer(2, 5, 2));
    expect(follower.startInstall()).toBe(true);
    follower.finishInstall();
    follower.collect();
    follower.raft.persisted(6 as LogIndex, 1 as Term);
    expect(follower.raft.lastIndex as number).toBe(5);
    expect(tell(follower, append(2, [5, 2], [entry(6, 2)]))).toMatchObject([{ matchIndex: 5 }]);
    follower.persist();
    expect(work(follower).messages).toMatchObject([{ type: "appendReply", matchIndex: 6 }]);
  });

  test("does not campaign while its log is being replaced, and a candidate gives up for it", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 5, 2));
    for (let ticks = 0; ticks < 20; ticks++) follower.raft.tick();
    expect(follower.raft.role).toBe("preCandidate");
    expect(follower.startInstall()).toBe(true);
    expect(follower.raft.role).toBe("follower");
    for (let ticks = 0; ticks < 40; ticks++) follower.raft.tick();
    expect(follower.raft.role).toBe("follower");
    follower.abandonInstall();
    for (let ticks = 0; ticks < 40; ticks++) follower.raft.tick();
    expect(follower.raft.role).toBe("preCandidate");
  });

  test("what was fetched is not installed in the place of one that was offered since and not handed out yet", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 5, 2));
    follower.raft.step({ from: 2, to: 1, ...offer(2, 9, 2, 8) } as never);
    expect(follower.raft.startInstall()).toBe(false);
    follower.raft.installAbandoned();
    expect(work(follower).install).toMatchObject({ id: 8, index: 9 });
    expect(follower.startInstall()).toBe(true);
  });

  test("an abandoned one is news again when it is offered again", () => {
    const follower = member(3, { term: 2, log: [1] });
    tell(follower, offer(2, 5, 2));
    follower.abandonInstall();
    expect(follower.startInstall()).toBe(false);
    follower.raft.step({ from: 2, to: 1, ...offer(2, 5, 2) } as never);
    expect(work(follower).install).toMatchObject({ id: 7, index: 5 });
  });
});
