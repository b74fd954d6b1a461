/** Each promise of Raft, broken in what a node hands to its disk or finds there, is seen to be broken. */
import { describe, expect, test } from "bun:test";
import type { ShardBoot } from "../../src/bridge/shard-protocol.ts";
import { logIndex, NO_NODE, nodeId, term } from "../../src/core/ids.ts";
import { emptyEntry, EntryKind, sealEntry, ENTRY_HEADER_BYTES } from "../../src/record/entry-format.ts";
import { SYNC } from "../../src/record/durability.ts";
import { NodeLog } from "../../src/sim/node-log.ts";
import { RaftRules } from "../../src/sim/raft-rules.ts";

/** One shard of a node. */
class Scene {
  readonly rules: RaftRules;
  readonly log: NodeLog;

  constructor(rules: RaftRules, name: string) {
    this.rules = rules;
    this.log = new NodeLog(rules, 0, name, []);
  }

  append(firstIndex: number, terms: readonly number[], commitIndex = 0): void {
    const entries = terms.map((one, i) => emptyEntry(logIndex(firstIndex + i), term(one)));
    this.log.onRequest({
      type: "append",
      entries,
      commitIndex: logIndex(commitIndex),
      applyThrough: logIndex(commitIndex),
      wantResults: false,
    });
  }

  persisted(lastIndex: number, lastTerm: number): void {
    this.log.onReply({ type: "persisted", lastIndex: logIndex(lastIndex), lastTerm: term(lastTerm) });
  }

  save(inTerm: number, vote: number): void {
    this.log.onRequest({ type: "saveHardState", term: term(inTerm), vote: nodeId(vote) });
    this.log.onReply({ type: "hardStateSaved", term: term(inTerm), vote: nodeId(vote) });
  }

  /** The node starts again, and finds one entry for each term. */
  start(terms: readonly number[], more: Partial<ShardBoot> = {}): void {
    const lastTerm = term(terms.at(-1) ?? 0);
    const boot: ShardBoot = {
      hardTerm: lastTerm,
      hardVote: NO_NODE,
      votesFrom: logIndex(0),
      firstIndex: logIndex(1),
      lastIndex: logIndex(terms.length),
      lastTerm,
      previousTerm: term(0),
      termRuns: terms.map((one, i) => ({ firstIndex: logIndex(i + 1), term: term(one) })),
      commitIndex: logIndex(0),
      appliedIndex: logIndex(0),
      stampHigh: 0,
      stampLow: 0,
      system: [],
      lostEnd: null,
      configurations: [],
      ...more,
    };
    this.log.onReply({ type: "opened", boot });
  }

  get wrong(): string {
    return this.rules.violations.join("; ");
  }
}

function scene(): Scene {
  return new Scene(new RaftRules(), "n1");
}

describe("Figure 3", () => {
  test("a term has one leader", () => {
    const { rules } = scene();
    expect([rules.elected(0, 1, "n1"), rules.elected(0, 1, "n1"), rules.elected(1, 1, "n2")]).toEqual([
      true,
      false,
      true,
    ]);
    expect(rules.violations).toEqual([]);
    rules.elected(0, 1, "n2");
    expect(rules.violations.join()).toContain("both lead");
  });

  test("a leader supersedes nothing of its own log; a follower may", () => {
    const one = scene();
    one.save(2, 1);
    one.rules.elected(0, 2, "n1");
    one.append(1, [1, 1, 2]);
    one.append(4, [2]);
    expect(one.wrong).toBe("");
    one.append(3, [2]);
    expect(one.wrong).toContain("supersedes entry 3 of its own log");
    const follower = new Scene(new RaftRules(), "n2");
    follower.append(1, [1, 1]);
    follower.append(2, [2]);
    expect(follower.wrong).toBe("");
  });

  test("a follower may be sent again what it wrote as a leader and lost", () => {
    const one = scene();
    one.save(1, 1);
    one.rules.elected(0, 1, "n1");
    one.append(1, [1]);
    one.start([], { hardTerm: term(1), hardVote: nodeId(1) });
    one.save(2, 2);
    one.append(1, [2]);
    one.save(3, 2);
    one.append(1, [1, 3]);
    expect(one.wrong).toBe("");
  });

  test("entries of one index and term are alike and stand behind the same term", () => {
    const one = scene();
    const other = new Scene(one.rules, "n2");
    one.append(1, [1, 2]);
    other.append(1, [1, 2]);
    expect(one.wrong).toBe("");
    new Scene(one.rules, "n3").append(1, [2, 2]);
    expect(one.wrong).toContain("entry 2 of term 2 of shard 0 stands behind an entry of term 1 at n1, of term 2 at n3");
    const bytes = new Uint8Array(ENTRY_HEADER_BYTES + 1);
    const view = new DataView(bytes.buffer);
    sealEntry(bytes, view, 0, bytes.length, logIndex(1), term(1), 0, EntryKind.configuration, SYNC);
    one.rules.appended(0, 1, 1, 0, bytes, "n3");
    expect(one.wrong).toContain("entry 1 of term 1 of shard 0 is not the same at n1 and at n3");
  });

  test("what was committed is in the log of every later leader", () => {
    const one = scene();
    one.save(2, 1);
    one.append(1, [1, 2, 2], 2);
    const other = new Scene(one.rules, "n2");
    other.append(1, [1, 1]);
    other.append(3, [3]);
    one.rules.checkLeader(0, 1, "n3", other.log);
    expect(one.wrong).toBe("");
    one.rules.checkLeader(0, 3, "n2", other.log);
    expect(one.wrong).toContain("entry 2 of shard 0, committed by n1 in term 2, is of term 1 instead of 2");
  });

  test("what one node commits, all do", () => {
    const one = scene();
    one.append(1, [1, 1], 2);
    new Scene(one.rules, "n2").append(1, [1, 2], 2);
    expect(one.wrong).toContain("was committed by n1 in term 1, and by n2 in term 2");
  });
});

describe("a start finds what the disk has promised", () => {
  test("entries that were durable, and no others", () => {
    const one = scene();
    one.append(1, [1, 1]);
    one.persisted(2, 1);
    one.append(3, [1]);
    one.start([1, 1]);
    expect(one.wrong).toBe("");
    one.start([1]);
    expect(one.wrong).toContain("entry 2 of term 1, which was durable, is missing");
    const other = scene();
    other.start([1]);
    expect(other.wrong).toContain("entry 1 of term 1, which nobody wrote");
  });

  test("what was superseded may be there or not", () => {
    const one = scene();
    one.append(1, [1, 1, 1]);
    one.persisted(3, 1);
    one.append(2, [2]);
    one.start([1]);
    expect(one.wrong).toBe("");
  });

  test("term and vote", () => {
    const one = scene();
    one.save(3, 2);
    one.start([], { hardTerm: term(3), hardVote: nodeId(2) });
    expect(one.wrong).toBe("");
    one.start([], { hardTerm: term(3), hardVote: NO_NODE });
    expect(one.wrong).toContain("starts in term 3 with vote 0, though term 3 with vote 2 was saved");
  });

  test("the commit index that a durable entry carried", () => {
    const one = scene();
    one.append(1, [1, 1]);
    one.append(3, [1], 2);
    one.persisted(3, 1);
    one.start([1, 1, 1], { commitIndex: logIndex(2) });
    expect(one.wrong).toBe("");
    one.start([1, 1, 1], { commitIndex: logIndex(1) });
    expect(one.wrong).toContain("starts with commit index 1, though 2 was on disk");
  });
});
