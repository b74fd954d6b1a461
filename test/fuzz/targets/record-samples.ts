/** Commands, entries, results and members as they travel between nodes: whole, with fields from all over their range. */
import { logIndex, type NodeId, nodeId, term } from "../../../src/core/ids.ts";
import type { Random } from "../../../src/core/random.ts";
import type { RaftEntry } from "../../../src/raft/messages.ts";
import {
  CommandType,
  commandBytes,
  encodeCommand,
  FLAG_EXPIRY,
  sealCommand,
} from "../../../src/record/command-format.ts";
import { emptyEntry, ENTRY_HEADER_BYTES, EntryKind, sealEntry } from "../../../src/record/entry-format.ts";
import type { MemberList } from "../../../src/record/member-format.ts";
import { errorResult, NIL, OK, type Result } from "../../../src/record/result.ts";
import { encodeTransaction, type Transaction } from "../../../src/record/transaction-format.ts";
import { chanceBytes } from "../mutation.ts";
import { anySize } from "./raft-samples.ts";

const TYPES = Object.values(CommandType);
const KEY_BYTES_MAX = 12;

/** A command without stamp and checksum. */
export function anyCommand(random: Random): Uint8Array {
  const type = TYPES[random.below(TYPES.length)]!;
  const key = chanceBytes(random.below(KEY_BYTES_MAX), random);
  const value = type === CommandType.transaction ? encodeTransaction(anyTransaction(random, 1)) : valueFor(random);
  const expiryMs = random.chance(0.3) ? anySize(random) : 0;
  const bytes = new Uint8Array(commandBytes(expiryMs === 0 ? 0 : FLAG_EXPIRY, key.length, value.length));
  const view = new DataView(bytes.buffer);
  const modifiers = random.chance(0.5) ? 0 : random.below(256);
  encodeCommand(bytes, view, 0, type, modifiers, bucketOf(random), whole(key), whole(value), expiryMs);
  return bytes;
}

function valueFor(random: Random): Uint8Array {
  const lengths = [0, 4, 5, 8, random.below(40)] as const;
  return chanceBytes(lengths[random.below(lengths.length)]!, random);
}

function bucketOf(random: Random): number {
  return [0, 1, 1, 1, 2, 64, 0xffff_ffff][random.below(7)]!;
}

export function anyTransaction(random: Random, depth: number): Transaction {
  const key = () => chanceBytes(random.below(3), random);
  const write = () => {
    const type = TYPES[random.below(TYPES.length)]!;
    const isInner = type === CommandType.transaction && depth > 0;
    const value = isInner ? encodeTransaction(anyTransaction(random, depth - 1)) : valueFor(random);
    return { kind: "write", type, modifiers: random.below(128), key: key(), value, expiryMs: anySize(random) } as const;
  };
  const conditions = random.chance(0.5) ? [] : [{ kind: "absent", key: key() } as const];
  const operations = Array.from({ length: random.below(4) }, () =>
    random.chance(0.2) ? ({ kind: "read", key: key(), metadataOnly: random.chance(0.5) } as const) : write(),
  );
  return { conditions, operations };
}

/** An entry of these commands, each sealed. */
export function entryOf(index: number, entryTerm: number, commands: readonly Uint8Array[], stamp: number): Uint8Array {
  const byteCount = commands.reduce((sum, { length }) => sum + length, ENTRY_HEADER_BYTES);
  const entry = new Uint8Array(byteCount);
  const view = new DataView(entry.buffer);
  let offset = ENTRY_HEADER_BYTES;
  for (const [i, command] of commands.entries()) {
    entry.set(command, offset);
    sealCommand(entry, view, offset, offset + command.length, 1, stamp, i);
    offset += command.length;
  }
  const kind = EntryKind.commands;
  sealEntry(entry, view, 0, entry.length, logIndex(index), term(entryTerm), commands.length, kind);
  return entry;
}

/** Consecutive entries of rising terms, as they come in an append. */
export function anyEntries(random: Random): RaftEntry[] {
  const first = random.between(1, 12);
  let entryTerm = random.below(8);
  return Array.from({ length: random.below(4) }, (_, i) => {
    entryTerm += random.chance(0.2) ? 1 : 0;
    const index = logIndex(first + i);
    const isEmpty = random.chance(0.3);
    const bytes = isEmpty ? emptyEntry(index, term(entryTerm)) : entryOf(index, entryTerm, [anyCommand(random)], 7);
    return { index, term: term(entryTerm), bytes, configuration: null };
  });
}

export function anyResult(random: Random): Result {
  const bytes = chanceBytes(random.below(9), random);
  const results: readonly Result[] = [
    OK,
    NIL,
    { kind: "integer", value: -(2n ** 63n) },
    { kind: "bytes", bytes },
    { kind: "version", valueBytes: bytes.length, expiryMs: anySize(random), value: bytes },
    { kind: "page", keys: [bytes, bytes], matchCount: 2, byteCount: 9, next: bytes },
    { kind: "entries", entries: [{ key: bytes, expiryMs: 0, value: bytes }], isCut: true },
    { kind: "stamped", stampHigh: 1, stampLow: 2, valueBytes: 0, expiryMs: 0, value: bytes },
    errorResult("CONFLICT", "no"),
  ];
  const result = results[random.below(results.length)]!;
  return random.chance(0.2) ? { kind: "results", results: [result, { kind: "results", results: [result] }] } : result;
}

export function anyMemberList(random: Random): MemberList {
  const members = Array.from({ length: random.below(4) }, (_, i) => ({
    id: nodeId(i + 1) as NodeId,
    name: `n${i + 1}`,
    incarnation: random.chance(0.5) ? "" : "d".repeat(16),
    peerAddress: random.chance(0.5) ? "" : "127.0.0.1:9101",
    rack: "",
    state: random.chance(0.8) ? ("member" as const) : ("leaving" as const),
  }));
  return { version: anySize(random), nextId: members.length + 1 + random.below(3), members };
}

function whole(bytes: Uint8Array) {
  return { bytes, start: 0, end: bytes.length };
}
