/**
 * A member that follows: takes a leader's entries and says what it has. `verifiedIndex` is how far this log is known to
 * equal the leader's log of the current term. It starts at the commit index (a leader has everything committed, Raft
 * §5.4.3), grows with every accepted append, and is never truncated within the term. What is acknowledged as matching
 * is what is verified *and* on disk; that word is sent when the disk reports, or at once when the leader asks.
 *
 * A snapshot takes the place of the whole log. It is installed only if this log does not have its last entry: then whatever
 * else the log has is either in the snapshot or was never committed, so nothing is lost that others count on.
 */
import { type LogIndex, NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import { isMember } from "./configuration.ts";
import type { HardState } from "./hard-state.ts";
import type { Append, Heartbeat, InstallSnapshot, Snapshot } from "./messages.ts";
import type { Outbox } from "./outbox.ts";
import type { RaftLog } from "./raft-log.ts";
import type { SnapshotOffer } from "./ready.ts";

export class Following {
  readonly #id: NodeId;
  readonly #hardState: HardState;
  readonly #log: RaftLog;
  readonly #outbox: Outbox;
  #verifiedIndex: number;
  #acknowledgedIndex = 0;
  /** The newest read round of this term, which every answer carries. */
  #readRound = 0;
  #releaseIndex = 1;
  /** The snapshot that was handed out to be fetched. */
  #offer: SnapshotOffer | null = null;
  #isInstalling = false;

  constructor(id: NodeId, hardState: HardState, log: RaftLog, outbox: Outbox) {
    this.#id = id;
    this.#hardState = hardState;
    this.#log = log;
    this.#outbox = outbox;
    this.#verifiedIndex = log.commitIndex;
  }

  /** Every voter has everything below this index on disk, and it is committed, as far as known here. Never falls. */
  get releaseIndex(): LogIndex {
    return this.#releaseIndex as LogIndex;
  }

  /** A new term, and with it maybe another leader: what was learned from the last one is no longer known. */
  enterTerm(): void {
    this.#verifiedIndex = this.#log.commitIndex;
    this.#acknowledgedIndex = 0;
    this.#readRound = 0;
  }

  onAppend(message: Append): void {
    if (this.#contradicts(message)) return;
    const isNewRound = this.#noteRound(message.readRound);
    if (!this.#fits(message)) {
      this.#refuse(message);
      return;
    }
    const lastNew = message.previousIndex + message.entries.length;
    this.#log.merge(message.entries, this.#verified());
    this.#verifiedIndex = Math.max(this.#verified(), lastNew);
    this.#log.commitTo(Math.min(message.commitIndex, lastNew));
    this.noteRelease(message.releaseIndex);
    // Otherwise the disk's report is the occasion to answer.
    const isOnDisk = this.#log.persistedIndex >= this.#verifiedIndex;
    if (isOnDisk || isNewRound || message.entries.length === 0) this.#acknowledge(message.from);
  }

  /** A snapshot is offered. What this log has already needs none: that is as good as an append of it. */
  onOffer({ from, snapshot }: InstallSnapshot): void {
    const { id, index } = snapshot;
    if (this.#isNews(snapshot)) {
      if (this.#offer?.from === from && this.#offer.id === id && this.#offer.index === index) return;
      this.#offer = { from, ...snapshot };
      this.#outbox.install(this.#offer);
      return;
    }
    this.#verifiedIndex = Math.max(this.#verified(), index);
    this.#log.commitTo(index);
    this.#acknowledge(from);
  }

  /** Between startInstall and the end of it no entries are taken: they would be lost with the log. */
  get isInstalling(): boolean {
    return this.#isInstalling;
  }

  /** False: what was handed out last is not news any more, or another one has been offered since. */
  startInstall(): boolean {
    if (this.#offer === null || this.#outbox.hasInstall || !this.#isNews(this.#offer)) return false;
    this.#isInstalling = true;
    return true;
  }

  /** What was handed out last. What was offered since is going to be handed out. */
  installAbandoned(): void {
    if (!this.#outbox.hasInstall) this.#offer = null;
    this.#isInstalling = false;
  }

  /**
   * A leader of this member's term says that the configuration at `index` is committed and names it no more. False where its
   * own log may know better: of a later one, or because somebody is bringing it a snapshot.
   */
  startGivingUp(index: LogIndex, term: Term): boolean {
    const { current, currentIndex } = this.#log.configurations;
    const knowsBetter = currentIndex > index && this.#log.termAt(currentIndex)! >= term && isMember(current, this.#id);
    if (knowsBetter || this.#isInstalling || this.#offer !== null || this.#log.lastIndex === 0) return false;
    this.#isInstalling = true;
    return true;
  }

  /** The log is empty. */
  gaveUp(): void {
    this.#isInstalling = false;
    this.#verifiedIndex = 0;
    this.#acknowledgedIndex = 0;
    this.#releaseIndex = 1;
  }

  /** The log has started anew. */
  installed(leader: NodeId): void {
    this.installAbandoned();
    this.#verifiedIndex = this.#log.commitIndex;
    this.#acknowledgedIndex = 0;
    if (leader !== NO_NODE) this.#acknowledge(leader);
  }

  onHeartbeat(message: Heartbeat): void {
    this.#noteRound(message.readRound);
    this.#log.commitTo(Math.min(message.commitIndex, this.#log.lastIndex));
    this.noteRelease(message.releaseIndex);
    if (message.readRound > 0) this.answerHeartbeat(message.from);
  }

  /** To a leader of this term: a sign of life. To one of an older term: that time has gone on. */
  answerHeartbeat(to: NodeId): void {
    this.#outbox.send({
      type: "heartbeatReply",
      from: this.#id,
      to,
      term: this.#hardState.term,
      readRound: this.#readRound,
      lastIndex: this.#verified() as LogIndex,
    });
  }

  /** The disk has reported: acknowledges what the leader has not been told yet. */
  onPersisted(leader: NodeId): void {
    if (this.#match() > this.#acknowledgedIndex) this.#acknowledge(leader);
  }

  noteRelease(releaseIndex: LogIndex): void {
    this.#releaseIndex = Math.max(this.#releaseIndex, Math.min(releaseIndex, this.#log.commitIndex + 1));
  }

  #verified(): number {
    return Math.max(this.#verifiedIndex, this.#log.commitIndex);
  }

  /** Neither committed here nor in a log that has the same entry there, and then the same before it. */
  #isNews({ index, term }: Snapshot): boolean {
    return index > this.#log.commitIndex && this.#log.termAt(index) !== term;
  }

  #match(): number {
    return Math.min(this.#verified(), this.#log.persistedIndex);
  }

  #fits(message: Append): boolean {
    const previousIndex = message.previousIndex;
    return previousIndex <= this.#verified() || this.#log.termAt(previousIndex) === message.previousTerm;
  }

  /** What matches does so for the whole term: who has another entry there is no leader, and its word is nothing. */
  #contradicts({ previousIndex, previousTerm, entries }: Append): boolean {
    const verified = this.#verified();
    if (previousIndex > verified) return false;
    if (this.#hasOther(previousIndex, previousTerm)) return true;
    for (const { index, term } of entries) {
      if (index > verified) return false;
      if (this.#hasOther(index, term)) return true;
    }
    return false;
  }

  /** Whether the entry there, if it is still here, is of another term. */
  #hasOther(index: LogIndex, term: Term): boolean {
    const own = this.#log.termAt(index);
    return own !== undefined && own !== term;
  }

  #noteRound(round: number): boolean {
    if (round <= this.#readRound) return false;
    this.#readRound = round;
    return true;
  }

  #acknowledge(to: NodeId): void {
    this.#acknowledgedIndex = this.#match();
    this.#outbox.send({
      type: "appendReply",
      from: this.#id,
      to,
      term: this.#hardState.term,
      rejected: false,
      matchIndex: this.#acknowledgedIndex as LogIndex,
      hintIndex: this.#verified() as LogIndex,
      hintTerm: 0 as Term,
      readRound: this.#readRound,
    });
  }

  #refuse(message: Append): void {
    const hintIndex = this.#log.lastAtOrBelow(message.previousIndex, message.previousTerm);
    this.#outbox.send({
      type: "appendReply",
      from: this.#id,
      to: message.from,
      term: this.#hardState.term,
      rejected: true,
      matchIndex: message.previousIndex,
      hintIndex,
      hintTerm: this.#log.termAt(hintIndex) ?? (0 as Term),
      readRound: this.#readRound,
    });
  }
}
