/** A walk that leaves out what lies in some ranges of keys. One job, one thread. */
import type { VersionCursor } from "../record/version.ts";
import { BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import { isWithinAny } from "./key-ranges.ts";
import type { KeyRange } from "./older-ranges.ts";
import { PassingCursor } from "./passing-cursor.ts";

export class OutsideCursor extends PassingCursor {
  readonly #ranges: readonly KeyRange[];
  #tableKey = new Uint8Array(256);

  /** The source belongs to this cursor from now on. */
  constructor(source: VersionCursor, ranges: readonly KeyRange[]) {
    super(source);
    this.#ranges = ranges;
  }

  get value(): Uint8Array {
    return this.source.value;
  }

  protected moved(): void {
    while (this.source.valid && this.#isLeftOut()) this.source.next();
  }

  #isLeftOut(): boolean {
    const { bucket, key } = this.source;
    if (this.#tableKey.length < key.length + BUCKET_BYTES) {
      this.#tableKey = new Uint8Array((key.length + BUCKET_BYTES) * 2);
    }
    const byteCount = writeTableKey(this.#tableKey, bucket, key);
    return isWithinAny(this.#ranges, this.#tableKey.subarray(0, byteCount));
  }
}
