/**
 * One member with a disk that forgets: the real core, its Ready carried out faithfully, and every write pending until the
 * test says that the disk is done. A crash keeps what was durable (and, if the test wishes, some of what was pending).
 */
import type { LogIndex, NodeId, Term } from "../../../src/core/ids.ts";
import type { Random } from "../../../src/core/random.ts";
import type { Configuration, PlacedConfiguration } from "../../../src/raft/configuration.ts";
import type { RaftEntry, RaftMessage, Snapshot } from "../../../src/raft/messages.ts";
import { Raft } from "../../../src/raft/raft.ts";
import type { HardStateRecord, RaftBoot, RaftOptions, Ready, SnapshotOffer, TermRun } from "../../../src/raft/ready.ts";

export const OPTIONS: Omit<RaftOptions, "id"> = {
  electionTicks: 10,
  heartbeatTicks: 3,
  appendBytesMax: 1024,
  inflightBytesMax: 4096,
  inflightCountMax: 8,
  uncommittedBytesMax: 1 << 20,
  tailBytesMax: 1 << 20,
  preVote: true,
  leaseMs: 0,
  emptyEntry: () => new Uint8Array(0),
};

/** A write that the disk has been given and has not reported. */
type Write =
  | { readonly kind: "hardState"; readonly state: HardStateRecord }
  | { readonly kind: "entries"; readonly entries: readonly RaftEntry[]; readonly commitIndex: number };

/** What survives a crash. `entries[0]` has index `firstIndex`. */
export class Durable {
  term = 0;
  vote = 0;
  firstIndex = 1;
  previousTerm = 0;
  commitIndex = 0;
  votesFrom = 0;
  entries: RaftEntry[] = [];
  /** In force before the first entry. */
  base: PlacedConfiguration = { index: 0 as LogIndex, configuration: { voters: [], learners: [] } };

  get lastIndex(): number {
    return this.firstIndex + this.entries.length - 1;
  }

  /** 0 before the first entry, −1 where there is none. */
  termAt(index: number): number {
    if (index === this.firstIndex - 1) return this.previousTerm;
    return this.entries[index - this.firstIndex]?.term ?? -1;
  }

  perform(write: Write): void {
    if (write.kind === "hardState") {
      this.term = write.state.term;
      this.vote = write.state.vote;
      return;
    }
    const [first] = write.entries;
    if (first === undefined || first.index > this.lastIndex + 1) throw new Error("a write leaves a gap in the log");
    this.entries.length = first.index - this.firstIndex;
    this.entries.push(...write.entries);
    this.commitIndex = Math.max(this.commitIndex, Math.min(write.commitIndex, this.lastIndex));
  }

  boot(): RaftBoot {
    const termRuns: TermRun[] = [];
    for (const { index, term } of this.entries) {
      if (termRuns.at(-1)?.term !== term) termRuns.push({ firstIndex: index, term });
    }
    return {
      term: this.term as Term,
      vote: this.vote as NodeId,
      firstIndex: this.firstIndex as LogIndex,
      lastIndex: this.lastIndex as LogIndex,
      lastTerm: this.termAt(this.lastIndex) as Term,
      previousTerm: this.previousTerm as Term,
      termRuns,
      commitIndex: this.commitIndex as LogIndex,
      appliedIndex: this.commitIndex as LogIndex,
      votesFrom: this.votesFrom as LogIndex,
      configurations: this.configurations(),
    };
  }

  /** Lets go of the entries below `first`. */
  release(first: number): void {
    if (first <= this.firstIndex) return;
    const previousTerm = this.termAt(first - 1);
    this.base = this.configurations().findLast(({ index }) => index < first)!;
    this.entries.splice(0, first - this.firstIndex);
    this.previousTerm = previousTerm;
    this.firstIndex = first;
  }

  /** The state as of an entry that is still here or the last one that is gone. */
  snapshot(id: number, index: number): Snapshot {
    const { configuration } = this.configurations().findLast((placed) => placed.index <= index)!;
    return { id, index: index as LogIndex, term: this.termAt(index) as Term, configuration };
  }

  giveUp(votesFrom: number): void {
    this.entries = [];
    this.firstIndex = 1;
    this.previousTerm = 0;
    this.commitIndex = 0;
    this.votesFrom = votesFrom;
    this.base = { index: 0 as LogIndex, configuration: { voters: [], learners: [] } };
  }

  install({ index, term, configuration }: Snapshot): void {
    this.entries = [];
    this.firstIndex = index + 1;
    this.previousTerm = term;
    this.commitIndex = index;
    this.base = { index, configuration };
  }

  configurations(): PlacedConfiguration[] {
    const placed = [this.base];
    for (const { index, configuration } of this.entries)
      if (configuration !== null) placed.push({ index, configuration });
    return placed;
  }
}

export class Member {
  readonly id: number;
  readonly durable: Durable;
  raft: Raft;
  /** Its monotonic clock, as the test moves it. */
  nowMs = 0;
  /** Writes the disk has not finished, oldest first. */
  pending: Write[] = [];
  /** Questions for old entries not yet answered. */
  reads: { from: number; bytesMax: number }[] = [];
  /** Members that need a snapshot of this one. */
  wanting: number[] = [];
  /** A snapshot to be fetched, and whether it is being installed. */
  offer: SnapshotOffer | null = null;
  isInstalling = false;
  /** The entry that its log must reach again before it votes, once the disk has given up what it has; null: it does not. */
  givingUp: number | null = null;
  readonly #options: RaftOptions;
  readonly #random: Random;

  constructor(id: number, voters: readonly number[], options: Partial<RaftOptions>, durable: Durable, random: Random) {
    this.id = id;
    this.durable = durable;
    this.#options = { ...OPTIONS, id: id as NodeId, ...options };
    if (durable.base.configuration.voters.length === 0) {
      durable.base = { index: 0 as LogIndex, configuration: { voters: voters as NodeId[], learners: [] } };
    }
    this.#random = random;
    this.raft = new Raft(this.#options, durable.boot(), random);
  }

  /** Takes the core's work; the disk part waits in `pending`, the rest is the caller's. */
  collect(): Ready | null {
    const ready = this.raft.ready(this.nowMs);
    if (ready === null) return null;
    if (ready.hardState !== null) this.pending.push({ kind: "hardState", state: ready.hardState });
    if (ready.entries.length > 0) {
      this.pending.push({ kind: "entries", entries: ready.entries, commitIndex: ready.commitIndex });
    }
    this.reads.push(...ready.reads);
    this.wanting.push(...ready.snapshotsWanted);
    if (ready.install !== null) this.offer = ready.install;
    return ready;
  }

  /** The disk finishes its `count` oldest writes. Of several groups of entries only the last is reported. */
  persist(count = this.pending.length): void {
    const done = this.pending.splice(0, count);
    for (const write of done) this.durable.perform(write);
    const lastEntries = done.findLast((write) => write.kind === "entries");
    for (const write of done) {
      if (write.kind === "hardState") this.raft.hardStateSaved(write.state.term, write.state.vote);
      else if (write === lastEntries) {
        const last = write.entries.at(-1)!;
        this.raft.persisted(last.index, last.term);
      }
    }
  }

  /** Answers the oldest question for old entries. */
  answerRead(): void {
    const read = this.reads.shift();
    if (read === undefined) return;
    const found: RaftEntry[] = [];
    let bytes = 0;
    for (let index = read.from; index <= this.durable.lastIndex; index++) {
      const entry = this.durable.entries[index - this.durable.firstIndex];
      if (entry === undefined) break;
      bytes += entry.bytes.length;
      if (bytes > read.bytesMax && found.length > 0) break;
      found.push(entry);
    }
    this.raft.entriesRead(read.from as LogIndex, found);
  }

  /** Loses memory and pending writes but the first `surviving`, and starts again from the disk. */
  restart(surviving = 0): void {
    for (const write of this.pending.slice(0, surviving)) this.durable.perform(write);
    this.pending = [];
    this.reads = [];
    this.wanting = [];
    this.offer = null;
    this.isInstalling = false;
    this.givingUp = null;
    this.raft = new Raft(this.#options, this.durable.boot(), this.#random);
  }

  /** Deletes what nobody needs any more, and does not say so. */
  trim(): void {
    this.durable.release(Math.min(this.raft.releaseIndex, this.durable.commitIndex + 1, this.durable.lastIndex + 1));
  }

  /** Deletes entries that others may still need, as far as they are committed here. */
  release(before: number): void {
    this.durable.release(Math.min(before, this.durable.commitIndex + 1, this.durable.lastIndex + 1));
    this.raft.logReleased(this.durable.firstIndex as LogIndex, this.durable.previousTerm as Term);
  }

  /** Offers what this disk has of the committed state to everybody who needs it. */
  offerSnapshots(id: number): void {
    for (const member of this.wanting.splice(0)) {
      const snapshot = this.durable.snapshot(id, Math.max(this.durable.commitIndex, this.durable.firstIndex - 1));
      this.raft.offerSnapshot(member as NodeId, snapshot);
    }
  }

  /** What was offered is here: true if it may be installed. */
  startInstall(): boolean {
    if (this.isInstalling || this.offer === null || !this.raft.startInstall()) return false;
    this.isInstalling = true;
    return true;
  }

  /** The disk finishes what it was given before, then has the snapshot in the place of its log. */
  finishInstall(): void {
    if (!this.isInstalling || this.offer === null) return;
    this.persist();
    this.durable.install(this.offer);
    this.offer = null;
    this.isInstalling = false;
    this.raft.snapshotInstalled(this.durable.boot());
  }

  /** A leader says that it is no member any more; true: it begins to give up its log. */
  startGivingUp(index: number, term: number): boolean {
    if (!this.raft.startGivingUp(index as LogIndex, term as Term)) return false;
    this.givingUp = index;
    return true;
  }

  /** The disk finishes what it was given before, then has nothing. */
  finishGivingUp(): void {
    if (this.givingUp === null) return;
    this.persist();
    this.durable.giveUp(this.givingUp);
    this.givingUp = null;
    this.raft.gaveUp(this.durable.boot());
  }

  abandonInstall(): void {
    this.offer = null;
    this.isInstalling = false;
    this.raft.installAbandoned();
  }
}

export function proposal(member: Member, text: string): string {
  const bytes = new TextEncoder().encode(text);
  const outcome = member.raft.propose(bytes.length, () => bytes);
  return typeof outcome === "string" ? outcome : `${outcome.index}@${outcome.term}`;
}

/** Proposes `voters` and `learners` as the group, or says why not. */
export function change(member: Member, voters: readonly number[], learners: readonly number[] = []): string {
  const configuration = { voters, learners } as unknown as Configuration;
  const outcome = member.raft.proposeConfiguration(configuration, () => new TextEncoder().encode(`${voters}`));
  return typeof outcome === "string" ? outcome : `${outcome.index}@${outcome.term}`;
}

/** One line for a message, as transcripts print it. */
export function describe(message: RaftMessage): string {
  const head = `${message.from}→${message.to} ${message.type} term=${message.term}`;
  switch (message.type) {
    case "preVote":
      return `${head} last=${message.lastIndex}@${message.lastTerm}`;
    case "vote":
      return `${head} last=${message.lastIndex}@${message.lastTerm}${message.isTransfer ? " transfer" : ""}`;
    case "preVoteReply":
    case "voteReply":
      return `${head} ${message.granted ? "granted" : "refused"}`;
    case "append":
      return (
        `${head} previous=${message.previousIndex}@${message.previousTerm} entries=[${entryList(message.entries)}]` +
        ` commit=${message.commitIndex} round=${message.readRound} release=${message.releaseIndex}`
      );
    case "appendReply":
      return message.rejected
        ? `${head} rejected=${message.matchIndex} hint=${message.hintIndex}@${message.hintTerm}`
        : `${head} match=${message.matchIndex} received=${message.hintIndex} round=${message.readRound}`;
    case "heartbeat":
      return `${head} commit=${message.commitIndex} round=${message.readRound} release=${message.releaseIndex}`;
    case "timeoutNow":
      return head;
    case "installSnapshot": {
      const { id, index, term, configuration } = message.snapshot;
      return `${head} snapshot=${id} last=${index}@${term}${members(configuration)}`;
    }
    case "heartbeatReply":
      return `${head} round=${message.readRound} last=${message.lastIndex}`;
  }
}

export function entryList(entries: readonly RaftEntry[]): string {
  return entries.map((entry) => `${entry.index}@${entry.term}${members(entry.configuration)}`).join(" ");
}

function members(configuration: Configuration | null): string {
  if (configuration === null) return "";
  const { voters, learners } = configuration;
  return `:voters=${voters}${learners.length > 0 ? `;learners=${learners}` : ""}`;
}
