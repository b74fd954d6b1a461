/** A data directory belongs to one node of one cluster, and says so when somebody else comes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode } from "@msgpack/msgpack";
import { decodeIdentity } from "../../src/cluster/identity-format.ts";
import { Identity } from "../../src/cluster/identity.ts";
import { crc32 } from "../../src/core/crc32.ts";
import { nodeId } from "../../src/core/ids.ts";
import { RealDisk } from "../../src/env/real-disk.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-identity-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

function claim(changes: Partial<Parameters<typeof Identity.claim>[1]> = {}): Identity {
  return Identity.claim(new RealDisk(), {
    directory,
    clusterName: "test",
    nodeName: "n2",
    memberNames: ["n3", "n1", "n2"],
    shardCount: 2,
    randomHex: "00",
    joins: false,
    areShardsSaid: true,
    adopts: false,
    ...changes,
  });
}

test("a directory keeps its identity over restarts, and members are numbered by name", () => {
  const first = claim();
  const again = claim({ randomHex: "ff", memberNames: ["n1", "n2", "n3"] });
  expect(again.incarnation).toBe(first.incarnation);
  expect(again.clusterId).toBe(first.clusterId);
  expect(Number(again.nodeId)).toBe(2);
  expect(again.members.members.map((member) => Number(member.id))).toEqual([1, 2, 3]);
});

test("a directory of another node, another cluster or another number of shards is refused, and the error says which", () => {
  claim();
  expect(() => claim({ nodeName: "n1" })).toThrow("belongs to node n2, not to n1");
  expect(() => claim({ clusterName: "other" })).toThrow("belongs to another cluster");
  expect(() => claim({ memberNames: ["n1", "n2"] })).toThrow("belongs to another cluster (its members: n1, n2, n3)");
  expect(() => claim({ shardCount: 3 })).toThrow("was made with 2 shards");
});

test("a newer format, damage, and shards without an identity are refused", () => {
  claim();
  const path = join(directory, "node.meta");
  const whole = readFileSync(path);
  const newer = Buffer.from(whole);
  newer.writeUInt32LE(99, 4);
  writeFileSync(path, newer);
  expect(() => claim()).toThrow("format version 99");
  for (let offset = 8; offset < whole.length; offset++) {
    const damaged = Buffer.from(whole);
    damaged[offset]! ^= 0x10;
    writeFileSync(path, damaged);
    expect(() => claim()).toThrow("node identity");
  }
  rmSync(path);
  new RealDisk().makeDirectory(join(directory, "shard-0000"));
  expect(() => claim()).toThrow("node.meta is missing");
});

test("a directory that is to join keeps its incarnation until it has, and starts only to join", () => {
  const joins = { joins: true, nodeName: "n9", memberNames: ["n9"] };
  const first = claim(joins);
  expect([first.clusterId, Number(first.nodeId), first.shardCount]).toEqual(["", 0, 0]);
  expect(claim({ ...joins, randomHex: "ff" }).incarnation).toBe(first.incarnation);
  expect(() => claim({ ...joins, joins: false })).toThrow("has not joined its cluster yet");
  expect(() => claim({ ...joins, nodeName: "n8" })).toThrow("belongs to node n9, not to n8");
});

test("a directory made by an earlier version is read: its members were the first ones", () => {
  const path = join(directory, "node.meta");
  const member = (id: number, incarnation: string) => ({ id, name: `n${id}`, incarnation });
  const members = [member(1, ""), member(2, "bb"), member(3, "cc")];
  const clusterId = claim().clusterId;
  writeFileSync(path, version1({ clusterId, nodeName: "n2", incarnation: "bb", shardCount: 2, members }));
  const identity = claim();
  expect([Number(identity.nodeId), identity.incarnation]).toEqual([2, "bb"]);
  expect(identity.founders.map(Number)).toEqual([1, 2, 3]);
  expect([identity.members.version, identity.members.nextId]).toEqual([0, 4]);
  expect([...identity.heard]).toEqual([
    [2, "bb"],
    [3, "cc"],
  ]);
  identity.saveHeard(1, "aa");
  expect(claim().heard.get(1)).toBe("aa");
});

test("golden bytes of the format", () => {
  claim({ memberNames: ["n1", "n2"] });
  const file = readFileSync(join(directory, "node.meta"));
  expect(file.subarray(0, 8).toString("hex")).toBe("4556504e02000000");
  const { clusterId, incarnation, ...rest } = decode(file.subarray(16)) as Record<string, unknown>;
  expect([clusterId, incarnation].map((hex) => /^[0-9a-f]{32}$/.test(String(hex)))).toEqual([true, true]);
  const member = { incarnation: "", peerAddress: "", rack: "", state: 1, forced: false };
  expect(rest).toEqual({
    nodeName: "n2",
    nodeId: 2,
    shardCount: 2,
    founders: [1, 2],
    members: {
      version: 0,
      nextId: 3,
      members: [
        { id: 1, name: "n1", ...member },
        { id: 2, name: "n2", ...member },
      ],
    },
    heard: [{ id: 2, incarnation }],
  });
  expect(decodeIdentity(Uint8Array.fromHex(GOLDEN), "golden")).toEqual({
    clusterId: "cc",
    nodeName: "n3",
    nodeId: 3,
    incarnation: "ab",
    shardCount: 2,
    founders: [],
    members: {
      version: 7,
      nextId: 4,
      members: [{ id: nodeId(3), name: "n3", incarnation: "ab", peerAddress: "h:1", rack: "r", state: "member" }],
    },
    heard: [],
  });
});

const GOLDEN =
  "4556504e02000000b9e63ba1b300000088a9636c75737465724964a26363a86e6f64654e616d65a26e33a66e6f6465496403ab696e6361726e6174696f6ea26162aa7368617264436f756e7402a8666f756e6465727390a76d656d6265727383a776657273696f6e07a66e657874496404a76d656d626572739187a2696403a46e616d65a26e33ab696e6361726e6174696f6ea26162ab7065657241646472657373a3683a31a47261636ba172a5737461746501a6666f72636564c2a5686561726490";

function version1(body: unknown): Uint8Array {
  const map = encode(body);
  const file = Buffer.alloc(16 + map.length);
  file.write("EVPN");
  file.writeUInt32LE(1, 4);
  file.writeUInt32LE(crc32(map), 8);
  file.writeUInt32LE(map.length, 12);
  file.set(map, 16);
  return file;
}

test("who takes a directory over is whoever it belongs to, as long as that one is alone", () => {
  const made = claim({ nodeName: "a", memberNames: ["a"], clusterName: "c", shardCount: 3 });
  const adopted = claim({ adopts: true, shardCount: 1, areShardsSaid: false });
  expect([adopted.nodeName, adopted.clusterId, adopted.shardCount]).toEqual(["a", made.clusterId, 3]);
  expect(() => claim({ adopts: true, shardCount: 1 })).toThrow("was made with 3 shards");
  const record = { incarnation: "", peerAddress: "", rack: "", state: "member" } as const;
  const members = ["a", "b"].map((name, i) => ({ id: i + 1, name, ...record }));
  adopted.saveMembers({ version: 9, nextId: 3, members: members as never });
  expect(() => claim({ adopts: true, areShardsSaid: false })).toThrow("node of a cluster");
});

test("a number of shards that was not said is that of the directory", () => {
  const made = claim({ shardCount: 4 });
  expect(claim({ shardCount: 1, areShardsSaid: false }).shardCount).toBe(made.shardCount);
  expect(() => claim({ shardCount: 1 })).toThrow("was made with 4 shards");
});
