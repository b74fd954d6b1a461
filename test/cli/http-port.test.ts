import { fakeAccess } from "../server/fake-access.ts";
import { expect, test } from "bun:test";
import { type NodeStatus, startHttpPort } from "../../src/server/http-port.ts";

const STATUS: NodeStatus = {
  node: "n1",
  cluster: "c",
  version: "0",
  addresses: { client: "127.0.0.1:1", peer: "127.0.0.1:2", http: "127.0.0.1:3" },
  shards: [
    {
      shard: 0,
      role: "leader",
      term: 2,
      leader: "n1",
      voters: ["n1"],
      learners: [],
      commitIndex: 3,
      appliedIndex: 3,
      quarantined: 0,
    },
  ],
  members: [],
  figures: { connections: 1 },
};
const ORPHANED: NodeStatus = { ...STATUS, shards: STATUS.shards.map((shard) => ({ ...shard, leader: null })) };

test("tells the status as it is now, and health by whether every shard has a leader", async () => {
  let status = STATUS;
  const port = startHttpPort("127.0.0.1", 0, fakeAccess().access, () => status, null);
  try {
    const base = `http://${port.address}`;
    expect(await (await fetch(`${base}/status`)).json()).toEqual(STATUS);
    const healthy = await fetch(`${base}/health`);
    expect(healthy.status).toBe(200);
    expect(await healthy.json()).toEqual({ status: "ok", node: "n1", shardsWithoutLeader: [] });
    status = ORPHANED;
    const ill = await fetch(`${base}/health`);
    expect(ill.status).toBe(503);
    expect(await ill.json()).toEqual({ status: "unavailable", node: "n1", shardsWithoutLeader: [0] });
    expect((await fetch(`${base}/other`)).status).toBe(404);
    expect((await fetch(`${base}/status`, { method: "POST", body: "x" })).status).toBe(405);
  } finally {
    await port.stop();
  }
});

test("a taken port is refused by its number", async () => {
  const port = startHttpPort("127.0.0.1", 0, fakeAccess().access, () => STATUS, null);
  try {
    const number = Number(port.address.split(":").at(-1));
    expect(() => startHttpPort("127.0.0.1", number, fakeAccess().access, () => STATUS, null)).toThrow(String(number));
  } finally {
    await port.stop();
  }
});
