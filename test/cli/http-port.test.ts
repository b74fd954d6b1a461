import { expect, test } from "bun:test";
import { type Certificate, createAuthority } from "../../src/cli/certificate-authority.ts";
import { serverTlsOptions } from "../../src/env/tls-network.ts";
import { fakeAccess } from "../server/fake-access.ts";
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

test("under TLS callers show a certificate where one is required, and meet the new one of the server after a change", async () => {
  const authority = await createAuthority("house", 1, Date.now());
  const foreign = await createAuthority("another house", 1, Date.now());
  const issue = (by: typeof authority, purpose: "server" | "client"): Promise<Certificate> =>
    by.issue({ commonName: "x", hosts: ["127.0.0.1"], purposes: [purpose], days: 1, fromMs: Date.now() });
  let own = await issue(authority, "server");
  let changed: () => void = () => undefined;
  const port = startHttpPort("127.0.0.1", 0, fakeAccess().access, () => STATUS, {
    options: () => serverTlsOptions({ ...own, authority: authority.certificate }, "required"),
    onChange: (run) => {
      changed = run;
    },
    later: (run) => setTimeout(run, 1),
  });
  const ask = async (by: typeof authority, shown: Certificate | null): Promise<number> => {
    const pair = shown === null ? {} : { cert: shown.certificate, key: shown.key };
    const response = await fetch(`https://${port.address}/health`, {
      keepalive: false,
      tls: { ca: by.certificate, ...pair },
    });
    return response.status;
  };
  const caller = await issue(authority, "client");
  try {
    expect(await ask(authority, caller)).toBe(200);
    await expect(ask(authority, null)).rejects.toThrow();
    await expect(ask(authority, await issue(foreign, "client"))).rejects.toThrow();
    await expect(fetch(`http://${port.address}/health`)).rejects.toThrow();
    own = await issue(foreign, "server");
    changed();
    expect(await ask(foreign, caller)).toBe(200);
    await expect(ask(authority, caller)).rejects.toThrow();
  } finally {
    await port.stop();
  }
});

test("where there are users the status takes a login, and health does not", async () => {
  const fake = fakeAccess({ mayBeOpen: false });
  fake.enter("ann", ["reader"]);
  const port = startHttpPort("127.0.0.1", 0, fake.access, () => STATUS, null);
  const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString("base64")}`;
  try {
    const answers: [string, number][] = [
      [basic("ann:ann-secret"), 200],
      [basic("ann:wrong"), 401],
      [basic("nobody:ann-secret"), 401],
      [basic("ann"), 401],
      ["Basic ???", 401],
      ["Bearer a.b.c", 401],
      ["", 401],
    ];
    for (const [authorization, status] of answers) {
      const response = await fetch(`http://${port.address}/status`, { headers: { authorization } });
      expect([authorization, response.status]).toEqual([authorization, status]);
      if (status === 401) expect(response.headers.get("www-authenticate")).toContain("Basic");
    }
    expect((await fetch(`http://${port.address}/health`)).status).toBe(200);
  } finally {
    await port.stop();
  }
});
