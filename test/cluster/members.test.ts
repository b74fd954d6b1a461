/** Who belongs to the cluster, as one node knows it: the newest word counts, and no other cluster's. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Identity } from "../../src/cluster/identity.ts";
import { Members } from "../../src/cluster/members.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { nodeId } from "../../src/core/ids.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import type { MemberList, MemberRecord } from "../../src/record/member-format.ts";
import { QUIET } from "./leading-group.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-members-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

class FailingDisk extends RealDisk {
  failing = false;
  override syncDirectory(path: string): void {
    if (this.failing) throw new EnvelopeError("IO", "the sync failed");
    super.syncDirectory(path);
  }
}

function open(disk = new FailingDisk()) {
  const identity = Identity.claim(disk, {
    directory,
    clusterName: "test",
    nodeName: "n1",
    memberNames: ["n1", "n2"],
    shardCount: 1,
    randomHex: "00",
    joins: false,
    areShardsSaid: true,
    adopts: false,
  });
  const members = new Members(identity, [{ name: "n2", address: "here:2" }], QUIET);
  return { disk, identity, members };
}

function record(id: number, name: string, incarnation: string): MemberRecord {
  return { id: nodeId(id), name, incarnation, peerAddress: `${name}:1`, rack: "r", state: "member" };
}

function listOf(version: number, ...members: MemberRecord[]): MemberList {
  return { version, nextId: 10, members };
}

test("a member is bound to the first data directory heard, for good, unless the catalog has bound it", () => {
  const { members } = open();
  expect(members.bind(2, "aa")).toBe(true);
  expect([open().members.bind(2, "aa"), open().members.bind(2, "bb"), open().members.bind(9, "aa")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(members.adopt(listOf(1, record(1, "n1", ""), record(2, "n2", "")))).toBe(true);
  expect(members.bind(2, "bb")).toBe(false);
  expect(members.adopt(listOf(2, record(1, "n1", ""), record(2, "n2", "bb")))).toBe(true);
  expect([members.bind(2, "bb"), members.bind(2, "aa")]).toEqual([true, false]);
});

test("a binding that did not reach the disk does not count", () => {
  const { disk, members } = open();
  disk.failing = true;
  expect(() => members.bind(2, "first")).toThrow("the sync failed");
  expect(members.get(nodeId(2))?.incarnation).toBe("");
});

test("the newest list counts, and outlives a restart; own addresses go before those of the catalog", () => {
  const { members } = open();
  let changes = 0;
  members.onChange(() => {
    changes += 1;
  });
  expect(members.list().map(({ name, peerAddress }) => `${name} ${peerAddress}`)).toEqual(["n1 ", "n2 here:2"]);
  expect(members.adopt(listOf(3, record(1, "n1", ""), record(2, "n2", ""), record(4, "n4", "dd")))).toBe(true);
  expect(members.adopt(listOf(3, record(1, "n1", "")))).toBe(false);
  expect(members.adopt(listOf(2, record(1, "n1", "")))).toBe(false);
  expect(changes).toBe(1);
  for (const { members: known } of [{ members }, open()]) {
    expect(known.version).toBe(3);
    expect(known.list().map(({ peerAddress }) => peerAddress)).toEqual(["n1:1", "here:2", "n4:1"]);
    expect([known.isForgotten(3), known.isForgotten(4), known.isForgotten(10)]).toEqual([true, false, false]);
  }
});

test("a list that has another node under the own number or name is that of another cluster", () => {
  const { members } = open();
  expect(members.adopt(listOf(5, record(1, "x", ""), record(2, "n2", "")))).toBe(false);
  expect(members.adopt(listOf(5, record(1, "n1", "other"), record(2, "n2", "")))).toBe(false);
  expect(members.version).toBe(0);
});

test("a list in which an id has come back, or means another node, is that of another cluster", () => {
  const { members } = open();
  const first = [record(1, "n1", ""), record(2, "n2", "bb")];
  expect(members.adopt(listOf(3, ...first, record(4, "n4", "dd")))).toBe(true);
  const others = [
    listOf(4, ...first, record(3, "n3", "cc")),
    listOf(4, ...first, record(4, "x4", "dd")),
    listOf(4, record(2, "n2", "bb"), record(4, "n4", "ee")),
    { ...listOf(4, record(2, "n2", "bb")), nextId: 5 },
  ];
  for (const list of others) expect(members.adopt(list)).toBe(false);
  expect(members.adopt(listOf(4, record(2, "n2", "bb"), record(11, "n5", "ee")))).toBe(true);
  expect(members.get(nodeId(1))).toBeNull();
});

test("a list that cannot be saved counts all the same, and is asked for again after a restart", () => {
  const { disk, members } = open();
  disk.failing = true;
  expect(members.adopt(listOf(1, record(1, "n1", "")))).toBe(true);
  expect(members.list().length).toBe(1);
});
