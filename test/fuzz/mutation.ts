/**
 * How an input that means something becomes one that nearly does: bits flipped, pieces cut out, repeated, exchanged with
 * those of another input, and numbers set to the ends of what a field can hold. All of it by a seeded generator.
 */
import type { Random } from "../../src/core/random.ts";

/** What lengths, counts, terms and times are set to. */
const NUMBERS = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const;
const DECIMALS = [
  ...["-1", "0", "00", "-0", "+1", "1.5", "2147483647", "2147483648", "4294967295", "4294967296"],
  ...["9223372036854775807", "9223372036854775808", "99999999999999999999", "536870912", "536870913", "1048577"],
] as const;
const PIECE_BYTES_MAX = 64;
const MUTATIONS_MAX = 4;

type Mutation = (bytes: Uint8Array, other: Uint8Array, random: Random) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setNumber,
  setNumber,
  setDecimal,
  cutEnd,
  cutStart,
  insertChance,
  repeatPiece,
  removePiece,
  exchangeTail,
  overwritePiece,
];

/** One to four mutations of a copy of `bytes`; `other` lends pieces. */
export function mutated(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let result: Uint8Array = bytes.slice();
  for (let left = random.between(1, MUTATIONS_MAX); left > 0; left--) {
    if (result.length === 0) return chanceBytes(random.below(PIECE_BYTES_MAX), random);
    result = MUTATIONS[random.below(MUTATIONS.length)]!(result, other, random);
  }
  return result;
}

/** Bytes that mean nothing, with a liking for those at the ends. */
export function chanceBytes(byteCount: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  for (let i = 0; i < byteCount; i++) bytes[i] = random.chance(0.3) ? NUMBERS[random.below(5)]! : random.below(256);
  return bytes;
}

/** The bytes in pieces of any size, each of its own, as a network may bring them. */
export function inPieces(bytes: Uint8Array, random: Random): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const longest = 1 + random.below(random.chance(0.5) ? 8 : Math.max(1, bytes.length));
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(bytes.length, start + 1 + random.below(longest));
    pieces.push(bytes.slice(start, end));
    start = end;
  }
  return pieces;
}

function flipBit(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
  return bytes;
}

function setByte(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** Of one, two, four or eight bytes, in either order. */
function setNumber(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  const view = new DataView(bytes.buffer);
  const width = [1, 2, 4, 8][random.below(4)]!;
  if (bytes.length < width) return bytes;
  const offset = random.below(bytes.length - width + 1);
  const isLittle = random.chance(0.5);
  const number = NUMBERS[random.below(NUMBERS.length)]!;
  if (width === 1) view.setUint8(offset, number);
  else if (width === 2) view.setUint16(offset, number, isLittle);
  else view.setUint32(offset, number, isLittle);
  if (width === 8) view.setUint32(offset + 4, NUMBERS[random.below(NUMBERS.length)]!, isLittle);
  return bytes;
}

/** A number that is written out becomes another one. */
function setDecimal(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  let start = random.below(bytes.length);
  while (start < bytes.length && !isDigit(bytes[start]!)) start += 1;
  let end = start;
  while (end < bytes.length && isDigit(bytes[end]!)) end += 1;
  if (start === end) return bytes;
  return joined(bytes.subarray(0, start), Buffer.from(DECIMALS[random.below(DECIMALS.length)]!), bytes.subarray(end));
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function cutEnd(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(0, random.below(bytes.length));
}

function cutStart(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(random.below(bytes.length));
}

function insertChance(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length + 1);
  return joined(bytes.subarray(0, at), chanceBytes(1 + random.below(8), random), bytes.subarray(at));
}

function repeatPiece(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  const { start, end } = pieceOf(bytes, random);
  const at = random.below(bytes.length + 1);
  return joined(bytes.subarray(0, at), bytes.slice(start, end), bytes.subarray(at));
}

function removePiece(bytes: Uint8Array, _other: Uint8Array, random: Random): Uint8Array {
  const { start, end } = pieceOf(bytes, random);
  return joined(bytes.subarray(0, start), bytes.subarray(end));
}

function exchangeTail(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  return joined(bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length + 1)));
}

function overwritePiece(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  if (other.length === 0) return bytes;
  const { start, end } = pieceOf(other, random);
  const at = random.below(bytes.length);
  bytes.set(other.subarray(start, Math.min(end, start + bytes.length - at)), at);
  return bytes;
}

function pieceOf(bytes: Uint8Array, random: Random): { readonly start: number; readonly end: number } {
  const start = random.below(bytes.length);
  return { start, end: Math.min(bytes.length, start + 1 + random.below(PIECE_BYTES_MAX)) };
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}
