/**
 * Something that takes bytes from strangers. Whatever comes, it yields messages or one error of the closed set; it ends;
 * it keeps nothing; and what it reads does not depend on how the bytes were cut into pieces.
 */
import { EnvelopeError, type ErrorCode } from "../../src/core/errors.ts";
import type { Random } from "../../src/core/random.ts";
import { chanceBytes, inPieces, mutated } from "./mutation.ts";

export interface FuzzTarget {
  readonly name: string;
  /** What it may say to an input that is none. */
  readonly refusals: readonly ErrorCode[];
  /** An input: what the grammar makes, nearly that, or chance. */
  make(random: Random): Uint8Array;
  /** Returns how many messages came of it; throws what the decoder throws. */
  take(input: Uint8Array, random: Random): number;
}

/** One in so many inputs is left as the grammar has made it, and as many are chance. */
const PLAIN_OF = 8;

/** An input of a grammar: as it is made, mutated, or chance. */
export function nearly(make: (random: Random) => Uint8Array, random: Random): Uint8Array {
  const made = make(random);
  const dice = random.below(PLAIN_OF);
  if (dice === 0) return made;
  if (dice === 1) return chanceBytes(random.below(2 * made.length + 2), random);
  return mutated(made, random.chance(0.3) ? make(random) : made, random);
}

/** One reading of a stream: how many messages, a checksum over them, and how it ended. */
interface Reading {
  readonly messageCount: number;
  readonly digest: number;
  readonly error: EnvelopeError | null;
}

/** Reads one piece after the other; calls `seen` with the bytes that stand for each message. */
export type StreamReading = (pieces: readonly Uint8Array[], seen: (bytes: Uint8Array) => void) => void;

/** Reads a stream whole and in pieces; both have to come to the same. Returns how many messages there were. */
export function readTwice(read: StreamReading, input: Uint8Array, random: Random): number {
  const whole = readingOf(read, [input.slice()], input.length);
  const cut = readingOf(read, inPieces(input, random), input.length);
  const isSame = whole.messageCount === cut.messageCount && whole.digest === cut.digest;
  if (!isSame || whole.error?.message !== cut.error?.message) {
    const [one, other] = [whole, cut].map((reading) => JSON.stringify({ ...reading, error: String(reading.error) }));
    throw new Error(`what is read depends on how the bytes were cut: ${one} and ${other}`);
  }
  if (whole.error !== null) throw whole.error;
  return whole.messageCount;
}

function readingOf(read: StreamReading, pieces: readonly Uint8Array[], byteCount: number): Reading {
  let messageCount = 0;
  let digest = 0;
  const seen = (bytes: Uint8Array): void => {
    messageCount += 1;
    if (messageCount > byteCount) throw new Error("more messages than bytes");
    digest = Bun.hash.crc32(bytes, digest ^ bytes.length);
  };
  try {
    read(pieces, seen);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    return { messageCount, digest, error: cause };
  }
  return { messageCount, digest, error: null };
}
