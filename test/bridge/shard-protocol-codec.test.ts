/**
 * Every request and reply comes out of a ring as it went in, and a damaged one is refused, never misread.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeReply, encodeReply } from "../../src/bridge/shard-reply-codec.ts";
import { decodeRequest, decodeShard, encodeRequest } from "../../src/bridge/shard-request-codec.ts";
import type {
  CommandResult,
  ReadRequest,
  ShardBoot,
  ShardReply,
  ShardRequest,
  ShardStats,
} from "../../src/bridge/shard-protocol.ts";
import { ByteReader } from "../../src/core/byte-reader.ts";
import { encodeRead } from "../../src/bridge/read-request-format.ts";
import { encodeResult } from "../../src/record/result-format.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { EnvelopeError, type ErrorCode } from "../../src/core/errors.ts";
import { type LogIndex, logIndex, type NodeId, nodeId, shardId, type Term, term } from "../../src/core/ids.ts";
import type { Result } from "../../src/record/result.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const safe = fc.maxSafeNat();
const index: fc.Arbitrary<LogIndex> = safe.map(logIndex);
const aTerm: fc.Arbitrary<Term> = safe.map(term);
const node: fc.Arbitrary<NodeId> = fc.integer({ min: 0, max: 0xffff }).map(nodeId);
const bytes = fc.uint8Array({ maxLength: 40 });
const optionalBytes = fc.option(bytes);
const errorCode = fc.constantFrom<ErrorCode>("IO", "DISKFULL", "FENCED", "NOT_AN_INTEGER", "CORRUPTION");
const message = fc.string({ unit: "grapheme" });

const results: { readonly [K in Result["kind"]]: fc.Arbitrary<Extract<Result, { kind: K }>> } = {
  ok: fc.record({ kind: fc.constant("ok" as const), durability: fc.constantFrom("sync", "interval", "os") }),
  nil: fc.record({ kind: fc.constant("nil" as const) }),
  integer: fc.record({
    kind: fc.constant("integer" as const),
    value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  }),
  bytes: fc.record({ kind: fc.constant("bytes" as const), bytes }),
  version: fc.record({ kind: fc.constant("version" as const), valueBytes: u32, expiryMs: safe, value: bytes }),
  page: fc.record({
    kind: fc.constant("page" as const),
    keys: fc.array(bytes),
    matchCount: u32,
    byteCount: u32,
    next: optionalBytes,
  }),
  entries: fc.record({
    kind: fc.constant("entries" as const),
    entries: fc.array(fc.record({ key: bytes, expiryMs: safe, value: bytes })),
    isCut: fc.boolean(),
  }),
  results: fc.record({
    kind: fc.constant("results" as const),
    results: fc.array(fc.record({ kind: fc.constant("bytes" as const), bytes })),
  }),
  stamped: fc.record({
    kind: fc.constant("stamped" as const),
    stampHigh: u32,
    stampLow: u32,
    valueBytes: u32,
    expiryMs: safe,
    value: bytes,
  }),
  error: fc.record({ kind: fc.constant("error" as const), code: errorCode, message }),
};
const result: fc.Arbitrary<Result> = fc.oneof(...Object.values(results));

const bound = fc.option(fc.record({ key: bytes, isInclusive: fc.boolean() }));
const read: fc.Arbitrary<ReadRequest> = fc.oneof(
  fc.record({ type: fc.constant("get" as const), bucket: u32, key: bytes, metadataOnly: fc.boolean() }),
  fc.record({ type: fc.constant("stamped" as const), bucket: u32, key: bytes, metadataOnly: fc.boolean() }),
  fc.record({
    type: fc.constant("page" as const),
    bucket: u32,
    after: optionalBytes,
    examineMax: u32,
    bytesMax: u32,
    pattern: optionalBytes,
    mode: fc.constantFrom("keys" as const, "count" as const),
  }),
  fc.record({ type: fc.constant("sample" as const), bucket: u32, random: u32 }),
  fc.record({
    type: fc.constant("scan" as const),
    bucket: u32,
    prefix: bytes,
    lower: bound,
    upper: bound,
    isReverse: fc.boolean(),
    keysOnly: fc.boolean(),
    entriesMax: u32,
    bytesMax: u32,
    asOf: fc.option(fc.record({ high: u32, low: u32 })),
  }),
);

const ranges = fc.array(fc.record({ smallest: bytes, largest: bytes }));

const requests: { readonly [K in ShardRequest["type"]]: fc.Arbitrary<Extract<ShardRequest, { type: K }>> } = {
  append: fc.record({
    type: fc.constant("append" as const),
    entries: fc.array(bytes),
    commitIndex: index,
    applyThrough: index,
    wantResults: fc.boolean(),
  }),
  commit: fc.record({ type: fc.constant("commit" as const), commitIndex: index }),
  saveHardState: fc.record({ type: fc.constant("saveHardState" as const), term: aTerm, vote: node }),
  read: fc.record({ type: fc.constant("read" as const), requestId: safe, minIndex: index, read }),
  readEntries: fc.record({ type: fc.constant("readEntries" as const), from: index, bytesMax: u32 }),
  release: fc.record({ type: fc.constant("release" as const), index, retainedBytes: safe }),
  flush: fc.record({ type: fc.constant("flush" as const), requestId: safe }),
  compact: fc.record({ type: fc.constant("compact" as const), requestId: safe }),
  stats: fc.record({ type: fc.constant("stats" as const), requestId: safe }),
  returnArena: fc.record({ type: fc.constant("returnArena" as const), arena: u32 }),
  snapshot: fc.record({ type: fc.constant("snapshot" as const), requestId: safe }),
  snapshotRead: fc.record({
    type: fc.constant("snapshotRead" as const),
    requestId: safe,
    id: u32,
    file: u32,
    offset: safe,
    byteCount: u32,
  }),
  snapshotDrop: fc.record({ type: fc.constant("snapshotDrop" as const), id: u32 }),
  installBegin: fc.record({ type: fc.constant("installBegin" as const), requestId: safe, description: bytes }),
  installPiece: fc.record({
    type: fc.constant("installPiece" as const),
    requestId: safe,
    file: u32,
    offset: safe,
    bytes,
  }),
  installEnd: fc.record({ type: fc.constant("installEnd" as const), requestId: safe }),
  repairBegin: fc.record({
    type: fc.constant("repairBegin" as const),
    requestId: safe,
    attempt: u32,
    holds: fc.boolean(),
  }),
  repairAt: fc.record({ type: fc.constant("repairAt" as const), requestId: safe, index }),
  repairPiece: fc.record({ type: fc.constant("repairPiece" as const), requestId: safe, bytes }),
  repairEnd: fc.record({ type: fc.constant("repairEnd" as const), requestId: safe }),
  repairAbandon: fc.record({ type: fc.constant("repairAbandon" as const) }),
  rangeOpen: fc.record({ type: fc.constant("rangeOpen" as const), requestId: safe, minIndex: index, ranges }),
  rangeRead: fc.record({ type: fc.constant("rangeRead" as const), requestId: safe, id: u32, ordinal: u32 }),
  rangeClose: fc.record({ type: fc.constant("rangeClose" as const), id: u32 }),
  empty: fc.record({ type: fc.constant("empty" as const), requestId: safe, votesFrom: index }),
  stop: fc.record({ type: fc.constant("stop" as const) }),
};

const system = fc.array(fc.record({ key: bytes, value: optionalBytes }));

const boot: fc.Arbitrary<ShardBoot> = fc.record({
  hardTerm: aTerm,
  hardVote: node,
  votesFrom: index,
  firstIndex: index,
  lastIndex: index,
  lastTerm: aTerm,
  previousTerm: aTerm,
  termRuns: fc.array(fc.record({ firstIndex: index, term: aTerm })),
  commitIndex: index,
  appliedIndex: index,
  stampHigh: u32,
  stampLow: u32,
  configurations: fc.array(fc.record({ index, body: bytes })),
  lostEnd: fc.option(fc.record({ lastIndex: index, lastTerm: aTerm })),
  system,
});

const stats: fc.Arbitrary<ShardStats> = fc.record({
  appliedIndex: safe,
  flushedIndex: safe,
  memtableBytes: safe,
  memtableEntries: safe,
  tableCount: safe,
  tableBytes: safe,
  runCount: safe,
  oldestRunBytes: safe,
  tableEntries: safe,
  segmentCount: safe,
  segmentBytes: safe,
  syncCount: safe,
  groupCount: safe,
  flushCount: safe,
  compactionCount: safe,
  arenasInUse: safe,
  logBytes: safe,
  flushBytes: safe,
  compactionBytes: safe,
  debtBytes: safe,
  writeDelayMicros: safe,
  stallCount: safe,
  quarantinedTables: safe,
  quarantinedSegments: safe,
  blockCacheBytes: safe,
  blockCacheHits: safe,
  blockCacheMisses: safe,
  snapshotCount: safe,
  oldestSnapshotAgeMs: safe,
  valueFileCount: safe,
  valueFileBytes: safe,
  valueBytesLive: safe,
  quarantinedValueFiles: safe,
  hotKeyCount: safe,
  hotKeyBytes: safe,
  hotKeyHits: safe,
  tablesPerLevel: fc.array(u32),
});

const commandResults: fc.Arbitrary<CommandResult[]> = fc.array(fc.record({ index, ordinal: u32, result }));

const replies: { readonly [K in ShardReply["type"]]: fc.Arbitrary<Extract<ShardReply, { type: K }>> } = {
  opened: fc.record({ type: fc.constant("opened" as const), boot }),
  persisted: fc.record({ type: fc.constant("persisted" as const), lastIndex: index, lastTerm: aTerm }),
  hardStateSaved: fc.record({ type: fc.constant("hardStateSaved" as const), term: aTerm, vote: node }),
  applied: fc.record({
    type: fc.constant("applied" as const),
    appliedIndex: index,
    stampHigh: u32,
    stampLow: u32,
    results: commandResults,
    system,
  }),
  readResult: fc.record({ type: fc.constant("readResult" as const), requestId: safe, result }),
  entriesRead: fc.record({ type: fc.constant("entriesRead" as const), from: index, entries: fc.array(bytes) }),
  done: fc.record({ type: fc.constant("done" as const), requestId: safe, result }),
  stats: fc.record({ type: fc.constant("stats" as const), requestId: safe, stats }),
  arenaRetired: fc.record({ type: fc.constant("arenaRetired" as const), arena: u32 }),
  logReleased: fc.record({ type: fc.constant("logReleased" as const), firstIndex: index, previousTerm: aTerm }),
  snapshotMade: fc.record({
    type: fc.constant("snapshotMade" as const),
    requestId: safe,
    id: u32,
    index,
    term: aTerm,
    configuration: bytes,
    description: bytes,
  }),
  snapshotPiece: fc.record({ type: fc.constant("snapshotPiece" as const), requestId: safe, bytes }),
  installBegun: fc.record({
    type: fc.constant("installBegun" as const),
    requestId: safe,
    files: fc.array(fc.record({ byteCount: safe, heldBytes: safe })),
  }),
  arenasRecalled: fc.record({ type: fc.constant("arenasRecalled" as const) }),
  installed: fc.record({ type: fc.constant("installed" as const), requestId: safe, boot }),
  emptied: fc.record({ type: fc.constant("emptied" as const), requestId: safe, boot }),
  failed: fc.record({ type: fc.constant("failed" as const), code: errorCode, message }),
  repairWanted: fc.record({ type: fc.constant("repairWanted" as const), requestId: safe, minIndex: index, ranges }),
  repairTaken: fc.record({ type: fc.constant("repairTaken" as const), requestId: safe, isLast: fc.boolean() }),
  rangeOpened: fc.record({
    type: fc.constant("rangeOpened" as const),
    requestId: safe,
    id: u32,
    index,
    isWhole: fc.boolean(),
  }),
  rangePiece: fc.record({ type: fc.constant("rangePiece" as const), requestId: safe, bytes }),
  logWhole: fc.record({ type: fc.constant("logWhole" as const) }),
  stopped: fc.record({ type: fc.constant("stopped" as const) }),
};

function reader(encoded: Uint8Array): ByteReader {
  return new ByteReader("PROTOCOL", "a test").over(encoded);
}

const GOLDEN_SCAN =
  "04" + "02010000" + "0100000001" + "0102000000020301" + "00" + "0100" + "0400000005000000" + "010600000007000000";
const GOLDEN_ENTRIES = "0a01" + "01000000" + "0100000008" + "0900000000000000" + "020000000a0b";

function encoded(encode: (into: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1);
  encode(writer);
  return writer.copy();
}

/** What every codec owes: the same value back, nothing left over, and an error for each message cut short. */
function expectRoundTrip(message: Uint8Array, original: unknown, decode: (from: ByteReader) => unknown): void {
  const from = reader(message);
  expect(decodeShard(from)).toBe(shardId(513));
  expect(decode(from)).toEqual(original);
  from.finish();
  for (let length = 0; length < message.length; length++) {
    const cut = reader(message.subarray(0, length));
    expect(() => {
      decodeShard(cut);
      decode(cut);
    }).toThrow(EnvelopeError);
  }
}

describe("requests", () => {
  for (const [type, arbitrary] of Object.entries(requests)) {
    test(`${type} comes back as it was`, () => {
      fc.assert(
        fc.property(arbitrary as fc.Arbitrary<ShardRequest>, (request) => {
          const message = encoded((into) => encodeRequest(shardId(513), request, into));
          expectRoundTrip(message, request, decodeRequest);
        }),
        { numRuns: 40 },
      );
    });
  }
});

describe("replies", () => {
  for (const [type, arbitrary] of Object.entries(replies)) {
    test(`${type} comes back as it was`, () => {
      fc.assert(
        fc.property(arbitrary as fc.Arbitrary<ShardReply>, (reply) => {
          const message = encoded((into) => encodeReply(shardId(513), reply, into));
          expectRoundTrip(message, reply, decodeReply);
        }),
        { numRuns: 25 },
      );
    });
  }

  for (const [kind, arbitrary] of Object.entries(results)) {
    test(`a read that came to ${kind} comes back as it was`, () => {
      fc.assert(
        fc.property(u32, arbitrary as fc.Arbitrary<Result>, (requestId, one) => {
          const reply: ShardReply = { type: "readResult", requestId, result: one };
          const message = encoded((into) => encodeReply(shardId(513), reply, into));
          expectRoundTrip(message, reply, decodeReply);
        }),
        { numRuns: 40 },
      );
    });
  }
});

test("types nobody knows, zero among them, are refused", () => {
  for (const type of [0, 99, 200, 255]) {
    expect(() => decodeRequest(reader(new Uint8Array([type, 0, 0, 0, 0])))).toThrow("unknown type");
    expect(() => decodeReply(reader(new Uint8Array([type, 0, 0, 0, 0])))).toThrow("unknown type");
  }
});

test("any bytes at all decode to a message or to an error of the closed set", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.boolean(), (noise, asRequest) => {
      noise[0] = noise[0]! % 12;
      try {
        if (asRequest) decodeRequest(reader(noise));
        else decodeReply(reader(noise));
      } catch (error) {
        expect(error).toBeInstanceOf(EnvelopeError);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a scan and what it came to have these very bytes, which nodes exchange", () => {
  const scan: ReadRequest = {
    type: "scan",
    bucket: 258,
    prefix: new Uint8Array([1]),
    lower: { key: new Uint8Array([2, 3]), isInclusive: true },
    upper: null,
    isReverse: true,
    keysOnly: false,
    entriesMax: 4,
    bytesMax: 5,
    asOf: { high: 6, low: 7 },
  };
  const request = encoded((into) => encodeRead(scan, into)).toHex();
  expect(request).toBe(GOLDEN_SCAN);
  const entry = { key: new Uint8Array([8]), expiryMs: 9, value: new Uint8Array([10, 11]) };
  const result = encoded((into) => encodeResult({ kind: "entries", entries: [entry], isCut: true }, into)).toHex();
  expect(result).toBe(GOLDEN_ENTRIES);
});
