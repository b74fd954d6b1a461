/**
 * What a command sees while it is applied: itself, the newest version of its key that had not expired at the command's
 * own stamp, and the memtable it writes to. Nothing else can reach it, which is what makes applying deterministic: the
 * stamp is the clock, and there is no other input.
 *
 * Writes answer false when the arena is full; then nothing has been written, and the command is run again from its
 * start after a rotation. A command that writes more than once asks `hasRoom` first. Shard thread.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { type BucketId, SYSTEM_BUCKET } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { stampMilliseconds } from "../core/stamp.ts";
import type { SystemChange } from "../bridge/shard-protocol.ts";
import { CommandReader } from "../record/command-format.ts";
import { isVisible, VersionKind } from "../record/version.ts";
import type { Fences } from "./fences.ts";
import type { KeyContext } from "./key-context.ts";
import type { VersionStore } from "./version-store.ts";

export class CommandContext implements KeyContext {
  readonly command = new CommandReader();
  readonly store: VersionStore;
  /** Buckets whose fence has been applied. */
  readonly fences: Fences;
  /** Changes to the system bucket since they were last taken. */
  system: SystemChange[] = [];
  readonly valueBytesMax: number;
  /** Whether this shard keeps the catalog. */
  readonly hasCatalog: boolean;

  constructor(store: VersionStore, fences: Fences, valueBytesMax: number, hasCatalog: boolean) {
    this.store = store;
    this.fences = fences;
    this.valueBytesMax = valueBytesMax;
    this.hasCatalog = hasCatalog;
  }

  /** Milliseconds of the command's stamp: the only time there is. */
  get nowMs(): number {
    return stampMilliseconds(this.command.stampHigh, this.command.stampLow);
  }

  /** Looks the command's key up: true when it is there, and then the `value…` and `expiryMs` of `store` describe it. */
  isPresent(): boolean {
    const command = this.command;
    const hash = murmur3(command.bytes, command.keyStart, command.keyEnd, command.bucket);
    const store = this.store;
    return (
      store.find(command.bucket, command.bytes, command.keyStart, command.keyEnd, hash) &&
      isVisible(store.kind, store.expiryMs, this.nowMs)
    );
  }

  /** The same for any key of the command's bucket. */
  isPresentAt(key: Uint8Array): boolean {
    const { store, nowMs } = this;
    const { bucket } = this.command;
    const isFound = store.find(bucket, key, 0, key.length, murmur3(key, 0, key.length, bucket));
    return isFound && isVisible(store.kind, store.expiryMs, nowMs);
  }

  /** The value that `isPresent` found, as a copy. */
  presentValue(): Uint8Array {
    return this.store.valueBytes.slice(this.store.valueStart, this.store.valueEnd);
  }

  /** Writes a version of the command's key. */
  put(bytes: Uint8Array, start: number, end: number, expiryMs: number): boolean {
    const command = this.command;
    const isWritten = this.#write(
      command.bytes,
      command.keyStart,
      command.keyEnd,
      VersionKind.value,
      expiryMs,
      bytes,
      start,
      end,
    );
    if (isWritten && command.bucket === SYSTEM_BUCKET) this.#report(command.key(), bytes.subarray(start, end));
    return isWritten;
  }

  /** Writes the version that `isPresent` found anew, with another expiry. */
  rewrite(expiryMs: number): boolean {
    return this.put(this.store.valueBytes, this.store.valueStart, this.store.valueEnd, expiryMs);
  }

  /** Writes a tombstone for the command's key. */
  remove(): boolean {
    const command = this.command;
    const isWritten = this.#write(
      command.bytes,
      command.keyStart,
      command.keyEnd,
      VersionKind.tombstone,
      0,
      EMPTY_BYTES,
      0,
      0,
    );
    if (isWritten && command.bucket === SYSTEM_BUCKET) this.#report(command.key(), null);
    return isWritten;
  }

  /** Whether versions of this many bytes of keys and values fit into the arena. */
  hasRoom(byteCount: number, versionCount: number): boolean {
    return this.store.hasRoom(byteCount, versionCount);
  }

  /** A copy of a value of the system bucket, or null. */
  systemValue(key: Uint8Array): Uint8Array | null {
    return this.valueAt(SYSTEM_BUCKET, key);
  }

  /** A copy of a value that the shard keeps for itself, as of the command's stamp, or null; `store.expiryMs` is its expiry. */
  valueAt(bucket: BucketId, key: Uint8Array): Uint8Array | null {
    const store = this.store;
    const isFound = store.find(bucket, key, 0, key.length, murmur3(key, 0, key.length, bucket));
    if (!isFound || !isVisible(store.kind, store.expiryMs, this.nowMs)) return null;
    return store.valueBytes.slice(store.valueStart, store.valueEnd);
  }

  /** Sets a key of the system bucket; null removes it. The caller has asked `hasRoom`. */
  setSystem(key: Uint8Array, value: Uint8Array | null): void {
    this.set(SYSTEM_BUCKET, key, value, 0);
    this.#report(key, value);
  }

  /** Sets a key of any bucket but the system's; null removes it. The caller has asked `hasRoom`. */
  set(bucket: number, key: Uint8Array, value: Uint8Array | null, expiryMs: number): void {
    const bytes = value ?? EMPTY_BYTES;
    const kind = value === null ? VersionKind.tombstone : VersionKind.value;
    const isWritten = this.#write(key, 0, key.length, kind, expiryMs, bytes, 0, bytes.length, bucket);
    assert(isWritten, "there was room for what was asked for");
  }

  #report(key: Uint8Array, value: Uint8Array | null): void {
    this.system.push({ key: key.slice(), value: value === null ? null : value.slice() });
  }

  #write(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    kind: VersionKind,
    expiryMs: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
    bucket: number = this.command.bucket,
  ): boolean {
    const command = this.command;
    return this.store.insert(
      bucket,
      keyBytes,
      keyStart,
      keyEnd,
      murmur3(keyBytes, keyStart, keyEnd, bucket),
      command.stampHigh,
      command.stampLow,
      command.origin,
      kind,
      expiryMs,
      valueBytes,
      valueStart,
      valueEnd,
    );
  }
}
