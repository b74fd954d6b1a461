/**
 * Memory in which tables are gathered before they are written, used again from table to table: fresh memory costs as
 * much in page faults as what is written into it. A bounded number of chunks is kept. Each thread has its own.
 */

const CHUNK_BYTES = 1024 * 1024;
const SPARE_CHUNKS_MAX = 32;

const spareChunks: Uint8Array[] = [];

/** At least `byteCount` bytes, of any content. */
export function takeChunk(byteCount: number): Uint8Array {
  const spare = byteCount <= CHUNK_BYTES ? spareChunks.pop() : undefined;
  return spare ?? new Uint8Array(Math.max(CHUNK_BYTES, byteCount));
}

/** The caller has no view of it any more. */
export function giveChunk(chunk: Uint8Array): void {
  if (chunk.length === CHUNK_BYTES && spareChunks.length < SPARE_CHUNKS_MAX) spareChunks.push(chunk);
}
