/**
 * One command: the unit of change. The same bytes lie in a client's batch, on the peer link, in the ring and on disk.
 *
 *   offset  bytes
 *        0      4  CRC-32 of everything behind it
 *        4      1  type (CommandType)
 *        5      1  flags: which optional fields follow (FLAG_*)
 *        6      2  origin node, u16
 *        8      8  stamp: high u32, low u32
 *       16      4  bucket id, u32
 *       20      4  key bytes in the low 24 bits, modifiers (MODIFIER_*) in the high 8
 *       24      4  value bytes, u32
 *       28     (8) expiry: milliseconds since 1970, u64            FLAG_EXPIRY
 *              (8) transaction id, u64                             FLAG_TRANSACTION
 *             (12) session id u64, sequence u32                    FLAG_SESSION: carried out once (session-format.ts)
 *                  key, value
 *
 * The leader stamps a command when it proposes it, and only then is its checksum final. What `value` holds depends on
 * the type and is said at each CommandType. Numbers here are persisted: never reuse one.
 */
import { assert } from "../core/assert.ts";
import { copyBytes } from "../core/copy-bytes.ts";
import { crc32Range } from "../core/crc32.ts";
import { corruption, type EnvelopeError } from "../core/errors.ts";
import { getU64, setU64 } from "../core/bytes.ts";

export const COMMAND_HEADER_BYTES = 28;
export const KEY_BYTES_LIMIT = 0xff_ffff;

export const CommandType = {
  /** Sets key to value, with an optional expiry. */
  put: 1,
  /** Removes the key. Result: integer, 1 if it was there. */
  delete: 2,
  /** Reserved for transactions. */
  commit: 3,
  /** Reserved for transactions. */
  rollback: 4,
  /** SET with conditions, decided by the MODIFIER_* bits. Result: ok or nil; with MODIFIER_GET the old value or nil. */
  conditionalPut: 5,
  /** Adds the i64 in the value (8 bytes) to the decimal text at the key. Result: integer, NOT_AN_INTEGER or OVERFLOW. */
  increment: 6,
  /** Appends the value. Result: integer, the new length. */
  append: 7,
  /** Sets the expiry field (MODIFIER_* NX, XX, GT, LT of EXPIRE). Result: integer, 1 if it was set. */
  expire: 8,
  /** Removes the expiry. Result: integer, 1 if there was one. */
  persist: 9,
  /** Removes the key. Result: the old value or nil. */
  getDelete: 10,
  /** Reads and changes the expiry: FLAG_EXPIRY sets it, MODIFIER_PERSIST removes it. Result: the value or nil. */
  getExpire: 11,
  /** In the system bucket of every shard: the bucket whose id is the value (u32) is gone. Result: ok. */
  fence: 12,
  /** Catalog (shard 0): creates the bucket named by the key; value: MessagePack profile. Result: integer id, or BUCKET_EXISTS. */
  createBucket: 13,
  /** Catalog (shard 0): drops the bucket named by the key. Result: integer, the id to fence, or NO_BUCKET. */
  dropBucket: 14,
  /** Catalog (shard 0): gives the name a new, empty id (FLUSHDB). Result: integer, the old id to fence, or NO_BUCKET. */
  renewBucket: 15,
  /** Catalog (shard 0): the fence of the id in the value (u32) is in every shard. Result: ok. */
  fenceDone: 16,
  /** Opens the session that it names, for as many milliseconds from each use as the value says (u32). Result: ok, or OVERLOADED. */
  openSession: 17,
  /** Ends the session that it names. Result: ok. */
  closeSession: 18,
  /** Catalog (shard 0): enters the members that the cluster was born with (MemberList), if nobody has. Result: ok. */
  foundCluster: 19,
  /**
   * Catalog (shard 0): the member named by the key comes, or is somewhere else now; value: Admission (member-format.ts).
   * Result: integer, its id, or MEMBER_EXISTS, or UNAVAILABLE before the first members are entered.
   */
  admitMember: 20,
  /** Catalog (shard 0): the member named by the key is to leave; value: Retirement (member-format.ts). Result: ok, or NO_MEMBER. */
  retireMember: 21,
  /** Catalog (shard 0): the leaving member named by the key, whose id is the value (u32), is gone. Result: ok, or NO_MEMBER. */
  forgetMember: 22,
  /** Writes bytes over a part of the value (part-format.ts). Result: integer, the new length, or TOO_LARGE. */
  setRange: 23,
  /** Sets one bit of the value (part-format.ts). Result: integer, what it was, or TOO_LARGE. */
  setBit: 24,
  /** Adds the number that the value spells to the one at the key. Result: the sum (bytes), NOT_A_FLOAT, OVERFLOW or TOO_LARGE. */
  incrementFloat: 25,
  /**
   * Several operations on keys of one bucket (transaction-format.ts); the key is one of theirs. Result: `results`, one for
   * each operation, or CONFLICT when a condition does not hold, or TOO_LARGE.
   */
  transaction: 26,
  /** Within a transaction alone: the key gets the name in the value, with its expiry; MODIFIER_NX. Result: as RENAME and RENAMENX. */
  rename: 27,
  /** Within a transaction alone: the key is copied to the one in the value, with its expiry; MODIFIER_NX. Result: integer, 1 if it was. */
  copy: 28,
  /**
   * Catalog (shard 0): the user, role, key of tokens or revocation that the key names is what the value says (record/access-format.ts).
   * Result: integer, its revision, or CONFLICT where it had another than the value expects.
   */
  changeAccess: 29,
  /** Catalog (shard 0): the entry that the key names, whose revision is the value (u32), is gone. Result: ok, or CONFLICT. */
  removeAccess: 30,
  /** Catalog (shard 0): as changeAccess, for the very first user. Result: integer, or CONFLICT when there has been one. */
  foundAccess: 31,
  /**
   * Catalog (shard 0): what is chosen for the bucket named by the key changes; value: MessagePack map of the fields of its
   * profile that change. Result: integer, its id, or NO_BUCKET.
   */
  alterBucket: 32,
} as const;
export type CommandType = (typeof CommandType)[keyof typeof CommandType];

/** 1 at every number that is a CommandType. */
const KNOWN_TYPES = new Uint8Array(256);
for (const type of Object.values(CommandType)) KNOWN_TYPES[type] = 1;

export const FLAG_EXPIRY = 1;
export const FLAG_TRANSACTION = 2;
export const FLAG_SESSION = 4;
const FLAGS_KNOWN = 7;

export const MODIFIER_NX = 1;
export const MODIFIER_XX = 2;
export const MODIFIER_GET = 4;
export const MODIFIER_KEEPTTL = 8;
export const MODIFIER_PERSIST = 16;
export const MODIFIER_GT = 32;
export const MODIFIER_LT = 64;

const SAFE_MAX = Number.MAX_SAFE_INTEGER;
const FLAGS_OFFSET = 5;
const SESSION_BYTES = 12;
const OPTIONAL_BYTES = [0, 8, 8, 16, 12, 20, 20, 28] as const;

export function commandBytes(flags: number, keyBytes: number, valueBytes: number): number {
  return COMMAND_HEADER_BYTES + OPTIONAL_BYTES[flags & FLAGS_KNOWN]! + keyBytes + valueBytes;
}

/** A range of bytes inside a larger array: no slice is made on the way in. */
export interface ByteRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * Writes a command without stamp and checksum at `offset` and returns the offset behind it. The caller has checked
 * the limits and made room. `expiryMs` 0 means none.
 */
export function encodeCommand(
  target: Uint8Array,
  view: DataView,
  offset: number,
  type: CommandType,
  modifiers: number,
  bucket: number,
  key: ByteRange,
  value: ByteRange,
  expiryMs: number,
): number {
  const keyBytes = key.end - key.start;
  const valueBytes = value.end - value.start;
  const flags = expiryMs === 0 ? 0 : FLAG_EXPIRY;
  view.setUint32(offset, 0, true);
  view.setUint32(offset + 4, type | (flags << 8), true);
  view.setUint32(offset + 8, 0, true);
  view.setUint32(offset + 12, 0, true);
  view.setUint32(offset + 16, bucket, true);
  view.setUint32(offset + 20, keyBytes | (modifiers << 24), true);
  view.setUint32(offset + 24, valueBytes, true);
  let cursor = offset + COMMAND_HEADER_BYTES;
  if (expiryMs !== 0) {
    setU64(view, cursor, expiryMs);
    cursor += 8;
  }
  copyBytes(key.bytes, key.start, key.end, target, cursor);
  cursor += keyBytes;
  copyBytes(value.bytes, value.start, value.end, target, cursor);
  return cursor + valueBytes;
}

/** An encoded command, without stamp and checksum, made part of a session. */
export function withSession(command: Uint8Array, session: number, sequence: number): Uint8Array {
  const reader = new CommandReader().over(command);
  const isWhole = reader.read(0, command.length) === command.length;
  assert(isWhole && (reader.flags & FLAG_SESSION) === 0, "a command becomes part of a session once");
  const bytes = new Uint8Array(command.length + SESSION_BYTES);
  bytes.set(command.subarray(0, reader.keyStart));
  bytes.set(command.subarray(reader.keyStart), reader.keyStart + SESSION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(FLAGS_OFFSET, reader.flags | FLAG_SESSION);
  setU64(view, reader.keyStart, session);
  view.setUint32(reader.keyStart + 8, sequence, true);
  return bytes;
}

/** Whether an encoded command is part of a session. */
export function hasSession(command: Uint8Array): boolean {
  return (command[FLAGS_OFFSET]! & FLAG_SESSION) !== 0;
}

/** Gives an encoded command its origin and stamp, and seals it with the checksum. `end` is the offset behind it. */
export function sealCommand(
  target: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
  origin: number,
  stampHigh: number,
  stampLow: number,
): void {
  view.setUint16(offset + 6, origin, true);
  view.setUint32(offset + 8, stampHigh, true);
  view.setUint32(offset + 12, stampLow, true);
  view.setUint32(offset, crc32Range(target, offset + 4, end), true);
}

/**
 * A command being read, reused over a whole batch: `key` and `value` are offsets into `bytes`, so nothing is allocated
 * for each command.
 */
export class CommandReader {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  type: CommandType = CommandType.put;
  flags = 0;
  modifiers = 0;
  origin = 0;
  stampHigh = 0;
  stampLow = 0;
  bucket = 0;
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** 0: none. */
  expiryMs = 0;
  transactionId = 0;
  sessionId = 0;
  sequence = 0;

  over(bytes: Uint8Array): this {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this;
  }

  /** Reads the command at `offset` without its checksum; returns the offset behind it, or −1 if it does not parse. */
  read(offset: number, limit: number): number {
    if (offset + COMMAND_HEADER_BYTES > limit) return -1;
    const view = this.view;
    const type = view.getUint8(offset + 4);
    const flags = view.getUint8(offset + 5);
    if (KNOWN_TYPES[type] === 0 || flags > FLAGS_KNOWN) return -1;
    this.type = type as CommandType;
    this.flags = flags;
    this.origin = view.getUint16(offset + 6, true);
    this.stampHigh = view.getUint32(offset + 8, true);
    this.stampLow = view.getUint32(offset + 12, true);
    this.bucket = view.getUint32(offset + 16, true);
    const keyWord = view.getUint32(offset + 20, true);
    this.modifiers = keyWord >>> 24;
    const keyBytes = keyWord & KEY_BYTES_LIMIT;
    const valueBytes = view.getUint32(offset + 24, true);
    const end = offset + commandBytes(flags, keyBytes, valueBytes);
    if (end > limit) return -1;
    this.expiryMs = 0;
    if (flags !== 0 && !this.#readOptional(offset + COMMAND_HEADER_BYTES, flags)) return -1;
    this.valueEnd = end;
    this.valueStart = end - valueBytes;
    this.keyEnd = this.valueStart;
    this.keyStart = this.valueStart - keyBytes;
    return end;
  }

  /** False: one of them is beyond what is safe. */
  #readOptional(offset: number, flags: number): boolean {
    let cursor = offset;
    if ((flags & FLAG_EXPIRY) !== 0) {
      this.expiryMs = getU64(this.view, cursor);
      if (this.expiryMs > SAFE_MAX) return false;
      cursor += 8;
    }
    if ((flags & FLAG_TRANSACTION) !== 0) {
      this.transactionId = getU64(this.view, cursor);
      if (this.transactionId > SAFE_MAX) return false;
      cursor += 8;
    }
    if ((flags & FLAG_SESSION) !== 0) {
      this.sessionId = getU64(this.view, cursor);
      if (this.sessionId > SAFE_MAX) return false;
      this.sequence = this.view.getUint32(cursor + 8, true);
    }
    return true;
  }

  key(): Uint8Array {
    return this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  value(): Uint8Array {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }
}

/** Checks every command in a range by structure and checksum; null when all are whole, else where it broke. */
export function verifyCommands(
  bytes: Uint8Array,
  start: number,
  end: number,
  count: number,
  file: string,
): EnvelopeError | null {
  const reader = new CommandReader().over(bytes);
  let offset = start;
  for (let i = 0; i < count; i++) {
    const next = reader.read(offset, end);
    if (next < 0) return corruption(file, offset, "a command that does not parse");
    if (crc32Range(bytes, offset + 4, next) !== reader.view.getUint32(offset, true)) {
      return corruption(file, offset, "a command with a wrong checksum");
    }
    offset = next;
  }
  return offset === end ? null : corruption(file, offset, "bytes behind the last command");
}
