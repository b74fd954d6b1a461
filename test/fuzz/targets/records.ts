/**
 * What travels between nodes and into the log, behind its checksums: entries, transactions, results, configurations, pieces of
 * a range, users and members. Checksums are made anew after a mutation, or nothing behind them would ever be looked at.
 */
import { ByteReader } from "../../../src/core/byte-reader.ts";
import { ByteWriter } from "../../../src/core/byte-writer.ts";
import { crc32, crc32Range } from "../../../src/core/crc32.ts";
import { EnvelopeError } from "../../../src/core/errors.ts";
import { nodeId } from "../../../src/core/ids.ts";
import type { Random } from "../../../src/core/random.ts";
import { configurationIn } from "../../../src/cluster/raft-message-format.ts";
import { decodeAccessChange, encodeAccessChange } from "../../../src/record/access-format.ts";
import { encodeConfiguration } from "../../../src/record/configuration-format.ts";
import { decodeEntries, ENTRY_HEADER_BYTES } from "../../../src/record/entry-format.ts";
import { CommandReader } from "../../../src/record/command-format.ts";
import {
  decodeAdmission,
  decodeMemberRecord,
  decodeRetirement,
  encodeAdmission,
  encodeRetirement,
} from "../../../src/record/member-format.ts";
import { decodeRangePiece, RangePieceWriter } from "../../../src/record/range-piece-format.ts";
import { decodeResult, encodeResult } from "../../../src/record/result-format.ts";
import { decodeTransaction, encodeTransaction } from "../../../src/record/transaction-format.ts";
import { chanceBytes } from "../mutation.ts";
import { type FuzzTarget, nearly } from "../target.ts";
import { anySize } from "./raft-samples.ts";
import { anyCommand, anyResult, anyTransaction, entryOf } from "./record-samples.ts";

interface RecordFormat {
  make(random: Random): Uint8Array;
  /** Makes the checksums right again. */
  seal(bytes: Uint8Array): void;
  take(bytes: Uint8Array): void;
}

const FORMATS: readonly RecordFormat[] = [
  { make: anyEntry, seal: sealEntries, take: takeEntries },
  { make: anyConfiguration, seal: (bytes) => sealFront(bytes, 0), take: (bytes) => configurationIn(bytes, "a test") },
  { make: anyPiece, seal: (bytes) => sealFront(bytes, 4), take: decodeRangePiece },
  { make: (random) => encodeTransaction(anyTransaction(random, 2)), seal: unsealed, take: decodeTransaction },
  {
    make: anyResultBytes,
    seal: unsealed,
    take: (bytes) => decodeResult(new ByteReader("PROTOCOL", "a test").over(bytes)),
  },
  { make: anyChange, seal: unsealed, take: (bytes) => decodeAccessChange("users", bytes) },
  {
    make: () => encodeAdmission({ incarnation: "e".repeat(16), peerAddress: "127.0.0.1:9101", rack: "r1" }),
    seal: unsealed,
    take: decodeAdmission,
  },
  { make: () => encodeRetirement({ id: 3, forced: true }), seal: unsealed, take: decodeRetirement },
  { make: (random) => chanceBytes(random.below(30), random), seal: unsealed, take: decodeMemberRecord },
];

export const RECORDS: FuzzTarget = {
  name: "records",
  refusals: ["PROTOCOL", "CORRUPTION", "INVALID_ARGUMENT", "NEWER_FORMAT"],
  make: (random) => {
    const format = random.below(FORMATS.length);
    const bytes = nearly(FORMATS[format]!.make, random);
    if (random.chance(0.9)) FORMATS[format]!.seal(bytes);
    return new Uint8Array([format, ...bytes]);
  },
  take: (input) => {
    const format = FORMATS[(input[0] ?? 0) % FORMATS.length]!;
    format.take(input.slice(1));
    return 1;
  },
};

function unsealed(): void {}

/** A CRC-32 at this offset of everything behind it. */
function sealFront(bytes: Uint8Array, offset: number): void {
  if (bytes.length < offset + 4) return;
  new DataView(bytes.buffer).setUint32(offset, crc32(bytes.subarray(offset + 4)), true);
}

/** The header, and each command as far as they can be told apart. */
function sealEntries(bytes: Uint8Array): void {
  if (bytes.length < ENTRY_HEADER_BYTES) return;
  const view = new DataView(bytes.buffer);
  if (bytes[0]! % 2 === 0) view.setUint32(4, bytes.length, true);
  view.setUint32(0, crc32Range(bytes, 4, ENTRY_HEADER_BYTES), true);
  const reader = new CommandReader().over(bytes);
  for (let offset = ENTRY_HEADER_BYTES; offset < bytes.length; ) {
    const next = reader.read(offset, bytes.length);
    if (next < 0) return;
    view.setUint32(offset, crc32Range(bytes, offset + 4, next), true);
    offset = next;
  }
}

function takeEntries(bytes: Uint8Array): void {
  const entries = decodeEntries(bytes, "a test");
  if (entries instanceof EnvelopeError) throw entries;
}

function anyEntry(random: Random): Uint8Array {
  const commands = Array.from({ length: random.between(1, 3) }, () => anyCommand(random));
  return entryOf(anySize(random), anySize(random), commands, random.u32());
}

function anyConfiguration(random: Random): Uint8Array {
  const rest = { incarnation: "f".repeat(16), peerAddress: "127.0.0.1:9101" };
  return encodeConfiguration(
    Array.from({ length: random.between(1, 3) }, (_, i) => ({
      id: nodeId(i + 1),
      name: `n${i + 1}`,
      role: random.chance(0.7) ? "voter" : "learner",
      ...rest,
    })),
  );
}

function anyPiece(random: Random): Uint8Array {
  const writer = new RangePieceWriter();
  writer.begin(random.u32(), anySize(random));
  for (let left = random.below(3); left > 0; left--) {
    const [key, value] = [chanceBytes(random.below(9), random), chanceBytes(random.below(9), random)];
    const stamp = { stampHigh: random.u32(), stampLow: random.u32(), origin: random.below(9) };
    writer.add({ bucket: 1, key, value, ...stamp, expiryMs: anySize(random) });
  }
  return writer.end(random.chance(0.5));
}

function anyResultBytes(random: Random): Uint8Array {
  const writer = new ByteWriter();
  encodeResult(anyResult(random), writer);
  return writer.copy();
}

function anyChange(random: Random): Uint8Array {
  const grants = [{ bucket: "*", prefix: chanceBytes(random.below(5), random), rights: random.between(1, 15) }];
  const record = { id: anySize(random), hash: "$argon2id$", enabled: true, roles: ["reader"], grants, revision: 3 };
  return encodeAccessChange("users", anySize(random), record);
}
