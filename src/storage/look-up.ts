/**
 * One key looked up in the tables of a layout: the runs in their order, until what is left can hold nothing newer.
 * Allocates nothing. One thread.
 */
import { compareStamps, type Stamp } from "../core/stamp.ts";
import type { FoundVersion } from "../record/version.ts";
import { BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import type { Layout } from "./layout.ts";
import { FoundEntry } from "./table.ts";

export class LookUp {
  #target = new Uint8Array(256);
  #found = new FoundEntry();
  #spare = new FoundEntry();

  /** As `Tree.find`; a value that lies elsewhere comes as the pointer to it. */
  find(
    layout: Layout,
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    asOf: Stamp,
  ): FoundEntry | null {
    const needed = keyEnd - keyStart + BUCKET_BYTES;
    if (this.#target.length < needed) this.#target = new Uint8Array(needed * 2);
    const target = this.#target;
    const targetBytes = writeTableKey(target, bucket, key, keyStart, keyEnd);
    const { searches, maxStampFrom } = layout;
    let isFound = false;
    for (let i = 0; i < searches.length; i++) {
      const best = this.#found;
      if (isFound && isAbove(best, maxStampFrom[i]!)) break;
      const table = searches[i]!.tableFor(target, targetBytes);
      if (table === null || (isFound && isAbove(best, table.footer.maxStamp))) continue;
      if (!table.find(target, targetBytes, keyHash, asOf, this.#spare)) continue;
      if (isFound && !isNewer(this.#spare, best)) continue;
      isFound = true;
      this.#found = this.#spare;
      this.#spare = best;
    }
    return isFound ? this.#found : null;
  }
}

function isAbove(found: FoundVersion, stamp: Stamp): boolean {
  return compareStamps(found.stampHigh, found.stampLow, stamp.high, stamp.low) > 0;
}

function isNewer(a: FoundVersion, b: FoundVersion): boolean {
  const byStamp = compareStamps(a.stampHigh, a.stampLow, b.stampHigh, b.stampLow);
  return byStamp > 0 || (byStamp === 0 && a.origin > b.origin);
}
