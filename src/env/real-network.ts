/**
 * The network of a real node without TLS, over Bun.listen and Bun.connect. What a socket is to its user stands in
 * `real-connection.ts`. An exception in a handler comes to the socket's `error` callback, from where it is thrown again
 * outside.
 *
 * Main thread only.
 */
import type { Clock } from "./clock.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "./network.ts";
import { cannotListen, RealConnection, type RealSocket, splitAddress, throwOutside } from "./real-connection.ts";

const DIAL_TIMEOUT_MS = 3000;

type Accept = (connection: Connection) => ConnectionHandler;

export class RealNetwork implements Network {
  readonly #clock: Clock;

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
            socket.data = new RealConnection(socket, this.#clock);
            socket.data.attach(accept(socket.data));
          },
        },
      });
      return { port: server.port, close: () => server.stop(false) };
    } catch (cause) {
      throw cannotListen(address, cause);
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
          socket.data = new RealConnection(socket, this.#clock);
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

/** The same for both directions. A socket whose dial was given up has no data and is ignored. */
const CALLBACKS = {
  data: (socket: RealSocket, bytes: Buffer) => socket.data?.received(bytes),
  drain: (socket: RealSocket) => socket.data?.drained(),
  close: (socket: RealSocket) => socket.data?.closed(),
  error: (_socket: RealSocket, error: Error) => throwOutside(error),
};
