/**
 * Watches a simulated engine and compares all it says with the model:
 *
 *   opened       the log is one that was sent and nothing acknowledged is missing; hard state, terms, stamps, system bucket
 *   persisted    names a state of the log that was sent
 *   applied      durable and decided entries only, in order, and every command came to what the model says
 *   readResult   what the model has at the very index at which the read was due
 *   entriesRead  the bytes that were sent
 *
 * An engine that waits for a memtable may have applied a part of the next entry; then that entry is decided, and a read
 * may see any prefix of it.
 */
import type {
  CommandResult,
  ReadRequest,
  ShardBoot,
  ShardReply,
  ShardStats,
  SystemChange,
} from "../bridge/shard-protocol.ts";
import { equalBytes } from "../core/bytes.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import { CommandType } from "../record/command-format.ts";
import type { Result } from "../record/result.ts";
import { type EngineEntry, textOf } from "./engine-command.ts";
import { EngineLog, type Tolerance } from "./engine-log.ts";
import { EngineModel, placeBehind, placeIn } from "./engine-model.ts";
import { judgeRead } from "./engine-reads.ts";
import { configurationFault, describeResult, isRefusedForDamage, systemText, termRunsOf } from "./engine-words.ts";

interface PendingRead {
  readonly read: ReadRequest;
  readonly minIndex: number;
}

interface PendingEntryRead {
  readonly from: number;
  readonly bytesMax: number;
}

interface HardState {
  readonly term: number;
  readonly vote: number;
}

export class EngineWitness {
  readonly log = new EngineLog();
  readonly model: EngineModel;
  /** Whether a file has been damaged, or a call of the disk made to fail: a read may say so, but not say anything wrong. */
  mayReadsFail: () => boolean = () => false;
  /** A command was refused because what it needs is damaged: this replica goes its own way from there, until it is repaired. */
  #isBlind = false;
  readonly violations: string[] = [];
  readonly #nowMs: () => number;
  /** Entries up to here may be applied, and are never superseded. */
  decidedIndex = 0;
  appliedIndex = 0;
  /** The largest index that was ever released. */
  releasedBelow = 0;
  /** Entries that are in tables may be released by the length of the log alone. */
  isTruncated = false;
  /** Where the log begins, by what the engine has said. */
  #firstIndex = 1;
  boot: ShardBoot | null = null;
  /** What the run has come to, by the engine's own count. */
  compactionCount = 0;
  deepestLevel = 0;
  hardState: HardState = { term: 0, vote: 0 };
  #savingHardState: HardState | null = null;
  readonly #reads = new Map<number, PendingRead>();
  #entryReads: PendingEntryRead[] = [];
  #results = new Map<number, CommandResult[]>();
  /** Entries of this life whose results were asked for. */
  #wanted = new Set<number>();
  readonly #system = new Map<string, string>();
  readonly #fencesLost = new Set<number>();
  /** Arenas that the engine reads no longer, oldest first, and that nobody has returned yet. */
  retiredArenas: number[] = [];
  readonly #maintenance = new Set<number>();
  /** On a full disk, what was sent may wait unwritten: the log is read back as it was before. */
  mayLag = false;
  #requestId = 0;
  readCount = 0;

  constructor(valueBytesMax: number, nowMs: () => number) {
    this.model = new EngineModel(valueBytesMax);
    this.#nowMs = nowMs;
  }

  // ---- what is asked ---------------------------------------------------------------------------------------------

  sentEntries(entries: readonly EngineEntry[], wantResults: boolean): void {
    this.log.append(entries);
    for (const { index } of entries) {
      if (wantResults) this.#wanted.add(index);
      else this.#wanted.delete(index);
    }
  }

  sentHardState(state: HardState): void {
    this.#savingHardState = state;
  }

  /** Gives the id of a read that is about to be sent. */
  sentRead(read: ReadRequest, minIndex: number): number {
    this.#requestId += 1;
    this.#reads.set(this.#requestId, { read, minIndex });
    return this.#requestId;
  }

  sentEntryRead(from: number, bytesMax: number): void {
    this.#entryReads.push({ from, bytesMax });
  }

  sentMaintenance(): number {
    this.#requestId += 1;
    this.#maintenance.add(this.#requestId);
    return this.#requestId;
  }

  /** Reads, and with `isAll` maintenance too, that were asked for and have not been answered. */
  unanswered(isAll: boolean): number {
    return this.#reads.size + this.#entryReads.length + (isAll ? this.#maintenance.size : 0);
  }

  // ---- what is said ----------------------------------------------------------------------------------------------

  heard(reply: ShardReply): void {
    switch (reply.type) {
      case "opened":
        this.boot = reply.boot;
        return;
      case "persisted":
        if (!this.log.acknowledge(reply.lastIndex, reply.lastTerm)) {
          this.#complain(`acknowledged ${reply.lastIndex}@${reply.lastTerm}, where no log that was sent ends`);
        }
        return;
      case "hardStateSaved":
        this.hardState = { term: reply.term, vote: reply.vote };
        this.#savingHardState = null;
        return;
      case "applied":
        for (const change of reply.system) this.#noteSystem(change);
        return this.#applied(reply.appliedIndex, reply.results);
      case "readResult":
        return this.#readAnswered(reply.requestId, reply.result);
      case "entriesRead":
        return this.#entriesRead(reply.from, reply.entries);
      case "done":
        if (!this.#maintenance.delete(reply.requestId)) this.#complain("answered a request twice");
        return;
      case "logReleased":
        return this.#released(reply.firstIndex, reply.previousTerm);
      case "stats":
        return this.#judgeStats(reply.stats);
      case "arenaRetired":
        this.retiredArenas.push(reply.arena);
        return;
      case "snapshotMade":
      case "snapshotPiece":
        this.#maintenance.delete(reply.requestId);
        return;
      case "installBegun":
      case "installed":
      case "arenasRecalled":
      case "failed":
      case "stopped":
        return;
    }
  }

  /** What a new life says of itself; returns the log it has, or null when that was never there. */
  judgeBoot(tolerance: Tolerance): readonly EngineEntry[] | null {
    const { boot } = this;
    if (boot === null) return null;
    this.#forgetLife();
    const state = this.log.stateEndingAt(boot.lastIndex, boot.lastTerm, tolerance);
    if (state === null) {
      const { acknowledgedIndex, lastIndex } = this.log;
      const sent = `of ${lastIndex} entries sent, those up to ${acknowledgedIndex} were acknowledged`;
      this.#complain(`came back with a log that ends at ${boot.lastIndex}@${boot.lastTerm}; ${sent}`);
      return null;
    }
    this.#noteFencesLost(state.length);
    this.log.begin(state);
    this.model.forgetBehind(state.length);
    this.appliedIndex = boot.appliedIndex;
    this.#judgeBootLog(boot, state);
    this.#judgeHardState(boot);
    if (this.violations.length > 0) return null;
    this.advanceModel(boot.appliedIndex);
    this.#system.clear();
    for (const content of boot.system) this.#noteSystem(content);
    this.judgeSystem();
    return state;
  }

  /** The system bucket as the engine has told it, at the start and with every change since. */
  judgeSystem(): void {
    this.#atSomePlace(this.appliedIndex, (place) => this.#judgeSystemAt(place));
  }

  #forgetLife(): void {
    this.#reads.clear();
    this.#entryReads = [];
    this.#results = new Map();
    this.#wanted = new Set();
    this.retiredArenas = [];
    this.#maintenance.clear();
  }

  #judgeBootLog(boot: ShardBoot, state: readonly EngineEntry[]): void {
    const { firstIndex, appliedIndex, commitIndex, previousTerm } = boot;
    this.#firstIndex = firstIndex;
    if (firstIndex > Math.max(1, this.releasedBelow) && !this.isTruncated)
      this.#complain(`the log begins at ${firstIndex}`);
    if (firstIndex > appliedIndex + 1) this.#complain(`the log begins at ${firstIndex}, applied is ${appliedIndex}`);
    if (appliedIndex !== commitIndex) this.#complain(`applied ${appliedIndex} of ${commitIndex}`);
    if (commitIndex > Math.min(this.decidedIndex, state.length)) this.#complain(`commit index ${commitIndex}`);
    if (previousTerm !== (state[firstIndex - 2]?.term ?? 0)) this.#complain(`term ${previousTerm} before the log`);
    const runs = boot.termRuns.map((run) => `${run.firstIndex}@${run.term}`).join(" ");
    const expected = termRunsOf(state, firstIndex);
    if (runs !== expected) this.#complain(`terms ${runs} instead of ${expected}`);
    const fault = configurationFault(boot, state);
    if (fault !== null) this.#complain(fault);
    const last = state.findLast(({ commands }) => commands.length > 0);
    if (boot.stampHigh !== (last?.stampHigh ?? 0) || boot.stampLow !== (last?.stampLow ?? 0)) {
      this.#complain(`the last stamp is ${boot.stampHigh}.${boot.stampLow}`);
    }
  }

  #judgeHardState({ hardTerm, hardVote }: ShardBoot): void {
    const saving = this.#savingHardState;
    const isOf = (state: HardState | null): boolean => state?.term === hardTerm && state.vote === hardVote;
    if (!isOf(this.hardState) && !isOf(saving)) {
      this.#complain(`hard state ${hardTerm}/${hardVote} instead of ${this.hardState.term}/${this.hardState.vote}`);
    }
    this.hardState = { term: hardTerm, vote: hardVote };
    this.#savingHardState = null;
  }

  #released(firstIndex: number, previousTerm: number): void {
    const said = `the log is said to begin at ${firstIndex} behind term ${previousTerm}`;
    if (firstIndex <= this.#firstIndex || firstIndex > this.appliedIndex + 1) this.#complain(said);
    if (firstIndex > this.releasedBelow && !this.isTruncated) this.#complain(`${said}, which was not released`);
    if (previousTerm !== (this.log.sent[firstIndex - 2]?.term ?? 0)) this.#complain(said);
    this.#firstIndex = firstIndex;
  }

  #noteSystem({ key, value }: SystemChange): void {
    const name = textOf(key);
    if (value === null) this.#system.delete(name);
    else this.#system.set(name, systemText(name, value));
  }

  #judgeSystemAt(place: number): string | null {
    const found = [...this.#system].map(([key, value]) => `${key}=${value}`).sort();
    const expected = this.model
      .keys(SYSTEM_BUCKET, place, 0)
      .map((key) => `${key}=${this.model.get(SYSTEM_BUCKET, key, place, 0)?.value}`)
      .sort();
    const isRight = found.join("\n") === expected.join("\n");
    return isRight ? null : `the system bucket holds [${found.join(", ")}] instead of [${expected.join(", ")}]`;
  }

  #judgeStats({ appliedIndex, flushedIndex, compactionCount, tablesPerLevel }: ShardStats): void {
    if (appliedIndex !== this.appliedIndex) this.#complain(`counts ${appliedIndex} applied of ${this.appliedIndex}`);
    if (flushedIndex > appliedIndex) this.#complain(`flushed ${flushedIndex} of ${appliedIndex}`);
    this.compactionCount += compactionCount;
    const deepest = tablesPerLevel.findLastIndex((tableCount) => tableCount > 0);
    this.deepestLevel = Math.max(this.deepestLevel, deepest);
  }

  // ---- applying --------------------------------------------------------------------------------------------------

  #applied(index: number, results: readonly CommandResult[]): void {
    const { acknowledgedIndex } = this.log;
    if (index <= this.appliedIndex) this.#complain(`applied ${index} behind ${this.appliedIndex}`);
    if (index > acknowledgedIndex) this.#complain(`applied ${index}, durable is ${acknowledgedIndex}`);
    if (index > this.decidedIndex) this.#complain(`applied ${index}, decided is ${this.decidedIndex}`);
    if (this.violations.length > 0) return;
    if (this.mayReadsFail() && results.some(isRefusedForDamage)) this.#isBlind = true;
    for (const result of results) {
      const list = this.#results.get(result.index) ?? [];
      list.push(result);
      this.#results.set(result.index, list);
    }
    this.advanceModel(index);
    for (let i = this.appliedIndex + 1; i <= index; i++) this.#judgeResults(i);
    this.appliedIndex = index;
  }

  #judgeResults(index: number): void {
    const found = (this.#results.get(index) ?? []).map((one) => `${one.ordinal}: ${describeResult(one.result)}`);
    const expected = this.#wanted.has(index)
      ? this.model.outcomesOf(index).flatMap((outcome, i) => (outcome === null ? [] : [`${i}: ${outcome}`]))
      : [];
    this.#results.delete(index);
    if (found.join("\n") === expected.join("\n")) return;
    this.#complain(`entry ${index} came to [${found.join(", ")}] instead of [${expected.join(", ")}]`);
  }

  /** Evaluates every entry up to this one, which is decided. */
  advanceModel(index: number): void {
    while (this.model.lastIndex < index) {
      const entry = this.log.sent[this.model.lastIndex];
      if (entry === undefined) return this.#complain(`entry ${this.model.lastIndex + 1} was never sent`);
      this.model.apply(entry);
    }
  }

  // ---- reading ---------------------------------------------------------------------------------------------------

  #readAnswered(requestId: number, result: Result): void {
    const pending = this.#reads.get(requestId);
    if (pending === undefined) return this.#complain("answered a read that nobody asked for");
    this.#reads.delete(requestId);
    this.readCount += 1;
    const { read, minIndex } = pending;
    // A read that had to wait is answered the moment its entry is applied, before `applied` says so.
    const index = Math.max(minIndex, this.appliedIndex);
    if (index > Math.min(this.decidedIndex, this.log.acknowledgedIndex)) {
      return this.#complain(`a read of index ${minIndex} was answered too early`);
    }
    this.advanceModel(index);
    if (this.model.isFenced(read.bucket) || this.#isFenceAhead(read.bucket)) return;
    const nowMs = this.#nowMs();
    if (result.kind === "error" && this.mayReadsFail()) return;
    this.#atSomePlace(index, (place) => judgeRead(this.model, read, result, place, nowMs));
  }

  /** A fence may be known to the engine before it says so, and what it drops is missing at every earlier index. */
  #isFenceAhead(bucket: number): boolean {
    if (this.#fencesLost.has(bucket)) return true;
    for (let index = this.model.lastIndex + 1; index <= this.decidedIndex; index++) {
      if (this.#fencesIn(index).includes(bucket)) return true;
    }
    return false;
  }

  /** Damage may take a decided fence out of the log again, behind which the tables have dropped its bucket already. */
  #noteFencesLost(lastIndex: number): void {
    for (let index = lastIndex + 1; index <= this.decidedIndex; index++) {
      for (const bucket of this.#fencesIn(index)) this.#fencesLost.add(bucket);
    }
  }

  #fencesIn(index: number): number[] {
    const commands = this.log.sent[index - 1]?.commands ?? [];
    const fences = commands.filter(({ type }) => type === CommandType.fence);
    return fences.map(({ value }) => Buffer.from(value, "latin1").readUInt32LE());
  }

  /** Whether a judgement passes behind the entry, or in the midst of the next one if that one is decided. */
  #atSomePlace(index: number, judge: (place: number) => string | null): void {
    const complaint = judge(placeBehind(index));
    if (complaint === null) return;
    const next = this.log.sent[index];
    const isDecided = next !== undefined && next.index <= Math.min(this.decidedIndex, this.log.acknowledgedIndex);
    if (isDecided) {
      this.advanceModel(next.index);
      for (let i = 0; i < next.commands.length; i++) if (judge(placeIn(next.index, i)) === null) return;
    }
    this.#complain(`at index ${index}: ${complaint}`);
  }

  #entriesRead(from: number, entries: readonly Uint8Array[]): void {
    const pending = this.#entryReads.shift();
    if (pending === undefined || pending.from !== from) return this.#complain("answered an entry read out of turn");
    let byteCount = 0;
    for (const [i, bytes] of entries.entries()) {
      byteCount += bytes.length;
      if (this.mayLag && from + i > this.decidedIndex) continue;
      const sent = this.log.sent[from - 1 + i];
      if (sent === undefined || !equalBytes(bytes, sent.bytes)) {
        return this.#complain(`entry ${from + i} came back from the log as it was not sent`);
      }
    }
    if (entries.length > 1 && byteCount > pending.bytesMax) this.#complain("more entries than were asked for");
    const isThere = !this.mayLag && from >= this.#firstIndex && from <= this.log.lastIndex;
    if (entries.length === 0 && isThere && !this.mayReadsFail())
      this.#complain(`entry ${from} is missing from the log`);
  }

  #complain(what: string): void {
    if (this.#isBlind) return;
    this.violations.push(what);
  }
}
