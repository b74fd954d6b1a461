/**
 * Raft's part towards a simulated engine: it saves hard states, appends entries, decides them, settles conflicts, and
 * after a restart sends again what the engine has lost. In one of two roles:
 *
 *   alone      a single voter: an entry is decided by being durable, and after a restart all that is in the log is
 *   follower   entries are decided when the leader says so, even before they are durable here; those that are not may
 *              be superseded by a leader of a higher term
 */
import { OS_DECIDES, SYNC } from "../record/durability.ts";
import { type LogIndex, logIndex, NO_NODE, nodeId, SYSTEM_BUCKET, term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import { HybridClock } from "../core/stamp.ts";
import type { ShardBoot } from "../bridge/shard-protocol.ts";
import {
  appendDraft,
  type CommandDraft,
  type EngineEntry,
  makeConfiguration,
  makeEntry,
  putDraft,
  randomCommand,
} from "./engine-command.ts";
import { type EngineHost, VALUE_BYTES_MAX } from "./engine-host.ts";
import type { EngineWitness } from "./engine-witness.ts";
import type { Trace } from "./trace.ts";

const FIRST_BUCKETS = [1, 2, 3, 16];
/** Buckets that take the place of fenced ones. */
const BUCKETS_MAX = 6;
const SELF = nodeId(1);

export class EngineLeader {
  readonly isAlone: boolean;
  readonly #random: Random;
  readonly #host: EngineHost;
  readonly #witness: EngineWitness;
  readonly #trace: Trace;
  readonly #clock = new HybridClock();
  /** The share of entries that take a good part of a memtable. */
  readonly #largeEntries: number;
  /** The share of entries that are answered before they are synced: only a single voter does that. */
  readonly #weakEntries: number;
  /** The log as the leader has it: the engine may have lost the end of it, or hold another. */
  #log: EngineEntry[] = [];
  #term = 1;
  #buckets = FIRST_BUCKETS.slice();
  #nextBucket = 64;
  #sentCommit = 0;

  constructor(random: Random, host: EngineHost, witness: EngineWitness, trace: Trace) {
    this.#random = random;
    this.#host = host;
    this.#witness = witness;
    this.#trace = trace;
    this.isAlone = random.chance(0.5);
    this.#largeEntries = host.fillsMemtables ? 0.4 : 0.03;
    this.#weakEntries = this.isAlone && random.chance(0.5) ? random.fraction() : 0;
  }

  /** Whether every entry is synced before it counts: then nothing that was acknowledged is ever lost. */
  get isSyncing(): boolean {
    return this.#weakEntries === 0;
  }

  /** Buckets that commands are about, fenced ones among them. */
  get buckets(): readonly number[] {
    return this.#buckets;
  }

  /** The first thing that a new life is told. */
  begin(boot: ShardBoot, found: readonly EngineEntry[]): void {
    this.#clock.observe(boot.stampHigh, boot.stampLow);
    this.#sentCommit = boot.commitIndex;
    if (this.isAlone) {
      this.#witness.decidedIndex = found.length;
      this.#log = found.slice();
      this.#elect(boot.hardTerm);
      this.#append(found.length + 1, []);
      return;
    }
    const isOther = this.#log.length === 0 || this.#random.chance(0.5);
    if (isOther) this.#log.length = this.#random.between(this.#witness.decidedIndex, this.#log.length);
    let shared = 0;
    while (shared < this.#log.length && this.#log[shared]?.term === found[shared]?.term) shared += 1;
    // What the engine has beyond the leader's log is superseded by the first entry of a new term.
    const isElection = isOther || (shared === this.#log.length && shared < found.length);
    if (isElection) this.#elect(Math.max(boot.hardTerm, this.#term));
    else if (boot.hardTerm < this.#term) this.#saveHardState(this.#term, 0);
    if (shared < this.#log.length) this.#send(this.#log.slice(shared), false);
    if (isElection) this.#append(this.#log.length + 1, []);
  }

  /** An entry of kind configuration behind all others. */
  configure(): void {
    const index = this.#log.length + 1;
    const configuration = `members ${this.#random.u32()}`;
    this.#send([makeConfiguration(index, this.#term, configuration)], this.#random.chance(0.5));
  }

  /** New entries behind all others. */
  append(): void {
    const count = this.#random.chance(0.8) ? 1 : this.#random.between(2, 5);
    this.#append(this.#log.length + 1, this.#sizes(count));
  }

  /** One entry of commands on one key: put with this expiry; null: appended to. */
  appendTo(bucket: number, key: string, expiresInMs: number | null): void {
    const draft =
      expiresInMs === null ? appendDraft(bucket, key) : putDraft(bucket, key, this.#host.wallMs + expiresInMs);
    this.#appendDrafts(this.#log.length + 1, [[draft]]);
  }

  /** A new leader, whose log has other entries in the place of some undecided ones. */
  conflict(): void {
    const { log, decidedIndex } = this.#witness;
    if (this.isAlone || log.lastIndex <= decidedIndex) return;
    this.#elect(this.#term);
    this.#append(this.#random.between(decidedIndex + 1, log.lastIndex), this.#sizes(this.#random.between(1, 3)));
  }

  /** Some or all of what was sent is decided. */
  decide(isAll: boolean): void {
    const { log, decidedIndex } = this.#witness;
    const index = isAll ? log.lastIndex : this.#random.between(decidedIndex, log.lastIndex);
    if (!this.isAlone) this.#decide(index);
    const known = this.#knownCommit;
    if (known <= this.#sentCommit) return;
    this.#sentCommit = known;
    this.#trace.note(`commit ${known}`);
    this.#host.send({ type: "commit", commitIndex: known });
  }

  /** A vote, or a term heard of. */
  campaign(): void {
    this.#saveHardState(this.#random.chance(0.5) ? this.#term : this.#term + 1, this.#random.chance(0.5) ? 0 : 1);
  }

  get #knownCommit(): LogIndex {
    const { log, decidedIndex } = this.#witness;
    return logIndex(this.isAlone ? log.acknowledgedIndex : decidedIndex);
  }

  #decide(index: number): void {
    this.#witness.decidedIndex = Math.max(this.#witness.decidedIndex, index);
  }

  #elect(oldTerm: number): void {
    this.#saveHardState(oldTerm + 1, 1);
  }

  #saveHardState(newTerm: number, vote: number): void {
    const { hardState } = this.#witness;
    if (newTerm < hardState.term) return;
    // A vote is cast once in a term.
    const kept = newTerm === hardState.term && hardState.vote !== 0 ? hardState.vote : vote;
    this.#term = newTerm;
    this.#trace.note(`hard state ${newTerm}/${kept}`);
    this.#witness.sentHardState({ term: newTerm, vote: kept });
    this.#host.send({ type: "saveHardState", term: term(newTerm), vote: kept === 0 ? NO_NODE : SELF });
    this.#host.run((shard) => shard.takeAndWrite());
  }

  /** How many commands each new entry has. */
  #sizes(entryCount: number): number[] {
    const isLarge = this.#random.chance(this.#largeEntries);
    return Array.from({ length: entryCount }, () => this.#random.between(1, isLarge ? 200 : 8));
  }

  /** Entries of the present term with so many commands each; none: a new leader's first entry, which is empty. */
  #append(firstIndex: number, sizes: readonly number[]): void {
    this.#renewBuckets();
    const { model } = this.#witness;
    const scope = {
      buckets: this.#buckets,
      valueBytesMax: VALUE_BYTES_MAX,
      nowMs: this.#host.wallMs,
      newest: (bucket: number, key: string) => model.newest(bucket, key),
    };
    const entries = (sizes.length === 0 ? [0] : sizes).map((size) =>
      Array.from({ length: size }, () => randomCommand(this.#random, scope)),
    );
    this.#appendDrafts(firstIndex, entries);
  }

  #appendDrafts(firstIndex: number, entries: readonly (readonly CommandDraft[])[]): void {
    const nowMs = this.#host.wallMs;
    const made = entries.map((drafts, i) =>
      makeEntry(firstIndex + i, this.#term, drafts, this.#clock, nowMs, this.#durability(drafts)),
    );
    this.#send(made, this.#random.chance(0.8));
  }

  /** As in a cluster, what is told to the system bucket is always synced. */
  #durability(drafts: readonly CommandDraft[]): number {
    const isSystem = drafts.some(({ bucket }) => bucket === SYSTEM_BUCKET);
    if (isSystem || !this.#random.chance(this.#weakEntries)) return SYNC;
    return this.#random.chance(0.5) ? OS_DECIDES : this.#random.between(1, 200);
  }

  #send(entries: readonly EngineEntry[], wantResults: boolean): void {
    const first = entries[0]?.index ?? 0;
    const last = first + entries.length - 1;
    this.#log.length = first - 1;
    this.#log.push(...entries);
    this.#witness.sentEntries(entries, wantResults);
    if (this.isAlone) this.#decide(last);
    const commitIndex = logIndex(Math.min(this.#knownCommit, last));
    this.#sentCommit = Math.max(this.#sentCommit, commitIndex);
    this.#trace.note(`append ${first} to ${last} of term ${entries.at(-1)?.term}, commit ${commitIndex}`);
    this.#host.send({
      type: "append",
      entries: entries.map(({ bytes }) => bytes),
      commitIndex,
      applyThrough: this.isAlone ? logIndex(last) : commitIndex,
      wantResults,
    });
  }

  /** Another bucket for each that is fenced, now and then: commands to fenced ones are refused, and that is seen too. */
  #renewBuckets(): void {
    const fenced = this.#buckets.findIndex((bucket) => this.#witness.model.isFenced(bucket));
    if (fenced < 0 || !this.#random.chance(0.2)) return;
    if (this.#buckets.length >= BUCKETS_MAX) this.#buckets.splice(fenced, 1);
    this.#buckets.push(this.#nextBucket);
    this.#nextBucket += 1;
  }
}
