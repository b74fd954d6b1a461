/** Users, roles, keys and revocations in the catalog: each change replaces what it says it replaces, and the last user stays. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import {
  type AccessRecord,
  accessKeyOf,
  decodeAccessCensus,
  decodeUser,
  encodeAccessChange,
} from "../../src/record/access-format.ts";
import { CommandType } from "../../src/record/command-format.ts";
import type { Result } from "../../src/record/result.ts";
import { command, ShardHarness, type TestCommand, u32 } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const USER = { id: 0, hash: "h", enabled: true, roles: ["reader"], grants: [], revision: 0 };
const ROLE = { grants: [{ bucket: "*", prefix: utf8("a:"), rights: 1 }], revision: 0 };

function said(result: Result | undefined): string {
  if (result?.kind === "integer") return String(result.value);
  return result?.kind === "error" ? result.code : (result?.kind ?? "nothing");
}

function entry(type: CommandType, key: string, expected: number, record: AccessRecord): TestCommand {
  const kind = accessKeyOf(key)?.kind ?? "users";
  return command(type, key, { bucket: 0, value: encodeAccessChange(kind, expected, record) });
}

const change = (key: string, expected: number, record: AccessRecord = USER): TestCommand =>
  entry(CommandType.changeAccess, key, expected, record);
const found = (key: string, record: AccessRecord = USER): TestCommand => entry(CommandType.foundAccess, key, 0, record);
const remove = (key: string, revision: number): TestCommand =>
  command(CommandType.removeAccess, key, { bucket: 0, value: u32(revision) });

function catalogOf(harness: ShardHarness): Map<string, Uint8Array> {
  const content = new Map<string, Uint8Array>();
  for (const { key, value } of harness.ofType("applied").flatMap((reply) => reply.system)) {
    if (value === null) content.delete(text(key));
    else content.set(text(key), value);
  }
  return content;
}

test("the first user is entered once, and not after another", () => {
  using harness = new ShardHarness();
  expect(harness.run(found("role/r", ROLE), found("user/ann"), found("user/bob")).map(said)).toEqual([
    "INVALID_ARGUMENT",
    "1",
    "CONFLICT",
  ]);
  const catalog = catalogOf(harness);
  expect(decodeUser(catalog.get("user/ann")!)).toEqual({ ...USER, id: 1, revision: 1 });
  expect(decodeAccessCensus(catalog.get("access")!)).toMatchObject({ version: 1, users: 1 });
});

test("a change that expects another revision is refused; a name given anew is another user", () => {
  using harness = new ShardHarness();
  const results = harness.run(
    change("user/ann", 0),
    change("user/bob", 0),
    change("user/ann", 0),
    change("user/ann", 2),
    change("user/ann", 1, { ...USER, id: 99, enabled: false }),
    remove("user/ann", 1),
    remove("user/ann", 3),
    change("user/ann", 0),
  );
  expect(results.map(said)).toEqual(["1", "2", "CONFLICT", "CONFLICT", "3", "CONFLICT", "ok", "5"]);
  const catalog = catalogOf(harness);
  expect(decodeUser(catalog.get("user/ann")!)).toMatchObject({ id: 5, revision: 5, enabled: true });
  expect(decodeAccessCensus(catalog.get("access")!)).toMatchObject({ version: 5, users: 2 });
});

test("the last user is not removed, the last role is", () => {
  using harness = new ShardHarness();
  harness.run(change("user/ann", 0), change("role/r", 0, ROLE));
  expect(harness.run(remove("user/ann", 1), remove("role/r", 2)).map(said)).toEqual(["INVALID_ARGUMENT", "ok"]);
  expect(decodeAccessCensus(catalogOf(harness).get("access")!)).toMatchObject({ users: 1, roles: 0 });
});

test("keys of tokens are few, and what is no entry is refused", () => {
  using harness = new ShardHarness();
  const key = { secret: new Uint8Array(32), createdMs: 1, retiredMs: 0, revision: 0 };
  expect(said(harness.run(change("token-key/k", 0, key))[0])).toBe("INVALID_ARGUMENT");
  harness.run(change("user/first", 0));
  const keys = Array.from({ length: 17 }, (_, at) => change(`token-key/k${at}`, 0, key));
  expect(said(harness.run(...keys).at(-1))).toBe("OVERLOADED");
  const bad = [
    change("user/a b", 0),
    change("nothing/a", 0),
    change("token-key/short", 0, { ...key, secret: new Uint8Array(31) }),
    change("user/ann", 0, { ...USER, roles: ["no name"] }),
    change("role/r", 0, { ...ROLE, grants: [{ bucket: "*", prefix: utf8(""), rights: 16 }] }),
    command(CommandType.changeAccess, "user/ann", { bucket: 0, value: utf8("x") }),
  ];
  expect(harness.run(...bad).map(said)).toEqual(bad.map(() => "INVALID_ARGUMENT"));
});
