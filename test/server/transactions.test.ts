/** MULTI, EXEC and their relatives: what a client hears, in RESP2 and RESP3. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { errorResult } from "../../src/record/result.ts";
import { TRANSACTION_OPERATIONS_MAX } from "../../src/record/transaction-format.ts";
import { FakeCoordinator } from "./fake-coordinator.ts";
import { command, exchange, RawClient, type StartedPort, startPort } from "./started-port.ts";

let server: StartedPort;
beforeAll(() => {
  server = startPort({}, { coordinator: new FakeCoordinator(1) });
});
afterAll(() => server.stop());

function lines(...typed: readonly string[]): Promise<string> {
  return exchange(server.port, `${typed.join("\r\n")}\r\n`);
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const QUEUED = "+QUEUED\r\n";
const ABORTED = "-EXECABORT Transaction discarded because of previous errors.\r\n";

test("what is queued is carried out at EXEC, each command seeing those before it", async () => {
  const said = await lines("MULTI", "SET t1 1", "INCR t1", "SET t1 x", "INCR t1", "GET t1", "MGET t1 t2", "EXEC");
  const error = "-ERR value is not an integer or out of range\r\n";
  expect(said).toBe(
    `+OK\r\n${QUEUED.repeat(6)}*6\r\n+OK\r\n:2\r\n+OK\r\n${error}${bulk("x")}*2\r\n${bulk("x")}$-1\r\n`,
  );
});

test("commands on several keys, on none, and those that compute their reply", async () => {
  const said = await lines(
    "MULTI",
    "MSET u1 a u2 b",
    "DEL u1 u3",
    "EXISTS u1 u2",
    "PING",
    "ECHO hi",
    "STRLEN u2",
    "EXEC",
  );
  expect(said).toBe(`+OK\r\n${QUEUED.repeat(6)}*6\r\n+OK\r\n:1\r\n:1\r\n+PONG\r\n${bulk("hi")}:1\r\n`);
  const counted = await lines("MULTI", "INFO keyspace", "SET u9 1", "EXEC");
  expect(counted).toMatch(/^\+OK\r\n\+QUEUED\r\n\+QUEUED\r\n\*2\r\n\$\d+\r\n# Keyspace[\s\S]*\+OK\r\n$/);
});

test("an empty transaction, one that is discarded, and what there is not without MULTI", async () => {
  expect(await lines("MULTI", "EXEC")).toBe("+OK\r\n*0\r\n");
  expect(await lines("MULTI", "SET v1 1", "DISCARD", "GET v1")).toBe(`+OK\r\n${QUEUED}+OK\r\n$-1\r\n`);
  expect(await lines("EXEC", "DISCARD")).toBe("-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n");
  expect(await lines("MULTI", "MULTI", "WATCH a", "EXEC")).toBe(
    "+OK\r\n-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n*0\r\n",
  );
});

test("an error while queueing spoils the transaction, and the next one is as new", async () => {
  for (const wrong of ["SET w1", "NONSENSE", "KEYS *", "FLUSHDB", "SELECT 1"]) {
    const said = await lines("MULTI", "SET w1 1", wrong, "EXEC", "GET w1", "MULTI", "EXEC");
    expect(said).toMatch(/^\+OK\r\n\+QUEUED\r\n-ERR [^\r]*\r\n/);
    expect(said).toEndWith(`${ABORTED}$-1\r\n+OK\r\n*0\r\n`);
  }
  expect(await lines("MULTI", "SET w1 1", "EXEC now", "EXEC")).toEndWith(
    "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n" +
      "-ERR EXEC without MULTI\r\n",
  );
  expect(await lines("MULTI", "KEYS *", "DISCARD")).toContain("not allowed inside a transaction: 'keys'");
});

test("too many commands, or too many bytes, are refused while they are queued", async () => {
  const many = ["MULTI", ...Array.from({ length: TRANSACTION_OPERATIONS_MAX + 1 }, () => "GET x"), "EXEC"];
  expect(await lines(...many)).toEndWith(
    `-ERR too many commands in a transaction, the limit is ${TRANSACTION_OPERATIONS_MAX}\r\n${ABORTED}`,
  );
  const half = Buffer.alloc(server.clientPort.settings.valueBytesMax / 2 + 1, "x");
  const set = command("SET", "x", half);
  const said = await exchange(server.port, Buffer.concat([command("MULTI"), set, set, command("EXEC")]));
  expect(said).toMatch(/^\+OK\r\n\+QUEUED\r\n-ERR the transaction is too large, the limit is \d+ bytes\r\n-EXECABORT/);
});

describe("WATCH", () => {
  test("of a key that has changed, by whomever, makes EXEC do nothing", async () => {
    expect(await lines("SET a 1", "WATCH a", "MULTI", "INCR a", "EXEC")).toBe(
      `+OK\r\n+OK\r\n+OK\r\n${QUEUED}*1\r\n:2\r\n`,
    );
    expect(await lines("WATCH a", "SET a 2", "MULTI", "INCR a", "EXEC", "GET a")).toBe(
      `+OK\r\n+OK\r\n+OK\r\n${QUEUED}*-1\r\n${bulk("2")}`,
    );
    expect(await lines("HELLO 3", "WATCH a", "SET a 2", "MULTI", "EXEC")).toEndWith("+OK\r\n+OK\r\n+OK\r\n_\r\n");
  });

  test("of a key that is not there: it has to be absent again", async () => {
    expect(await lines("WATCH n1", "MULTI", "SET n1 1", "EXEC")).toBe(`+OK\r\n+OK\r\n${QUEUED}*1\r\n+OK\r\n`);
    expect(await lines("WATCH n2 n3", "SET n3 1", "MULTI", "SET n2 1", "EXEC", "GET n2")).toEndWith("*-1\r\n$-1\r\n");
  });

  test("is over after EXEC, DISCARD, UNWATCH and RESET", async () => {
    for (const end of [["MULTI", "EXEC"], ["MULTI", "DISCARD"], ["UNWATCH"], ["RESET"]]) {
      const said = await lines("WATCH b", ...end, "SET b 1", "MULTI", "GET b", "EXEC");
      expect(said).toEndWith(`*1\r\n${bulk("1")}`);
    }
  });

  test("that could not read fails the transaction, even of who did not look", async () => {
    server.coordinator.failWith = errorResult("UNAVAILABLE", "no leader");
    const client = await RawClient.open(server.port);
    client.send("WATCH c\r\n");
    await client.until("-TRYAGAIN no leader\r\n");
    server.coordinator.failWith = null;
    client.send("MULTI\r\nSET c 1\r\nEXEC\r\n");
    expect(await client.until("*-1\r\n")).toEndWith(`+OK\r\n${QUEUED}*-1\r\n`);
    client.close();
  });

  test("in another bucket than the transaction is refused", async () => {
    const said = await lines("WATCH d", "SELECT 1", "MULTI", "SET d 1", "EXEC");
    expect(said).toEndWith("-CROSSSLOT the watched keys are in another bucket than the transaction\r\n");
  });
});

test("an error of the transaction is the answer to EXEC, and nothing of it is heard later", async () => {
  server.coordinator.failWith = errorResult("UNKNOWN_OUTCOME", "the leader was lost");
  const said = lines("MULTI", "SET e 1", "GET e", "PING", "EXEC");
  expect(await said).toEndWith(`${QUEUED}-UNKNOWN the leader was lost\r\n`);
  server.coordinator.failWith = null;
  expect(await lines("MULTI", "GET e", "EXEC")).toEndWith("*1\r\n$-1\r\n");
});

test("RESET and the end of the connection drop what is queued", async () => {
  expect(await lines("MULTI", "SET f 1", "RESET", "EXEC", "GET f")).toEndWith(
    "+RESET\r\n-ERR EXEC without MULTI\r\n$-1\r\n",
  );
  const client = await RawClient.open(server.port);
  await client.send("MULTI\r\nSET f 1\r\n").until(QUEUED);
  client.close();
  expect(await lines("GET f")).toBe("$-1\r\n");
});

test("RENAME, RENAMENX, COPY and MSETNX, in a transaction and outside", async () => {
  expect(await lines("SET g 1", "RENAME g h", "GET g", "GET h", "RENAME g h", "RENAME none none")).toBe(
    `+OK\r\n+OK\r\n$-1\r\n${bulk("1")}-ERR no such key\r\n-ERR no such key\r\n`,
  );
  expect(await lines("SET i 2", "RENAMENX h i", "RENAMENX h j", "COPY j i", "COPY j i REPLACE", "GET i")).toBe(
    `+OK\r\n:0\r\n:1\r\n:0\r\n:1\r\n${bulk("1")}`,
  );
  expect(await lines("COPY j j", "COPY j k DB 3", "COPY j k DB 99", "COPY j k DB", "COPY j k DB 0")).toBe(
    "-ERR source and destination objects are the same\r\n" +
      "-CROSSSLOT a key is copied within its bucket; read it and set it in the other one\r\n" +
      "-ERR DB index is out of range\r\n-ERR syntax error\r\n:1\r\n",
  );
  expect(await lines("MSETNX l 1 m 2", "MSETNX m 3 o 4", "MGET l m o", "MSETNX l")).toBe(
    `:1\r\n:0\r\n*3\r\n${bulk("1")}${bulk("2")}$-1\r\n-ERR wrong number of arguments for 'msetnx' command\r\n`,
  );
  const said = await lines("MULTI", "MSETNX p 1 q 2", "MSETNX q 3 r 3", "RENAME p s", "RENAME p s", "COPY s t", "EXEC");
  expect(said).toBe(`+OK\r\n${QUEUED.repeat(5)}*5\r\n:1\r\n:0\r\n+OK\r\n-ERR no such key\r\n:1\r\n`);
});

test("keys of several shards are refused as a whole", async () => {
  const many = startPort();
  const typed = ["MULTI", ...Array.from({ length: 20 }, (_, i) => `SET k${i} 1`), "EXEC", "GET k0"];
  expect(await exchange(many.port, `${typed.join("\r\n")}\r\n`)).toMatch(/-CROSSSLOT [^\r]+\r\n\$-1\r\n$/);
  many.stop();
});

test("answers that come late leave in order, and nothing overtakes EXEC", async () => {
  server.coordinator.holding = true;
  const client = await RawClient.open(server.port);
  client.send(utf8("SET y 1\r\nMULTI\r\nINCR y\r\nGET y\r\nEXEC\r\nGET y\r\n"));
  while (!client.text().endsWith(bulk("2").repeat(2))) {
    server.coordinator.deliverAll();
    await Bun.sleep(1);
  }
  expect(client.text()).toBe(`+OK\r\n+OK\r\n${QUEUED}${QUEUED}*2\r\n:2\r\n${bulk("2")}${bulk("2")}`);
  server.coordinator.holding = false;
  client.close();
});

test("a command that is too large to be read spoils the transaction as any other error", async () => {
  const small = startPort({ valueBytesMax: 1_000 });
  const tooLarge = command("SET", "y1", "x".repeat(2_000));
  const said = await exchange(
    small.port,
    Buffer.concat([command("MULTI"), command("SET", "y1", "1"), tooLarge, command("EXEC"), command("GET", "y1")]),
  );
  expect(said).toBe(`+OK\r\n${QUEUED}-ERR argument of 2000 bytes is too large, the limit is 1000\r\n${ABORTED}$-1\r\n`);
  small.stop();
});

test("an EXEC over the rate ends the transaction: nothing that comes later is queued", async () => {
  const slow = startPort({ requestsPerSecond: 1, rateDelayMs: 0 });
  const [noisy, client] = [await RawClient.open(slow.port), await RawClient.open(slow.port)];
  await client.send(command("MULTI")).until("+OK\r\n");
  noisy.send(Buffer.concat(Array.from({ length: 100 }, () => command("PING"))));
  await noisy.until("+PONG\r\n");
  await client.send(command("EXEC")).until("-EXECABORT Transaction discarded because of: RATELIMIT");
  slow.clientPort.changeSettings({ requestsPerSecond: 0 });
  await client.send(command("PING")).until("+PONG\r\n");
  noisy.close();
  client.close();
  slow.stop();
});

test("whether commands are answered is not changed within a transaction: each has its place in the reply", async () => {
  for (const mode of ["OFF", "SKIP", "ON"]) {
    expect(await lines("MULTI", `CLIENT REPLY ${mode}`, "SET z1 1", "GET z1", "EXEC", "ECHO behind")).toBe(
      `+OK\r\n${QUEUED.repeat(3)}*3\r\n-ERR CLIENT REPLY is not allowed inside a transaction\r\n+OK\r\n$1\r\n1\r\n${bulk("behind")}`,
    );
  }
});
