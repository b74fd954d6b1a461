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

/** `1-4,7`: numbers and ranges of them, ascending. */
export function describeNumbers(numbers: ReadonlySet<number>): string {
  const parts: string[] = [];
  const ascending = [...numbers].sort((a, b) => a - b);
  for (let i = 0; i < ascending.length; ) {
    let end = i;
    while (ascending[end + 1] === ascending[end]! + 1) end += 1;
    parts.push(end === i ? `${ascending[i]}` : `${ascending[i]}-${ascending[end]}`);
    i = end + 1;
  }
  return parts.join(",");
}

/** The other way round; null for anything else. */
export function parseNumbers(written: string): ReadonlySet<number> | null {
  const numbers = new Set<number>();
  for (const part of written.split(",")) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (match === null) return null;
    const first = Number(match[1]);
    for (let number = first; number <= Number(match[2] ?? first); number++) numbers.add(number);
  }
  return numbers;
}
