/** Many calls, so many at a time. */

/**
 * Runs all, no more than `most` at once, started in order. Rejects with the first failure, when those that were running
 * have ended and none is started any more.
 */
export async function inParallel<Item>(
  items: Iterable<Item>,
  most: number,
  run: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    while (failures.length === 0) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await run(next.value);
      } catch (cause) {
        failures.push(cause);
      }
    }
  };
  await Promise.all(Array.from({ length: most }, lane));
  if (failures.length > 0) throw failures[0];
}
