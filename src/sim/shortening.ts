/**
 * A shorter form of a run: the same seed with some of its misfortunes left out, with fewer clients, or over sooner. It is
 * what the search for the least that goes wrong (shrink.ts) changes, and what replays its result.
 */
export interface Shortening {
  /** Numbers of the misfortunes that do not happen (misfortunes.ts). */
  readonly omitted: ReadonlySet<number>;
  readonly clientsMax: number;
  /** Misfortunes and clients end after so long at the latest. */
  readonly troubledMsMax: number;
}

export const WHOLE: Shortening = { omitted: new Set(), clientsMax: Infinity, troubledMsMax: Infinity };
