/**
 * One connection to one server, as callbacks: bytes go out as they are, replies come back in order. It keeps no
 * requests and never connects again; what sits on it (RespClient, ReliablePipeline) knows what is unanswered and decides.
 * `onClose` comes exactly once, and nothing after it. Runs on Bun, Node and Deno (node:net, node:tls).
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { EnvelopeError } from "../core/errors.ts";
import type { Reply } from "./reply.ts";
import { ReplyReader } from "./reply-reader.ts";
import { encodeRequest } from "./request.ts";
import type { Login, Target, TargetTls } from "./target.ts";

export interface ConnectionEvents {
  onReply(reply: Reply): void;
  /** The bytes handed to `send` have left this process's buffers. */
  onDrain(): void;
  onClose(reason: string): void;
}

export class ServerConnection {
  readonly target: Target;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  /** Gets the answer to the login, which is nobody else's. */
  #onLogin: ((reply: Reply | null) => void) | null = null;
  readonly #reader = new ReplyReader();
  #closed = false;

  private constructor(target: Target, socket: Socket, events: ConnectionEvents) {
    this.target = target;
    this.#socket = socket;
    this.#events = events;
    // Without setEncoding, chunks are always bytes.
    socket.on("data", (chunk) => this.#receive(chunk as Uint8Array));
    socket.on("drain", () => events.onDrain());
    socket.on("error", (error) => this.#finish(error.message));
    socket.on("close", () => this.#finish("the server closed the connection"));
  }

  /**
   * Resolves with an open connection that is logged in, if the target says how; rejects with a plain Error that says why not,
   * after `timeoutMs` at the latest for either, or with BAD_CREDENTIALS.
   */
  static async open(target: Target, timeoutMs: number, events: ConnectionEvents): Promise<ServerConnection> {
    const connection = await ServerConnection.#connect(target, timeoutMs, events);
    if (target.login !== null) await connection.#logIn(target.login, timeoutMs);
    return connection;
  }

  static #connect(target: Target, timeoutMs: number, events: ConnectionEvents): Promise<ServerConnection> {
    return new Promise((resolve, reject) => {
      const socket = target.tls === null ? connect(target.port, target.host) : dialTls(target, target.tls);
      const fail = (reason: string): void => {
        clearTimeout(timer);
        socket.removeAllListeners();
        // A late error of a socket that is given up has no listener left, and must not end the process.
        socket.on("error", () => undefined);
        socket.destroy();
        reject(new Error(`${target.address}: ${reason}`));
      };
      const timer = setTimeout(() => fail(`no connection within ${timeoutMs} ms`), timeoutMs);
      socket.once("error", (error) => fail(error.message));
      socket.once(target.tls === null ? "connect" : "secureConnect", () => {
        clearTimeout(timer);
        socket.removeAllListeners();
        socket.setNoDelay(true);
        resolve(new ServerConnection(target, socket, events));
      });
    });
  }

  /** False: more is waiting in this process than the system takes; go on after `onDrain`. Keeps `bytes` until sent. */
  send(bytes: Uint8Array): boolean {
    return this.#closed ? false : this.#socket.write(bytes);
  }

  /** Sends what was handed over, then closes. */
  end(): void {
    if (!this.#closed) this.#socket.end();
  }

  /** Closes at once; `onClose` is called with the reason before this returns. */
  destroy(reason: string): void {
    this.#finish(reason);
  }

  async #logIn({ user, password }: Login, timeoutMs: number): Promise<void> {
    const { address } = this.target;
    const timer = setTimeout(() => this.#finish("no answer"), timeoutMs);
    const reply = await new Promise<Reply | null>((resolve) => {
      this.#onLogin = resolve;
      this.send(encodeRequest(["AUTH", user, password]));
    });
    clearTimeout(timer);
    if (reply?.kind === "error") {
      this.#finish("the login was refused");
      throw new EnvelopeError("BAD_CREDENTIALS", `${address}: ${reply.code} ${reply.message}`);
    }
    this.#onLogin = null;
    if (reply === null) throw new Error(`${address}: the connection was lost during the login`);
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#reader.push(chunk, (reply) => {
        if (this.#closed) return;
        if (this.#onLogin === null) this.#events.onReply(reply);
        else this.#onLogin(reply);
      });
    } catch (cause) {
      this.#finish(cause instanceof Error ? cause.message : String(cause));
    }
  }

  #finish(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    if (this.#onLogin === null) this.#events.onClose(reason);
    else this.#onLogin(null);
  }
}

/** The certificate has to be of the authority and to name the host. */
function dialTls({ host, port }: Target, { authority, certificate, key }: TargetTls): Socket {
  return connectTls({
    host,
    port,
    minVersion: "TLSv1.3",
    ...(authority === null ? {} : { ca: authority }),
    ...(certificate === null || key === null ? {} : { cert: certificate, key }),
  });
}
