/** The members of the cluster in the catalog: ids once each, names to one data directory at a time, every change counted. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { nodeId } from "../../src/core/ids.ts";
import { CommandType } from "../../src/record/command-format.ts";
import {
  type Census,
  decodeCensus,
  decodeMemberRecord,
  encodeAdmission,
  encodeMemberList,
  encodeRetirement,
  type MemberRecord,
} from "../../src/record/member-format.ts";
import type { Result } from "../../src/record/result.ts";
import { command, ShardHarness, type TestCommand, u32 } from "./shard-harness.ts";

setDefaultTimeout(60_000);

function said(result: Result | undefined): string {
  if (result?.kind === "integer") return String(result.value);
  return result?.kind === "error" ? result.code : (result?.kind ?? "nothing");
}

const system = (type: CommandType, name: string, value: Uint8Array): TestCommand =>
  command(type, name, { bucket: 0, value });

function founding(...names: string[]): TestCommand {
  const rest = { incarnation: "", peerAddress: "", rack: "", state: "member" } as const;
  const members = names.map((name, at): MemberRecord => ({ id: nodeId(at + 1), name, ...rest }));
  const list = encodeMemberList({ version: 0, nextId: members.length + 1, members });
  return system(CommandType.foundCluster, "", list);
}

const admit = (name: string, incarnation: string, peerAddress = `${name}:1`, rack = ""): TestCommand =>
  system(CommandType.admitMember, name, encodeAdmission({ incarnation, peerAddress, rack }));
const retire = (name: string, id: number, forced = false): TestCommand =>
  system(CommandType.retireMember, name, encodeRetirement({ id, forced }));
const forget = (name: string, id: number): TestCommand => system(CommandType.forgetMember, name, u32(id));

function catalogOf(harness: ShardHarness): { census: Census; members: Record<string, MemberRecord> } {
  const content = new Map<string, Uint8Array>();
  for (const { key, value } of harness.ofType("applied").flatMap((reply) => reply.system)) {
    if (value === null) content.delete(text(key));
    else content.set(text(key), value);
  }
  const census = decodeCensus(content.get("members")!);
  content.delete("members");
  const members = [...content].map(([key, value]) => [key.slice("member/".length), decodeMemberRecord(value)]);
  return { census, members: Object.fromEntries(members) as Record<string, MemberRecord> };
}

test("the first members are entered once, and before anybody else", () => {
  using harness = new ShardHarness();
  expect(said(harness.run(admit("n9", "aa"))[0])).toBe("UNAVAILABLE");
  expect(harness.run(founding("n1", "n2"), founding("n1", "n2", "n3"), admit("n9", "aa")).map(said)).toEqual([
    "ok",
    "ok",
    "3",
  ]);
  const { census, members } = catalogOf(harness);
  expect(census).toEqual({ version: 2, nextId: 4, stayingCount: 3 });
  expect(Object.entries(members).map(([name, { id }]) => `${name} ${id}`)).toEqual(["n1 1", "n2 2", "n9 3"]);
});

test("who asks again is the same member; who comes under another's name is not", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1"));
  expect(harness.run(admit("n2", "aa"), admit("n2", "aa"), admit("n2", "bb"), admit("n2", "")).map(said)).toEqual([
    "2",
    "2",
    "MEMBER_EXISTS",
    "MEMBER_EXISTS",
  ]);
  expect(catalogOf(harness).census.version).toBe(2);
  expect(said(harness.run(admit("n2", "aa", "elsewhere:7", "east"))[0])).toBe("2");
  const { census, members } = catalogOf(harness);
  expect(census.version).toBe(3);
  expect(members["n2"]).toMatchObject({ incarnation: "aa", peerAddress: "elsewhere:7", rack: "east" });
});

test("a name that is kept belongs to whoever comes first under it", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1", "n2"));
  expect(harness.run(admit("n3", ""), admit("n3", ""), admit("n3", "cc"), admit("n3", "dd")).map(said)).toEqual([
    "3",
    "3",
    "3",
    "MEMBER_EXISTS",
  ]);
  expect(harness.run(admit("n2", "bb"), admit("n2", "xx")).map(said)).toEqual(["2", "MEMBER_EXISTS"]);
  expect(catalogOf(harness).census).toEqual({ version: 4, nextId: 4, stayingCount: 3 });
});

test("only who is leaving is forgotten, by name and id; an id never comes back", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1", "n2"));
  expect(harness.run(forget("n2", 2), retire("n2", 1), retire("n7", 2), retire("n2", 2)).map(said)).toEqual([
    "INVALID_ARGUMENT",
    "NO_MEMBER",
    "NO_MEMBER",
    "ok",
  ]);
  expect(catalogOf(harness).members["n2"]).toMatchObject({ state: "leaving" });
  expect(harness.run(forget("n2", 3), forget("n2", 2), forget("n2", 2)).map(said)).toEqual([
    "NO_MEMBER",
    "ok",
    "NO_MEMBER",
  ]);
  expect(harness.run(admit("n2", "new")).map(said)).toEqual(["3"]);
  expect(said(harness.run(forget("n2", 2))[0])).toBe("NO_MEMBER");
  expect(catalogOf(harness).census).toEqual({ version: 4, nextId: 4, stayingCount: 2 });
});

test("one that leaves may be made to leave at any cost, but the last one stays", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1", "n2"));
  expect(harness.run(retire("n2", 2), retire("n2", 2), retire("n1", 1)).map(said)).toEqual([
    "ok",
    "ok",
    "INVALID_ARGUMENT",
  ]);
  expect(catalogOf(harness).members["n2"]?.forced).toBeUndefined();
  expect(harness.run(retire("n2", 2, true), retire("n2", 2)).map(said)).toEqual(["ok", "ok"]);
  const { census, members } = catalogOf(harness);
  expect(members["n2"]?.forced).toBe(true);
  expect(census).toEqual({ version: 3, nextId: 3, stayingCount: 1 });
});

test("what cannot be read, or names nobody, changes nothing", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1"));
  const bad = [
    ...[CommandType.foundCluster, CommandType.admitMember, CommandType.retireMember].map((type) =>
      system(type, "n2", utf8("no map")),
    ),
    admit("a b", "aa"),
    admit("n2", "aa", "nowhere"),
    admit("n2", "aa", "n2:1", "no rack"),
  ];
  for (const wrong of bad) expect(said(harness.run(wrong)[0])).toBe("INVALID_ARGUMENT");
  expect(said(harness.run(system(CommandType.forgetMember, "n1", utf8("x")))[0])).toBe("NO_MEMBER");
  expect(catalogOf(harness).census.version).toBe(1);
});

test("members outlive a restart", () => {
  using harness = new ShardHarness();
  harness.run(founding("n1"), admit("n2", "bb"));
  harness.maintain("flush");
  harness.run(retire("n2", 2));
  harness.stop();
  harness.reopen();
  const names = harness.boot.system.map(({ key }) => text(key)).sort();
  expect(names).toEqual(["member/n1", "member/n2", "members"]);
  expect(said(harness.run(admit("n3", "cc"))[0])).toBe("3");
});
