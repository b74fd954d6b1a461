import { afterAll, describe, expect, test } from "bun:test";
import { type ErrorCode, EnvelopeError, type Retry } from "../../src/core/errors.ts";
import { errorResult } from "../../src/record/result.ts";
import { command, exchange, startPort } from "./started-port.ts";

const server = startPort();
const { port, coordinator } = server;
afterAll(() => server.stop());

/** The replies to several commands on one connection, in RESP. */
function ask(...commands: string[][]): Promise<string> {
  return exchange(port, Buffer.concat(commands.map((args) => command(...args))));
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

describe("SET", () => {
  test("its conditions, and GET of the old value", async () => {
    expect(await ask(["SET", "s", "1", "XX"], ["SET", "s", "1", "NX"], ["SET", "s", "2", "NX"])).toBe(
      "$-1\r\n+OK\r\n$-1\r\n",
    );
    expect(await ask(["SET", "s", "3", "GET"], ["SET", "s", "4", "nx", "get"], ["GET", "s"])).toBe(
      bulk("1") + bulk("3") + bulk("3"),
    );
  });
  test("its expiries, kept and lost", async () => {
    expect(await ask(["SET", "e", "1", "EX", "100"], ["TTL", "e"], ["SET", "e", "2", "KEEPTTL"], ["TTL", "e"])).toBe(
      "+OK\r\n:100\r\n+OK\r\n:100\r\n",
    );
    expect(await ask(["SET", "e", "3"], ["TTL", "e"], ["SET", "e", "4", "PXAT", "1"], ["GET", "e"])).toBe(
      "+OK\r\n:-1\r\n+OK\r\n$-1\r\n",
    );
  });
});

test("EXPIRE and its conditions; a time in the past removes the key", async () => {
  const said = await ask(
    ["SET", "x", "1"],
    ["EXPIRE", "x", "100", "XX"],
    ["EXPIRE", "x", "100", "NX"],
    ["EXPIRE", "x", "50", "GT"],
    ["EXPIRE", "x", "50", "LT"],
    ["TTL", "x"],
    ["PERSIST", "x"],
    ["TTL", "x"],
    ["EXPIREAT", "x", "0"],
    ["EXISTS", "x"],
    ["TTL", "x"],
  );
  expect(said).toBe("+OK\r\n:0\r\n:1\r\n:0\r\n:1\r\n:50\r\n:1\r\n:-1\r\n:1\r\n:0\r\n:-2\r\n");
});

describe("JGET", () => {
  const document = JSON.stringify({
    name: "Alice",
    address: { city: "Bern" },
    tags: ["a", 2],
    "a.b": true,
    none: null,
    big: { deep: [1] },
  });
  const field = (path: string): Promise<string> => ask(["JGET", "json", path]);

  test("fields by path", async () => {
    await ask(["SET", "json", document]);
    expect(await field("name")).toBe(bulk("Alice"));
    expect(await field("address.city")).toBe(bulk("Bern"));
    expect(await field("tags[0]")).toBe(bulk("a"));
    expect(await field("tags[1]")).toBe(bulk("2"));
    expect(await field('["a.b"]')).toBe(bulk("true"));
    expect(await field("none")).toBe(bulk("null"));
    expect(await field("big")).toBe(bulk('{"deep":[1]}'));
    expect(await field("$.big.deep[0]")).toBe(bulk("1"));
    expect(await field("$")).toBe(bulk(document));
  });
  test("what is not there is null; prototypes are not there", async () => {
    const absent = ["nope", "tags[2]", "name.length", "tags.length", "__proto__", "constructor", "address.toString"];
    for (const path of absent) expect(await field(path)).toBe("$-1\r\n");
    expect(await ask(["JGET", "no-such-key", "a"])).toBe("$-1\r\n");
  });
  test("an own __proto__ is a field like any other", async () => {
    expect(await ask(["SET", "p", '{"__proto__": 1}'], ["JGET", "p", "__proto__"])).toBe(`+OK\r\n${bulk("1")}`);
  });
  test("values that are not JSON, bombs, and paths that are none", async () => {
    await ask(["SET", "text", "not json"], ["SET", "bomb", "[".repeat(100_000)]);
    expect(await ask(["JGET", "text", "a"])).toBe("-NOTJSON the value is not JSON\r\n");
    expect(await ask(["JGET", "bomb", "a"])).toBe("-NOTJSON the value is nested deeper than 512\r\n");
    expect(await ask(["JGET", "json", "a..b"])).toStartWith("-ERR invalid path");
  });
});

describe("buckets", () => {
  test("are apart from each other", async () => {
    const said = await ask(["SET", "k", "zero"], ["USE", "other"], ["GET", "k"], ["SELECT", "0"], ["GET", "k"]);
    expect(said).toBe(`+OK\r\n+OK\r\n$-1\r\n+OK\r\n${bulk("zero")}`);
  });
  test("are created, listed, described, emptied and dropped", async () => {
    expect(await ask(["BUCKET", "CREATE", "b1"], ["BUCKET", "CREATE", "b1"])).toBe(
      "+OK\r\n-ERR bucket 'b1' exists\r\n",
    );
    expect(await ask(["BUCKET", "INFO", "b1"])).toContain(bulk("durability") + bulk("sync"));
    expect(await ask(["BUCKET", "CREATE", "b2", "DURABILITY", "interval:500"])).toBe("+OK\r\n");
    expect(await ask(["BUCKET", "INFO", "b2"])).toContain(bulk("durability") + bulk("interval:500"));
    for (const options of [["DURABILITY"], ["DURABILITY", "never"], ["COLOUR", "os"], ["DURABILITY", "os", "os"]]) {
      expect(await ask(["BUCKET", "CREATE", "b3", ...options])).toBe("-ERR syntax error\r\n");
    }
    expect(await ask(["BUCKET", "DROP", "b2"])).toBe("+OK\r\n");
    expect(await ask(["LIST", "BUCKETS"])).toContain(bulk("b1"));
    expect(await ask(["USE", "b1"], ["SET", "a", "1"], ["BUCKET", "INFO", "b1"])).toContain("keys\r\n:1\r\n");
    expect(await ask(["USE", "b1"], ["SET", "a", "1"], ["FLUSHDB"], ["DBSIZE"])).toBe("+OK\r\n+OK\r\n+OK\r\n:0\r\n");
    expect(await ask(["BUCKET", "DROP", "b1"], ["BUCKET", "DROP", "b1"])).toBe("+OK\r\n-ERR no bucket 'b1'\r\n");
  });
  test("FLUSHALL empties those with keys and leaves the others alone", async () => {
    await ask(["USE", "full"], ["SET", "a", "1"], ["USE", "empty"]);
    coordinator.renewed = [];
    expect(await ask(["FLUSHALL"], ["USE", "full"], ["DBSIZE"])).toBe("+OK\r\n+OK\r\n:0\r\n");
    expect(coordinator.renewed).toContain("full");
    expect(coordinator.renewed).not.toContain("empty");
  });
  test("USE of an unknown one is an error where it does not create", async () => {
    const strict = startPort({ bucketsCreateByUse: false });
    const said = await exchange(strict.port, command("USE", "nobody"));
    expect(said).toBe("-ERR no such bucket 'nobody'\r\n");
    strict.stop();
  });
});

test("times to live are counted from the time of the key's shard, other times are what they are", async () => {
  coordinator.aheadMs = 3_600_000;
  const at = (reply: string): number => Number(/:(\d+)\r\n$/.exec(reply)?.[1]);
  const counted = [
    ["SET", "e", "1", "EX", "100"],
    ["SETEX", "e", "100", "1"],
    ["GETEX", "e", "PX", "100000"],
    ["EXPIRE", "e", "100"],
  ];
  for (const words of counted) {
    const before = Date.now();
    const expiryMs = at(await ask(words, ["PEXPIRETIME", "e"]));
    expect(expiryMs).toBeGreaterThanOrEqual(before + 3_700_000);
  }
  const soon = Math.floor(Date.now() / 1000) + 50;
  for (const words of [
    ["SET", "e", "1", "EXAT", String(soon)],
    ["EXPIREAT", "e", String(soon)],
  ]) {
    expect(at(await ask(words, ["EXPIRETIME", "e"]))).toBe(soon);
  }
  coordinator.aheadMs = 0;
});

describe("SCAN", () => {
  test("a cursor nobody knows resumes at its shard's start: nothing is missed", async () => {
    await ask(["FLUSHALL"], ...Array.from({ length: 50 }, (_, i) => ["SET", `scan${i}`, "v"]));
    const first = await ask(["SCAN", "0", "COUNT", "3"]);
    const cursor = BigInt(/^\*2\r\n\$\d+\r\n(\d+)/.exec(first)?.[1] ?? "0");
    const seen = new Set<string>();
    for (let at = (cursor ^ 1n) as bigint; ; ) {
      const page = await ask(["SCAN", String(at), "COUNT", "100"]);
      for (const match of page.matchAll(/scan\d+/g)) seen.add(match[0]);
      at = BigInt(/^\*2\r\n\$\d+\r\n(\d+)/.exec(page)?.[1] ?? "0");
      if (at === 0n) break;
    }
    expect(seen.size).toBe(50);
    expect(await ask(["DBSIZE"])).toBe(":50\r\n");
    expect(await ask(["KEYS", "scan1?"])).toStartWith("*10\r\n");
  });
});

const WORDS = {
  UNAVAILABLE: "TRYAGAIN",
  SHUTTING_DOWN: "TRYAGAIN",
  FENCED: "TRYAGAIN",
  OVERLOADED: "BUSY",
  DISKFULL: "DISKFULL",
  UNKNOWN_OUTCOME: "UNKNOWN",
  SESSION_GONE: "UNKNOWN",
  IO: "IOERR",
  CORRUPTION: "IOERR",
  NOT_JSON: "NOTJSON",
  INVALID_ARGUMENT: "ERR",
  TOO_LARGE: "ERR",
  NO_BUCKET: "ERR",
  BUCKET_EXISTS: "ERR",
  NOT_AN_INTEGER: "ERR",
  OVERFLOW: "ERR",
  PROTOCOL: "ERR",
  CONFIG: "ERR",
  DIRECTORY_IN_USE: "ERR",
  FOREIGN_DIRECTORY: "ERR",
  NEWER_FORMAT: "ERR",
  MISSING_FILE: "ERR",
  HISTORY_GONE: "ERR",
  MEMBER_EXISTS: "ERR",
  NO_MEMBER: "ERR",
  NO_QUORUM: "NOQUORUM",
  UNAUTHENTICATED: "NOAUTH",
  BAD_CREDENTIALS: "WRONGPASS",
  FORBIDDEN: "NOPERM",
  RATE_LIMITED: "RATELIMIT",
  QUOTA_EXCEEDED: "QUOTA",
  CROSS_SHARD: "CROSSSLOT",
  CONFLICT: "CONFLICT",
  NOT_A_FLOAT: "ERR",
  NO_KEY: "ERR",
  DEADLINE_EXCEEDED: "UNKNOWN",
  CANCELLED: "UNKNOWN",
} as const satisfies Record<ErrorCode, string>;

test("errors of the coordinator keep their code words, and no word promises more than its code", async () => {
  const retries: Record<string, Retry> = {
    TRYAGAIN: "safe",
    BUSY: "safe",
    DISKFULL: "safe",
    NOQUORUM: "safe",
    RATELIMIT: "safe",
    QUOTA: "safe",
    CONFLICT: "safe",
    UNKNOWN: "unknown",
  };
  for (const [code, word] of Object.entries(WORDS) as [ErrorCode, string][]) {
    coordinator.failWith = errorResult(code, "why");
    expect(await ask(["SET", "a", "1"], ["GET", "a"], ["MGET", "a", "b"])).toBe(`-${word} why\r\n`.repeat(3));
    expect([code, new EnvelopeError(code, "why").retry]).toEqual([code, retries[word] ?? "never"]);
  }
  coordinator.failWith = null;
});

test("RESP3 has nulls, maps and verbatim texts of its own", async () => {
  const said = await ask(["HELLO", "3"], ["GET", "none"], ["CONFIG", "GET", "save"], ["INFO", "replication"]);
  expect(said).toStartWith("%7\r\n$6\r\nserver\r\n");
  expect(said).toContain("_\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n=");
  expect(said).toContain("txt:# Replication");
});

test("CLIENT REPLY leaves out what it was told to", async () => {
  expect(await ask(["CLIENT", "REPLY", "SKIP"], ["PING"], ["PING", "a"])).toBe(bulk("a"));
  expect(await ask(["CLIENT", "REPLY", "OFF"], ["GET", "a"], ["PING"], ["CLIENT", "REPLY", "ON"])).toBe("+OK\r\n");
  const tooMany = ["DEL", ...Array.from({ length: 1_100 }, () => "k")];
  expect(await ask(["CLIENT", "REPLY", "SKIP"], tooMany, ["PING", "b"], ["PING", "c"])).toBe(bulk("b") + bulk("c"));
});

test("COMMAND tells what the table holds", async () => {
  expect(await ask(["COMMAND", "INFO", "get"])).toStartWith("*1\r\n*10\r\n$3\r\nget\r\n:2\r\n");
  expect(await ask(["COMMAND", "COUNT"])).toBe(`:${server.clientPort.commands.entries.length}\r\n`);
});

test("typed lines work, JSON as it is", async () => {
  const said = await exchange(port, 'SET user:1 {"name": "Alice", "score": 100}\r\nJGET user:1 score\r\n');
  expect(said).toBe(`+OK\r\n${bulk("100")}`);
});

test("INFO counts keys when asked for them", async () => {
  expect(await ask(["SELECT", "7"], ["SET", "k", "v"], ["INFO", "keyspace"])).toContain("db7:keys=1");
});

test("READ MODE chooses how a connection's reads are answered, and RESET makes them as they were", async () => {
  const modes = coordinator.readModes;
  modes.clear();
  expect(
    await ask(["READ", "MODE", "lease"], ["read", "mode", "LINEARIZABLE"], ["READ", "MODE", "lease"], ["RESET"]),
  ).toBe("+OK\r\n+OK\r\n+OK\r\n+RESET\r\n");
  expect([...modes.values()]).toEqual(["linearizable"]);
  expect(await ask(["READ", "MODE", "lease"])).toBe("+OK\r\n");
  expect([...modes.values()]).toEqual(["linearizable", "lease"]);
  expect(await ask(["READ", "MODE", "fast"], ["READ", "MODE"], ["READ", "X", "lease"])).toBe(
    "-ERR syntax error\r\n-ERR wrong number of arguments for 'read|mode' command\r\n-ERR unknown subcommand 'X'. Try READ HELP.\r\n",
  );
});

test("MEMBER shows who belongs to the cluster, and asks for changes", async () => {
  const listed = await ask(["MEMBER", "LIST"], ["member", "shards"]);
  for (const word of ["127.0.0.1:9101", "member", "voters", "learners"]) expect(listed).toContain(bulk(word));
  coordinator.memberSteps.length = 0;
  expect(
    await ask(
      ["MEMBER", "ADD", "n2", "127.0.0.1:9102"],
      ["MEMBER", "REMOVE", "n2"],
      ["MEMBER", "REMOVE", "n2", "force"],
      ["MEMBER", "TRANSFER", "3", "n2"],
    ),
  ).toBe("+OK\r\n-NOQUORUM it is needed\r\n+OK\r\n+OK\r\n");
  const steps = ["add n2 127.0.0.1:9102", "remove n2 false", "remove n2 true", "transfer 3 n2"];
  expect(coordinator.memberSteps).toEqual(steps);
  const refused = [
    ["MEMBER", "ADD", "n2"],
    ["MEMBER", "ADD", "a b", "127.0.0.1:1"],
    ["MEMBER", "ADD", "n2", "nowhere"],
    ["MEMBER", "REMOVE", "n2", "now"],
    ["MEMBER", "TRANSFER", "x", "n2"],
    ["MEMBER", "X"],
  ];
  for (const command of refused) expect(await ask(command)).toStartWith("-ERR ");
  expect(coordinator.memberSteps).toEqual(steps);
});

test("READ MODE stale says how old what is read may be", async () => {
  coordinator.choices.length = 0;
  expect(await ask(["READ", "MODE", "stale", "250"], ["READ", "MODE", "follower"])).toBe("+OK\r\n+OK\r\n");
  expect(coordinator.choices).toEqual(["stale 250", "follower"]);
  expect(await ask(["READ", "MODE", "stale"], ["READ", "MODE", "stale", "x"], ["READ", "MODE", "stale", "-1"])).toBe(
    "-ERR wrong number of arguments for 'read|mode' command\r\n-ERR value is not an integer or out of range\r\n-ERR the milliseconds are 0 to 86400000\r\n",
  );
});

test("READ AT reads with one command in another mode, and leaves the connection's as it was", async () => {
  await ask(["SET", "read-at", "v"]);
  coordinator.choices.length = 0;
  expect(
    await ask(
      ["READ", "MODE", "lease"],
      ["READ", "AT", "follower", "GET", "read-at"],
      ["READ", "AT", "stale", "50", "MGET", "read-at", "none"],
      ["GET", "read-at"],
    ),
  ).toBe(`+OK\r\n${bulk("v")}*2\r\n${bulk("v")}$-1\r\n${bulk("v")}`);
  expect(coordinator.choices).toEqual(["lease", "follower", "lease", "stale 50", "lease"]);
  const refusal = "-ERR READ AT takes a command that reads keys, such as GET\r\n";
  expect(
    await ask(
      ["READ", "AT", "follower", "SET", "k", "v"],
      ["READ", "AT", "follower", "DBSIZE"],
      ["READ", "AT", "follower", "READ", "AT", "lease", "GET", "k"],
      ["READ", "AT", "follower", "NONE"],
    ),
  ).toBe(refusal.repeat(4));
  expect(await ask(["READ", "AT", "follower"], ["READ", "AT", "follower", "GET"])).toBe(
    "-ERR wrong number of arguments for 'read|at' command\r\n-ERR wrong number of arguments for 'get' command\r\n",
  );
});
