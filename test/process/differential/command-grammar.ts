/**
 * Which commands are tried, and how often: one table a topic. A production is used only when the tested server knows its
 * command (COMMAND INFO), so a table may be ahead of the server.
 */
import type { Word, Words } from "./words.ts";

export interface Production {
  /** Lower case; also the name by which the server is asked whether it knows it. */
  readonly command: string;
  readonly weight: number;
  readonly make: (words: Words) => readonly Word[];
}

type Option = () => readonly Word[];

function production(weight: number, command: string, make: (words: Words) => readonly Word[]): Production {
  return { command, weight, make: (words) => [command, ...make(words)] };
}

function expiryOptions(words: Words): Option[] {
  return [
    () => ["EX", words.ttlSeconds()],
    () => ["PX", words.ttlMs()],
    () => ["EXAT", words.atSeconds()],
    () => ["PXAT", words.atMs()],
  ];
}

function expireOption(words: Words): readonly Word[] {
  return words.options(2, [() => [words.pick(["NX", "XX", "GT", "LT", "XY"])]]);
}

const PAIRS = (words: Words): Word[] => words.many(1, 3, () => [words.key(), words.value()]).flat();

const STRINGS: readonly Production[] = [
  production(10, "set", (words) => [
    words.key(),
    words.value(),
    ...words.options(3, [
      ...expiryOptions(words),
      () => [words.pick(["NX", "XX", "GET", "KEEPTTL"])],
      () => [words.pick(["NX", "XX", "GET", "KEEPTTL", "PERSIST", "FOO"])],
    ]),
  ]),
  production(8, "get", (words) => [words.key()]),
  production(3, "getdel", (words) => [words.key()]),
  production(4, "getex", (words) => [
    words.key(),
    ...words.options(2, [...expiryOptions(words), () => [words.pick(["PERSIST", "NX"])]]),
  ]),
  production(3, "getset", (words) => [words.key(), words.value()]),
  production(3, "setnx", (words) => [words.key(), words.value()]),
  production(2, "setex", (words) => [words.key(), words.ttlSeconds(), words.value()]),
  production(2, "psetex", (words) => [words.key(), words.ttlMs(), words.value()]),
  production(5, "append", (words) => [words.key(), words.value()]),
  production(3, "strlen", (words) => [words.key()]),
  production(4, "mget", (words) => words.keys(4)),
  production(3, "mset", PAIRS),
  production(3, "msetnx", PAIRS),
  production(4, "incr", (words) => [words.key()]),
  production(3, "decr", (words) => [words.key()]),
  production(4, "incrby", (words) => [words.key(), words.integer()]),
  production(3, "decrby", (words) => [words.key(), words.integer()]),
  production(5, "incrbyfloat", (words) => [words.key(), words.float()]),
];

const OFFSETS_BEYOND = ["536870912", "4294967295", "9223372036854775807", "-1", "-9223372036854775808"];
const BITS_BEYOND = ["4294967296", "-1", "9223372036854775807", "99999999999999999999"];

const RANGES: readonly Production[] = [
  production(5, "getrange", (words) => [words.key(), words.integer(-12, 60), words.integer(-12, 60)]),
  production(2, "substr", (words) => [words.key(), words.integer(-12, 60), words.integer(-12, 60)]),
  production(5, "setrange", (words) => [words.key(), words.bounded(0, 60, OFFSETS_BEYOND), words.value()]),
  production(4, "setbit", (words) => [
    words.key(),
    words.bounded(0, 200, BITS_BEYOND),
    words.pick(["0", "1", "1", "2", "a"]),
  ]),
  production(4, "getbit", (words) => [words.key(), words.bounded(0, 200, BITS_BEYOND)]),
  production(5, "bitcount", (words) => [words.key(), ...bitRange(words)]),
  production(5, "bitpos", (words) => [words.key(), words.pick(["0", "1", "1", "2", "x"]), ...bitRange(words)]),
  production(4, "lcs", (words) => [
    words.key(),
    words.key(),
    ...words.options(4, [
      () => [words.pick(["LEN", "IDX", "WITHMATCHLEN", "FOO"])],
      () => ["MINMATCHLEN", words.integer(-2, 5)],
    ]),
  ]),
];

function bitRange(words: Words): Word[] {
  return words.options(1, [
    () => [words.integer(-12, 30)],
    () => [words.integer(-12, 30), words.integer(-12, 30)],
    () => [words.integer(-90, 200), words.integer(-90, 200), words.pick(["BIT", "BYTE", "BIT", "BITS"])],
  ]);
}

const KEYS: readonly Production[] = [
  production(5, "del", (words) => words.keys(3)),
  production(2, "unlink", (words) => words.keys(3)),
  production(3, "exists", (words) => words.keys(4)),
  production(2, "touch", (words) => words.keys(4)),
  production(2, "type", (words) => [words.key()]),
  production(2, "keys", (words) => [words.pattern()]),
  production(2, "dbsize", () => []),
  production(1, "randomkey", () => []),
  production(3, "scan", (words) => [
    words.pick(["0", "0", "0", "abc", "-1", "", "1.5", "99999999999999999999"]),
    ...["COUNT", "1000"],
    ...words.options(2, [
      () => ["MATCH", words.pattern()],
      () => ["COUNT", words.pick(["100", "1000", "0", "-1", "x"])],
      () => ["TYPE", words.pick(["string", "STRING", "list", "nothing"])],
      () => ["FOO"],
    ]),
  ]),
  production(5, "object", (words) => [
    words.pick(["ENCODING", "ENCODING", "ENCODING", "REFCOUNT", "FREQ", "IDLETIME", "HELP", "FOO"]),
    ...words.many(1, 1, () => words.key()),
  ]),
  production(1, "object", () => ["HELP"]),
  production(3, "copy", (words) => [
    words.key(),
    words.key(),
    ...words.options(2, [() => ["REPLACE"], () => ["DB", words.pick(["0", "1", "99", "x"])], () => ["FOO"]]),
  ]),
  production(3, "rename", (words) => [words.key(), words.key()]),
  production(3, "renamenx", (words) => [words.key(), words.key()]),
  production(1, "flushdb", (words) => words.options(1, [() => [words.pick(["ASYNC", "SYNC", "FOO"])]])),
  production(1, "flushall", (words) => words.options(1, [() => [words.pick(["ASYNC", "SYNC", "FOO"])]])),
];

const EXPIRY: readonly Production[] = [
  production(4, "expire", (words) => [words.key(), words.ttlSeconds(), ...expireOption(words)]),
  production(3, "pexpire", (words) => [words.key(), words.ttlMs(), ...expireOption(words)]),
  production(3, "expireat", (words) => [words.key(), words.atSeconds(), ...expireOption(words)]),
  production(3, "pexpireat", (words) => [words.key(), words.atMs(), ...expireOption(words)]),
  production(4, "ttl", (words) => [words.key()]),
  production(4, "pttl", (words) => [words.key()]),
  production(3, "expiretime", (words) => [words.key()]),
  production(3, "pexpiretime", (words) => [words.key()]),
  production(4, "persist", (words) => [words.key()]),
];

const TRANSACTIONS: readonly Production[] = [
  production(5, "multi", () => []),
  production(6, "exec", () => []),
  production(2, "discard", () => []),
  production(3, "watch", (words) => words.keys(2)),
  production(2, "unwatch", () => []),
];

const CONNECTION: readonly Production[] = [
  production(2, "ping", (words) => words.options(1, [() => words.many(1, 2, () => words.value())])),
  production(2, "echo", (words) => [words.value()]),
  production(2, "select", (words) => [
    words.pick(["0", "0", "0", "1", "15", "16", "-1", "abc", "1000000", "1.5", "01"]),
  ]),
  production(1, "hello", (words) => words.options(3, helloOptions(words))),
  production(1, "reset", () => []),
  production(1, "auth", (words) => words.many(1, 3, () => words.pick<Word>(["default", "someone", "secret", ""]))),
  production(1, "time", () => []),
];

function helloOptions(words: Words): Option[] {
  return [
    () => [words.pick(["2", "3", "4", "1", "x", ""])],
    () => ["SETNAME", words.pick(["name", "two words", ""])],
    () => ["AUTH", words.pick(["default", "someone"]), words.value()],
    () => ["FOO"],
  ];
}

const CLIENT: readonly Production[] = [
  production(3, "client", (words) => [
    words.pick<Word>([
      "ID",
      "INFO",
      "LIST",
      "GETNAME",
      "GETREDIR",
      "TRACKINGINFO",
      "HELP",
      "FOO",
      "UNPAUSE",
      "SETNAME",
    ]),
  ]),
  production(3, "client", (words) => [
    "SETNAME",
    words.pick<Word>(["name", "", "two words", "line\nbreak", "äöü", "x".repeat(100)]),
  ]),
  production(1, "client", (words) => [
    ...["LIST", words.pick(["TYPE", "ID", "FOO"])],
    words.pick(["normal", "master", "replica", "pubsub", "slave", "foo", "999999", "0", "-1"]),
  ]),
  production(1, "client", (words) => [words.pick(["NO-EVICT", "REPLY", "NO-EVICT"]), words.pick(["ON", "FOO", "on"])]),
  production(1, "client", (words) => ["REPLY", words.pick(["ON", "OFF", "SKIP", "SKIP"])]),
  production(1, "client", (words) => ["CACHING", words.pick(["YES", "NO", "FOO"])]),
  production(1, "client", (words) => ["TRACKING", words.pick(["OFF", "FOO"])]),
  production(1, "client", (words) => [
    "UNBLOCK",
    words.pick(["999999", "x", "-1"]),
    ...words.options(1, [() => [words.pick(["TIMEOUT", "ERROR", "FOO"])]]),
  ]),
  production(1, "client", (words) => [
    "PAUSE",
    words.pick(["0", "-1", "x"]),
    ...words.options(1, [() => [words.pick(["WRITE", "ALL", "FOO"])]]),
  ]),
  production(1, "client", (words) => ["KILL", words.pick(["1.2.3.4:5", "foo", ""])]),
  production(1, "client", (words) => ["KILL", ...words.many(1, 2, () => killFilter(words)).flat()]),
];

function killFilter(words: Words): readonly Word[] {
  return words.pick<readonly Word[]>([
    ["ID", words.pick(["999999", "x", "0", "-1"])],
    ["ADDR", "1.2.3.4:5"],
    ["LADDR", "1.2.3.4:5"],
    ["TYPE", words.pick(["pubsub", "replica", "master", "foo"])],
    ["USER", words.pick(["nobody", "default"]), "ID", "999999"],
    ["SKIPME", words.pick(["yes", "no", "foo"]), "ID", "999999"],
    ["FOO", "bar"],
  ]);
}

const SERVER: readonly Production[] = [
  production(2, "command", (words) => [
    "INFO",
    ...words.many(1, 3, () => words.pick(["get", "SET", "mget", "nosuch", "del", "incr", "ping"])),
  ]),
  production(2, "command", (words) => [
    "GETKEYS",
    ...words.pick<readonly Word[]>([
      ["get", "a"],
      ["mset", "a", "1", "b", "2"],
      ["mget", "a", "b"],
      ["ping"],
      ["nosuch", "a"],
      ["get"],
      ["set", "a", "b", "EX", "5"],
      ["object", "encoding", "x"],
      [],
    ]),
  ]),
  production(1, "command", (words) => [words.pick(["FOO", "COUNT x", "GETKEYSANDFLAGS", "GETKEYS"])]),
  production(1, "command", () => ["DOCS", "nosuch"]),
  production(2, "config", (words) => [
    ...words.pick<readonly Word[]>([
      ["GET", "appendfsync-no"],
      ["GET"],
      ["SET", "nosuch", "1"],
      ["SET"],
      ["SET", "a"],
      ["RESETSTAT"],
      ["RESETSTAT", "x"],
      ["FOO"],
      ["GET", "databases"],
      ["HELP"],
      ["SET", "maxclients", "x"],
      ["SET", "save", "", "nosuch", "1"],
      ["SET", "timeout", "1", "timeout", "2"],
      ["REWRITE", "x"],
      ["SET", "databases", "3"],
    ]),
  ]),
  production(1, "wait", (words) => [words.pick(["0", "0", "x", "-1"]), words.pick(["0", "1", "-1", "x"])]),
  production(1, "lastsave", () => []),
  production(1, "memory", (words) =>
    words.pick<readonly Word[]>([
      ["USAGE", words.key()],
      ["USAGE", words.key(), "SAMPLES", words.pick(["0", "5", "-1", "x"])],
      ["DOCTOR"],
      ["STATS"],
      ["HELP"],
      ["FOO"],
      ["USAGE"],
      ["USAGE", "k0", "FOO"],
    ]),
  ),
  production(1, "debug", (words) => [
    words.pick(["OBJECT", "SLEEP", "JMAP", "HELP"]),
    ...words.options(1, [() => [words.key()]]),
  ]),
  production(1, "role", () => []),
  production(1, "cluster", (words) => [words.pick(["INFO", "NODES", "MYID", "SLOTS", "FOO"])]),
  production(1, "readonly", () => []),
  production(1, "readwrite", () => []),
  production(1, "slowlog", (words) =>
    words.pick<readonly Word[]>([["RESET"], ["GET", "x"], ["GET", "-5"], ["HELP"], ["FOO"]]),
  ),
  production(1, "latency", (words) =>
    words.pick<readonly Word[]>([["LATEST"], ["RESET"], ["HISTORY", "command"], ["FOO"]]),
  ),
  production(1, "shutdown", () => ["ABORT"]),
  production(1, "nosuchcommand", (words) => words.many(0, 3, () => words.value())),
];

export const GRAMMAR: readonly Production[] = [
  ...STRINGS,
  ...RANGES,
  ...KEYS,
  ...EXPIRY,
  ...TRANSACTIONS,
  ...CONNECTION,
  ...CLIENT,
  ...SERVER,
];
