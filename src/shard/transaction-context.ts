/**
 * What a transaction has come to so far: the versions that its operations have made, over the state of the shard as it
 * was before. Nothing is written before `write`, which writes one version of each changed key, all under the stamp of
 * the command, or nothing.
 *
 * What a transaction may write is bounded by the longest value that there may be, which is the same on every replica: so
 * every memtable has room for it. Shard thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { CommandReader } from "../record/command-format.ts";
import { isVisible, VersionKind } from "../record/version.ts";
import type { CommandContext } from "./command-context.ts";
import type { FoundValue, KeyContext } from "./key-context.ts";

/** What a changed key is taken to need beside its bytes and those of its value; a memtable needs less. */
const KEY_OVERHEAD_BYTES = 256;

interface PendingVersion extends FoundValue {
  readonly key: Uint8Array;
  readonly kind: VersionKind;
}

export class TransactionContext implements KeyContext, FoundValue {
  /** The operation that is carried out. */
  readonly command = new CommandReader();
  readonly #outer: CommandContext;
  /** By the key's bytes, each a character. */
  readonly #changes = new Map<string, PendingVersion>();
  /** The pending version that was found last; null: the store's is meant. */
  #found: PendingVersion | null = null;
  #byteCount = 0;

  constructor(outer: CommandContext) {
    this.#outer = outer;
  }

  get valueBytesMax(): number {
    return this.#outer.valueBytesMax;
  }

  get nowMs(): number {
    return this.#outer.nowMs;
  }

  /** One object for all look-ups: whoever takes hold of it before one sees what that one finds. */
  get store(): FoundValue {
    return this;
  }

  get valueBytes(): Uint8Array {
    return this.#last.valueBytes;
  }

  get valueStart(): number {
    return this.#last.valueStart;
  }

  get valueEnd(): number {
    return this.#last.valueEnd;
  }

  get expiryMs(): number {
    return this.#last.expiryMs;
  }

  /** Whether the changes are more than a transaction may write. */
  get isTooLarge(): boolean {
    return this.#byteCount > this.valueBytesMax;
  }

  isPresent(): boolean {
    return this.isPresentAt(this.command.key());
  }

  /** The same for any key. */
  isPresentAt(key: Uint8Array): boolean {
    const change = this.#changes.get(nameOf(key));
    this.#found = change ?? null;
    if (change === undefined) return this.#outer.isPresentAt(key);
    return isVisible(change.kind, change.expiryMs, this.nowMs);
  }

  /** Whether the version that was found has this stamp; those that the transaction makes have none that anybody knows. */
  hasStamp(high: number, low: number): boolean {
    const { stampHigh, stampLow } = this.#outer.store;
    return this.#found === null && stampHigh === high && stampLow === low;
  }

  presentValue(): Uint8Array {
    const { valueBytes, valueStart, valueEnd } = this.#last;
    return valueBytes.slice(valueStart, valueEnd);
  }

  put(bytes: Uint8Array, start: number, end: number, expiryMs: number): boolean {
    this.putAt(this.command.key(), bytes, start, end, expiryMs);
    return true;
  }

  /** The same for any key. */
  putAt(key: Uint8Array, bytes: Uint8Array, start: number, end: number, expiryMs: number): void {
    // The command's own bytes stay where they are; all others are somebody's for a moment.
    const isOwn = bytes === this.command.bytes;
    const value = isOwn ? bytes.subarray(start, end) : bytes.slice(start, end);
    this.#change({ key, kind: VersionKind.value, expiryMs, valueBytes: value, valueStart: 0, valueEnd: value.length });
  }

  rewrite(expiryMs: number): boolean {
    const { valueBytes, valueStart, valueEnd } = this.#last;
    return this.put(valueBytes, valueStart, valueEnd, expiryMs);
  }

  remove(): boolean {
    const key = this.command.key();
    const nothing = { valueBytes: EMPTY_BYTES, valueStart: 0, valueEnd: 0, expiryMs: 0 };
    this.#change({ key, kind: VersionKind.tombstone, ...nothing });
    return true;
  }

  /** Writes all changes; false: they, and so much beside them, find no room, and nothing was written. */
  write(moreBytes: number, moreVersions: number): boolean {
    const versionCount = this.#changes.size;
    const byteCount = this.#byteCount - versionCount * KEY_OVERHEAD_BYTES;
    if (!this.#outer.hasRoom(byteCount + moreBytes, versionCount + moreVersions)) return false;
    if (versionCount > 1) this.#outer.store.insertTogether(() => this.#writeAll());
    else this.#writeAll();
    return true;
  }

  #writeAll(): void {
    for (const { key, kind, valueBytes, expiryMs } of this.#changes.values()) {
      const value = kind === VersionKind.tombstone ? null : valueBytes;
      this.#outer.set(this.#outer.command.bucket, key, value, expiryMs);
    }
  }

  get #last(): FoundValue {
    return this.#found ?? this.#outer.store;
  }

  #change(version: PendingVersion): void {
    const name = nameOf(version.key);
    const last = this.#changes.get(name);
    if (last !== undefined) this.#byteCount -= bytesOf(last);
    this.#byteCount += bytesOf(version);
    this.#changes.set(name, version);
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function bytesOf({ key, valueStart, valueEnd }: PendingVersion): number {
  return key.length + valueEnd - valueStart + KEY_OVERHEAD_BYTES;
}
