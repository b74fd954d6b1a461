/**
 * Stream sockets as everything outside this folder sees them. Three implementations: `real-network.ts`, the same under
 * TLS (`tls-network.ts`), and the simulator's. Addresses are `host:port`. All callbacks come on the thread that called
 * `listen` or `dial`.
 */

export interface Connection {
  readonly remoteAddress: string;
  /** The common name in the certificate that the other side has shown and proven; null: it has shown none. */
  readonly certificateName: string | null;
  /** The host names in that certificate; none without one. */
  readonly certificateHosts: readonly string[];
  /**
   * Hands bytes to the system; returns how many it took. 0: full, wait for `onDrain`. −1: closed. The bytes taken are
   * copied before it returns, so the caller may reuse its buffer.
   */
  write(bytes: Uint8Array, start: number, byteCount: number): number;
  /** Stops and restarts the reading side: how back-pressure reaches the peer. */
  pause(): void;
  resume(): void;
  /** Sends what was taken, then closes. */
  shutdown(): void;
  /** Closes at once. */
  terminate(): void;
}

export interface ConnectionHandler {
  /** `bytes` belong to the receiver. */
  onData(bytes: Uint8Array): void;
  onDrain(): void;
  /** Called exactly once, whoever closed. Nothing is called after it. */
  onClose(): void;
}

export interface Listener {
  readonly port: number;
  close(): void;
}

export interface Network {
  /** Port 0 takes a free one. Throws CONFIG when the address cannot be had. `accept` returns the handler of a new connection. */
  listen(address: string, accept: (connection: Connection) => ConnectionHandler): Listener;
  /** Connects; on success `opened` returns the handler, otherwise `failed` is called once. */
  dial(address: string, opened: (connection: Connection) => ConnectionHandler, failed: (reason: string) => void): void;
}
