/** Parts of values as Redis counts them: from the front, or from the back below zero, both ends included. */

export interface ValuePart {
  readonly first: number;
  readonly last: number;
}

/** What of `length` things lies between two places, or null where nothing does. */
export function partBetween(start: bigint, end: bigint, length: number): ValuePart | null {
  const first = placeOf(start, length);
  const last = Math.min(placeOf(end, length), length - 1);
  return first > last ? null : { first, last };
}

/** Two places behind the front that are the wrong way round: nothing lies between them, though both may become zero. */
export function isBackwards(start: bigint, end: bigint): boolean {
  return start < 0n && end < 0n && start > end;
}

function placeOf(index: bigint, length: number): number {
  const place = index < 0n ? index + BigInt(length) : index;
  if (place < 0n) return 0;
  return place > BigInt(length) ? length : Number(place);
}
