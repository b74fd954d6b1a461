/**
 * The bugs that the simulator must find, as changes of a few lines of production text. Nothing in production code knows
 * of them: `plant-bug.ts` changes the text while the module is loaded.
 */
import type { Weather } from "../../src/sim/weathers.ts";

export interface Change {
  readonly file: string;
  /** Found exactly once in the file, or the planting fails. */
  readonly text: string;
  readonly replacement: string;
}

export interface PlantedBug {
  readonly changes: readonly Change[];
  /** Seeds from 1 on within which a violation must show. */
  readonly seedCount: number;
  readonly weather: Weather;
}

export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  "acknowledge before the sync": {
    changes: [
      {
        file: "src/log/log.ts",
        text: "this.#file.beginSync((failure) => this.#syncEnded(ticket, failure));",
        replacement: "{ this.#syncEnded(ticket, null); this.#file.beginSync(() => undefined); }",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "count a commit for an entry of an earlier term": {
    changes: [
      {
        file: "src/raft/leadership.ts",
        text: "Math.max(reached < this.startIndex ? 0 : reached, decidedAlone)",
        replacement: "Math.max(reached, decidedAlone)",
      },
    ],
    seedCount: 100,
    weather: "hunt",
  },
  "forget the vote and its term on restart": {
    changes: [
      {
        file: "src/log/hard-state-file.ts",
        text: "const state = found.state ?? FIRST_STATE;",
        replacement: "const state = FIRST_STATE;",
      },
    ],
    seedCount: 100,
    weather: "hunt",
  },
  // With pre-vote nothing is seen to go wrong: a candidate that may still ask the forgetful voter in the same term would
  // have to be let through by voters that have not entered that term yet, after a majority of them has.
  "forget only the vote on restart, without pre-vote": {
    changes: [
      {
        file: "src/log/hard-state-file.ts",
        text: "const state = found.state ?? FIRST_STATE;",
        replacement: "const state = { ...(found.state ?? FIRST_STATE), vote: NO_NODE };",
      },
      { file: "src/cluster/group-core.ts", text: "preVote: true", replacement: "preVote: false" },
    ],
    seedCount: 200,
    weather: "ballots",
  },
  "a read does not close the open entry with its own write": {
    changes: [
      {
        file: "src/cluster/shard-group.ts",
        text: "if (ownWriteIndex > raft.lastIndex) this.propose();\n    const isSettled = reader.get(",
        replacement: "const isSettled = reader.get(",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "a read does not wait for its own write": {
    changes: [
      {
        file: "src/cluster/local-reader.ts",
        text: "Math.max(this.#raft.commitIndex, ownWriteIndex)",
        replacement: "this.#raft.commitIndex",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "a forwarded read does not wait for its own write": {
    changes: [
      {
        file: "src/cluster/forward-server.ts",
        text: "return this.#readFloorIndex;",
        replacement: "return 0;",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "a forwarded read waits for less than an earlier one": {
    changes: [
      {
        file: "src/cluster/forward-server.ts",
        text: "return this.#readFloorIndex;",
        replacement: "return afterOwnWrite ? this.#lastWriteIndex : 0;",
      },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  "refused operations go behind later ones": {
    changes: [
      {
        file: "src/cluster/forwarder.ts",
        text: "[...operations, ...this.#held].sort((a, b) => a.sequence - b.sequence)",
        replacement: "[...this.#held, ...operations]",
      },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  "operations under a bucket's new id overtake those under the old one": {
    changes: [
      {
        file: "src/cluster/bucket-look-ups.ts",
        text: "this.#underway.set(bucket, (this.#underway.get(bucket) ?? 0) + 1);",
        replacement: "",
      },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  // Who leads shard 0 finishes what was begun, soon enough to hide much of the next two: here nobody does.
  "an emptied bucket is not fenced": {
    changes: [
      {
        file: "src/cluster/bucket-admin.ts",
        text: "this.#fencePending((fenced) => {",
        replacement: "((done: (fenced: Result) => void) => done(result))((fenced) => {",
      },
      { file: "src/cluster/cluster-node.ts", text: "this.#ticks % RESUME_TICKS === 0", replacement: "false" },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "an emptied bucket's older ids are left to others": {
    changes: [
      {
        file: "src/cluster/bucket-admin.ts",
        text: "this.#fencePending((fenced) => {",
        replacement: "this.#fenceEverywhere(Number(result.value), (fenced) => {",
      },
      { file: "src/cluster/cluster-node.ts", text: "this.#ticks % RESUME_TICKS === 0", replacement: "false" },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  // The log of the new leader may be ahead of the commit index that it knows: what it reads there may be of long ago.
  "a leader reads before anything of its term is committed": {
    changes: [
      {
        file: "src/raft/leadership.ts",
        text: 'if (this.#log.commitIndex < this.startIndex) return "notReady";',
        replacement: "",
      },
      {
        file: "src/cluster/shard-group.ts",
        text: 'raft.role === "leader" && this.#applied >= raft.termStartIndex',
        replacement: 'raft.role === "leader"',
      },
    ],
    seedCount: 100,
    weather: "hunt",
  },
  "a lease is given although no majority answered": {
    changes: [
      {
        file: "src/raft/leadership.ts",
        text: "nowMs < this.#supportedMs + leaseMs",
        replacement: "nowMs < nowMs + leaseMs",
      },
    ],
    seedCount: 500,
    weather: "leases",
  },
  // While the look before a read comes after the request, the one behind it would not be missed: here a read goes by what the
  // one before it saw.
  "a lease is looked at once for two reads and not again after the second": {
    changes: [
      {
        file: "src/cluster/local-reader.ts",
        text: "(): ReadGate | null => (this.#leaseHolds() ? null : this.#roundGate());",
        replacement: "(): ReadGate | null => ((this.#held = this.#leaseHolds()), null);\n  #held = false;",
      },
      {
        file: "src/cluster/local-reader.ts",
        text: 'return proof === "lease" && this.#leaseHolds();',
        replacement: 'return proof === "lease" && (this.#held || this.#leaseHolds());',
      },
    ],
    seedCount: 500,
    weather: "leases",
  },
  "an old append cuts off what a later one brought": {
    changes: [
      {
        file: "src/raft/raft-log.ts",
        text: "if (entry.index <= matching) continue;",
        replacement: "if (entry.index <= Math.min(matching, this.#commitIndex)) continue;",
      },
      {
        file: "src/raft/raft-log.ts",
        text: "if (this.termAt(entry.index) === entry.term) continue;",
        replacement: "",
      },
    ],
    seedCount: 500,
    weather: "mixed",
  },
  "entries that are in tables are applied again after a restart": {
    changes: [
      {
        file: "src/shard/recovery.ts",
        text: "const firstIndex = logIndex(flushed.index + 1);",
        replacement: "const firstIndex = logIndex(Math.max(log.firstIndex, flushed.index - 3));",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "damage inside the log is taken for a torn end": {
    changes: [
      {
        file: "src/log/log-chain.ts",
        text: "throw damage(segments, cuts, place);",
        replacement: "damage(segments, cuts, place);",
      },
    ],
    seedCount: 100,
    weather: "rot",
  },
  "a leader's clock does not start above the stamps of its log": {
    changes: [
      {
        file: "src/cluster/group-core.ts",
        text: "proposer.clock.observe(boot.stampHigh, boot.stampLow);",
        replacement: "",
      },
      {
        file: "src/cluster/shard-group.ts",
        text: "core.proposer.clock.observe(reply.stampHigh, reply.stampLow);",
        replacement: "",
      },
    ],
    seedCount: 100,
    weather: "clocks",
  },
  "reads expire by the clock alone": {
    changes: [
      {
        file: "src/shard/shard.ts",
        text: "return Math.max(this.#env.clock.wallMs(), stampMilliseconds(stampHigh, stampLow));",
        replacement: "return this.#env.clock.wallMs() + 0 * (stampHigh + stampLow);",
      },
      {
        file: "src/cluster/local-reader.ts",
        text: "return Math.max(this.#clock.wallMs(), stampMilliseconds(this.#stamps.high, this.#stamps.low));",
        replacement: "return this.#clock.wallMs();",
      },
    ],
    seedCount: 100,
    weather: "clocks",
  },
  "a damaged table is asked for ever whether it holds a fenced bucket": {
    changes: [
      {
        file: "src/storage/fenced-remains.ts",
        text: "table.damage === null && holdsPart(table, bucket)",
        replacement: "holdsPart(table, bucket)",
      },
    ],
    seedCount: 100,
    weather: "rot",
  },
  "what a follower knows counts as new when its leader's word comes": {
    changes: [
      {
        file: "src/cluster/follower-reads.ts",
        text: "this.#freshMs = madeMs;",
        replacement: "this.#freshMs = Math.max(madeMs, this.#clock.monotonicMs());",
      },
    ],
    seedCount: 500,
    weather: "leases",
  },
  "a follower's state counts as new for as long as somebody says that he leads": {
    changes: [
      {
        file: "src/cluster/follower-reads.ts",
        text: "const ageMs = this.#clock.monotonicMs() - this.#freshMs;",
        replacement: "const ageMs = this.#group.isFollowing ? 0 : this.#clock.monotonicMs() - this.#freshMs;",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "a follower reads before it has applied what it was told": {
    changes: [
      {
        file: "src/cluster/follower-reads.ts",
        text: "if (batch.index === 0 || batch.index > appliedIndex) break;",
        replacement: "if (batch.index === 0 || appliedIndex < 0) break;\n batch.index = 1;",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "a leader says what is committed without asking whether it still leads": {
    changes: [
      {
        file: "src/cluster/local-reader.ts",
        text: 'const gate = this.#gateFor("round", asker);',
        replacement: 'const gate = this.#gateFor("index", asker);',
      },
    ],
    seedCount: 500,
    weather: "leases",
  },
  "what a connection sends behind a follower's read overtakes it": {
    changes: [
      {
        file: "src/cluster/follower-reads.ts",
        text: "if (!ordering.hasFollowerReads(shard)) return false;",
        replacement: "return false;",
      },
    ],
    seedCount: 200,
    weather: "mixed",
  },
  "a node with an empty disk comes back under its name": {
    changes: [
      {
        file: "src/cluster/members.ts",
        text: 'if (member.incarnation !== "") return member.incarnation === incarnation;',
        replacement: 'if (member.incarnation !== "") return true;',
      },
    ],
    seedCount: 500,
    weather: "mixed",
  },
  "a command of a session that comes again is carried out again": {
    changes: [
      {
        file: "src/shard/apply-session.ts",
        text: "kept.sequence === sequence ? kept.result : TOO_OLD",
        replacement: "kept.sequence === sequence ? null : TOO_OLD",
      },
    ],
    seedCount: 100,
    weather: "mixed",
  },
  "commands of a session that has ended are carried out": {
    changes: [
      {
        file: "src/shard/apply-session.ts",
        text: "if (timeOf(context) === null) return NO_SUCH_SESSION;",
        replacement: "",
      },
    ],
    seedCount: 500,
    weather: "mixed",
  },
  // What came with the snapshot is in tables.
  "a snapshot forgets sessions": {
    changes: [
      {
        file: "src/shard/recovery.ts",
        text: "const store = new VersionStore(tree, memory, state, places, env.clock, options, firstArena);",
        replacement:
          "const store = new VersionStore(tree, memory, state, places, env.clock, options, firstArena);\n  if (generation > 0) Object.assign(store, { isOfSnapshot: true });",
      },
      {
        file: "src/shard/version-store.ts",
        text: "if (this.tree.tableCount === 0) return false;",
        replacement:
          'if (this.tree.tableCount === 0 || (bucket === 0xffff_ffff && "isOfSnapshot" in this)) return false;',
      },
    ],
    seedCount: 500,
    weather: "mixed",
  },
  "an emptied bucket's keys change their shards": {
    changes: [
      {
        file: "src/cluster/catalog.ts",
        text: "this.#set(name, id, seed, profile, revision);",
        replacement: "this.#set(name, id, id + 0 * seed, profile, revision);",
      },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  "what is fenced goes from tables before its fence comes there": {
    changes: [
      {
        file: "src/shard/maintenance.ts",
        text: "const rule = this.#frozenRule(position, fenceCount);",
        replacement: "const rule = this.#frozenRule(position, Math.max(fenceCount, this.#fences.size));",
      },
      {
        file: "src/shard/fences.ts",
        text: "this.#buckets.add(bucket);",
        replacement: "this.#buckets.add(bucket);\n    this.#inTables = this.#buckets.size;",
      },
      {
        file: "src/shard/fences.ts",
        text: 'assert(count >= this.#inTables && count <= this.size, "fences that are in tables stay there");',
        replacement: "if (count < this.#inTables) return;\n    assert(count <= this.size, String(count));",
      },
    ],
    seedCount: 100,
    weather: "renewals",
  },
  // The driver itself waits longer than Raft asks for: without that, the rule would never be needed.
  "a membership change before a commit of the term": {
    changes: [
      {
        file: "src/raft/leadership.ts",
        text: 'if (commitIndex < this.startIndex) return "notReady";',
        replacement: "",
      },
      {
        file: "src/cluster/group-members.ts",
        text: "const isDue = this.#ledTicks >= 2 * this.#options.electionTicks && this.#ledTicks % RECONCILE_TICKS === 0;",
        replacement: "const isDue = leads;",
      },
      {
        file: "src/cluster/shard-group.ts",
        text: "this.members.tick(this.accepting, aim, neighbours)",
        replacement: 'this.members.tick(this.role === "leader", aim, neighbours)',
      },
    ],
    seedCount: 500,
    weather: "members",
  },
  "a transaction is carried out whatever its conditions": {
    changes: [
      {
        file: "src/shard/apply-transaction.ts",
        text: "if (!holds(this.changes, condition)) return false;",
        replacement: "holds(this.changes, condition);",
      },
    ],
    seedCount: 20,
    weather: "mixed",
  },
  "a condition on a version holds for any version": {
    changes: [
      {
        file: "src/shard/transaction-context.ts",
        text: "return this.#found === null && stampHigh === high && stampLow === low;",
        replacement: "return stampHigh + stampLow + high + low > 0;",
      },
    ],
    seedCount: 20,
    weather: "mixed",
  },
  "a transaction writes the first of its keys alone": {
    changes: [
      {
        file: "src/shard/transaction-context.ts",
        text: "of this.#changes.values()) {",
        replacement: "of this.#changes.values().take(1)) {",
      },
    ],
    seedCount: 20,
    weather: "mixed",
  },
  "an operation of a transaction does not see those before it": {
    changes: [
      {
        file: "src/shard/transaction-context.ts",
        text: "const change = this.#changes.get(nameOf(key));",
        replacement: "const change = undefined as PendingVersion | undefined;",
      },
    ],
    seedCount: 20,
    weather: "mixed",
  },
};
