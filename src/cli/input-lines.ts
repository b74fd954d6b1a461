/**
 * The lines of a file or of standard input, as bytes, in batches, never the whole in memory. Gzip is recognized by its
 * first two bytes. A line ends with LF or CRLF (neither belongs to it); the last one may have no end.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { PassThrough, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { EnvelopeError } from "../core/errors.ts";

const READ_BYTES = 256 * 1024;
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const GZIP_MAGIC = [0x1f, 0x8b] as const;
const LF = 10;
const CR = 13;

export interface InputLines {
  /** Bytes of the file as it lies on disk (compressed, if it is); null for standard input. */
  readonly totalBytes: number | null;
  /** How many of them have been read. */
  bytesRead(): number;
  batches(): AsyncGenerator<Uint8Array[]>;
}

/** `path` "-" is standard input. Throws MISSING_FILE; while reading, CORRUPTION for a broken gzip stream. */
export async function openInput(path: string): Promise<InputLines> {
  const totalBytes = path === "-" ? null : await fileBytes(path);
  const raw: Readable = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: READ_BYTES });
  let bytesRead = 0;
  return {
    totalBytes,
    bytesRead: () => bytesRead,
    batches: () =>
      splitLines(
        decompress(raw, path, (byteCount) => {
          bytesRead += byteCount;
        }),
      ),
  };
}

async function fileBytes(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new EnvelopeError("MISSING_FILE", `${path} is not a file`);
    return found.size;
  } catch (cause) {
    if (cause instanceof EnvelopeError) throw cause;
    throw new EnvelopeError("MISSING_FILE", `${path} cannot be read: ${messageOf(cause)}`);
  }
}

async function* decompress(
  raw: Readable,
  path: string,
  count: (byteCount: number) => void,
): AsyncGenerator<Uint8Array> {
  const chunks = countedChunks(raw, count);
  let head = Buffer.alloc(0);
  let ended = false;
  while (head.length < GZIP_MAGIC.length && !ended) {
    const next = await chunks.next();
    if (next.done === true) ended = true;
    else head = Buffer.concat([head, next.value]);
  }
  if (head[0] !== GZIP_MAGIC[0] || head[1] !== GZIP_MAGIC[1]) {
    if (head.length > 0) yield head;
    yield* chunks;
    return;
  }
  const gunzip = createGunzip();
  const feed = new PassThrough({ highWaterMark: READ_BYTES });
  feed.pipe(gunzip);
  const pump = pumpInto(feed, head, chunks).catch((cause: unknown) => {
    gunzip.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  });
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
  } catch (cause) {
    throw new EnvelopeError("CORRUPTION", `${path} is not a whole gzip stream: ${messageOf(cause)}`);
  } finally {
    feed.destroy();
    gunzip.destroy();
  }
  await pump;
}

async function* countedChunks(raw: Readable, count: (byteCount: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of raw) {
    const bytes = chunk as Buffer;
    count(bytes.length);
    yield bytes;
  }
}

async function pumpInto(feed: PassThrough, head: Buffer, chunks: AsyncGenerator<Buffer>): Promise<void> {
  feed.write(head);
  for await (const chunk of chunks) {
    if (feed.destroyed) return;
    if (!feed.write(chunk)) await drainOrClose(feed);
  }
  feed.end();
}

function drainOrClose(feed: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      feed.off("drain", settle);
      feed.off("close", settle);
      resolve();
    };
    feed.on("drain", settle);
    feed.on("close", settle);
  });
}

async function* splitLines(chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let pieces: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      pieces.push(chunk.subarray(start, end));
      lines.push(joinLine(pieces));
      pieces = [];
      heldBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
    heldBytes += chunk.length - start;
    if (heldBytes > LINE_BYTES_MAX)
      throw new EnvelopeError("TOO_LARGE", `a line is longer than ${LINE_BYTES_MAX} bytes`);
    if (lines.length > 0) yield lines;
  }
  if (heldBytes > 0) yield [joinLine(pieces)];
}

/** A copy, so that a line never keeps the chunk it came in alive. */
function joinLine(pieces: readonly Uint8Array[]): Uint8Array {
  const line = Buffer.concat(pieces);
  return line.at(-1) === CR ? line.subarray(0, -1) : line;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
