/** What protocols rely on from real sockets, with and without TLS. */
import { describe, expect, test } from "bun:test";
import { createAuthority } from "../../src/cli/certificate-authority.ts";
import type { Connection, ConnectionHandler, Network } from "../../src/env/network.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { fixedCredentials } from "../../src/env/credentials.ts";
import { RealNetwork } from "../../src/env/real-network.ts";
import { TlsNetwork } from "../../src/env/tls-network.ts";

const authority = await createAuthority("a house", 1, Date.now());
const own = await authority.issue({
  commonName: "both ends",
  hosts: ["127.0.0.1"],
  purposes: ["server", "client"],
  days: 1,
  fromMs: Date.now(),
});
const underTls = new TlsNetwork(new RealClock(), {
  credentials: fixedCredentials({ ...own, authority: authority.certificate }),
  callers: "required",
  checksHost: true,
  objection: () => null,
  handshakesMax: 8,
  refused: () => undefined,
});

class Ear implements ConnectionHandler {
  readonly chunks: Uint8Array[] = [];
  byteCount = 0;
  drains = 0;
  closes = 0;
  #waiting: { ready: () => boolean; resolve: () => void }[] = [];

  onData(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.byteCount += bytes.length;
    this.#look();
  }

  onDrain(): void {
    this.drains += 1;
    this.#look();
  }

  onClose(): void {
    this.closes += 1;
    this.#look();
  }

  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ ready, resolve }));
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ ready, resolve }) => {
      if (!ready()) return true;
      resolve();
      return false;
    });
  }
}

interface Pair {
  client: Connection;
  clientEar: Ear;
  server: Connection;
  serverEar: Ear;
  close(): void;
}

async function connectedPair(network: Network): Promise<Pair> {
  const serverEar = new Ear();
  const clientEar = new Ear();
  const accepted = Promise.withResolvers<Connection>();
  const listener = network.listen("127.0.0.1:0", (connection) => {
    accepted.resolve(connection);
    return serverEar;
  });
  const dialed = Promise.withResolvers<Connection>();
  network.dial(
    `127.0.0.1:${listener.port}`,
    (connection) => {
      dialed.resolve(connection);
      return clientEar;
    },
    (reason) => dialed.reject(new Error(reason)),
  );
  const client = await dialed.promise;
  const server = await accepted.promise;
  return { client, clientEar, server, serverEar, close: () => listener.close() };
}

describe.each([
  ["without TLS", new RealNetwork(new RealClock())],
  ["under TLS", underTls],
] as const)("%s", (_, network: Network) => {
  test("a large stream arrives whole through partial writes and drains, and shutdown sends all of it", async () => {
    const { client, clientEar, serverEar, close } = await connectedPair(network);
    const total = 8 << 20;
    const bytes = new Uint8Array(total).map((_, i) => i % 251);
    let sent = 0;
    while (sent < total) {
      const drains = clientEar.drains;
      const taken = client.write(bytes, sent, total - sent);
      expect(taken).toBeGreaterThanOrEqual(0);
      sent += taken;
      if (sent < total && taken === 0) await clientEar.until(() => clientEar.drains > drains);
    }
    client.shutdown();
    expect(client.write(bytes, 0, 1)).toBe(-1);
    await serverEar.until(() => serverEar.closes === 1);
    expect(serverEar.byteCount).toBe(total);
    expect(Buffer.concat(serverEar.chunks).equals(bytes)).toBe(true);
    await clientEar.until(() => clientEar.closes === 1);
    close();
  });

  test("onClose comes once on both sides and never from inside terminate", async () => {
    const { client, clientEar, serverEar, close } = await connectedPair(network);
    client.terminate();
    expect(clientEar.closes).toBe(0);
    client.terminate();
    client.shutdown();
    await clientEar.until(() => clientEar.closes > 0);
    await serverEar.until(() => serverEar.closes > 0);
    expect(clientEar.closes).toBe(1);
    expect(serverEar.closes).toBe(1);
    close();
  });

  test("a paused connection hears nothing until it is resumed", async () => {
    const { client, server, serverEar, clientEar, close } = await connectedPair(network);
    server.pause();
    client.write(new Uint8Array([1, 2, 3]), 1, 2);
    server.write(new Uint8Array([9]), 0, 1);
    await clientEar.until(() => clientEar.byteCount === 1);
    expect(serverEar.byteCount).toBe(0);
    server.resume();
    await serverEar.until(() => serverEar.byteCount === 2);
    expect([...serverEar.chunks.flatMap((chunk) => [...chunk])]).toEqual([2, 3]);
    client.terminate();
    close();
  });

  test("a dial that finds nobody fails once, a taken port is a CONFIG error", async () => {
    const listener = network.listen("127.0.0.1:0", () => new Ear());
    expect(() => network.listen(`127.0.0.1:${listener.port}`, () => new Ear())).toThrow(EnvelopeError);
    const port = listener.port;
    listener.close();
    const failed = Promise.withResolvers<string>();
    network.dial(`127.0.0.1:${port}`, () => new Ear(), failed.resolve);
    expect(await failed.promise).toContain(`127.0.0.1:${port}`);
    expect(() => network.listen("nowhere", () => new Ear())).toThrow("host:port");
  });
});
