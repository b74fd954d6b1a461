/**
 * What Redis 7.0.15 answered to each of these commands, in RESP2. A row is run on a connection after FLUSHALL and the
 * commands of `given`.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { command, exchange, RawClient, startPort } from "./started-port.ts";

const server = startPort();
afterAll(() => server.stop());

/** Arguments as people type them: `""` is an empty one, `\xff` a byte. */
function words(line: string): Uint8Array[] {
  return line.split(" ").map((word) => Buffer.from(unescaped(word === '""' ? "" : word), "latin1"));
}

function unescaped(text: string): string {
  return text.replace(/\\x([\da-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function ask(port: number, given: readonly string[], line: string): Promise<string> {
  const setUp = [...given, "ECHO --"].map((one) => command(...words(one)));
  const all = Buffer.concat([command("FLUSHALL"), ...setUp, command(...words(line))]);
  return exchange(port, all).then((reply) => reply.slice(reply.indexOf("$2\r\n--\r\n") + "$2\r\n--\r\n".length));
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const integer = (value: number | string): string => `:${value}\r\n`;
const error = (text: string): string => `-ERR ${text}\r\n`;

const OK = "+OK\r\n";
const NIL = "$-1\r\n";
const SYNTAX = error("syntax error");
const NOT_AN_INTEGER = error("value is not an integer or out of range");
const NOT_A_FLOAT = error("value is not a valid float");
const NO_BIT_OFFSET = error("bit offset is not an integer or out of range");
const NO_BIT = error("bit is not an integer or out of range");
const TOO_LARGE = error("string exceeds maximum allowed size (proto-max-bulk-len)");
const expired = (name: string): string => error(`invalid expire time in '${name}' command`);
const arity = (name: string): string => error(`wrong number of arguments for '${name}' command`);

const ABC = ["SET a abc"];
const ONES = ["SET a \\xff\\xff"];

type Row = readonly [line: string, reply: string];

const TABLES: Record<string, { readonly given: readonly string[]; readonly rows: readonly Row[] }> = {
  SETRANGE: {
    given: ABC,
    rows: [
      ["SETRANGE a 1 xyz", integer(4)],
      ["SETRANGE a 0 x", integer(3)],
      ["SETRANGE a 5 x", integer(6)],
      ["SETRANGE none 3 x", integer(4)],
      ['SETRANGE none 3 ""', integer(0)],
      ['SETRANGE a 9223372036854775807 ""', integer(3)],
      ["SETRANGE a 16777215 x", integer(16_777_216)],
      ["SETRANGE a 16777216 x", TOO_LARGE],
      ["SETRANGE a 16777215 xy", TOO_LARGE],
      ["SETRANGE a 9223372036854775807 x", TOO_LARGE],
      ["SETRANGE a -1 x", error("offset is out of range")],
      ['SETRANGE a -1 ""', error("offset is out of range")],
      ["SETRANGE a x x", NOT_AN_INTEGER],
      ["SETRANGE a 9223372036854775808 x", NOT_AN_INTEGER],
      ["SETRANGE a 1", arity("setrange")],
    ],
  },
  "GETRANGE and SUBSTR": {
    given: ABC,
    rows: [
      ["GETRANGE a 0 -1", bulk("abc")],
      ["GETRANGE a 1 1", bulk("b")],
      ["SUBSTR a -2 100", bulk("bc")],
      ["GETRANGE a 2 1", bulk("")],
      ["GETRANGE a 3 9", bulk("")],
      ["GETRANGE a -10 -5", bulk("a")],
      ["GETRANGE a -5 -10", bulk("")],
      ["GETRANGE a -9223372036854775808 9223372036854775807", bulk("abc")],
      ["GETRANGE a -9223372036854775807 -9223372036854775808", bulk("")],
      ["GETRANGE none 0 -1", bulk("")],
      ["GETRANGE none x 1", NOT_AN_INTEGER],
      ["SUBSTR a 0 1.5", NOT_AN_INTEGER],
      ["GETRANGE a 0", arity("getrange")],
      ["SUBSTR a", arity("substr")],
    ],
  },
  "SETBIT and GETBIT": {
    given: ABC,
    rows: [
      ["SETBIT a 1 0", integer(1)],
      ["SETBIT a 0 1", integer(0)],
      ["SETBIT none 134217727 1", integer(0)],
      ["SETBIT a 134217728 1", NO_BIT_OFFSET],
      ["SETBIT a -1 1", NO_BIT_OFFSET],
      ["SETBIT a x 2", NO_BIT_OFFSET],
      ["SETBIT a 1 2", NO_BIT],
      ["SETBIT a 1 x", NO_BIT],
      ["GETBIT a 1", integer(1)],
      ["GETBIT a 3", integer(0)],
      ["GETBIT a 24", integer(0)],
      ["GETBIT a 134217727", integer(0)],
      ["GETBIT a 134217728", NO_BIT_OFFSET],
      ["GETBIT none 0", integer(0)],
      ['GETBIT none ""', NO_BIT_OFFSET],
    ],
  },
  BITCOUNT: {
    given: ABC,
    rows: [
      ["BITCOUNT a", integer(10)],
      ["BITCOUNT a 0 0", integer(3)],
      ["BITCOUNT a 1 -1 BYTE", integer(7)],
      ["BITCOUNT a 0 -1 bit", integer(10)],
      ["BITCOUNT a 2 7 BIT", integer(2)],
      ["BITCOUNT a -1 100 bit", integer(1)],
      ["BITCOUNT a 5 30", integer(0)],
      ["BITCOUNT a -5 -10", integer(0)],
      ["BITCOUNT a -1 -2 foo", integer(0)],
      ["BITCOUNT a 0 1 foo", SYNTAX],
      ["BITCOUNT a 0", SYNTAX],
      ["BITCOUNT a 0 1 bit 2", SYNTAX],
      ["BITCOUNT a x 1", NOT_AN_INTEGER],
      ["BITCOUNT none", integer(0)],
      ["BITCOUNT none x", integer(0)],
      ["BITCOUNT none x 1 2 3 4", integer(0)],
      ["BITCOUNT", arity("bitcount")],
    ],
  },
  BITPOS: {
    given: ABC,
    rows: [
      ["BITPOS a 1", integer(1)],
      ["BITPOS a 0", integer(0)],
      ["BITPOS a 1 2", integer(17)],
      ["BITPOS a 1 -1 -1", integer(17)],
      ["BITPOS a 1 2 -1 BIT", integer(2)],
      ["BITPOS a 1 -5 -10", integer(1)],
      ["BITPOS a 1 -50 -60 bit", integer(-1)],
      ["BITPOS a 0 3", integer(-1)],
      ["BITPOS a 1 0 1 foo", SYNTAX],
      ["BITPOS a 1 0 x foo", SYNTAX],
      ["BITPOS a 1 x y foo", NOT_AN_INTEGER],
      ["BITPOS a 1 0 x bit", NOT_AN_INTEGER],
      ["BITPOS a 1 0 1 bit 2", SYNTAX],
      ["BITPOS none 1 a b c d e", integer(-1)],
      ["BITPOS none 0 a", integer(0)],
      ["BITPOS none x", NOT_AN_INTEGER],
      ["BITPOS none 2", error("The bit argument must be 1 or 0.")],
    ],
  },
  "BITPOS of a zero among ones": {
    given: ONES,
    rows: [
      ["BITPOS a 0", integer(16)],
      ["BITPOS a 0 1", integer(16)],
      ["BITPOS a 0 -1", integer(16)],
      ["BITPOS a 0 5", integer(-1)],
      ["BITPOS a 0 0 -1", integer(-1)],
      ["BITPOS a 0 0 20 bit", integer(-1)],
      ["BITPOS a 1 9 -1 BIT", integer(9)],
    ],
  },
  "BITPOS of an empty value": {
    given: ['SET a ""'],
    rows: [
      ["BITPOS a 0", integer(-1)],
      ["BITPOS a 1", integer(-1)],
      ["BITPOS a 0 0 -1", integer(-1)],
    ],
  },
  INCRBYFLOAT: {
    given: ["SET a 10.5", "SET t abc"],
    rows: [
      ["INCRBYFLOAT a 0.25", bulk("10.75")],
      ["INCRBYFLOAT none 3", bulk("3")],
      ["INCRBYFLOAT a nan", NOT_A_FLOAT],
      ['INCRBYFLOAT a ""', NOT_A_FLOAT],
      ["INCRBYFLOAT a 1_0", NOT_A_FLOAT],
      ["INCRBYFLOAT t 1", NOT_A_FLOAT],
      ["INCRBYFLOAT a", arity("incrbyfloat")],
    ],
  },
  LCS: {
    given: ["SET a ohmytext", "SET b mynewtext"],
    rows: [
      ["LCS a b", bulk("mytext")],
      ["LCS a b LEN", integer(6)],
      ["LCS a none", bulk("")],
      ["LCS none none LEN", integer(0)],
      [
        "LCS a b IDX MINMATCHLEN 4",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:6\r\n",
      ],
      [
        "LCS a b idx withmatchlen minmatchlen -5",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n*3\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n:2\r\n$3\r\nlen\r\n:6\r\n",
      ],
      ["LCS a none IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"],
      ["LCS a b IDX LEN", error("If you want both the length and indexes, please just use IDX.")],
      ["LCS a b MINMATCHLEN", SYNTAX],
      ["LCS a b MINMATCHLEN x", NOT_AN_INTEGER],
      ["LCS a b c", SYNTAX],
      ["LCS a", arity("lcs")],
    ],
  },
  "options of SET": {
    given: ABC,
    rows: [
      ["SET a x NX GET", bulk("abc")],
      ["SET none x NX GET", NIL],
      ["SET none x XX GET", NIL],
      ["SET a x XX GET KEEPTTL", bulk("abc")],
      ["SET a x XX NX", SYNTAX],
      ["SET a x EX 10 EX 30", OK],
      ["SET a x EX 0 EX 30", OK],
      ["SET a x EX 30 EX 0", expired("set")],
      ["SET a x EX 10 PX 10", SYNTAX],
      ["SET a x KEEPTTL EX 10", SYNTAX],
      ["SET a x EX 10 KEEPTTL", SYNTAX],
      ["SET a x KEEPTTL KEEPTTL NX NX", NIL],
      ["SET a x EX", SYNTAX],
      ["SET a x EX NX", NOT_AN_INTEGER],
      ["SET a x PERSIST", SYNTAX],
      ["SET a x EX -1", expired("set")],
      ["SET a x EX 1.5", NOT_AN_INTEGER],
      ["SET a x EX 9223372036854775807", expired("set")],
      ["SET a x PX 9223372036854775807", expired("set")],
      ["SET a x PX 9223372036854775808", NOT_AN_INTEGER],
    ],
  },
  "options of GETEX": {
    given: ABC,
    rows: [
      ["GETEX a", bulk("abc")],
      ["GETEX a PERSIST PERSIST", bulk("abc")],
      ["GETEX a EX 10 EX 20", bulk("abc")],
      ["GETEX a EX 10 PERSIST", SYNTAX],
      ["GETEX a PERSIST EX 10", SYNTAX],
      ["GETEX a KEEPTTL", SYNTAX],
      ["GETEX a NX", SYNTAX],
      ["GETEX a EX 0", expired("getex")],
      ["GETEX a EX x", NOT_AN_INTEGER],
      ["GETEX none EX 0", NIL],
      ["GETEX none EX x", NIL],
      ["GETEX none EX", SYNTAX],
    ],
  },
  "what sets, takes and adds": {
    given: ["SET a abc", "SET s \\x2011", "SET n 9223372036854775807"],
    rows: [
      ["SETEX a 0 x", expired("setex")],
      ["SETEX a -1 x", expired("setex")],
      ["SETEX a x x", NOT_AN_INTEGER],
      ["PSETEX a 0 x", expired("psetex")],
      ["PSETEX a 9223372036854775807 x", expired("psetex")],
      ["SETEX a 9223372036854775807 x", expired("setex")],
      ["PSETEX a 1000 x", OK],
      ["GETSET a x", bulk("abc")],
      ["GETSET none x", NIL],
      ["GETDEL a", bulk("abc")],
      ["GETDEL none", NIL],
      ['APPEND a ""', integer(3)],
      ["STRLEN a", integer(3)],
      ["INCR s", NOT_AN_INTEGER],
      ["INCR a", NOT_AN_INTEGER],
      ["INCR n", error("increment or decrement would overflow")],
      ["INCRBY a 1.5", NOT_AN_INTEGER],
      ["DECRBY n -9223372036854775808", error("decrement would overflow")],
      ["EXPIRE a 9223372036854775807", expired("expire")],
      ["EXPIRE none 9223372036854775807", expired("expire")],
      ["EXPIRE a 100 NX XX", error("NX and XX, GT or LT options at the same time are not compatible")],
      ["EXPIRE a x foo", error("Unsupported option foo")],
    ],
  },
};

for (const [name, { given, rows }] of Object.entries(TABLES)) {
  describe(name, () => {
    test.each(rows)("%s", async (line, reply) => {
      expect(await ask(server.port, given, line)).toBe(reply);
    });
  });
}

test("what is written in parts is read back whole", async () => {
  const said = await ask(server.port, ["SET a abc", "SETRANGE a 5 xy", "SETBIT a 0 1", 'SETRANGE a 9 ""'], "GET a");
  expect(said).toBe(bulk("\xe1bc\0\0xy"));
});

test("a last expiry is the one that counts", async () => {
  expect(await ask(server.port, ["SET a abc EX 10 EX 3000"], "TTL a")).toBe(integer(3000));
  expect(await ask(server.port, ["SET a abc", "GETEX a PX 10 PX 3000000"], "TTL a")).toBe(integer(3000));
});

test("LCS in RESP3 is a map, and a table larger than a value may be is refused", async () => {
  const small = startPort({ valueBytesMax: 4000 });
  const given = [`SET a ${"x".repeat(99)}`, `SET b ${"x".repeat(9)}`, `SET c ${"x".repeat(10)}`];
  expect(await ask(small.port, given, "LCS a b LEN")).toBe(integer(9));
  const refusal = error("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  expect(await ask(small.port, given, "LCS a c LEN")).toBe(refusal);
  expect(await ask(small.port, ["HELLO 3", ...given], "LCS b c IDX")).toStartWith("%2\r\n$7\r\nmatches\r\n*1\r\n");
  small.stop();
});

test("errors of a shard are the reply of whoever reads a part", async () => {
  const broken = startPort();
  broken.coordinator.failWith = { kind: "error", code: "UNAVAILABLE", message: "no leader" };
  const lines = ["GETRANGE a 0 1", "GETBIT a 1", "BITCOUNT a", "BITPOS a 1", "LCS a b", "GETEX a EX 0", "JGET a b"];
  const said = await exchange(broken.port, Buffer.concat(lines.map((line) => command(...words(line)))));
  expect(said).toBe("-TRYAGAIN no leader\r\n".repeat(lines.length));
  broken.stop();
});

test.each([
  ["GETRANGE k 0 0", "$1\r\nv\r\n"],
  ["BITCOUNT k 0 0", ":5\r\n"],
  ["MGET none none", "*2\r\n$-1\r\n$-1\r\n"],
])("%s: values are not asked for without end while nobody has got any", async (line, reply) => {
  const busy = startPort();
  const client = await RawClient.open(busy.port);
  await client.send(command("SET", "k", "v".repeat(1_000_000))).until("+OK\r\n");
  busy.coordinator.holding = true;
  client.send(Buffer.concat(Array.from({ length: 200 }, () => command(...words(line)))));
  while (busy.coordinator.heldCount < 32) await Bun.sleep(1);
  await Bun.sleep(20);
  const [connection] = [...busy.clientPort.connections()];
  expect(connection?.unansweredCount).toBeLessThan(40);
  busy.coordinator.holding = false;
  busy.coordinator.deliverAll();
  expect(await client.untilBytes("+OK\r\n".length + 200 * reply.length)).toBe(`+OK\r\n${reply.repeat(200)}`);
  client.close();
  busy.stop();
});

test("after large values, fewer are asked for at a time", async () => {
  const busy = startPort();
  const client = await RawClient.open(busy.port);
  await client.send(command("SET", "k", "v".repeat(1_000_000))).until("+OK\r\n");
  await client.send(command("GETRANGE", "k", "0", "0")).until("$1\r\nv\r\n");
  busy.coordinator.holding = true;
  client.send(Buffer.concat(Array.from({ length: 100 }, () => command("MGET", "k", "k"))));
  while (busy.coordinator.heldCount < 4) await Bun.sleep(1);
  await Bun.sleep(20);
  expect(busy.coordinator.heldCount).toBeLessThan(20);
  client.close();
  busy.coordinator.deliverAll();
  busy.stop();
});
