/** A client port over the fake coordinator on a free local port, and raw sockets to talk to it. */
import { utf8 } from "../../src/core/bytes.ts";
import type { Random } from "../../src/core/random.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { RealNetwork } from "../../src/env/real-network.ts";
import type { Access } from "../../src/server/access/access.ts";
import { ClientPort } from "../../src/server/client-port.ts";
import { NO_CONTROL, type NodeControl } from "../../src/server/node-control.ts";
import type { ClientPortSettings } from "../../src/server/settings.ts";
import { fakeAccess } from "./fake-access.ts";
import { FakeCoordinator } from "./fake-coordinator.ts";

export const SETTINGS: ClientPortSettings = {
  keyBytesMax: 65_536,
  valueBytesMax: 16 * 1024 * 1024,
  argumentsMax: 1024,
  lineBytesMax: 64 * 1024,
  outputBytesMax: 64 * 1024 * 1024,
  requestsInflightMax: 1024,
  connectionsMax: 1000,
  frameIdleMs: 30_000,
  outputIdleMs: 60_000,
  clientMemoryBytes: 512 * 1024 * 1024,
  requestsPerSecond: 0,
  rateDelayMs: 1_000,
  loginTimeoutMs: 30_000,
  bucketsCreateByUse: true,
  debugCommands: false,
  version: "0.0.0",
};

const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface StartedPort {
  readonly coordinator: FakeCoordinator;
  readonly clientPort: ClientPort;
  readonly port: number;
  stop(): void;
}

/** What a port is given instead of what it is usually given here. */
interface PortParts {
  /** Answers come late and out of order until `stop`. */
  readonly random?: Random;
  readonly coordinator?: FakeCoordinator;
  readonly control?: NodeControl;
  readonly access?: Access;
}

export function startPort(changes: Partial<ClientPortSettings> = {}, parts: PortParts = {}): StartedPort {
  const { random = null, coordinator = new FakeCoordinator(), control = NO_CONTROL } = parts;
  const { access = fakeAccess().access } = parts;
  const clock = new RealClock();
  coordinator.random = random;
  const settings = { ...SETTINGS, ...changes };
  const clientPort = new ClientPort(coordinator, new RealNetwork(clock), clock, QUIET, access, settings, control);
  const port = clientPort.listen("127.0.0.1:0");
  const deliveries =
    random === null
      ? null
      : setInterval(() => {
          for (let i = random.below(20); i > 0; i--) coordinator.deliver();
        }, 0);
  return {
    coordinator,
    clientPort,
    port,
    stop() {
      if (deliveries !== null) clearInterval(deliveries);
      coordinator.deliverAll();
      clientPort.close();
    },
  };
}

/** A socket that collects what comes back. */
export class RawClient {
  received = Buffer.alloc(0);
  closed = false;
  readonly #socket: Bun.Socket<undefined>;
  #unsent: Uint8Array = new Uint8Array(0);
  #changed: (() => void)[] = [];

  static async open(port: number): Promise<RawClient> {
    let client: RawClient | null = null;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => client?.take(bytes),
        drain: () => client?.continue(),
        close: () => client?.end(),
        error: () => client?.end(),
      },
    });
    client = new RawClient(socket);
    return client;
  }

  constructor(socket: Bun.Socket<undefined>) {
    this.#socket = socket;
  }

  send(bytes: string | Uint8Array): this {
    const more = typeof bytes === "string" ? utf8(bytes) : bytes;
    this.#unsent = Buffer.concat([this.#unsent, more]);
    this.continue();
    return this;
  }

  continue(): void {
    if (this.closed || this.#unsent.length === 0) return;
    const taken = this.#socket.write(this.#unsent, 0, this.#unsent.length);
    if (taken > 0) this.#unsent = this.#unsent.subarray(taken);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.terminate();
  }

  /** All that has come once `wanted` is in it. */
  async until(wanted: string): Promise<string> {
    while (!this.text().includes(wanted)) {
      if (this.closed) throw new Error(`closed before ${JSON.stringify(wanted)}: ${JSON.stringify(this.text())}`);
      await this.#change();
    }
    return this.text();
  }

  async untilBytes(count: number): Promise<string> {
    while (this.received.length < count && !this.closed) await this.#change();
    return this.text();
  }

  /** All that came before the server closed. */
  async untilClosed(): Promise<string> {
    while (!this.closed) await this.#change();
    return this.text();
  }

  text(): string {
    return this.received.toString("latin1");
  }

  take(bytes: Uint8Array): void {
    this.received = Buffer.concat([this.received, bytes]);
    this.#notify();
  }

  end(): void {
    this.closed = true;
    this.#notify();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #notify(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const run of waiting) run();
  }
}

/** Sends bytes, then PING, and returns everything before its answer: what an open connection says to them. */
export async function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const client = await RawClient.open(port);
  client.send(bytes).send("*2\r\n$4\r\nPING\r\n$7\r\nthe-end\r\n");
  const text = await client.until("$7\r\nthe-end\r\n");
  client.close();
  return text.slice(0, text.length - "$7\r\nthe-end\r\n".length);
}

/** A request in RESP. */
export function command(...args: (string | Uint8Array)[]): Buffer {
  const pieces: Uint8Array[] = [utf8(`*${args.length}\r\n`)];
  for (const argument of args) {
    const bytes = typeof argument === "string" ? utf8(argument) : argument;
    pieces.push(utf8(`$${bytes.length}\r\n`), bytes, utf8("\r\n"));
  }
  return Buffer.concat(pieces);
}
