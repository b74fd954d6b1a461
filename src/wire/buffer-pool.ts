/**
 * Pieces of memory for replies on their way out. A connection borrows one while it has something to say, so ten thousand
 * idle connections hold none, and the few that are in use stay warm in the processor's cache.
 */
const PIECE_BYTES = 16 * 1024;
const PIECES_KEPT_MAX = 256;

export class BufferPool {
  readonly #free: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(PIECE_BYTES);
  }

  /** Larger arrays are left to the collector. */
  give(bytes: Uint8Array): void {
    if (bytes.length === PIECE_BYTES && this.#free.length < PIECES_KEPT_MAX) this.#free.push(bytes);
  }
}
