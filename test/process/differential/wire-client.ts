/** A connection that sends bytes and collects whatever comes back until a marker is in it, or the server closes. */
import { utf8 } from "../../../src/core/bytes.ts";

const ANSWER_MS_MAX = 10_000;
/** Put behind what came, when the end does not come: an answer that no other is equal to. */
const NO_END = "-no end of the answer";

export class WireClient {
  closed = false;
  readonly #port: number;
  readonly #socket: Bun.Socket<undefined>;
  #received: Uint8Array[] = [];
  #unsent: Uint8Array = new Uint8Array(0);
  #changed: () => void = () => undefined;

  static async open(port: number): Promise<WireClient> {
    let client: WireClient | null = null;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => client?.take(bytes),
        drain: () => client?.write(),
        close: () => client?.end(),
        error: () => client?.end(),
      },
    });
    client = new WireClient(socket, port);
    return client;
  }

  constructor(socket: Bun.Socket<undefined>, port: number) {
    this.#socket = socket;
    this.#port = port;
  }

  /**
   * What the server says to `bytes`, up to the reply that is `marker` (and without it); all it said when it closes first,
   * or when neither happens.
   */
  async exchange(bytes: Uint8Array, marker: string): Promise<Uint8Array> {
    const wanted = utf8(marker);
    this.#unsent = Buffer.concat([this.#unsent, bytes]);
    this.write();
    const deadline = Date.now() + ANSWER_MS_MAX;
    for (;;) {
      const all = Buffer.concat(this.#received);
      this.#received = [all];
      if (all.length >= wanted.length && all.subarray(all.length - wanted.length).equals(wanted)) {
        this.#received = [];
        return all.subarray(0, all.length - wanted.length);
      }
      if (this.closed) return all;
      const left = deadline - Date.now();
      if (left <= 0) {
        this.close();
        this.closed = true;
        return Buffer.concat([all, utf8(`${NO_END} of port ${this.#port}\r\n`)]);
      }
      await this.#change(left);
    }
  }

  close(): void {
    this.#socket.terminate();
  }

  take(bytes: Uint8Array): void {
    this.#received.push(bytes);
    this.#changed();
  }

  end(): void {
    this.closed = true;
    this.#changed();
  }

  write(): void {
    if (this.closed || this.#unsent.length === 0) return;
    const taken = this.#socket.write(this.#unsent, 0, this.#unsent.length);
    if (taken > 0) this.#unsent = this.#unsent.subarray(taken);
  }

  #change(msMax: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, msMax);
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
