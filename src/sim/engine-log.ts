/**
 * What was sent to a simulated engine's log, and how much of it was acknowledged: the append requests of a life, in
 * order, behind a log that is known for sure. After a crash the engine must come back with the log as it was after one of
 * those requests, not before the last acknowledged one; and if power was cut, not before the last acknowledged one that
 * asked for a sync.
 *
 * Within a term an index has one content, so (index, term) of the last entry names such a state.
 */
import { SYNC } from "../record/durability.ts";
import { entryDurability } from "../record/entry-format.ts";
import type { EngineEntry } from "./engine-command.ts";

type Entries = readonly EngineEntry[];

interface Append {
  readonly firstIndex: number;
  readonly entries: Entries;
  /** Whether an entry in it asks for a sync. */
  readonly isSynced: boolean;
  /** Requests secured when this one was sent, counted from the start of the life. */
  readonly securedBefore: number;
}

/** How much of what was acknowledged may be missing. */
export type Tolerance =
  | "nothing"
  /** Entries that are acknowledged when the system has them are lost with it. */
  | "what was not synced"
  /** Damage to bytes that no later header calls proven cannot be told from a torn write. */
  | "what was not proven";

export class EngineLog {
  /** Everything sent: entry of index i at i − 1. */
  #sent: EngineEntry[] = [];
  /** The log before the first of `#appends`. */
  #base: EngineEntry[] = [];
  #appends: Append[] = [];
  /** Requests of this life that are no more in `#appends`, because a later header proves them. */
  #settledCount = 0;
  /** Requests acknowledged in this life. */
  #acknowledgedCount = 0;
  /** Those among them up to the last one that asked for a sync. */
  #securedCount = 0;

  get sent(): Entries {
    return this.#sent;
  }

  get lastIndex(): number {
    return this.#sent.length;
  }

  get lastTerm(): number {
    return this.#sent.at(-1)?.term ?? 0;
  }

  /** Whether all that was sent has been acknowledged. */
  get isAcknowledged(): boolean {
    return this.#acknowledgedCount === this.#settledCount + this.#appends.length;
  }

  /** The last entry that is acknowledged and not superseded by something that is acknowledged too. */
  get acknowledgedIndex(): number {
    let last = this.#base.length;
    for (const append of this.#appends.slice(0, this.#acknowledgedCount - this.#settledCount)) last = endOf(append);
    return last;
  }

  /** Consecutive entries; a lower index than expected supersedes. */
  append(entries: Entries): void {
    const firstIndex = entries[0]?.index ?? 0;
    const isSynced = entries.some((entry) => entryDurability(entry.bytes) === SYNC);
    this.#appends.push({ firstIndex, entries, isSynced, securedBefore: this.#securedCount });
    this.#sent.length = firstIndex - 1;
    this.#sent.push(...entries);
  }

  /** The engine says that its log is durable up to this entry; false when no log that ends there was ever sent. */
  acknowledge(lastIndex: number, lastTerm: number): boolean {
    for (let i = this.#acknowledgedCount - this.#settledCount; i < this.#appends.length; i++) {
      const last = this.#appends[i]?.entries.at(-1);
      if (last?.index !== lastIndex || last.term !== lastTerm) continue;
      this.#acknowledgedCount = this.#settledCount + i + 1;
      const secured = this.#appends.findLastIndex((append, j) => j <= i && append.isSynced);
      this.#securedCount = Math.max(this.#securedCount, this.#settledCount + secured + 1);
      this.#settle(this.#appends[i]?.securedBefore ?? 0);
      return true;
    }
    return false;
  }

  /** The log that was sent and ends at this entry, acknowledged as far as asked; null: there is none. */
  stateEndingAt(lastIndex: number, lastTerm: number, tolerance: Tolerance): Entries | null {
    const counted = { nothing: this.#acknowledgedCount, "what was not synced": this.#securedCount };
    const least = tolerance === "what was not proven" ? 0 : counted[tolerance] - this.#settledCount;
    const state = this.#base.slice();
    for (let i = 0; i <= this.#appends.length; i++) {
      const isRight = state.length === lastIndex && (state.at(-1)?.term ?? 0) === lastTerm;
      if (isRight && i >= least) return state;
      const append = this.#appends[i];
      if (append === undefined) break;
      state.length = append.firstIndex - 1;
      state.push(...append.entries);
    }
    return null;
  }

  /** A new life, with what the engine has come back with. */
  begin(entries: Entries): void {
    this.#sent = entries.slice();
    this.#base = entries.slice();
    this.#appends = [];
    this.#settledCount = 0;
    this.#acknowledgedCount = 0;
    this.#securedCount = 0;
  }

  #settle(count: number): void {
    for (; this.#settledCount < count; this.#settledCount++) {
      const append = this.#appends.shift();
      if (append === undefined) return;
      this.#base.length = append.firstIndex - 1;
      this.#base.push(...append.entries);
    }
  }
}

function endOf({ firstIndex, entries }: Append): number {
  return firstIndex + entries.length - 1;
}
