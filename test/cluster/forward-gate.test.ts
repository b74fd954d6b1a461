/** What a member forwards is let into a log only if a member would send it: what is there stops every replica, or none. */
import { describe, expect, test } from "bun:test";
import { decodeForwarded } from "../../src/cluster/forward-format.ts";
import { ForwardServer } from "../../src/cluster/forward-server.ts";
import { detachedCommand } from "../../src/cluster/operation.ts";
import { ByteReader } from "../../src/core/byte-reader.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { nodeId, SESSION_BUCKET, SYSTEM_BUCKET } from "../../src/core/ids.ts";
import { CommandReader, CommandType } from "../../src/record/command-format.ts";
import { decodeResult } from "../../src/record/result-format.ts";

const REQUEST = 5;
const SESSION = 77;
const WRITE = 1;
const RESULT = 1;

function whole(bytes: Uint8Array) {
  return { bytes, start: 0, end: bytes.length };
}

function forwarded(type: CommandType, bucket: number, value: Uint8Array, expiryMs = 0): ByteWriter {
  const writer = new ByteWriter();
  writer.u32(REQUEST);
  writer.u8(WRITE);
  writer.u8(0);
  writer.blob(detachedCommand(type, 0, bucket, whole(utf8("members")), whole(value), expiryMs));
  return writer;
}

function take(body: Uint8Array) {
  return decodeForwarded(new ByteReader("PROTOCOL", "a test").over(body), new CommandReader());
}

describe("out of its place, and refused with the connection:", () => {
  const cases: [string, CommandType, number][] = [
    ["a value put into the catalog", CommandType.put, SYSTEM_BUCKET],
    ["a transaction in the catalog", CommandType.transaction, SYSTEM_BUCKET],
    ["a member admitted in a bucket", CommandType.admitMember, 1],
    ["a value put among sessions", CommandType.put, SESSION_BUCKET],
    ["a session opened in a bucket", CommandType.openSession, 1],
    ["a rename outside of a transaction", CommandType.rename, 1],
    ["a type that is only reserved", CommandType.commit, 1],
  ];
  for (const [what, type, bucket] of cases) {
    test(what, () => expect(() => take(forwarded(type, bucket, utf8("x")).copy())).toThrow("out of its place"));
  }
  test("an expiry beyond 2^53", () => {
    const body = forwarded(CommandType.put, 1, utf8("x"), 1).copy();
    new DataView(body.buffer).setUint32(body.length - 1 - "members".length - 4, 0xffff_ffff, true);
    expect(() => take(body)).toThrow("does not parse");
  });
});

test("in its place: taken, and a reader that has refused one reads the next", () => {
  const reader = new CommandReader();
  const bad = forwarded(CommandType.put, 1, utf8("x"), 1).copy();
  new DataView(bad.buffer).setUint32(bad.length - 1 - "members".length - 4, 0xffff_ffff, true);
  const refuse = () => decodeForwarded(new ByteReader("PROTOCOL", "a test").over(bad), reader);
  expect(refuse).toThrow("does not parse");
  const good = forwarded(CommandType.put, 1, utf8("x"), 1).copy();
  expect(decodeForwarded(new ByteReader("PROTOCOL", "a test").over(good), reader).bucket).toBe(1);
  expect(take(forwarded(CommandType.createBucket, SYSTEM_BUCKET, utf8("x")).copy()).bucket).toBe(SYSTEM_BUCKET);
  expect(take(forwarded(CommandType.closeSession, SESSION_BUCKET, utf8("")).copy()).bucket).toBe(SESSION_BUCKET);
});

test("a value that no memtable can take is answered with an error and does not come into the log", () => {
  const frames: Uint8Array[] = [];
  const line = {
    connected: () => true,
    frame(_to: number, _type: number, _shard: number, write: (writer: ByteWriter) => void) {
      const writer = new ByteWriter();
      write(writer);
      frames.push(writer.copy());
      return true;
    },
  };
  const refuse = (): never => {
    throw new Error("it came into the log");
  };
  const group = {
    ...({ shard: 0, term: 1 as never, accepting: true, role: "leader", isStopped: false, congested: false } as const),
    ...{ writable: true, commandBytesMax: 1000, isFenced: () => false, awaitsFence: () => false },
    ...{ get: refuse, read: refuse, readIndex: refuse, writeEncoded: refuse, expectFence: refuse },
  };
  const server = new ForwardServer(group, { refusalOf: () => null }, nodeId(1), SESSION, line, () => undefined);
  const body = new ByteWriter();
  body.u32(SESSION);
  body.u32(0);
  body.u64(1);
  body.raw(forwarded(CommandType.put, 1, new Uint8Array(1001)).copy());
  server.onForward(body.copy());
  server.flush();
  const answer = new ByteReader("PROTOCOL", "a test").over(frames[0]!);
  expect([answer.u32(), answer.u32(), answer.u8()]).toEqual([SESSION, REQUEST, RESULT]);
  expect(decodeResult(answer)).toMatchObject({ kind: "error", code: "TOO_LARGE" });
});
