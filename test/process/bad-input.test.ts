/**
 * What clients may do to a node, out of malice or by mistake: the memory it takes stays within bounds, whoever asks in an
 * orderly manner is answered, and the node lives on.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Socket } from "bun";
import { replyText } from "../../src/client/reply.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const KIB = 1024;
const MIB = 1024 * KIB;
const IDLE_CONNECTIONS = 10_000;
const DESCRIPTORS_FOR_OTHERS = 1_000;
const FRAME_IDLE_MS = 1_000;
const isLinux = process.platform === "linux";

let cluster: TestCluster;
let orderly: RespClient;

beforeAll(async () => {
  cluster = await TestCluster.start({
    nodes: 1,
    shards: 1,
    workers: 1,
    flags: ["--frame-idle-ms", String(FRAME_IDLE_MS), "--connections-max", String(2 * IDLE_CONNECTIONS)],
  });
  orderly = await cluster.client([0]);
});

afterAll(async () => {
  orderly.close();
  await cluster.stop();
});

test("many idle connections leave the others undisturbed, and go without a trace", async () => {
  const count = Math.min(IDLE_CONNECTIONS, descriptorsMax() - DESCRIPTORS_FOR_OTHERS);
  const idle: RawClient[] = [];
  while (idle.length < count) idle.push(...(await Promise.all(Array.from({ length: 100 }, () => RawClient.open()))));
  await expectOrder();
  expect(await connectedClients()).toBeGreaterThanOrEqual(count);
  expect(idle.every((client) => !client.isClosed)).toBe(true);
  for (const client of idle) client.drop();
  while ((await connectedClients()) > 10) await Bun.sleep(20);
  await expectOrder();
});

describe("memory is not given for what is only announced:", () => {
  for (const announced of [512 * MIB, 16 * MIB]) {
    test.skipIf(!isLinux)(`100 sockets that announce ${announced / MIB} MiB and send nothing`, async () => {
      await expectOrder();
      const before = residentBytes();
      const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.open()));
      for (const client of clients) client.send(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${announced}\r\n`);
      await expectOrder();
      await Bun.sleep(200);
      expect(residentBytes() - before).toBeLessThan(50 * MIB);
      await Promise.all(clients.map((client) => client.closed));
      await expectOrder();
    });
  }
});

describe("half a request is closed after a while,", () => {
  test("when nothing more comes", async () => {
    const client = await RawClient.open();
    client.send("*2\r\n$3\r\nGET\r\n$3\r\na");
    await client.closed;
    expect(client.received).toBe(0);
  });

  test("when one byte comes now and then", async () => {
    const client = await RawClient.open();
    client.send("*2\r\n$3\r\nGET\r\n$100000\r\n");
    const drip = setInterval(() => client.send("x"), FRAME_IDLE_MS / 10);
    await client.closed;
    clearInterval(drip);
    expect(client.received).toBe(0);
  });

  test("and one who only waits between requests is not", async () => {
    const client = await RawClient.open();
    client.send("PING\r\n");
    await Bun.sleep(2 * FRAME_IDLE_MS);
    client.send("PING\r\n");
    while (client.received < "+PONG\r\n".length * 2) await Bun.sleep(10);
    expect(client.isClosed).toBe(false);
    client.drop();
  });
});

test.skipIf(!isLinux)("replies that are never read take bounded memory, and the others are undisturbed", async () => {
  expect(replyText(await orderly.command("SET", "large", "v".repeat(MIB)))).toBe("OK");
  await expectOrder();
  const before = residentBytes();
  const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.open()));
  for (const client of clients) {
    client.stopReading();
    client.send("*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n".repeat(500));
  }
  for (let i = 0; i < 20; i++) {
    await expectOrder();
    await Bun.sleep(50);
    // Ten times what a connection may have unread before it is read from no more, and as much again for its making.
    expect(residentBytes() - before).toBeLessThan(300 * MIB);
  }
  for (const client of clients) client.drop();
  await expectOrder();
});

test.skipIf(!isLinux)("a million of the shortest commands are all answered, in bounded memory", async () => {
  const before = residentBytes();
  const client = await RawClient.open();
  const count = 1_000_000;
  const together = 10_000;
  for (let sent = 0; sent < count; sent += together) await client.sendAll("x\n".repeat(together));
  await expectOrder();
  while (client.receivedLines < count && !client.isClosed) await Bun.sleep(10);
  expect(client.receivedLines).toBe(count);
  for (let sent = 0; sent < count; sent += together) await client.sendAll("\n".repeat(together));
  client.send("PING\r\n");
  while (client.receivedLines === count && !client.isClosed) await Bun.sleep(10);
  expect(client.receivedLines).toBe(count + 1);
  client.drop();
  // Sixty megabytes of replies; the rest is what the collector has not come to yet.
  expect(residentBytes() - before).toBeLessThan(512 * MIB);
});

test("KEYS with a hundred stars is answered", async () => {
  for (let i = 0; i < 20; i++) await orderly.command("SET", "a".repeat(2_000) + i, "");
  const reply = await orderly.command("KEYS", `${"a*".repeat(100)}b`);
  expect(reply).toMatchObject({ kind: "array", items: [] });
  await expectOrder();
});

test.skipIf(!isLinux)("without descriptors left, new connections are refused and storage goes on", async () => {
  const flags = ["--segment-bytes", "64KiB", "--value-bytes-max", "32KiB", "--memtable-bytes", "1MiB"];
  const own = await TestCluster.start({ nodes: 1, shards: 1, workers: 1, descriptors: 64, flags });
  try {
    const client = await own.client([0]);
    const crowd: RawClient[] = [];
    for (let i = 0; i < 100; i++) {
      // Who is cut off at once may not even see that it was connected.
      const one = await RawClient.open(own.clientPorts[0]).catch(() => null);
      if (one !== null) crowd.push(one);
    }
    expect(crowd.length).toBeGreaterThan(0);
    for (let i = 0; i < 100; i++) {
      expect(replyText(await client.command("SET", `k${i}`, "v".repeat(20_000)))).toBe("OK");
    }
    expect(replyText(await client.command("FLUSH"))).toBe("OK");
    expect(replyText(await client.command("MERGE"))).toBe("OK");
    for (let i = 0; i < 100; i++) {
      expect(replyText(await client.command("GET", `k${i}`))).toBe("v".repeat(20_000));
    }
    for (const one of crowd) one.drop();
    await Bun.sleep(100);
    const late = await own.client([0]);
    expect(replyText(await late.command("GET", "k7"))).toBe("v".repeat(20_000));
    client.close();
    late.close();
    await own.end(0, "SIGTERM");
    await own.restart(0);
  } finally {
    await own.stop();
  }
});

/** Somebody in an orderly manner writes, reads and is answered. */
async function expectOrder(): Promise<void> {
  expect(replyText(await orderly.command("PING"))).toBe("PONG");
  expect(replyText(await orderly.command("SET", "order", "kept"))).toBe("OK");
  expect(replyText(await orderly.command("GET", "order"))).toBe("kept");
}

async function connectedClients(): Promise<number> {
  const info = replyText(await orderly.command("INFO", "clients")) ?? "";
  return Number(/connected_clients:(\d+)/.exec(info)?.[1]);
}

/** Of the node. */
function residentBytes(): number {
  const status = readFileSync(`/proc/${cluster.pid(0)}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * KIB;
}

/** How many this process may have; the node inherits the limit. */
function descriptorsMax(): number {
  if (!isLinux) return 2 * DESCRIPTORS_FOR_OTHERS;
  return Number(/Max open files\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
}

/** A socket that sends what it is told and counts what comes back. */
class RawClient {
  readonly closed: Promise<void>;
  received = 0;
  receivedLines = 0;
  isClosed = false;
  #socket: Socket | null = null;
  #drained: (() => void) | null = null;
  readonly #close: () => void;

  private constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#close = () => {
      this.isClosed = true;
      this.#drained?.();
      resolve();
    };
  }

  static async open(port = cluster.clientPorts[0] ?? 0): Promise<RawClient> {
    const client = new RawClient();
    client.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => {
          client.received += bytes.length;
          for (const byte of bytes) if (byte === 0x0a) client.receivedLines += 1;
        },
        drain: () => client.#drained?.(),
        close: () => client.#close(),
        error: () => client.#close(),
      },
    });
    return client;
  }

  /** For texts that the system takes at once. */
  send(text: string): void {
    this.#socket?.write(text);
  }

  async sendAll(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let sent = 0; sent < bytes.length && !this.isClosed; ) {
      sent += Math.max(0, this.#socket?.write(bytes, sent, bytes.length - sent) ?? 0);
      if (sent < bytes.length) await new Promise<void>((resolve) => (this.#drained = resolve));
    }
  }

  stopReading(): void {
    this.#socket?.pause();
  }

  /** Closes without ceremony. */
  drop(): void {
    this.#socket?.terminate();
  }
}
