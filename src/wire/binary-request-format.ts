/**
 * Bodies of requests of the binary protocol. Each is a MessagePack array of the fields of its type, in this order; `operation`,
 * `once` and `bound` are in binary-operation-format.ts. `mode` is the place in MODES, from 1. What is a `deadlineMs` is 0 where
 * there is none.
 *
 *   hello           [versionMin, versionMax, clientName str, clientVersion str, credentials, compression [str…], watchesTopology bool]
 *                   credentials: nil | [1, user str, password str] | [2, token str]
 *   ping            [deadlineMs]
 *   operation       [deadlineMs, bucket str, mode, staleMs, once, operation]
 *   batch           [deadlineMs, bucket str, mode, staleMs, once, isAtomic bool, [operation…]]
 *   scan            [deadlineMs, bucket str, prefix bin, lower bound, upper bound, isReverse bool, keysOnly bool, limit, pageEntries, credits]
 *   credit          [target request id, credits]
 *   cancel          [target request id]
 *   createBucket    [deadlineMs, bucket str, durability str]
 *   dropBucket      [deadlineMs, bucket str]
 *   emptyBucket     [deadlineMs, bucket str]
 *   listBuckets     [deadlineMs]
 *   describeBucket  [deadlineMs, bucket str, countKeys bool]
 *   openSession     [deadlineMs, ttlMs]
 *   closeSession    [deadlineMs, session]
 *   topology        [deadlineMs]
 *   status          [deadlineMs]
 */
import { unreachable } from "../core/assert.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { RequestType } from "./binary-format.ts";
import type {
  BatchRequest,
  BinaryReadMode,
  BinaryRequest,
  CompressionName,
  Credentials,
  HelloRequest,
  KeyOperation,
  ScanRequest,
} from "./binary-messages.ts";
import {
  closeFields,
  decodeBound,
  decodeOnce,
  decodeOperation,
  encodeBound,
  encodeOnce,
  encodeOperation,
  FIELDS_MAX,
  openFields,
  placeIn,
} from "./binary-operation-format.ts";
import { type PackReader, packArray, packBoolean, packBytes, packInteger, packNil, packText } from "./message-pack.ts";

const U32_MAX = 0xffff_ffff;
/** Of names, passwords and the like; what makes a good one is decided elsewhere. */
const NAME_BYTES_MAX = 1024;
const TOKEN_BYTES_MAX = 16 * 1024;

const MODES: readonly BinaryReadMode[] = ["linearizable", "lease", "follower", "stale"];

/** Writes the body of a request; the type of its frame is `RequestType[request.type]`. */
export function encodeRequest(request: BinaryRequest, into: ByteWriter): void {
  switch (request.type) {
    case "hello":
      encodeHello(request, into);
      return;
    case "operation":
      packArray(into, 6);
      packInteger(into, request.deadlineMs);
      packText(into, request.bucket);
      packInteger(into, MODES.indexOf(request.mode) + 1);
      packInteger(into, request.staleMs);
      encodeOnce(request.once, into);
      encodeOperation(request.operation, into);
      return;
    case "batch":
      encodeBatch(request, into);
      return;
    case "scan":
      encodeScan(request, into);
      return;
    case "credit":
      packIntegers(into, request.target, request.credits);
      return;
    case "cancel":
      packIntegers(into, request.target);
      return;
    case "openSession":
      packIntegers(into, request.deadlineMs, request.ttlMs);
      return;
    case "closeSession":
      packIntegers(into, request.deadlineMs, request.session);
      return;
    case "createBucket":
    case "dropBucket":
    case "emptyBucket":
    case "describeBucket":
      encodeBucketRequest(request, into);
      return;
    case "ping":
    case "listBuckets":
    case "topology":
    case "status":
      packIntegers(into, request.deadlineMs);
      return;
    default:
      unreachable(request);
  }
}

/** The request of a frame of this type; null: there is no such type. Bytes in it are views of the body. Throws PROTOCOL. */
export function decodeRequest(type: number, from: PackReader, operationsMax: number): BinaryRequest | null {
  const known = FIELD_COUNTS.get(type);
  if (known === undefined) return null;
  const extra = openFields(from, known);
  const request = decodeFields(type, from, operationsMax);
  closeFields(from, extra);
  from.finish();
  return request;
}

const FIELD_COUNTS: ReadonlyMap<number, number> = new Map<number, number>([
  [RequestType.hello, 7],
  [RequestType.ping, 1],
  [RequestType.operation, 6],
  [RequestType.batch, 7],
  [RequestType.scan, 10],
  [RequestType.credit, 2],
  [RequestType.cancel, 1],
  [RequestType.createBucket, 3],
  [RequestType.dropBucket, 2],
  [RequestType.emptyBucket, 2],
  [RequestType.listBuckets, 1],
  [RequestType.describeBucket, 3],
  [RequestType.openSession, 2],
  [RequestType.closeSession, 2],
  [RequestType.topology, 1],
  [RequestType.status, 1],
]);

function decodeFields(type: number, from: PackReader, operationsMax: number): BinaryRequest {
  switch (type) {
    case RequestType.hello:
      return decodeHello(from);
    case RequestType.credit:
      return { type: "credit", target: from.count(U32_MAX), credits: from.count(U32_MAX) };
    case RequestType.cancel:
      return { type: "cancel", target: from.count(U32_MAX) };
    default:
      return decodeTimed(type, from.count(), from, operationsMax);
  }
}

/** Requests whose first field is a deadline. */
function decodeTimed(type: number, deadlineMs: number, from: PackReader, operationsMax: number): BinaryRequest {
  switch (type) {
    case RequestType.operation:
      return {
        type: "operation",
        deadlineMs,
        bucket: from.text(NAME_BYTES_MAX),
        mode: placeIn(MODES, from),
        staleMs: from.count(),
        once: decodeOnce(from),
        operation: decodeOperation(from),
      };
    case RequestType.batch:
      return decodeBatch(deadlineMs, from, operationsMax);
    case RequestType.scan:
      return decodeScan(deadlineMs, from);
    case RequestType.createBucket:
      return {
        type: "createBucket",
        deadlineMs,
        bucket: from.text(NAME_BYTES_MAX),
        durability: from.text(NAME_BYTES_MAX),
      };
    case RequestType.dropBucket:
      return { type: "dropBucket", deadlineMs, bucket: from.text(NAME_BYTES_MAX) };
    case RequestType.emptyBucket:
      return { type: "emptyBucket", deadlineMs, bucket: from.text(NAME_BYTES_MAX) };
    case RequestType.describeBucket:
      return { type: "describeBucket", deadlineMs, bucket: from.text(NAME_BYTES_MAX), countKeys: from.boolean() };
    case RequestType.openSession:
      return { type: "openSession", deadlineMs, ttlMs: from.count(U32_MAX) };
    case RequestType.closeSession:
      return { type: "closeSession", deadlineMs, session: from.count() };
    case RequestType.listBuckets:
      return { type: "listBuckets", deadlineMs };
    case RequestType.topology:
      return { type: "topology", deadlineMs };
    case RequestType.status:
      return { type: "status", deadlineMs };
    default:
      return { type: "ping", deadlineMs };
  }
}

function encodeHello(hello: HelloRequest, into: ByteWriter): void {
  packArray(into, 7);
  packInteger(into, hello.versionMin);
  packInteger(into, hello.versionMax);
  packText(into, hello.clientName);
  packText(into, hello.clientVersion);
  encodeCredentials(hello.credentials, into);
  packArray(into, hello.compression.length);
  for (const name of hello.compression) packText(into, name);
  packBoolean(into, hello.watchesTopology);
}

function decodeHello(from: PackReader): HelloRequest {
  const versionMin = from.count();
  const versionMax = from.count();
  const clientName = from.text(NAME_BYTES_MAX);
  const clientVersion = from.text(NAME_BYTES_MAX);
  const credentials = decodeCredentials(from);
  const compression: CompressionName[] = [];
  for (let left = from.array(FIELDS_MAX); left > 0; left--) {
    const name = from.text(NAME_BYTES_MAX);
    if (name === "zstd" || name === "deflate") compression.push(name);
  }
  const watchesTopology = from.boolean();
  return {
    type: "hello",
    versionMin,
    versionMax,
    clientName,
    clientVersion,
    credentials,
    compression,
    watchesTopology,
  };
}

function encodeCredentials(credentials: Credentials | null, into: ByteWriter): void {
  if (credentials === null) packNil(into);
  else if (credentials.kind === "password") {
    packArray(into, 3);
    packInteger(into, 1);
    packText(into, credentials.user);
    packText(into, credentials.password);
  } else {
    packArray(into, 2);
    packInteger(into, 2);
    packText(into, credentials.token);
  }
}

function decodeCredentials(from: PackReader): Credentials | null {
  if (from.nil()) return null;
  const fields = from.array(FIELDS_MAX);
  const code = fields === 0 ? 0 : from.integer();
  const known = code === 1 ? 3 : 2;
  if ((code !== 1 && code !== 2) || fields < known) throw from.invalid("no credentials");
  const credentials: Credentials =
    code === 1
      ? { kind: "password", user: from.text(NAME_BYTES_MAX), password: from.text(NAME_BYTES_MAX) }
      : { kind: "token", token: from.text(TOKEN_BYTES_MAX) };
  closeFields(from, fields - known);
  return credentials;
}

function encodeBatch(batch: BatchRequest, into: ByteWriter): void {
  packArray(into, 7);
  packInteger(into, batch.deadlineMs);
  packText(into, batch.bucket);
  packInteger(into, MODES.indexOf(batch.mode) + 1);
  packInteger(into, batch.staleMs);
  encodeOnce(batch.once, into);
  packBoolean(into, batch.isAtomic);
  packArray(into, batch.operations.length);
  for (const operation of batch.operations) encodeOperation(operation, into);
}

function decodeBatch(deadlineMs: number, from: PackReader, operationsMax: number): BatchRequest {
  const bucket = from.text(NAME_BYTES_MAX);
  const mode = placeIn(MODES, from);
  const staleMs = from.count();
  const once = decodeOnce(from);
  const isAtomic = from.boolean();
  const operations: KeyOperation[] = [];
  for (let left = from.array(operationsMax); left > 0; left--) operations.push(decodeOperation(from));
  return { type: "batch", deadlineMs, bucket, mode, staleMs, once, isAtomic, operations };
}

function encodeScan(scan: ScanRequest, into: ByteWriter): void {
  packArray(into, 10);
  packInteger(into, scan.deadlineMs);
  packText(into, scan.bucket);
  packBytes(into, scan.prefix);
  encodeBound(scan.lower, into);
  encodeBound(scan.upper, into);
  packBoolean(into, scan.isReverse);
  packBoolean(into, scan.keysOnly);
  packInteger(into, scan.limit);
  packInteger(into, scan.pageEntries);
  packInteger(into, scan.credits);
}

function decodeScan(deadlineMs: number, from: PackReader): ScanRequest {
  return {
    type: "scan",
    deadlineMs,
    bucket: from.text(NAME_BYTES_MAX),
    prefix: from.bytes(),
    lower: decodeBound(from),
    upper: decodeBound(from),
    isReverse: from.boolean(),
    keysOnly: from.boolean(),
    limit: from.count(),
    pageEntries: from.count(U32_MAX),
    credits: from.count(U32_MAX),
  };
}

type BucketRequest = Extract<
  BinaryRequest,
  { readonly type: "createBucket" | "dropBucket" | "emptyBucket" | "describeBucket" }
>;

function encodeBucketRequest(request: BucketRequest, into: ByteWriter): void {
  const hasMore = request.type === "createBucket" || request.type === "describeBucket";
  packArray(into, hasMore ? 3 : 2);
  packInteger(into, request.deadlineMs);
  packText(into, request.bucket);
  if (request.type === "createBucket") packText(into, request.durability);
  if (request.type === "describeBucket") packBoolean(into, request.countKeys);
}

function packIntegers(into: ByteWriter, ...values: number[]): void {
  packArray(into, values.length);
  for (const value of values) packInteger(into, value);
}
