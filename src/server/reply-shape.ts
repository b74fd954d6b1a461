/**
 * How the result of an operation on one key becomes a reply. Most commands say it by the result alone; the others say
 * which of its fields is the answer. A shape is a small number, so that a waiting command is not an object.
 */
import { unreachable } from "../core/assert.ts";
import { type Result, ValueInPlace, type VersionResult } from "../record/result.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import { errorReply } from "./error-reply.ts";

export const ReplyShape = {
  /** ok → OK, nil → null, integer → integer, bytes and version → the bytes. */
  plain: 0,
  /** 1 for anything that is there or was done, 0 for nil. */
  flag: 1,
  length: 2,
  type: 3,
  ttlSeconds: 4,
  ttlMs: 5,
  expirySeconds: 6,
  expiryMs: 7,
  /** Of a transaction: what its only operation came to. */
  only: 8,
  /** Of a transaction: 1 if it was carried out, 0 if a condition did not hold. */
  allOrNone: 9,
} as const;
export type ReplyShape = (typeof ReplyShape)[keyof typeof ReplyShape];

const NO_KEY = -2;
const NO_EXPIRY = -1;

export function writeResult(reply: RespWriter, shape: number, result: Result, nowMs: number): void {
  switch (result.kind) {
    case "version":
      if (shape !== ReplyShape.plain) writeField(reply, shape, result, nowMs);
      else if (result instanceof ValueInPlace) reply.bulkRange(result.source, result.start, result.end);
      else reply.bulk(result.value);
      return;
    case "ok":
      if (shape === ReplyShape.flag) reply.integer(1);
      else reply.ok();
      return;
    case "nil":
      writeNil(reply, shape);
      return;
    case "integer":
      reply.integer(result.value);
      return;
    case "bytes":
      reply.bulk(result.bytes);
      return;
    case "error":
      if (shape === ReplyShape.allOrNone && result.code === "CONFLICT") reply.integer(0);
      else reply.error(errorReply(result.code, result.message));
      return;
    case "page":
      reply.array(result.keys.length);
      for (const key of result.keys) reply.bulk(key);
      return;
    case "entries":
      reply.array(result.entries.length * 2);
      for (const { key, value } of result.entries) {
        reply.bulk(key);
        reply.bulk(value);
      }
      return;
    case "results":
      writeResults(reply, shape, result.results, nowMs);
      return;
    case "stamped":
      reply.bulk(result.value);
      return;
    default:
      unreachable(result);
  }
}

function writeResults(reply: RespWriter, shape: number, results: readonly Result[], nowMs: number): void {
  if (shape === ReplyShape.allOrNone) {
    reply.integer(1);
    return;
  }
  if (shape !== ReplyShape.only) reply.array(results.length);
  for (const result of results) writeResult(reply, ReplyShape.plain, result, nowMs);
}

function writeField(reply: RespWriter, shape: number, version: VersionResult, nowMs: number): void {
  const { expiryMs } = version;
  switch (shape) {
    case ReplyShape.flag:
      reply.integer(1);
      return;
    case ReplyShape.length:
      reply.integer(version.valueBytes);
      return;
    case ReplyShape.type:
      reply.simple("string");
      return;
    case ReplyShape.ttlSeconds:
      reply.integer(expiryMs === 0 ? NO_EXPIRY : Math.floor((Math.max(0, expiryMs - nowMs) + 500) / 1000));
      return;
    case ReplyShape.ttlMs:
      reply.integer(expiryMs === 0 ? NO_EXPIRY : Math.max(0, expiryMs - nowMs));
      return;
    case ReplyShape.expirySeconds:
      reply.integer(expiryMs === 0 ? NO_EXPIRY : Math.floor((expiryMs + 500) / 1000));
      return;
    default:
      reply.integer(expiryMs === 0 ? NO_EXPIRY : expiryMs);
  }
}

function writeNil(reply: RespWriter, shape: number): void {
  switch (shape) {
    case ReplyShape.plain:
      reply.nil();
      return;
    case ReplyShape.type:
      reply.simple("none");
      return;
    case ReplyShape.flag:
    case ReplyShape.length:
      reply.integer(0);
      return;
    default:
      reply.integer(NO_KEY);
  }
}
