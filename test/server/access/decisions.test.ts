/** Who may do what: a table of decisions, and that no command is without a rule. */
import { expect, test } from "bun:test";
import { utf8 } from "../../../src/core/bytes.ts";
import { ALL_RIGHTS, type Grant, Right } from "../../../src/record/access-format.ts";
import { fullName, isAct, isKnown, judge } from "../../../src/server/access/command-rights.ts";
import { ANYBODY, NOBODY, Principal } from "../../../src/server/access/principal.ts";
import { BUILT_IN_ROLES, parseRights, rightsText } from "../../../src/server/access/roles.ts";
import { commandTable } from "../../../src/server/commands.ts";
import { RequestArguments } from "../../../src/wire/request-arguments.ts";

const TABLE = commandTable();
const { read, write, admin, cluster } = Right;

function requestOf(line: string): RequestArguments {
  const words = line.split(" ").map((word) => utf8(word));
  const request = new RequestArguments();
  request.bytes = Buffer.concat(words);
  let start = 0;
  for (const word of words) {
    request.push(start, start + word.length);
    start += word.length;
  }
  return request;
}

function verdict(principal: Principal, bucket: string, line: string): string {
  const request = requestOf(line);
  const entry = TABLE.find(request.bytes, request.starts[0]!, request.ends[0]!);
  if (entry === null) throw new Error(`no command in ${line}`);
  return judge(principal, bucket, entry, request);
}

const grant = (bucket: string, prefix: string, rights: number): Grant => ({ bucket, prefix: utf8(prefix), rights });
const who = (...grants: Grant[]): Principal => new Principal("ann", true, grants, null);
const role = (name: string): Principal => who(...(BUILT_IN_ROLES.get(name) ?? []));
const key = (text: string) => ({ bytes: utf8(text), start: 0, end: utf8(text).length });

test("a grant reaches the buckets of its pattern and the keys of its prefix, and nothing else", () => {
  const ann = who(grant("orders", "eu:", read), grant("team-*", "", read | write));
  const decisions: readonly (readonly [rights: number, bucket: string, key: string | null, may: boolean])[] = [
    [read, "orders", "eu:1", true],
    [read, "orders", "eu:", true],
    [read, "orders", "eu", false],
    [read, "orders", "us:1", false],
    [read, "orders", null, false],
    [write, "orders", "eu:1", false],
    [read | write, "orders", "eu:1", false],
    [read, "orders2", "eu:1", false],
    [read | write, "team-a", "x", true],
    [read, "team-a", null, true],
    [admin, "team-a", null, false],
    [read, "team", "x", false],
    [read, "", "x", false],
    [read, "__proto__", "x", false],
  ];
  for (const [rights, bucket, name, may] of decisions) {
    expect([rights, bucket, name, ann.may(rights, bucket, name === null ? null : key(name))]).toEqual([
      rights,
      bucket,
      name,
      may,
    ]);
  }
  expect(["orders", "team-x", "other"].map((bucket) => ann.sees(bucket))).toEqual([true, true, false]);
});

test("rights of several grants on the same key add up", () => {
  const ann = who(grant("*", "a:", read), grant("b", "a:b:", write));
  expect(ann.may(read | write, "b", key("a:b:1"))).toBe(true);
  expect(ann.may(read | write, "b", key("a:c:1"))).toBe(false);
  expect(ann.may(read | write, "c", key("a:b:1"))).toBe(false);
});

test("a token never allows more than its user, nor more than its limits", () => {
  const limit = new Principal("ann", true, [grant("orders", "eu:", ALL_RIGHTS)], null);
  const token = new Principal("ann", true, [grant("*", "", read)], limit);
  expect(token.may(read, "orders", key("eu:1"))).toBe(true);
  expect(token.may(write, "orders", key("eu:1"))).toBe(false);
  expect(token.may(read, "orders", key("us:1"))).toBe(false);
  expect(token.sees("other")).toBe(false);
  expect(token.mayEverywhere(read)).toBe(false);
  expect(token.hasAny(cluster)).toBe(false);
});

test("what each built-in role may do", () => {
  const lines: readonly (readonly [line: string, allowedTo: string])[] = [
    ["GET a", "reader writer admin"],
    ["MGET a b", "reader writer admin"],
    ["SCAN 0", "reader writer admin"],
    ["DBSIZE", "reader writer admin"],
    ["SET a b", "writer admin"],
    ["GETDEL a", "writer admin"],
    ["DEL a b", "writer admin"],
    ["FLUSHDB", "admin"],
    ["FLUSHALL", "admin"],
    ["BUCKET CREATE x", "admin"],
    ["BUCKET DROP x", "admin"],
    ["BUCKET LIST", "reader writer admin cluster"],
    ["BUCKET INFO x", "reader writer admin"],
    ["USE x", "reader writer admin"],
    ["PING", "reader writer admin cluster"],
    ["MEMBER LIST", "reader writer admin cluster"],
    ["MEMBER REMOVE n1", "cluster"],
    ["USER LIST", "cluster"],
    ["ROLE ADD x", "cluster"],
    ["TOKEN ISSUE ann 1", "cluster"],
    ["ACL WHOAMI", "reader writer admin cluster"],
    ["ACL SETUSER ann", "cluster"],
    ["CLIENT ID", "reader writer admin cluster"],
    ["CLIENT LIST", "cluster"],
    ["CLIENT KILL ID 1", "cluster"],
    ["CONFIG SET a b", "cluster"],
    ["FLUSH", "cluster"],
  ];
  for (const [line, allowedTo] of lines) {
    const allowed = [...BUILT_IN_ROLES.keys()].filter((name) => verdict(role(name), "0", line) === "allowed");
    expect([line, allowed.join(" ")]).toEqual([line, allowedTo]);
  }
});

test("every key of a command counts, and whoever gets the old value has to be allowed to read", () => {
  const reader = who(grant("0", "a:", read));
  const writer = who(grant("0", "a:", write));
  const both = who(grant("0", "a:", read | write));
  expect(["GET a:1", "MGET a:1 a:2"].map((line) => verdict(reader, "0", line))).toEqual(["allowed", "allowed"]);
  expect(["GET b", "MGET a:1 b", "GET a:1"].map((line, at) => verdict(reader, at === 2 ? "1" : "0", line))).toEqual([
    "key",
    "key",
    "key",
  ]);
  for (const line of ["SET a:1 x GET", "GETSET a:1 x", "GETDEL a:1", "INCR a:1", "GETEX a:1 PERSIST"]) {
    expect([line, verdict(writer, "0", line), verdict(reader, "0", line), verdict(both, "0", line)]).toEqual([
      line,
      "key",
      "key",
      "allowed",
    ]);
  }
  expect(["SET a:1 get", "MSET a:1 x a:2 y", "DEL a:1"].map((line) => verdict(writer, "0", line))).toEqual([
    "allowed",
    "allowed",
    "allowed",
  ]);
  expect(verdict(writer, "0", "MSET a:1 x b y")).toBe("key");
});

test("keys are listed only where the pattern cannot leave the prefix", () => {
  const ann = who(grant("0", "a:", read));
  const lines = ["KEYS a:*", "KEYS a:b?", "KEYS a*", "KEYS *", "KEYS [a]:*", "KEYS \\a:*"];
  expect(lines.map((line) => verdict(ann, "0", line))).toEqual(["allowed", "allowed", "key", "key", "key", "allowed"]);
  const scans = [
    "SCAN 0 MATCH a:*",
    "SCAN 0 COUNT 5 MATCH a:*",
    "SCAN 0",
    "SCAN 0 MATCH a:* MATCH *",
    "DBSIZE",
    "RANDOMKEY",
  ];
  expect(scans.map((line) => verdict(ann, "0", line))).toEqual(["allowed", "allowed", "key", "key", "key", "key"]);
});

test("before the login there is nothing but the way in and the way out", () => {
  const allowed = TABLE.entries.filter(({ name }) => verdict(NOBODY, "0", `${name} 1 2 3 4 5`) === "allowed");
  expect(allowed.map(({ name }) => name).sort()).toEqual(["auth", "hello", "host:", "post", "quit", "reset"]);
  expect(TABLE.entries.every(({ name }) => verdict(ANYBODY, "0", `${name} 1 2 3 4 5`) === "allowed")).toBe(true);
});

test("every command is in the table of rights, or has keys to go by", () => {
  expect(TABLE.entries.filter((entry) => !isKnown(entry)).map(({ name }) => name)).toEqual([]);
});

test("acts upon the cluster are recorded, looking is not", () => {
  const isRecorded = (line: string): boolean => {
    const request = requestOf(line);
    const entry = TABLE.find(request.bytes, request.starts[0]!, request.ends[0]!)!;
    return isAct(entry, request);
  };
  const acts = [
    "FLUSHALL",
    "USER ADD a",
    "user del a",
    "BUCKET DROP x",
    "MEMBER REMOVE n",
    "TOKEN ROTATE",
    "CLIENT KILL ID 1",
  ];
  expect(acts.filter((line) => !isRecorded(line))).toEqual([]);
  const looks = ["USER LIST", "BUCKET LIST", "GET a", "SET a b", "INFO", "MEMBER SHARDS", "CLIENT ID", "USE x"];
  expect(looks.filter(isRecorded)).toEqual([]);
});

test("a name is shown only as far as it is a word", () => {
  const named = (line: string): string => {
    const request = requestOf(line);
    return fullName(TABLE.find(request.bytes, request.starts[0]!, request.ends[0]!)!, request);
  };
  expect(named("ACL LIST")).toBe("acl|list");
  expect(named("ACL >secret")).toBe("acl");
  expect(named("AUTH secret")).toBe("auth");
  expect(named("HELLO 3")).toBe("hello");
});

test("rights have names", () => {
  expect(parseRights("read,write")).toBe(read | write);
  expect(parseRights("all")).toBe(ALL_RIGHTS);
  expect([parseRights(""), parseRights("read,"), parseRights("constructor")]).toEqual([null, null, null]);
  expect(rightsText(read | cluster)).toBe("read,cluster");
});
