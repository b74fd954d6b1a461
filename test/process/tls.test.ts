/** Real nodes with TLS: they find each other, npm's clients find them, strangers do not, and certificates change under them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { RedisClient } from "bun";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { authorityFile, certificateFlags, writeCertificates } from "../../src/cli/certs.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const NODES = ["n1", "n2", "n3"];
const HOSTS = ["localhost", "127.0.0.1"];

let directory = "";

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "edb-tls-"));
  await make("ours", "envelopedb", NODES);
  await make("theirs", "envelopedb", NODES);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Certificates of an authority of their own. */
async function make(name: string, cluster: string, nodes: readonly string[]): Promise<string> {
  const out = join(directory, name);
  await writeCertificates({ out, cluster, nodes, hosts: HOSTS, clients: ["alice"], days: 1 });
  return out;
}

function read(...path: string[]): string {
  return readFileSync(join(directory, ...path), "utf8");
}

function alice() {
  return {
    authority: read("ours", "ca.pem"),
    certificate: read("ours", "alice.pem"),
    key: read("ours", "alice-key.pem"),
  };
}

function nodeFlags(node: number): string[] {
  return certificateFlags(join(directory, "ours"), `n${node + 1}`);
}

function open(port: number, options: { cert?: string; key?: string } = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ca: read("ours", "ca.pem"), ...options }, () => resolve(socket));
    socket.on("error", reject);
  });
}

function answer(socket: TLSSocket, command: string): Promise<string> {
  return new Promise((resolve) => {
    socket.once("data", (bytes) => resolve(String(bytes)));
    socket.once("close", () => resolve("closed"));
    socket.write(command);
  });
}

describe("three nodes with TLS on all ports", () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({
      nodes: 3,
      shards: 1,
      workers: 0,
      flags: ["--tls-client", "on", "--tls-peer", "on"],
      flagsOf: nodeFlags,
      tls: { ...alice(), certificate: null, key: null },
    });
  });

  afterAll(() => cluster.stop());

  test("npm's clients use it as any Redis under TLS", async () => {
    const port = cluster.clientPorts[0] ?? 0;
    const ca = read("ours", "ca.pem");
    const first = new Redis({ host: "127.0.0.1", port, tls: { ca } });
    expect(await first.set("greeting", "hello")).toBe("OK");
    first.disconnect();
    const second = await createClient({ socket: { host: "127.0.0.1", port, tls: true, ca } }).connect();
    expect(await second.get("greeting")).toBe("hello");
    second.destroy();
    const third = new RedisClient(`rediss://127.0.0.1:${port}`, { tls: { ca } });
    expect(await third.get("greeting")).toBe("hello");
    third.close();
  });

  test("a client with a certificate of another authority, or none in it, sees the door only", async () => {
    const port = cluster.clientPorts[0] ?? 0;
    const wrong = await open(port, { cert: read("theirs", "alice.pem"), key: read("theirs", "alice-key.pem") });
    wrong.on("error", () => undefined);
    expect(await answer(wrong, "PING\r\n")).toBe("closed");
    const seen = await new Promise<string>((resolve) => {
      const plain = connectPlain(port, "127.0.0.1");
      let bytes = "";
      plain.on("data", (chunk) => (bytes += chunk.toString("hex")));
      plain.on("error", () => undefined);
      plain.on("close", () => resolve(bytes));
      plain.write("PING\r\n");
    });
    // A fatal alert of TLS at most, nothing of the database.
    expect(seen).toMatch(/^(|150301000202[0-9a-f]{2})$/);
  });

  test("a peer with the certificate of a client, or of another authority, gets nowhere, and the log says so", async () => {
    const port = Number(cluster.peerAddressOf(0).split(":")[1]);
    for (const from of ["ours", "theirs"]) {
      const stranger = await open(port, { cert: read(from, "alice.pem"), key: read(from, "alice-key.pem") });
      stranger.on("error", () => undefined);
      expect(await answer(stranger, "x")).toBe("closed");
    }
    const { errors } = await cluster.end(0, "SIGTERM");
    expect(errors).toContain('that of \\"alice\\", is not that of a node of cluster envelopedb');
    expect(errors).toContain("not of the authority that is trusted here");
    expect(errors).toContain("it speaks no TLS, and this port is for TLS only");
    await cluster.restart(0);
  });

  test("when its leader dies, another takes over", async () => {
    const leader = await cluster.leader();
    const others = cluster.nodes.filter((node) => node !== leader);
    const client = await cluster.client(cluster.nodes);
    expect((await client.command("SET", "k", "before")).kind).not.toBe("error");
    client.close();
    await cluster.kill(leader);
    await cluster.leader(0, others);
    const after = await cluster.client(others);
    expect(await after.command("GET", "k")).toEqual({ kind: "bytes", bytes: Buffer.from("before") });
    after.close();
    await cluster.restart(leader);
  });
});

test("a node with certificates of another authority is not let in, and both sides say why", async () => {
  const theirs = join(directory, "theirs");
  const cluster = await TestCluster.start({
    nodes: 3,
    founders: 2,
    shards: 1,
    workers: 0,
    flags: ["--tls-peer", "on"],
    flagsOf: (node) => (node === 2 ? certificateFlags(theirs, "n3") : nodeFlags(node)),
  });
  try {
    const ended = await cluster.startInVain(2, ["--join-timeout-ms", "1500"]);
    expect(ended.code).toBe(1);
    expect(ended.errors).toContain("its certificate is not of the authority that is trusted here");
  } finally {
    await cluster.stop();
  }
});

test("a node does not start with another node's certificate, another's key, or half its settings", async () => {
  const cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
  await cluster.kill(0);
  const ours = join(directory, "ours");
  const [, , , key = ""] = certificateFlags(ours, "n2");
  for (const [flags, why] of [
    [[...certificateFlags(ours, "n2"), "--tls-peer", "on"], "n1.envelopedb must be among its alternative names"],
    [[...certificateFlags(ours, "n1"), "--tls-key", key, "--tls-client", "on"], "is not the key of tlsCertificate"],
    [[...certificateFlags(ours, "n1"), "--tls-key", "/nowhere", "--tls-client", "on"], "cannot be read: ENOENT"],
    [["--tls-client", "on"], "tlsCertificate (from default) is needed, because tlsClient is on"],
    [certificateFlags(ours, "n1"), "are off"],
  ] as const) {
    const ended = await cluster.startInVain(0, flags);
    expect(ended.errors).toContain(why);
    expect(ended.code).toBe(2);
  }
  await cluster.stop();
});

test("SIGHUP brings a new certificate to all ports; a wrong one is not taken; old connections live on", async () => {
  const live = join(directory, "live");
  await make("live", "envelopedb", ["n1"]);
  // Both certificates are to be of the same authority.
  for (const file of ["n1.pem", "n1-key.pem"]) rmSync(join(live, file));
  for (const file of ["ca.pem", "ca-key.pem"]) copyFileSync(join(directory, "ours", file), join(live, file));
  for (const file of ["n1.pem", "n1-key.pem"]) copyFileSync(join(directory, "ours", file), join(live, file));
  const flags = ["--tls-client", "required", "--tls-http", "on", ...certificateFlags(live, "n1")];
  const probe = { cert: alice().certificate, key: alice().key };
  const cluster = await TestCluster.start({
    nodes: 1,
    shards: 1,
    workers: 0,
    flags,
    tls: alice(),
    httpAuthority: authorityFile(live),
  });
  try {
    const port = cluster.clientPorts[0] ?? 0;
    const serial = async (): Promise<string> => {
      const socket = await open(port, probe);
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const before = await serial();
    const old = await open(port, probe);
    expect(await answer(old, "PING\r\n")).toBe("+PONG\r\n");

    writeFileSync(join(live, "n1.pem"), "rubbish");
    cluster.signal(0, "SIGHUP");
    expect(await serial()).toBe(before);

    for (const file of ["n1.pem", "n1-key.pem"]) rmSync(join(live, file));
    await writeCertificates({ out: live, cluster: "envelopedb", nodes: ["n1"], hosts: HOSTS, clients: [], days: 1 });
    while ((await serial()) === before) {
      cluster.signal(0, "SIGHUP");
      await Bun.sleep(20);
    }
    expect(await answer(old, "PING\r\n")).toBe("+PONG\r\n");
    old.destroy();
    expect(await cluster.status(0)).toMatchObject({ node: "n1" });
    // Asked for as before.
    const bare = await open(port);
    bare.on("error", () => undefined);
    expect(await answer(bare, "PING\r\n")).toBe("closed");
    const { errors } = await cluster.end(0, "SIGTERM");
    expect(errors).toContain("the new certificate is not taken");
    expect(errors).toContain("it shows no certificate, which is required here");
  } finally {
    await cluster.stop();
  }
});

test("a client with TLS on a port without it is closed, and the log says what it did", async () => {
  const cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
  await expect(open(cluster.clientPorts[0] ?? 0)).rejects.toThrow();
  const { errors } = await cluster.end(0, "SIGTERM");
  expect(errors).toContain("it speaks TLS, and this port is without");
  await cluster.stop();
});
