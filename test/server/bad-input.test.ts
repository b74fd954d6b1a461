/** Bad input at the client port: the table, and what belongs to a node alone. */
import { afterAll, describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { ANSWERED, CLOSED } from "./bad-input-table.ts";
import { command, exchange, RawClient, startPort } from "./started-port.ts";

const server = startPort();
const { port } = server;
afterAll(() => server.stop());

async function saidBeforeClose(bytes: string | Uint8Array): Promise<string> {
  const client = await RawClient.open(port);
  return await client.send(bytes).untilClosed();
}

const ask = (...args: (string | Uint8Array)[]): Promise<string> => exchange(port, command(...args));

describe("one error at most, then closed:", () => {
  for (const { what, bytes, said } of CLOSED) {
    test(what, async () => expect(await saidBeforeClose(bytes)).toBe(said));
  }
  test("TLS at a port without it", async () => expect(await saidBeforeClose("\x16\x03\x01\x02\x00\x01")).toBe(""));
});

test("nothing behind QUIT is executed", async () => {
  await saidBeforeClose("SET q before\r\nQUIT\r\nSET q after\r\n");
  expect(await ask("GET", "q")).toBe("$6\r\nbefore\r\n");
});

describe("an error reply, and the connection stays:", () => {
  for (const { what, bytes, said } of ANSWERED) {
    test(what, async () => expect(await exchange(port, bytes)).toBe(said));
  }
  test("a subcommand that is none", async () => {
    const unknown = "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n";
    expect(await ask("CLIENT", "MAINT_NOTIFICATIONS")).toBe(unknown);
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
