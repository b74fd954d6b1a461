import { describe, expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import { type Reply, replyText } from "../../src/client/reply.ts";
import { ReplyCounter } from "../../src/client/reply-counter.ts";
import { ReplyReader } from "../../src/client/reply-reader.ts";
import { formatReply, rawReply } from "../../src/cli/reply-text.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function readAll(chunks: readonly Uint8Array[]): Reply[] {
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  for (const chunk of chunks) reader.push(chunk, (reply) => replies.push(reply));
  return replies;
}

/** Random RESP text of one value, with what it contains. */
function randomReply(random: Random, depth: number): string {
  const kind = random.below(depth > 3 ? 10 : 14);
  const blob = "x\r\n".repeat(random.below(5)) + "y".repeat(random.chance(0.1) ? 3000 : random.below(9));
  const items = (count: number): string => Array.from({ length: count }, () => randomReply(random, depth + 1)).join("");
  const count = random.below(4);
  switch (kind) {
    case 0:
      return "+OK\r\n";
    case 1:
      return "-TRYAGAIN not yet\r\n";
    case 2:
      return `:${random.chance(0.5) ? "-" : ""}${random.below(1000)}\r\n`;
    case 3:
      return "$-1\r\n";
    case 4:
      return "_\r\n";
    case 5:
      return "#t\r\n";
    case 6:
      return ",3.25\r\n";
    case 7:
      return `=${blob.length + 4}\r\ntxt:${blob}\r\n`;
    case 8:
      return "!7\r\nERR bad\r\n";
    case 9:
      return `$${blob.length}\r\n${blob}\r\n`;
    case 10:
      return `*${count}\r\n${items(count)}`;
    case 11:
      return `~${count}\r\n${items(count)}`;
    case 12:
      return `%${count}\r\n${items(2 * count)}`;
    default:
      return `>${count}\r\n${items(count)}`;
  }
}

function cutAtRandom(bytes: Uint8Array, random: Random): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(bytes.length, start + 1 + random.below(random.chance(0.3) ? 4 : 200));
    chunks.push(bytes.slice(start, end));
    start = end;
  }
  return chunks;
}

describe("replies", () => {
  test("the same bytes give the same replies however they are cut, and as many as were sent", () => {
    const seed = (Math.random() * 2 ** 32) >>> 0;
    const random = new Random(seed);
    for (let round = 0; round < 200; round++) {
      const sent = Array.from({ length: 1 + random.below(20) }, () => randomReply(random, 0));
      const bytes = encode(sent.join(""));
      const whole = readAll([bytes]);
      const what = `seed ${seed}, round ${round}`;
      expect(whole.length, what).toBe(sent.length);
      const chunks = cutAtRandom(bytes, random);
      expect(readAll(chunks), what).toEqual(whole);
      const counter = new ReplyCounter(() => undefined);
      expect(
        chunks.reduce((sum, chunk) => sum + counter.push(chunk), 0),
        what,
      ).toBe(sent.length);
      expect(counter.nullCount, what).toBe(whole.filter((reply) => reply.kind === "null").length);
    }
  });

  test("attributes are read and dropped", () => {
    const replies = readAll([encode("|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n")]);
    expect(replies).toEqual([
      {
        kind: "array",
        items: [
          { kind: "integer", value: 1n },
          { kind: "integer", value: 2n },
        ],
      },
    ]);
  });

  test("errors keep their code and message in lines and blobs, for the reader and for the counter", () => {
    const bytes = encode("-UNKNOWN it may have happened\r\n!11\r\nERR no good\r\n-oops\r\n");
    expect(readAll([bytes])).toEqual([
      { kind: "error", code: "UNKNOWN", message: "it may have happened" },
      { kind: "error", code: "ERR", message: "no good" },
      { kind: "error", code: "ERR", message: "oops" },
    ]);
    const seen: string[] = [];
    new ReplyCounter((code, message) => seen.push(`${code}|${message}`)).push(bytes);
    expect(seen).toEqual(["UNKNOWN|it may have happened", "ERR|no good", "oops|"]);
  });

  test.each([
    "hello\r\n",
    "$abc\r\n",
    "$-2\r\n",
    "*99999999999\r\n",
    ":1.5\r\n",
    "#x\r\n",
    "$1\r\nabcd",
    "+OK\n",
    "\r\n",
  ])("%j is not RESP", (bytes) => {
    expect(() => readAll([encode(bytes)])).toThrow("not RESP");
  });

  test("64-bit integers keep every digit", () => {
    expect(readAll([encode(":9223372036854775807\r\n")]).map(replyText)).toEqual(["9223372036854775807"]);
  });
});

describe("replies as text", () => {
  const format = (resp: string): string =>
    readAll([encode(resp)])
      .map((reply) => formatReply(reply))
      .join("\n");

  test("look as redis-cli shows them", () => {
    expect(format("+OK\r\n")).toBe("OK");
    expect(format("$-1\r\n")).toBe("(nil)");
    expect(format(":42\r\n")).toBe("(integer) 42");
    expect(format("-ERR no\r\n")).toBe("(error) ERR no");
    expect(format("*0\r\n")).toBe("(empty array)");
    expect(format("*2\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n")).toBe('1) "a"\n2) 1) (integer) 1\n   2) (integer) 2');
    expect(format("%1\r\n$1\r\nk\r\n#t\r\n")).toBe('1# "k" => (true)');
  });

  test("quote text so that it can be typed back, and keep letters of any script", () => {
    expect(format('$4\r\na"\nb\r\n')).toBe('"a\\"\\nb"');
    expect(format("$7\r\nZürich\r\n")).toBe('"Zürich"');
    expect(formatReply({ kind: "bytes", bytes: new Uint8Array([0xff, 0x00, 0x41]) })).toBe('"\\xff\\x00A"');
  });

  test("are bytes as they are in raw form", () => {
    const bytes = new Uint8Array([0xff, 0, 10]);
    expect(rawReply({ kind: "bytes", bytes })).toEqual(Buffer.from(bytes));
    const items: Reply[] = [{ kind: "integer", value: 1n }, { kind: "null" }, { kind: "status", text: "x" }];
    expect(rawReply({ kind: "array", items }).toString()).toBe("1\n\nx");
  });
});
