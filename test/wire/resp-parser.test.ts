import { describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { ParseStatus, RespParser, type RespLimits } from "../../src/wire/resp-parser.ts";

const LIMITS: RespLimits = { valueBytesMax: 1000, argumentsMax: 8, lineBytesMax: 200, frameBytesMax: 3000 };

/** What a parser makes of a stream: commands as arrays of latin1 text, refusals and the end by their words. */
function parseAll(chunks: readonly Uint8Array[], limits = LIMITS): string[][] {
  const parser = new RespParser(limits);
  const seen: string[][] = [];
  for (const chunk of chunks) {
    parser.feed(chunk);
    for (let status = parser.next(); status !== ParseStatus.needMore; status = parser.next()) {
      if (status === ParseStatus.command) {
        const { request } = parser;
        seen.push(Array.from({ length: request.count }, (_, i) => Buffer.from(request.view(i)).toString("latin1")));
      } else {
        seen.push([status === ParseStatus.broken ? "BROKEN" : "REFUSED", parser.errorText]);
        if (status === ParseStatus.broken) return seen;
      }
    }
  }
  return seen;
}

function one(text: string): string[][] {
  return parseAll([utf8(text)]);
}

function randomStream(random: Random): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let i = random.between(1, 20); i > 0; i--) pieces.push(randomFrame(random));
  return Buffer.concat(pieces);
}

function randomFrame(random: Random): Uint8Array {
  const choice = random.below(10);
  if (choice === 0) return utf8(["\r\n", "\n", "*0\r\n", "*-10\r\n", "PING\n"][random.below(5)]!);
  if (choice === 1) return utf8(`SET k "a b\\x41" 'c d' ${"x".repeat(random.below(80))}\r\n`);
  if (choice === 2) return utf8('SET user:1 {"name": "Alice", "tags": [1, 2]}\r\n');
  if (choice === 3 && random.chance(0.3))
    return utf8(["*x\r\n", "*1\r\n:5\r\n", "$1\r\n", "*1\r\n$-1\r\n", '"x\r\n'][random.below(5)]!);
  const count = random.chance(0.1) ? random.between(9, 20) : random.between(1, 8);
  const pieces: Uint8Array[] = [utf8(`*${count}\r\n`)];
  for (let i = 0; i < count; i++) {
    const payload = new Uint8Array(random.chance(0.05) ? random.between(900, 1200) : random.below(40));
    for (let at = 0; at < payload.length; at++) payload[at] = [10, 13, 36, 42, random.below(256)][random.below(5)]!;
    pieces.push(utf8(`$${payload.length}\r\n`), payload, utf8("\r\n"));
  }
  return Buffer.concat(pieces);
}

function cut(stream: Uint8Array, random: Random): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const longest = random.chance(0.3) ? 3 : 300;
  for (let at = 0; at < stream.length; ) {
    const end = Math.min(stream.length, at + random.between(1, longest));
    chunks.push(stream.slice(at, end));
    at = end;
  }
  return chunks;
}

describe("requests", () => {
  test("are the same however the bytes were cut", () => {
    const seed = Date.now() >>> 0;
    const random = new Random(seed);
    for (let round = 0; round < 400; round++) {
      const stream = randomStream(random);
      const whole = parseAll([stream]);
      const pieces = parseAll(cut(stream, random));
      if (!Bun.deepEquals(whole, pieces)) throw new Error(`seed ${seed}, round ${round}`);
    }
  });

  test("keep every byte of their arguments", () => {
    const key = new Uint8Array(256).map((_, i) => i);
    const stream = Buffer.concat([utf8("*2\r\n$3\r\nGET\r\n$256\r\n"), key, utf8("\r\n")]);
    expect(parseAll([stream])).toEqual([["GET", Buffer.from(key).toString("latin1")]]);
  });

  test("of no arguments and empty lines say nothing", () => {
    expect(one("*0\r\n*-10\r\n\r\n\n  \r\nPING\r\n")).toEqual([["PING"]]);
  });

  test("may have empty arguments and an empty name", () => {
    expect(one("*2\r\n$0\r\n\r\n$0\r\n\r\n")).toEqual([["", ""]]);
  });

  test("a large payload cut in many pieces is whole", () => {
    const limits = { ...LIMITS, valueBytesMax: 1e6, frameBytesMax: 1e6 };
    const value = Buffer.alloc(300_000, "ab");
    const stream = Buffer.concat([
      utf8(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${value.length}\r\n`),
      value,
      utf8("\r\nPING\r\n"),
    ]);
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += 7001) chunks.push(stream.subarray(at, at + 7001));
    expect(parseAll(chunks, limits)).toEqual([["SET", "k", value.toString("latin1")], ["PING"]]);
  });
});

describe("framing that is lost", () => {
  const invalidCount = "ERR Protocol error: invalid multibulk length";
  for (const count of ["2147483648", "9".repeat(20), "abc", "1.5", "+1", "01", " 1", "1048577", "", "-0"]) {
    test(`*${count}`, () => expect(one(`*${count}\r\n`)).toEqual([["BROKEN", invalidCount]]));
  }
  const invalidBulk = "ERR Protocol error: invalid bulk length";
  for (const length of ["-10", "-1", "536870913", "9223372036854775808", "blabla", "0x4", ""]) {
    test(`$${length}`, () => expect(one(`*1\r\n$${length}\r\n`)).toEqual([["BROKEN", invalidBulk]]));
  }
  test("an argument that is no bulk", () => {
    expect(one("*1\r\nPING")).toEqual([["BROKEN", "ERR Protocol error: expected '$', got 'P'"]]);
    expect(one("*1\r\n:5")).toEqual([["BROKEN", "ERR Protocol error: expected '$', got ':'"]]);
  });
  test("a payload without its CRLF", () => {
    expect(one("*1\r\n$4\r\nPINGxx")).toEqual([["BROKEN", "ERR Protocol error: expected CRLF after a bulk payload"]]);
  });
  test("lines without an end", () => {
    const endless = "1".repeat(300);
    expect(one(`*${endless}`)).toEqual([["BROKEN", "ERR Protocol error: too big mbulk count string"]]);
    expect(one(`*1\r\n$${endless}`)).toEqual([["BROKEN", "ERR Protocol error: too big bulk count string"]]);
    expect(one(endless)).toEqual([["BROKEN", "ERR Protocol error: too big inline request"]]);
  });
  test("unbalanced quotes", () => {
    for (const line of ['SET k "v', "SET k 'v", 'SET "k"v x', 'SET k "a\\"']) {
      expect(one(`${line}\r\n`)).toEqual([["BROKEN", "ERR Protocol error: unbalanced quotes in request"]]);
    }
  });
});

describe("our own limits leave the connection usable", () => {
  test("too many arguments", () => {
    const many = `*9\r\n${"$1\r\na\r\n".repeat(9)}PING\r\n`;
    expect(one(many)).toEqual([["REFUSED", "ERR too many arguments: 9, the limit is 8"], ["PING"]]);
  });
  test("an argument too large, a request too large", () => {
    const large = `$1001\r\n${"a".repeat(1001)}\r\n`;
    expect(one(`*2\r\n$1\r\na\r\n${large}PING\r\n`)).toEqual([
      ["REFUSED", "ERR argument of 1001 bytes is too large, the limit is 1000"],
      ["PING"],
    ]);
    const sizable = `$900\r\n${"a".repeat(900)}\r\n`;
    expect(one(`*4\r\n${sizable.repeat(4)}PING\r\n`)).toEqual([
      ["REFUSED", "ERR request is too large, the limit is 3000 bytes"],
      ["PING"],
    ]);
  });
});

test("what is only announced takes no memory", () => {
  const limits = { valueBytesMax: 512 * 1024 * 1024, argumentsMax: 8, lineBytesMax: 200, frameBytesMax: 2 ** 31 };
  const before = process.memoryUsage().rss;
  const parsers = Array.from({ length: 100 }, () => {
    const parser = new RespParser(limits);
    parser.feed(utf8(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${512 * 1024 * 1024}\r\nabc`));
    expect(parser.next()).toBe(ParseStatus.needMore);
    expect(parser.insideFrame).toBe(true);
    return parser;
  });
  expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 * 1024);
  expect(parsers.length).toBe(100);
});
