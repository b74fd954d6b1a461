/**
 * What gathers for the next Ready. Messages that depend on a term or vote the disk does not have yet wait in `held`:
 * every message but pre-votes, which promise nothing.
 */
import type { LogIndex, NodeId } from "../core/ids.ts";
import type { HardState } from "./hard-state.ts";
import type { RaftMessage } from "./messages.ts";
import type { EntryRead, ReadState, SnapshotOffer } from "./ready.ts";

const NONE: readonly never[] = [];

export class Outbox {
  readonly #hardState: HardState;
  #messages: RaftMessage[] = [];
  #held: RaftMessage[] = [];
  #readStates: ReadState[] = [];
  #readFailures: number[] = [];
  #read: EntryRead | null = null;
  #readOutstanding = false;
  #snapshotsWanted: NodeId[] = [];
  #install: SnapshotOffer | null = null;

  constructor(hardState: HardState) {
    this.#hardState = hardState;
  }

  send(message: RaftMessage): void {
    const isPromise = message.type !== "preVote" && message.type !== "preVoteReply";
    if (isPromise && !this.#hardState.settled) this.#held.push(message);
    else this.#messages.push(message);
  }

  /** The hard state is on disk: what waited for it may go. What an older term had to say is worth nothing any more. */
  releaseHeld(): void {
    for (const message of this.#held) if (message.term === this.#hardState.term) this.#messages.push(message);
    this.#held = [];
  }

  confirmRead(context: number, index: LogIndex): void {
    this.#readStates.push({ context, index });
  }

  failRead(context: number): void {
    this.#readFailures.push(context);
  }

  /** Asks for old entries; false while an earlier question is open. */
  askEntries(from: LogIndex, bytesMax: number): boolean {
    if (this.#readOutstanding) return false;
    this.#readOutstanding = true;
    this.#read = { from, bytesMax };
    return true;
  }

  entriesArrived(): void {
    this.#readOutstanding = false;
  }

  wantSnapshot(member: NodeId): void {
    this.#snapshotsWanted.push(member);
  }

  install(offer: SnapshotOffer): void {
    this.#install = offer;
  }

  /** Whether an offer has not been handed out yet. */
  get hasInstall(): boolean {
    return this.#install !== null;
  }

  takeSnapshotsWanted(): readonly NodeId[] {
    if (this.#snapshotsWanted.length === 0) return NONE;
    const taken = this.#snapshotsWanted;
    this.#snapshotsWanted = [];
    return taken;
  }

  takeInstall(): SnapshotOffer | null {
    const taken = this.#install;
    this.#install = null;
    return taken;
  }

  takeMessages(): readonly RaftMessage[] {
    if (this.#messages.length === 0) return NONE;
    const taken = this.#messages;
    this.#messages = [];
    return taken;
  }

  takeReadStates(): readonly ReadState[] {
    if (this.#readStates.length === 0) return NONE;
    const taken = this.#readStates;
    this.#readStates = [];
    return taken;
  }

  takeReadFailures(): readonly number[] {
    if (this.#readFailures.length === 0) return NONE;
    const taken = this.#readFailures;
    this.#readFailures = [];
    return taken;
  }

  takeReads(): readonly EntryRead[] {
    if (this.#read === null) return NONE;
    const taken = [this.#read];
    this.#read = null;
    return taken;
  }
}
