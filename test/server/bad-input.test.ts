import { afterAll, describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { command, exchange, RawClient, startPort } from "./started-port.ts";

const server = startPort();
const { port } = server;
afterAll(() => server.stop());

async function saidBeforeClose(bytes: string | Uint8Array): Promise<string> {
  const client = await RawClient.open(port);
  return await client.send(bytes).untilClosed();
}

const ask = (...args: (string | Uint8Array)[]): Promise<string> => exchange(port, command(...args));

describe("framing is lost: one error, then closed", () => {
  const cases: [string, string][] = [
    ["*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n"],
    [`*${"9".repeat(70_000)}`, "-ERR Protocol error: too big mbulk count string\r\n"],
    ["*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"],
    ["*1\r\nPING", "-ERR Protocol error: expected '$', got 'P'\r\n"],
    ['SET k "x\r\n', "-ERR Protocol error: unbalanced quotes in request\r\n"],
    ["x".repeat(70_000), "-ERR Protocol error: too big inline request\r\n"],
  ];
  for (const [bytes, answer] of cases) {
    test(JSON.stringify(bytes.slice(0, 20)), async () => expect(await saidBeforeClose(bytes)).toBe(answer));
  }
  test("replies that were due come first", async () => {
    expect(await saidBeforeClose("PING\r\n*x\r\n")).toBe("+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n");
  });
});

describe("closed without a word", () => {
  for (const bytes of ["POST / HTTP/1.1\r\n\r\nSET a b\r\n", "Host: x\r\nSET a b\r\n", "\x16\x03\x01\x02\x00\x01"]) {
    test(JSON.stringify(bytes.slice(0, 8)), async () => expect(await saidBeforeClose(bytes)).toBe(""));
  }
});

test("nothing behind QUIT is executed", async () => {
  const said = await saidBeforeClose("SET q before\r\nQUIT\r\nSET q after\r\n");
  expect(said).toBe("+OK\r\n+OK\r\n");
  expect(await ask("GET", "q")).toBe("$6\r\nbefore\r\n");
});

describe("an error reply, and the connection stays", () => {
  const invalid = "-ERR value is not an integer or out of range\r\n";
  const syntax = "-ERR syntax error\r\n";
  const cases: [string[], string][] = [
    [[""], "-ERR unknown command '', with args beginning with: \r\n"],
    [["a\r\nb", "c\r\n+OK"], "-ERR unknown command 'a  b', with args beginning with: 'c  +OK' \r\n"],
    [["GET"], "-ERR wrong number of arguments for 'get' command\r\n"],
    [["MSET", "a", "1", "b"], "-ERR wrong number of arguments for 'mset' command\r\n"],
    [["SET", "a", "1", "FOO"], syntax],
    [["SET", "a", "1", "NX", "XX"], syntax],
    [["SET", "a", "1", "EX", "1", "PX", "1"], syntax],
    [["SET", "a", "1", "EX", "0"], "-ERR invalid expire time in 'set' command\r\n"],
    [["SET", "a", "1", "EX", "-1"], "-ERR invalid expire time in 'set' command\r\n"],
    [["SET", "a", "1", "EX", "9223372036854775807"], "-ERR invalid expire time in 'set' command\r\n"],
    [["SET", "a", "1", "EX", "1.5"], invalid],
    [["EXPIRE", "a", "9223372036854775807"], "-ERR invalid expire time in 'expire' command\r\n"],
    [["DECRBY", "a", "-9223372036854775808"], "-ERR decrement would overflow\r\n"],
    [["SCAN", "abc"], "-ERR invalid cursor\r\n"],
    [["SCAN", "0", "COUNT", "0"], syntax],
    [["SELECT", "1000000"], "-ERR DB index is out of range\r\n"],
    [["HELLO", "4"], "-NOPROTO unsupported protocol version\r\n"],
    [["CLIENT", "MAINT_NOTIFICATIONS"], "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"],
  ];
  for (const [args, answer] of cases) {
    test(JSON.stringify(args), async () => expect(await ask(...args)).toBe(answer));
  }
  test("an unknown command is echoed cut", async () => {
    expect((await ask("x".repeat(100_000), "y".repeat(100_000))).length).toBeLessThan(400);
  });
  test("a counter at its end, and text that is no counter", async () => {
    await ask("SET", "max", "9223372036854775807");
    expect(await ask("INCR", "max")).toBe("-ERR increment or decrement would overflow\r\n");
    await ask("SET", "text", " 11");
    expect(await ask("INCR", "text")).toBe(invalid);
  });
  test("a key too long, too many arguments", async () => {
    expect(await ask("SET", "k".repeat(65_537), "v")).toBe(
      "-ERR key of 65537 bytes is too large, the limit is 65536\r\n",
    );
    expect(await ask("SET", "k".repeat(65_536), "v")).toBe("+OK\r\n");
    expect(await ask("DEL", ...new Array<string>(1024).fill("k"))).toBe(
      "-ERR too many arguments: 1025, the limit is 1024\r\n",
    );
  });
  test("a value over 16 MiB is refused and passed over", async () => {
    const value = new Uint8Array(16 * 1024 * 1024 + 1);
    expect(await ask("SET", "large", value)).toStartWith("-ERR argument of 16777217 bytes is too large");
  });
});

test("bucket names that are none", async () => {
  const composed = "e\u0301";
  for (const name of ["../x", "a/b", "a\0b", "x".repeat(300), ".", "..", "", "a\nb", composed]) {
    expect(await ask("USE", name)).toBe("-ERR invalid bucket name\r\n");
    expect(await ask("BUCKET", "CREATE", name)).toBe("-ERR invalid bucket name\r\n");
  }
  expect(await ask("USE", new Uint8Array([0xff, 0xfe]))).toBe("-ERR invalid bucket name\r\n");
  for (const name of ["__proto__", "constructor", "\u00e9", "x".repeat(255)]) {
    expect(await ask("USE", name)).toBe("+OK\r\n");
  }
});

test("keys and values are bytes: empty, binary, lone surrogates, names of prototypes", async () => {
  const binary = new Uint8Array(256).map((_, i) => i);
  const surrogate = new Uint8Array([0xed, 0xa0, 0x80]);
  for (const key of [new Uint8Array(0), binary, surrogate, utf8("__proto__"), utf8("../../etc/passwd")]) {
    expect(await ask("SET", key, key)).toBe("+OK\r\n");
    const answer = Buffer.concat([utf8(`$${key.length}\r\n`), key, utf8("\r\n")]).toString("latin1");
    expect(await ask("GET", key)).toBe(answer);
  }
});

test("a megabyte of one-byte commands is answered one by one", async () => {
  const count = 100_000;
  const client = await RawClient.open(port);
  client.send("x\n".repeat(count));
  const line = "-ERR unknown command 'x', with args beginning with: \r\n";
  const said = await client.untilBytes(line.length * count);
  expect(said.length).toBe(line.length * count);
  client.close();
});
