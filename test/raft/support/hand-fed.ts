/** One core fed by hand: its disk as the test wishes, its peers played by the test. */
import { expect } from "bun:test";
import { Random } from "../../../src/core/random.ts";
import type { LogIndex, Term } from "../../../src/core/ids.ts";
import type { RaftEntry, RaftMessage } from "../../../src/raft/messages.ts";
import type { RaftOptions, Ready } from "../../../src/raft/ready.ts";
import { Durable, Member } from "./member.ts";

interface Disk {
  readonly term?: number;
  readonly vote?: number;
  readonly log?: readonly number[];
  readonly commit?: number;
}

export function entry(index: number, term: number, text = `${index}@${term}`): RaftEntry {
  return {
    index: index as LogIndex,
    term: term as Term,
    bytes: new TextEncoder().encode(text),
    configuration: null,
  };
}

/** Member 1 of `voters`, past the silence after its restart. */
export function member(voters: number, disk: Disk = {}, options: Partial<RaftOptions> = {}): Member {
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
export function tell(
  to: Member,
  message: Record<string, unknown> & { type: RaftMessage["type"] },
): readonly RaftMessage[] {
  to.raft.step({ from: 2, to: 1, ...message } as unknown as RaftMessage);
  return to.collect()?.messages ?? [];
}

export function append(
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

export function accepted(
  term: number,
  matchIndex: number,
  from = 2,
): Record<string, unknown> & { type: "appendReply" } {
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

export function work(of: Member): Ready {
  const ready = of.collect();
  if (ready === null) throw new Error("there is work");
  return ready;
}

/** Member 1 as the leader of the next term, its own first entry on its disk. */
export function leader(voters: number, disk: Disk = {}, options: Partial<RaftOptions> = {}): Member {
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

export function terms(of: Member): number[] {
  return Array.from({ length: of.raft.lastIndex }, (_, i) => of.raft.termAt((i + 1) as LogIndex) as number);
}

export function replies(messages: readonly RaftMessage[], type: RaftMessage["type"]): readonly RaftMessage[] {
  return messages.filter((message) => message.type === type);
}
