/**
 * The entries that are in the log and not yet applied. Their bytes are kept in memory up to a limit; what lies beyond
 * (a follower far ahead of what it knows to be committed, or a log just recovered) is read back from the log when its
 * turn comes. Indexes are consecutive from `nextIndex` to `lastIndex`. Shard thread.
 */
import { assert } from "../core/assert.ts";
import type { LogIndex } from "../core/ids.ts";
import type { Log } from "../log/log.ts";

const READ_BACK_BYTES = 1024 * 1024;

/** Entries up to and including an index, appended with or without the wish for their results. */
interface WishRun {
  readonly firstIndex: LogIndex;
  readonly wantResults: boolean;
}

export class PendingEntries {
  readonly #log: Log;
  readonly #bytesMax: number;
  /** A deque: `#entries[#head]` is the entry at `nextIndex`. Holds a prefix of what is pending. */
  #entries: Uint8Array[] = [];
  #head = 0;
  #heldBytes = 0;
  #wishes: WishRun[] = [];
  /** The next entry to apply. */
  nextIndex: LogIndex;
  /** The last entry of the log; one below `nextIndex` when nothing is pending. */
  lastIndex: LogIndex;

  constructor(log: Log, nextIndex: LogIndex, lastIndex: LogIndex, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
    this.nextIndex = nextIndex;
    this.lastIndex = lastIndex;
  }

  /** Takes a run of consecutive entries that the log has staged; a lower index than expected supersedes. */
  append(firstIndex: LogIndex, entries: readonly Uint8Array[], wantResults: boolean): void {
    assert(firstIndex >= this.nextIndex, "an applied entry is never superseded");
    assert(firstIndex <= this.lastIndex + 1, "entries follow each other without a gap");
    if (firstIndex <= this.lastIndex) this.#supersede(firstIndex);
    this.#wish(firstIndex, wantResults);
    // Entries are held only as a prefix: once one had to be left to the log, all behind it are.
    let isPrefix = this.nextIndex + this.#heldCount === firstIndex;
    for (const entry of entries) {
      isPrefix &&= this.#heldBytes + entry.length <= this.#bytesMax;
      if (!isPrefix) break;
      this.#entries.push(entry);
      this.#heldBytes += entry.length;
    }
    this.lastIndex = (firstIndex + entries.length - 1) as LogIndex;
  }

  /**
   * The entry at `nextIndex`, which the log has. Up to `through` the log is as it will stay: behind it may be entries that
   * others have superseded which are staged and not yet written, for want of room, so no more is read back.
   */
  peek(through: LogIndex): Uint8Array {
    assert(this.nextIndex <= through, "an entry is looked at when it may be applied");
    if (this.#heldCount === 0) {
      this.#entries = this.#log.read(this.nextIndex, READ_BACK_BYTES).slice(0, through - this.nextIndex + 1);
      this.#head = 0;
      for (const entry of this.#entries) this.#heldBytes += entry.length;
    }
    const entry = this.#entries[this.#head];
    assert(entry !== undefined, "an entry that is not applied is still in the log");
    return entry;
  }

  /** Whether the results of the entry at `nextIndex` are wanted. */
  get wantResults(): boolean {
    const wishes = this.#wishes;
    while (wishes.length > 1 && wishes[1]!.firstIndex <= this.nextIndex) wishes.shift();
    return wishes.length > 0 && wishes[0]!.firstIndex <= this.nextIndex && wishes[0]!.wantResults;
  }

  /** The entry at `nextIndex` has been applied. */
  advance(): void {
    this.#heldBytes -= this.#entries[this.#head]!.length;
    this.#head += 1;
    this.nextIndex = (this.nextIndex + 1) as LogIndex;
    if (this.#head === this.#entries.length) {
      this.#entries = [];
      this.#head = 0;
    } else if (this.#head === 1024) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  get #heldCount(): number {
    return this.#entries.length - this.#head;
  }

  #supersede(firstIndex: LogIndex): void {
    const keptCount = Math.min(this.#heldCount, firstIndex - this.nextIndex);
    for (let i = this.#head + keptCount; i < this.#entries.length; i++) this.#heldBytes -= this.#entries[i]!.length;
    this.#entries.length = this.#head + keptCount;
    while (this.#wishes.length > 0 && this.#wishes.at(-1)!.firstIndex >= firstIndex) this.#wishes.pop();
    this.lastIndex = (firstIndex - 1) as LogIndex;
  }

  #wish(firstIndex: LogIndex, wantResults: boolean): void {
    const last = this.#wishes.at(-1);
    if ((last?.wantResults ?? false) !== wantResults) this.#wishes.push({ firstIndex, wantResults });
  }
}
