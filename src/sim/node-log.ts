/**
 * The log of one shard of one node over all its lives, as its disk is told of it and answers: terms by index, and what
 * the disk has promised. A start must find what was promised:
 *
 *   - no entry that was reported durable is missing, or another, unless a later append superseded it
 *   - no entry is there that nobody has written
 *   - neither term nor vote is older than what was reported saved
 *   - the commit index is not below one that an entry, reported durable, carried (one that was only heard of may be)
 *
 * All else it sees goes to raft-rules.ts.
 */
import type { ShardBoot, ShardLink, ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { NO_NODE } from "../core/ids.ts";
import { decodeConfiguration } from "../record/configuration-format.ts";
import { ENTRY_HEADER_BYTES, entryIndex, entryTerm, isConfigurationEntry } from "../record/entry-format.ts";
import type { KnownLog, RaftRules } from "./raft-rules.ts";

/** A link that listens on the way to the shard. */
export class WatchedLink implements ShardLink {
  readonly #inner: ShardLink;
  readonly #log: NodeLog;

  constructor(inner: ShardLink, log: NodeLog) {
    this.#inner = inner;
    this.#log = log;
  }

  get congested(): boolean {
    return this.#inner.congested;
  }

  send(request: ShardRequest): void {
    this.#log.onRequest(request);
    this.#inner.send(request);
  }

  flush(): void {
    this.#inner.flush();
  }

  settle(): void {
    this.#inner.settle();
  }
}

/** An append that has not been reported durable. */
interface Carried {
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly commitIndex: number;
}

export class NodeLog implements KnownLog {
  readonly #rules: RaftRules;
  readonly #shard: number;
  readonly #owner: string;
  readonly #firstVoters: readonly string[];
  /** Voters of the configurations in it and of the one before it, ascending. */
  #configurations: { readonly index: number; readonly voters: readonly string[] }[] = [];
  readonly #terms = new Map<number, number>();
  #firstIndex = 1;
  #lastIndex = 0;
  /** Of the entry before the first. */
  #previousTerm = 0;
  #commitIndex = 0;
  #persistedIndex = 0;
  #persistedCommit = 0;
  #carried: Carried[] = [];
  /** What the node has gone on to, saved or not. */
  #term = 0;
  #saved: { readonly term: number; readonly vote: number } = { term: 0, vote: NO_NODE };
  /** What the shard has reported in this life; 0: nothing yet. */
  appliedIndex = 0;
  /** Configurations that have come to it. */
  changeCount = 0;
  /** How often it has been given up. */
  emptiedCount = 0;
  /** What it says of the last time. */
  #votesFrom = 0;

  /** `firstVoters`: who votes before the log says anything else. */
  constructor(rules: RaftRules, shard: number, owner: string, firstVoters: readonly string[]) {
    this.#firstVoters = firstVoters;
    this.#rules = rules;
    this.#shard = shard;
    this.#owner = owner;
  }

  get firstIndex(): number {
    return this.#firstIndex;
  }

  termAt(index: number): number | undefined {
    if (index === this.#firstIndex - 1) return this.#previousTerm;
    return index <= this.#lastIndex ? this.#terms.get(index) : undefined;
  }

  /** Whose majority decides, committed or not. */
  get voters(): readonly string[] {
    return this.votersAt(Number.POSITIVE_INFINITY);
  }

  /** Whose majority decides as of an entry. */
  votersAt(index: number): readonly string[] {
    const placed = this.#configurations.findLast((one) => one.index <= index);
    return placed?.voters ?? (this.emptiedCount > 0 ? [] : this.#firstVoters);
  }

  /** Whether the leader of this term has its first entry in this log. */
  hasTerm(term: number): boolean {
    return this.#terms.get(this.#lastIndex) === term;
  }

  onReply(reply: ShardReply): void {
    switch (reply.type) {
      case "opened":
        return this.#boot(reply.boot);
      case "installed":
        return this.#installed(reply.boot);
      case "emptied":
        return this.#emptied(reply.boot);
      case "persisted":
        return this.#persisted(reply.lastIndex, reply.lastTerm);
      case "hardStateSaved":
        this.#saved = { term: reply.term, vote: reply.vote };
        return;
      case "applied":
        this.appliedIndex = reply.appliedIndex;
        return;
      default:
    }
  }

  onRequest(request: ShardRequest): void {
    if (request.type === "saveHardState") this.#term = request.term;
    if (request.type === "commit") this.#commit(request.commitIndex);
    if (request.type !== "append") return;
    for (const entry of request.entries) this.#append(entry);
    this.#commit(request.commitIndex);
    const lastTerm = this.#terms.get(this.#lastIndex) ?? 0;
    this.#carried.push({ lastIndex: this.#lastIndex, lastTerm, commitIndex: request.commitIndex });
  }

  // ---- a start

  #boot(boot: ShardBoot): void {
    // It was given up in the middle of the last life's end.
    if (boot.lastIndex === 0 && boot.votesFrom > this.#votesFrom) return this.#emptied(boot);
    const found = termsOf(boot);
    this.#checkHardState(boot);
    if (boot.lostEnd !== null) this.#lose(boot, found);
    this.#checkEntries(boot, found);
    if (boot.commitIndex < this.#persistedCommit) {
      this.#complain(`starts with commit index ${boot.commitIndex}, though ${this.#persistedCommit} was on disk`);
    }
    this.#term = boot.hardTerm;
    this.#saved = { term: boot.hardTerm, vote: boot.hardVote };
    this.appliedIndex = 0;
    this.#begin(boot, found);
  }

  /** It says that it has lost a part of its log, and where that ended: of what it had, it does not have to have more than it says. */
  #lose({ lastIndex, commitIndex, lostEnd }: ShardBoot, found: ReadonlyMap<number, number>): void {
    const isBehind = lostEnd !== null && lostEnd.lastIndex > 0 && lostEnd.lastIndex < this.#persistedIndex;
    if (isBehind)
      this.#complain(`says that its log ended at ${lostEnd.lastIndex}, and ${this.#persistedIndex} was on disk`);
    for (const index of [...this.#terms.keys()]) if (!found.has(index)) this.#terms.delete(index);
    this.#persistedIndex = Math.min(this.#persistedIndex, lastIndex);
    this.#persistedCommit = Math.min(this.#persistedCommit, commitIndex);
  }

  /** A snapshot has taken the place of the log: of what was committed nothing is missing in it. */
  #installed(boot: ShardBoot): void {
    this.#checkHardState(boot);
    if (boot.appliedIndex < Math.max(this.appliedIndex, this.#commitIndex)) {
      this.#complain(`installs a snapshot of entry ${boot.appliedIndex}, though ${this.#commitIndex} was committed`);
    }
    this.appliedIndex = boot.appliedIndex;
    this.#begin(boot, termsOf(boot));
  }

  /** The log has been given up, which only a replica may that was removed. */
  #emptied(boot: ShardBoot): void {
    this.#checkHardState(boot);
    if (!this.#rules.isDismissed(this.#shard, this.#owner, boot.votesFrom)) {
      this.#complain(`gives up its log for entry ${boot.votesFrom}, which does not say that it may`);
    }
    if (boot.lastIndex > 0 || boot.appliedIndex > 0) this.#complain("is not empty when it should be");
    this.appliedIndex = 0;
    this.emptiedCount += 1;
    this.#votesFrom = boot.votesFrom;
    this.#term = boot.hardTerm;
    this.#saved = { term: boot.hardTerm, vote: boot.hardVote };
    this.#persistedCommit = 0;
    this.#begin(boot, termsOf(boot));
  }

  #begin(boot: ShardBoot, terms: ReadonlyMap<number, number>): void {
    this.#terms.clear();
    for (const [index, term] of terms) this.#terms.set(index, term);
    this.#configurations = boot.configurations.map(({ index, body }) => ({ index, voters: votersIn(body) }));
    this.#firstIndex = boot.firstIndex;
    this.#previousTerm = boot.previousTerm;
    this.#lastIndex = boot.lastIndex;
    this.#persistedIndex = boot.lastIndex;
    this.#carried = [];
    this.#commitIndex = boot.firstIndex - 1;
    this.#commit(boot.commitIndex);
  }

  #checkHardState({ hardTerm, hardVote }: ShardBoot): void {
    const { term, vote } = this.#saved;
    if (hardTerm > term || (hardTerm === term && (vote === NO_NODE || vote === hardVote))) return;
    this.#complain(`starts in term ${hardTerm} with vote ${hardVote}, though term ${term} with vote ${vote} was saved`);
  }

  #checkEntries(boot: ShardBoot, found: ReadonlyMap<number, number>): void {
    for (let index: number = boot.firstIndex; index <= this.#persistedIndex; index++) {
      const term = this.#terms.get(index);
      if (term === undefined || term === found.get(index)) continue;
      const there = found.has(index) ? `has term ${found.get(index)}` : "is missing";
      this.#complain(`starts, and entry ${index} of term ${term}, which was durable, ${there}`);
      break;
    }
    for (const [index, term] of found) {
      if (this.#rules.knows(this.#shard, index, term)) continue;
      this.#complain(`starts with entry ${index} of term ${term}, which nobody wrote`);
      break;
    }
  }

  // ---- a life

  /** An entry may take the place of another, but not of a committed one, and not with whom leads its term. */
  #append(entry: Uint8Array): void {
    const index = entryIndex(entry);
    const term = entryTerm(entry);
    if (index <= this.#lastIndex) {
      // As a follower it may be sent what it wrote as a leader, and lost.
      if (term === this.#term && this.#rules.leaderOf(this.#shard, term) === this.#owner) {
        this.#complain(`leads term ${term} and supersedes entry ${index} of its own log`);
      }
      for (let gone = index; gone <= this.#lastIndex; gone++) this.#terms.delete(gone);
      this.#persistedIndex = Math.min(this.#persistedIndex, index - 1);
      this.#configurations = this.#configurations.filter((one) => one.index < index);
    }
    if (isConfigurationEntry(entry)) {
      this.changeCount += 1;
      this.#configurations.push({ index, voters: votersIn(entry.subarray(ENTRY_HEADER_BYTES)) });
    }
    const previousTerm = this.termAt(index - 1);
    this.#lastIndex = index;
    this.#terms.set(index, term);
    this.#rules.appended(this.#shard, index, term, previousTerm, entry, this.#owner);
    if (index <= this.#commitIndex) this.#rules.committed(this.#shard, index, term, this.#term, this.#owner);
  }

  #persisted(lastIndex: number, lastTerm: number): void {
    if (this.#terms.get(lastIndex) === lastTerm && lastIndex <= this.#lastIndex) {
      this.#persistedIndex = Math.max(this.#persistedIndex, lastIndex);
    }
    const reported = this.#carried.findIndex((one) => one.lastIndex === lastIndex && one.lastTerm === lastTerm);
    for (const { commitIndex } of this.#carried.splice(0, reported + 1)) {
      this.#persistedCommit = Math.max(this.#persistedCommit, Math.min(commitIndex, this.#persistedIndex));
    }
  }

  #commit(commitIndex: number): void {
    while (this.#commitIndex < commitIndex) {
      const index = ++this.#commitIndex;
      const term = this.#terms.get(index);
      if (term !== undefined) this.#rules.committed(this.#shard, index, term, this.#term, this.#owner);
    }
  }

  #complain(what: string): void {
    this.#rules.violations.push(`shard ${this.#shard} of ${this.#owner} ${what}`);
  }
}

function termsOf({ termRuns, lastIndex }: ShardBoot): Map<number, number> {
  const terms = new Map<number, number>();
  for (const [i, run] of termRuns.entries()) {
    const end = termRuns[i + 1]?.firstIndex ?? lastIndex + 1;
    for (let index: number = run.firstIndex; index < end; index++) terms.set(index, run.term);
  }
  return terms;
}

function votersIn(body: Uint8Array): readonly string[] {
  const members = decodeConfiguration(body, "an entry");
  return members instanceof Error ? [] : members.filter(({ role }) => role === "voter").map(({ name }) => name);
}
