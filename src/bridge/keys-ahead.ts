/**
 * The keys of inserts that are about to come: what `MemtableWriter.warm` needs to know of them. The writer's thread only.
 */

/** So many keys are looked at together. */
export const KEYS_AHEAD_MAX = 64;

export class KeysAhead {
  count = 0;
  /** The token of each (bucket, key). */
  readonly hashes = new Uint32Array(KEYS_AHEAD_MAX);
  /** Length of the value that comes with the first key: those of a batch are much alike. */
  valueBytes = 0;
}
