/** A data directory belongs to one node of one cluster, and says so when somebody else comes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Identity } from "../../src/cluster/identity.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
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
    ...changes,
  });
}

test("a directory keeps its identity over restarts, and members are numbered by name", () => {
  const first = claim();
  const again = claim({ randomHex: "ff", memberNames: ["n1", "n2", "n3"] });
  expect(again.incarnation).toBe(first.incarnation);
  expect(again.clusterId).toBe(first.clusterId);
  expect(Number(again.nodeId)).toBe(2);
  expect(again.members.map((member) => member.id)).toEqual([1, 2, 3]);
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

test("a member is bound to the first data directory heard, for good", () => {
  const identity = claim();
  expect(identity.bindIncarnation(1, "aa")).toBe(true);
  expect(claim().bindIncarnation(1, "aa")).toBe(true);
  expect(claim().bindIncarnation(1, "bb")).toBe(false);
  expect(claim().bindIncarnation(9, "aa")).toBe(false);
});

test("a binding that did not reach the disk does not count", () => {
  class FailingDisk extends RealDisk {
    failing = false;
    override syncDirectory(path: string): void {
      if (this.failing) throw new EnvelopeError("IO", "the sync failed");
      super.syncDirectory(path);
    }
  }
  const disk = new FailingDisk();
  const memberNames = ["n1", "n2"];
  const options = { directory, clusterName: "test", nodeName: "n2", memberNames, shardCount: 2, randomHex: "00" };
  const identity = Identity.claim(disk, options);
  disk.failing = true;
  expect(() => identity.bindIncarnation(1, "first")).toThrow("the sync failed");
  expect(identity.members[0]?.incarnation).toBe("");
});
