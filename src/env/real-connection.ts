/**
 * One socket of a real node, with or without TLS: what Bun leaves to its users is settled here.
 *
 *   - `write` always names its length, and passes on how much the system took;
 *   - closing politely is `shutdown` (a FIN behind everything accepted), never `end`, which may throw bytes away; a
 *     peer that does not close in turn is cut off after a while;
 *   - `onClose` comes exactly once, never from inside a call of the connection, and nothing comes after it.
 *
 * Everything that leaves garbage on this thread comes or goes here, so here it is noticed when enough has gathered.
 *
 * Main thread only.
 */
import type { Socket } from "bun";
import { EnvelopeError } from "../core/errors.ts";
import { YoungGarbage } from "../core/young-garbage.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Connection, ConnectionHandler } from "./network.ts";

const LINGER_MS = 5000;

/** A socket, and the connection that it has become; none yet while it is dialed, none any more when that was given up. */
export type RealSocket = Socket<RealConnection | undefined>;

/** Counts what comes and goes; when that has left much garbage, it is collected behind the answers of this turn. */
class Traffic {
  readonly #garbage = new YoungGarbage(() => Bun.gc(false));
  #isCollecting = false;

  note(byteCount: number): void {
    if (!this.#garbage.note(byteCount) || this.#isCollecting) return;
    this.#isCollecting = true;
    setImmediate(() => {
      this.#isCollecting = false;
      this.#garbage.collectIfDue();
    });
  }
}

const TRAFFIC = new Traffic();

type State = "open" | "finishing" | "closed";

export class RealConnection implements Connection {
  readonly remoteAddress: string;
  certificateName: string | null = null;
  certificateHosts: readonly string[] = [];
  readonly #socket: RealSocket;
  readonly #clock: Clock;
  #handler: ConnectionHandler | null = null;
  #state: State = "open";
  #linger: Timer | null = null;

  constructor(socket: RealSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.remoteAddress = `${socket.remoteAddress}:${socket.remotePort}`;
    socket.setNoDelay(true);
  }

  attach(handler: ConnectionHandler): void {
    this.#handler = handler;
    if (this.#state === "closed") queueMicrotask(() => handler.onClose());
  }

  write(bytes: Uint8Array, start: number, byteCount: number): number {
    if (this.#state !== "open") return -1;
    if (byteCount === 0) return 0;
    TRAFFIC.note(byteCount);
    return this.#socket.write(bytes, start, byteCount);
  }

  pause(): void {
    if (this.#state === "open") this.#socket.pause();
  }

  resume(): void {
    if (this.#state === "open") this.#socket.resume();
  }

  shutdown(): void {
    if (this.#state !== "open") return;
    this.#socket.resume();
    this.#state = "finishing";
    this.#linger = this.#clock.after(LINGER_MS, () => this.terminate());
    this.#socket.shutdown();
  }

  terminate(): void {
    if (this.#state === "closed") return;
    this.#state = "finishing";
    this.#socket.terminate();
  }

  received(bytes: Uint8Array): void {
    TRAFFIC.note(bytes.length);
    if (this.#state === "open") this.#handler?.onData(bytes);
  }

  drained(): void {
    if (this.#state === "open") this.#handler?.onDrain();
  }

  closed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#linger?.cancel();
    const handler = this.#handler;
    if (handler !== null) queueMicrotask(() => handler.onClose());
  }
}

/** An exception in a handler is a defect of ours, and ends the process as it would anywhere else. */
export function throwOutside(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** Why an address cannot be listened on. */
export function cannotListen(address: string, cause: unknown): EnvelopeError {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new EnvelopeError(
    "CONFIG",
    `cannot listen on ${address}: ${reason}; choose another address or stop its owner`,
  );
}

/** Throws CONFIG. */
export function splitAddress(address: string): { hostname: string; port: number } {
  const colon = address.lastIndexOf(":");
  const hostname = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new EnvelopeError("CONFIG", `${address} is not an address of the form host:port`);
  }
  return { hostname, port };
}
