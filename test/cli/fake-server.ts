/**
 * A server just large enough to test clients against: strings in one Map per bucket, and a hook that may answer in its
 * stead, refuse, or hang up. Its parser of requests is its own, so that it judges the client's encoder from outside.
 */
import { createServer, type Server, type Socket } from "node:net";

/** Raw RESP to send, or: answer normally, close the connection, say nothing more on it. */
export type Behaviour = string | "normal" | "hangUp" | "silent";

export class FakeServer {
  readonly buckets = new Map<string, Map<string, string>>();
  /** Every request seen, in order. */
  readonly seen: string[][] = [];
  /** Decides about each request; `ordinal` counts from 1. */
  behave: (args: string[], ordinal: number) => Behaviour = () => "normal";
  connectionCount = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(): Promise<FakeServer> {
    const server = new FakeServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    const address = server.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    server.#port = address.port;
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  values(bucket: string): Map<string, string> {
    let found = this.buckets.get(bucket);
    if (found === undefined) {
      found = new Map();
      this.buckets.set(bucket, found);
    }
    return found;
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.hangUp();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #accept(socket: Socket): void {
    this.connectionCount += 1;
    this.#sockets.add(socket);
    let held = Buffer.alloc(0);
    const session = { bucket: "0", isSilent: false };
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      held = Buffer.concat([held, chunk as Buffer]);
      let out = "";
      for (let parsed = parseRequest(held); parsed !== null; parsed = parseRequest(held)) {
        held = held.subarray(parsed.end);
        this.seen.push(parsed.args);
        if (session.isSilent) continue;
        const behaviour = this.behave(parsed.args, this.seen.length);
        if (behaviour === "hangUp") {
          socket.write(out, "latin1", () => socket.destroy());
          return;
        }
        session.isSilent = behaviour === "silent";
        if (session.isSilent) continue;
        out += behaviour === "normal" ? this.#answer(parsed.args, session) : behaviour;
      }
      if (out !== "") socket.write(out, "latin1");
    });
  }

  #answer(args: string[], session: { bucket: string }): string {
    const [name = "", first = "", second = ""] = args;
    switch (name.toUpperCase()) {
      case "PING":
        return "+PONG\r\n";
      case "HELLO":
        return "%1\r\n+server\r\n+fake\r\n";
      case "USE":
        session.bucket = first;
        return "+OK\r\n";
      case "SET":
        this.values(session.bucket).set(first, second);
        return "+OK\r\n";
      case "GET": {
        const value = this.values(session.bucket).get(first);
        return value === undefined ? "$-1\r\n" : `$${value.length}\r\n${value}\r\n`;
      }
      default:
        return `-ERR unknown command '${name}'\r\n`;
    }
  }
}

/** Strings hold one character a byte (latin1). */
function parseRequest(bytes: Buffer): { args: string[]; end: number } | null {
  let cursor = 0;
  const line = (): string | null => {
    const end = bytes.indexOf("\r\n", cursor);
    if (end < 0) return null;
    const text = bytes.toString("latin1", cursor, end);
    cursor = end + 2;
    return text;
  };
  const head = line();
  if (head === null) return null;
  const args: string[] = [];
  for (let i = 0; i < Number(head.slice(1)); i++) {
    const length = line();
    if (length === null) return null;
    const byteCount = Number(length.slice(1));
    if (cursor + byteCount + 2 > bytes.length) return null;
    args.push(bytes.toString("latin1", cursor, cursor + byteCount));
    cursor += byteCount + 2;
  }
  return { args, end: cursor };
}
