/**
 * A version whose value lies in a value file, as a look-up or a cursor shows it: of kind value like any other, read when
 * somebody asks for the bytes. So nobody outside the storage sees a pointer. Reused by the next look-up. Shard thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { type FoundVersion, VersionKind } from "../record/version.ts";
import type { HotReads } from "./hot-reads.ts";
import type { ValueFiles } from "./value-files.ts";
import { ValuePointer } from "./value-pointer-format.ts";

export class SeparateValue implements FoundVersion {
  stampHigh = 0;
  stampLow = 0;
  origin = 0;
  readonly kind = VersionKind.value;
  expiryMs = 0;
  readonly #files: ValueFiles;
  readonly #hot: HotReads | null;
  readonly #pointer = new ValuePointer();
  #keyHash: number | null = null;
  #value: Uint8Array = EMPTY_BYTES;
  #isRead = false;

  /** `hot`: where the places of values that have been read are remembered, if anywhere. */
  constructor(files: ValueFiles, hot: HotReads | null) {
    this.#files = files;
    this.#hot = hot;
  }

  /**
   * Sets it on a version of kind pointer. `keyHash`: of its key, if it is the newest version; null: it may be an older
   * one, so that its place is not remembered. Throws the damage of a quarantined file.
   */
  over(found: FoundVersion, keyHash: number | null): this {
    this.stampHigh = found.stampHigh;
    this.stampLow = found.stampLow;
    this.origin = found.origin;
    this.expiryMs = found.expiryMs;
    this.#pointer.read(found.value, 0);
    this.#files.requireSound(this.#pointer.file);
    this.#keyHash = keyHash;
    this.#isRead = false;
    return this;
  }

  readonly valueStart = 0;

  /** Known without reading it. */
  get valueEnd(): number {
    return this.#pointer.valueBytes;
  }

  get valueBytes(): Uint8Array {
    return this.value;
  }

  /** A view that lives until the next step of a job. Throws CORRUPTION. */
  get value(): Uint8Array {
    if (!this.#isRead) {
      const pointer = this.#pointer;
      const hot = this.#keyHash === null ? null : this.#hot;
      this.#value = hot === null ? this.#files.read(pointer) : hot.read(pointer, this.#keyHash ?? 0);
      this.#isRead = true;
    }
    return this.#value;
  }
}
