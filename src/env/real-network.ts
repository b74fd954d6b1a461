/**
 * Sockets of a real node, over Bun.listen and Bun.connect. What Bun leaves to its users is settled here:
 *
 *   - `write` always names its length, and passes on how much the system took;
 *   - closing politely is `shutdown` (a FIN behind everything accepted), never `end`, which may throw bytes away; a
 *     peer that does not close in turn is cut off after a while;
 *   - `onClose` comes exactly once, never from inside a call of the connection, and nothing comes after it;
 *   - an exception in a handler is a defect of ours and ends the process, as it would anywhere else: Bun hands it to
 *     the socket's `error` callback, from where it is thrown again outside.
 *
 * Everything that leaves garbage on this thread comes or goes here, so here it is noticed when enough has gathered.
 *
 * Main thread only.
 */
import type { Socket } from "bun";
import { EnvelopeError } from "../core/errors.ts";
import { YoungGarbage } from "../core/young-garbage.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "./network.ts";

const DIAL_TIMEOUT_MS = 3000;
const LINGER_MS = 5000;

type Accept = (connection: Connection) => ConnectionHandler;

export class RealNetwork implements Network {
  readonly #clock: Clock;
  readonly #traffic: Traffic = new Traffic();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  listen(address: string, accept: Accept): Listener {
    const { hostname, port } = splitAddress(address);
    try {
      const server = Bun.listen<RealConnection>({
        hostname,
        port,
        socket: {
          ...CALLBACKS,
          open: (socket) => {
            socket.data = new RealConnection(socket, this.#clock, this.#traffic);
            socket.data.attach(accept(socket.data));
          },
        },
      });
      return { port: server.port, close: () => server.stop(false) };
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw new EnvelopeError(
        "CONFIG",
        `cannot listen on ${address}: ${reason}; choose another address or stop its owner`,
      );
    }
  }

  dial(address: string, opened: Accept, failed: (reason: string) => void): void {
    const { hostname, port } = splitAddress(address);
    let settled = false;
    const fail = (reason: string): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      failed(reason);
    };
    const timer = this.#clock.after(DIAL_TIMEOUT_MS, () => fail(`no answer from ${address} in ${DIAL_TIMEOUT_MS} ms`));
    const connecting = Bun.connect<RealConnection | undefined>({
      hostname,
      port,
      data: undefined,
      socket: {
        ...CALLBACKS,
        open: (socket) => {
          if (settled) {
            socket.terminate();
            return;
          }
          settled = true;
          timer.cancel();
          socket.data = new RealConnection(socket, this.#clock, this.#traffic);
          socket.data.attach(opened(socket.data));
        },
        connectError: (_socket, error) => fail(`cannot reach ${address}: ${error.message}`),
      },
    });
    connecting.then(
      () => undefined,
      (error: unknown) => fail(`cannot reach ${address}: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
}

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

/** The same for both directions. A socket whose dial was given up has no data and is ignored. */
const CALLBACKS = {
  data: (socket: Socket<RealConnection | undefined>, bytes: Buffer) => socket.data?.received(bytes),
  drain: (socket: Socket<RealConnection | undefined>) => socket.data?.drained(),
  close: (socket: Socket<RealConnection | undefined>) => socket.data?.closed(),
  error: (_socket: Socket<RealConnection | undefined>, error: Error) => {
    setImmediate(() => {
      throw error;
    });
  },
};

type State = "open" | "finishing" | "closed";

class RealConnection implements Connection {
  readonly remoteAddress: string;
  #socket: Socket<RealConnection | undefined>;
  readonly #clock: Clock;
  readonly #traffic: Traffic;
  #handler: ConnectionHandler | null = null;
  #state: State = "open";
  #linger: Timer | null = null;

  constructor(socket: Socket<RealConnection | undefined>, clock: Clock, traffic: Traffic) {
    this.#socket = socket;
    this.#clock = clock;
    this.#traffic = traffic;
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
    this.#traffic.note(byteCount);
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
    this.#traffic.note(bytes.length);
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

function splitAddress(address: string): { hostname: string; port: number } {
  const colon = address.lastIndexOf(":");
  const hostname = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new EnvelopeError("CONFIG", `${address} is not an address of the form host:port`);
  }
  return { hostname, port };
}
