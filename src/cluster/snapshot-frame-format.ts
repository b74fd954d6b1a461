/**
 * How a follower fetches a snapshot from its leader: the bodies of `snapshotAsk` and `snapshotGiven` frames. It asks for
 * the description, then for one piece of a file after the other, and each question is answered once; what a broken
 * connection has lost is asked for again.
 *
 *   snapshotAsk     u64 snapshot, u8 0                                               what it is made of
 *                   u64 snapshot, u8 1, u32 file, u64 offset, u32 bytes              a piece of the file at this place of the description
 *   snapshotGiven   u64 snapshot, u8 0, description                                  MessagePack, as the shard has made it
 *                   u64 snapshot, u8 1, u32 file, u64 offset, bytes to the end       the piece
 *                   u64 snapshot, u8 2                                               there is no such snapshot any more
 *
 * The frame's checksum covers a piece on its way, the description's checksums each file as a whole.
 */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { unreachable } from "../core/assert.ts";

const DESCRIPTION = 0;
const PIECE = 1;
const GONE = 2;

export interface PieceOfFile {
  readonly file: number;
  readonly offset: number;
  readonly byteCount: number;
}

/** `piece` null: the description. */
export interface SnapshotAsk {
  readonly snapshot: number;
  readonly piece: PieceOfFile | null;
}

export type SnapshotGiven =
  | { readonly kind: "description"; readonly snapshot: number; readonly description: Uint8Array }
  | {
      readonly kind: "piece";
      readonly snapshot: number;
      readonly file: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "gone"; readonly snapshot: number };

export function encodeSnapshotAsk({ snapshot, piece }: SnapshotAsk, into: ByteWriter): void {
  into.u64(snapshot);
  into.u8(piece === null ? DESCRIPTION : PIECE);
  if (piece === null) return;
  into.u32(piece.file);
  into.u64(piece.offset);
  into.u32(piece.byteCount);
}

/** Throws PROTOCOL. */
export function decodeSnapshotAsk(from: ByteReader): SnapshotAsk {
  const snapshot = from.u64();
  const kind = from.u8();
  if (kind === DESCRIPTION) return { snapshot, piece: null };
  if (kind !== PIECE) throw from.invalid("a question about a snapshot of unknown kind");
  return { snapshot, piece: { file: from.u32(), offset: from.u64(), byteCount: from.u32() } };
}

export function encodeSnapshotGiven(given: SnapshotGiven, into: ByteWriter): void {
  into.u64(given.snapshot);
  switch (given.kind) {
    case "description":
      into.u8(DESCRIPTION);
      into.raw(given.description);
      return;
    case "piece":
      into.u8(PIECE);
      into.u32(given.file);
      into.u64(given.offset);
      into.raw(given.bytes);
      return;
    case "gone":
      into.u8(GONE);
      return;
    default:
      unreachable(given);
  }
}

/** Byte fields are views. Throws PROTOCOL. */
export function decodeSnapshotGiven(from: ByteReader): SnapshotGiven {
  const snapshot = from.u64();
  const kind = from.u8();
  switch (kind) {
    case DESCRIPTION:
      return { kind: "description", snapshot, description: from.raw(from.remaining) };
    case PIECE:
      return { kind: "piece", snapshot, file: from.u32(), offset: from.u64(), bytes: from.raw(from.remaining) };
    case GONE:
      return { kind: "gone", snapshot };
    default:
      throw from.invalid("an answer about a snapshot of unknown kind");
  }
}
