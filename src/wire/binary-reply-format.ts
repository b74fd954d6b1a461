/**
 * Bodies of replies of the binary protocol. Each is a MessagePack array of the fields of its type, in this order.
 *
 *   welcome    [version, serverVersion str, node str, compression str or nil, limits, topology]
 *              limits: [keyBytesMax, valueBytesMax, frameBytesMax, requestsInflightMax, operationsMax]
 *   pong       []
 *   done       [durability: place in DURABILITIES, from 1]
 *   absent     []
 *   value      [value bin, expiryMs, version uint]
 *   metadata   [valueBytes, expiryMs, version uint]
 *   integer    [int]
 *   flag       [bool]
 *   results    [[result…]]        result: [type of the reply, its body]
 *   page       [isLast bool, [entry…]]        entry: [key bin, expiryMs, value bin]
 *   buckets    [[bucket…]]        bucket: [name str, id, seed, durability str, keyCount]
 *   session    [session]
 *   topology   [version, shardCount, pointsPerShard, [member…], [leader…]]
 *              member: [name str, clientAddress str, rack str, isLeaving bool, isConnected bool]
 *   status     [node str, [figure…]]        figure: [name str, number]
 *   error      [code str, message str, retry: place in RETRIES, from 1]
 */
import { unreachable } from "../core/assert.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { isErrorCode, type Retry } from "../core/errors.ts";
import { ReplyType } from "./binary-format.ts";
import type {
  BinaryLimits,
  BinaryReply,
  BucketDescription,
  ErrorReply,
  OperationReply,
  ScanReplyEntry,
  Topology,
  TopologyMember,
} from "./binary-messages.ts";
import { closeFields, openFields, placeIn } from "./binary-operation-format.ts";
import {
  type PackReader,
  packArray,
  packBoolean,
  packBytes,
  packFloat,
  packInteger,
  packNil,
  packText,
  packWide,
} from "./message-pack.ts";

const U32_MAX = 0xffff_ffff;
/** Shards are numbered in 16 bits, and one number stands for none. */
const SHARDS_MAX = 0xffff;
const TEXT_BYTES_MAX = 1024 * 1024;
/** The reader's own bound is that an item takes a byte at least. */
const ITEMS_MAX = U32_MAX;

const DURABILITIES = ["sync", "interval", "os"] as const;
const RETRIES: readonly Retry[] = ["safe", "unknown", "never"];
const CODE_FOR = { safe: "UNAVAILABLE", unknown: "UNKNOWN_OUTCOME", never: "INVALID_ARGUMENT" } as const;

/** Writes the body of a reply; the type of its frame is `ReplyType[reply.type]`. */
export function encodeReply(reply: BinaryReply, into: ByteWriter): void {
  switch (reply.type) {
    case "welcome":
      encodeWelcome(reply, into);
      return;
    case "pong":
      packArray(into, 0);
      return;
    case "results":
      packArray(into, 1);
      packArray(into, reply.results.length);
      for (const result of reply.results) {
        packArray(into, 2);
        packInteger(into, ReplyType[result.type]);
        encodeOperationReply(result, into);
      }
      return;
    case "page":
      encodePage(reply.entries, reply.isLast, into);
      return;
    case "buckets":
      encodeBuckets(reply.buckets, into);
      return;
    case "session":
      packArray(into, 1);
      packInteger(into, reply.session);
      return;
    case "topology":
      encodeTopology(reply.topology, into);
      return;
    case "status":
      packArray(into, 2);
      packText(into, reply.node);
      packArray(into, reply.figures.length);
      for (const [name, value] of reply.figures) {
        packArray(into, 2);
        packText(into, name);
        packFloat(into, value);
      }
      return;
    default:
      encodeOperationReply(reply, into);
  }
}

function encodeOperationReply(reply: OperationReply, into: ByteWriter): void {
  switch (reply.type) {
    case "done":
      packArray(into, 1);
      packInteger(into, DURABILITIES.indexOf(reply.durability) + 1);
      return;
    case "absent":
      packArray(into, 0);
      return;
    case "value":
      packArray(into, 3);
      packBytes(into, reply.value);
      packInteger(into, reply.expiryMs);
      packWide(into, reply.version);
      return;
    case "metadata":
      packArray(into, 3);
      packInteger(into, reply.valueBytes);
      packInteger(into, reply.expiryMs);
      packWide(into, reply.version);
      return;
    case "integer":
      packArray(into, 1);
      packWide(into, reply.value);
      return;
    case "flag":
      packArray(into, 1);
      packBoolean(into, reply.value);
      return;
    case "error":
      packArray(into, 3);
      packText(into, reply.code);
      packText(into, reply.message);
      packInteger(into, RETRIES.indexOf(reply.retry) + 1);
      return;
    default:
      unreachable(reply);
  }
}

/** The reply of a frame of this type; null: there is no such type. Bytes in it are views of the body. Throws PROTOCOL. */
export function decodeReply(type: number, from: PackReader): BinaryReply | null {
  const known = FIELD_COUNTS.get(type);
  if (known === undefined) return null;
  const reply = decodeBody(type, known, from);
  from.finish();
  return reply;
}

const FIELD_COUNTS: ReadonlyMap<number, number> = new Map<number, number>([
  [ReplyType.welcome, 6],
  [ReplyType.pong, 0],
  [ReplyType.done, 1],
  [ReplyType.absent, 0],
  [ReplyType.value, 3],
  [ReplyType.metadata, 3],
  [ReplyType.integer, 1],
  [ReplyType.flag, 1],
  [ReplyType.results, 1],
  [ReplyType.page, 2],
  [ReplyType.buckets, 1],
  [ReplyType.session, 1],
  [ReplyType.topology, 5],
  [ReplyType.status, 2],
  [ReplyType.error, 3],
]);

function decodeBody(type: number, known: number, from: PackReader): BinaryReply {
  const extra = openFields(from, known);
  const reply = decodeFields(type, from);
  closeFields(from, extra);
  return reply;
}

function decodeFields(type: number, from: PackReader): BinaryReply {
  switch (type) {
    case ReplyType.welcome:
      return decodeWelcome(from);
    case ReplyType.pong:
      return { type: "pong" };
    case ReplyType.results:
      return { type: "results", results: decodeList(from, decodeResult) };
    case ReplyType.page: {
      const isLast = from.boolean();
      return { type: "page", isLast, entries: decodeList(from, decodeEntry) };
    }
    case ReplyType.buckets:
      return { type: "buckets", buckets: decodeList(from, decodeBucket) };
    case ReplyType.session:
      return { type: "session", session: from.count() };
    case ReplyType.topology:
      return { type: "topology", topology: decodeTopology(from) };
    case ReplyType.status:
      return { type: "status", node: from.text(TEXT_BYTES_MAX), figures: decodeList(from, decodeFigure) };
    default:
      return decodeOperationReply(type, from);
  }
}

function decodeOperationReply(type: number, from: PackReader): OperationReply {
  switch (type) {
    case ReplyType.done:
      return { type: "done", durability: placeIn(DURABILITIES, from) };
    case ReplyType.absent:
      return { type: "absent" };
    case ReplyType.value:
      return { type: "value", value: from.bytes(), expiryMs: from.count(), version: from.unsigned() };
    case ReplyType.metadata:
      return { type: "metadata", valueBytes: from.count(), expiryMs: from.count(), version: from.unsigned() };
    case ReplyType.integer:
      return { type: "integer", value: from.signed() };
    case ReplyType.flag:
      return { type: "flag", value: from.boolean() };
    case ReplyType.error:
      return decodeError(from);
    default:
      throw from.invalid(`a result of unknown type ${type}`);
  }
}

/** A code of a later version is taken for the one of ours that lets the client do as much. */
function decodeError(from: PackReader): ErrorReply {
  const code = from.text(TEXT_BYTES_MAX);
  const message = from.text(TEXT_BYTES_MAX);
  const retry = placeIn(RETRIES, from);
  if (isErrorCode(code)) return { type: "error", code, message, retry };
  return { type: "error", code: CODE_FOR[retry], message: `${code}: ${message}`, retry };
}

function decodeResult(from: PackReader): OperationReply {
  const extra = openFields(from, 2);
  const type = from.integer();
  const inner = openFields(from, FIELD_COUNTS.get(type) ?? 0);
  const reply = decodeOperationReply(type, from);
  closeFields(from, inner);
  closeFields(from, extra);
  return reply;
}

function decodeList<T>(from: PackReader, decode: (from: PackReader) => T): T[] {
  const items: T[] = [];
  for (let left = from.array(ITEMS_MAX); left > 0; left--) items.push(decode(from));
  return items;
}

function encodePage(entries: readonly ScanReplyEntry[], isLast: boolean, into: ByteWriter): void {
  packArray(into, 2);
  packBoolean(into, isLast);
  packArray(into, entries.length);
  for (const { key, expiryMs, value } of entries) {
    packArray(into, 3);
    packBytes(into, key);
    packInteger(into, expiryMs);
    packBytes(into, value);
  }
}

function decodeEntry(from: PackReader): ScanReplyEntry {
  const extra = openFields(from, 3);
  const entry = { key: from.bytes(), expiryMs: from.count(), value: from.bytes() };
  closeFields(from, extra);
  return entry;
}

function encodeBuckets(buckets: readonly BucketDescription[], into: ByteWriter): void {
  packArray(into, 1);
  packArray(into, buckets.length);
  for (const { name, id, seed, durability, keyCount } of buckets) {
    packArray(into, 5);
    packText(into, name);
    packInteger(into, id);
    packInteger(into, seed);
    packText(into, durability);
    packInteger(into, keyCount);
  }
}

function decodeBucket(from: PackReader): BucketDescription {
  const extra = openFields(from, 5);
  const name = from.text(TEXT_BYTES_MAX);
  const id = from.count(U32_MAX);
  const seed = from.count(U32_MAX);
  const durability = from.text(TEXT_BYTES_MAX);
  const keyCount = from.integer();
  closeFields(from, extra);
  return { name, id, seed, durability, keyCount };
}

function encodeTopology(topology: Topology, into: ByteWriter): void {
  packArray(into, 5);
  packInteger(into, topology.version);
  packInteger(into, topology.shardCount);
  packInteger(into, topology.pointsPerShard);
  packArray(into, topology.members.length);
  for (const member of topology.members) encodeMember(member, into);
  packArray(into, topology.leaders.length);
  for (const leader of topology.leaders) packInteger(into, leader);
}

function decodeTopology(from: PackReader): Topology {
  const version = from.count();
  const shardCount = from.count(SHARDS_MAX);
  if (shardCount === 0) throw from.invalid("a cluster of no shards");
  const pointsPerShard = from.count(U32_MAX);
  const members = decodeList(from, decodeMember);
  const leaders = decodeList(from, (one) => one.integer());
  return { version, shardCount, pointsPerShard, members, leaders };
}

function encodeMember(member: TopologyMember, into: ByteWriter): void {
  packArray(into, 5);
  packText(into, member.name);
  packText(into, member.clientAddress);
  packText(into, member.rack);
  packBoolean(into, member.isLeaving);
  packBoolean(into, member.isConnected);
}

function decodeMember(from: PackReader): TopologyMember {
  const extra = openFields(from, 5);
  const name = from.text(TEXT_BYTES_MAX);
  const clientAddress = from.text(TEXT_BYTES_MAX);
  const rack = from.text(TEXT_BYTES_MAX);
  const member = { name, clientAddress, rack, isLeaving: from.boolean(), isConnected: from.boolean() };
  closeFields(from, extra);
  return member;
}

type Welcome = Extract<BinaryReply, { readonly type: "welcome" }>;

function encodeWelcome(welcome: Welcome, into: ByteWriter): void {
  packArray(into, 6);
  packInteger(into, welcome.version);
  packText(into, welcome.serverVersion);
  packText(into, welcome.node);
  if (welcome.compression === null) packNil(into);
  else packText(into, welcome.compression);
  const { keyBytesMax, valueBytesMax, frameBytesMax, requestsInflightMax, operationsMax } = welcome.limits;
  packArray(into, 5);
  for (const limit of [keyBytesMax, valueBytesMax, frameBytesMax, requestsInflightMax, operationsMax]) {
    packInteger(into, limit);
  }
  encodeTopology(welcome.topology, into);
}

function decodeWelcome(from: PackReader): Welcome {
  const version = from.count();
  const serverVersion = from.text(TEXT_BYTES_MAX);
  const node = from.text(TEXT_BYTES_MAX);
  const name = from.nil() ? null : from.text(TEXT_BYTES_MAX);
  if (name !== null && name !== "zstd" && name !== "deflate") throw from.invalid(`the compression '${name}'`);
  const limits = decodeLimits(from);
  const extra = openFields(from, 5);
  const topology = decodeTopology(from);
  closeFields(from, extra);
  return { type: "welcome", version, serverVersion, node, compression: name, limits, topology };
}

function decodeLimits(from: PackReader): BinaryLimits {
  const extra = openFields(from, 5);
  const limits = {
    keyBytesMax: from.count(),
    valueBytesMax: from.count(),
    frameBytesMax: from.count(),
    requestsInflightMax: from.count(),
    operationsMax: from.count(),
  };
  closeFields(from, extra);
  return limits;
}

function decodeFigure(from: PackReader): readonly [string, number] {
  const extra = openFields(from, 2);
  const figure = [from.text(TEXT_BYTES_MAX), from.float()] as const;
  closeFields(from, extra);
  return figure;
}
