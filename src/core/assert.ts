/**
 * Assertions guard what this code guarantees by itself. They stay on in production and end the process: a broken
 * promise of ours must never become an answer. What disk, network or callers may break is an EnvelopeError instead.
 */

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new AssertionError(promise);
}

/** Ends every switch over a closed union: a variant added later breaks the compile here. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable variant: ${JSON.stringify(value)}`);
}

/** The element at an index the caller has already proven to be in range. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new AssertionError(`no element ${index} of ${items.length}`);
  return item;
}
