/**
 * A network between nodes that can be treated badly: a TCP proxy on a free port of 127.0.0.1 for every ordered pair of
 * nodes, in the test's own process. Node `from` is told the proxy's address as that of node `to`; since a peer connection
 * carries frames from the node that dialed alone, the link (from, to) is all that `from` can tell `to`, and one way of
 * a partition is one link.
 *
 *   open    bytes pass, after the link's delay and no faster than its rate
 *   cut     connections are closed, new ones too: both ends know
 *   held    nothing passes, connections stay open; what was sent meanwhile passes when the link is opened again, late
 *   swallowed  nothing passes, and what is sent is gone. A connection that has lost bytes never passes any again, even
 *           when the link is open: its ends are not told, and find out by themselves or not at all
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { Random } from "../../src/core/random.ts";

type LinkState = "open" | "cut" | "held" | "swallowed";

/** Bytes on the way in one direction of a connection before the sender is made to wait. */
const QUEUE_BYTES_MAX = 256 * 1024;

export class PeerLinks {
  readonly #links = new Map<string, PeerLink>();
  readonly #nodeCount: number;

  private constructor(nodeCount: number) {
    this.#nodeCount = nodeCount;
  }

  /** Links between so many nodes; where they listen for their peers is said by `leadTo`. */
  static async open(nodeCount: number): Promise<PeerLinks> {
    const links = new PeerLinks(nodeCount);
    for (let from = 0; from < nodeCount; from++) {
      for (const to of links.#others(from)) links.#links.set(`${from}>${to}`, await PeerLink.open());
    }
    return links;
  }

  leadTo(peerPorts: readonly number[]): void {
    for (const [node, port] of peerPorts.entries()) for (const link of this.to(node)) link.targetPort = port;
  }

  /** What `from` says to `to`. */
  link(from: number, to: number): PeerLink {
    const link = this.#links.get(`${from}>${to}`);
    if (link === undefined) throw new Error(`there is no link from n${from + 1} to n${to + 1}`);
    return link;
  }

  /** Both links between two nodes. */
  both(a: number, b: number): readonly PeerLink[] {
    return [this.link(a, b), this.link(b, a)];
  }

  /** What a node says to all others. */
  from(node: number): readonly PeerLink[] {
    return this.#others(node).map((other) => this.link(node, other));
  }

  /** What all others say to a node. */
  to(node: number): readonly PeerLink[] {
    return this.#others(node).map((other) => this.link(other, node));
  }

  /** All links of a node. */
  around(node: number): readonly PeerLink[] {
    return [...this.from(node), ...this.to(node)];
  }

  all(): readonly PeerLink[] {
    return [...this.#links.values()];
  }

  /** All links as they were at first. */
  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  stop(): void {
    for (const link of this.#links.values()) link.stop();
  }

  #others(node: number): number[] {
    return Array.from({ length: this.#nodeCount }, (_, other) => other).filter((other) => other !== node);
  }
}

export class PeerLink {
  /** Of the proxy. */
  readonly port: number;
  /** Of the node to which it leads. */
  targetPort = 0;
  /** Milliseconds that bytes are on the way. */
  delayMs = 0;
  /** In each direction of each connection. */
  bytesPerSecond: number = Number.POSITIVE_INFINITY;
  /** Chance of each chunk to close its connection instead of arriving. */
  lossChance = 0;
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #random = new Random(1);
  #state: LinkState = "open";

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (near: Socket) => {
      if (this.#state === "cut") {
        near.destroy();
        return;
      }
      const connection = new ProxiedConnection(this, near, () => this.#connections.delete(connection));
      this.#connections.add(connection);
    });
  }

  static open(): Promise<PeerLink> {
    return new Promise((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(new PeerLink(server)));
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Connections that have lost bytes, and that some node still takes for good. */
  get deadCount(): number {
    return [...this.#connections].filter(({ isDead }) => isDead).length;
  }

  /** Whether the next chunk is lost. */
  get loses(): boolean {
    return this.lossChance > 0 && this.#random.chance(this.lossChance);
  }

  cut(): void {
    this.#state = "cut";
    this.close();
  }

  /** Closes the connections there are; new ones are as good as ever. */
  close(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  hold(): void {
    this.#state = "held";
  }

  swallow(): void {
    this.#state = "swallowed";
    for (const connection of this.#connections) connection.deaden();
  }

  heal(): void {
    this.#state = "open";
    this.delayMs = 0;
    this.bytesPerSecond = Number.POSITIVE_INFINITY;
    this.lossChance = 0;
    for (const connection of this.#connections) connection.moveOn();
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}

/** A connection that a node has dialed, and its continuation to the node it meant. */
class ProxiedConnection {
  readonly #link: PeerLink;
  readonly #near: Socket;
  readonly #ended: () => void;
  #far: Socket | null = null;
  #forth: Stream | null = null;
  #back: Stream | null = null;
  #dead = false;

  constructor(link: PeerLink, near: Socket, ended: () => void) {
    this.#link = link;
    this.#near = near;
    this.#ended = ended;
    near.setNoDelay(true);
    // An error is followed by the end, which is what counts.
    near.on("error", () => undefined);
    near.once("close", () => this.#closed(this.#forth));
    if (link.state === "swallowed") this.#dead = true;
    // Until it has somewhere to go; what a dead one brings is read, and gone.
    if (this.#dead) near.resume();
    else near.pause();
    this.moveOn();
  }

  /** Its bytes are lost from now on, without a word to either end. */
  deaden(): void {
    this.#dead = true;
  }

  get isDead(): boolean {
    return this.#dead;
  }

  moveOn(): void {
    if (this.#link.state !== "open") return;
    if (this.#far === null && !this.#dead) this.#reach();
    this.#forth?.pump();
    this.#back?.pump();
  }

  destroy(): void {
    this.#near.destroy();
    this.#far?.destroy();
    this.#ended();
  }

  #reach(): void {
    const far = connect({ host: "127.0.0.1", port: this.#link.targetPort });
    far.setNoDelay(true);
    far.on("error", () => undefined);
    far.once("close", () => this.#closed(this.#back));
    this.#far = far;
    this.#forth = new Stream(this.#link, this, this.#near, far);
    this.#back = new Stream(this.#link, this, far, this.#near);
    this.#near.resume();
  }

  /** One end is gone; the other hears of it behind what was on the way, unless the connection is dead. */
  #closed(stream: Stream | null): void {
    if (stream === null) this.destroy();
    else stream.finish();
    if (this.#near.destroyed && (this.#far?.destroyed ?? true)) this.#ended();
  }
}

/** One direction of a connection. */
class Stream {
  readonly #link: PeerLink;
  readonly #connection: ProxiedConnection;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #queue: { readonly bytes: Uint8Array; readonly dueAt: number }[] = [];
  #queuedBytes = 0;
  /** When the line will have carried all that was taken so far. */
  #freeAt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #finished = false;

  constructor(link: PeerLink, connection: ProxiedConnection, from: Socket, to: Socket) {
    this.#link = link;
    this.#connection = connection;
    this.#from = from;
    this.#to = to;
    from.on("data", (bytes: Uint8Array) => this.#take(bytes));
    to.on("drain", () => this.pump());
  }

  /** Nothing more will come. */
  finish(): void {
    this.#finished = true;
    this.pump();
  }

  pump(): void {
    if (this.#connection.isDead || this.#link.state !== "open") return;
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      const waitMs = head.dueAt - performance.now();
      if (waitMs > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = null;
          this.pump();
        }, waitMs);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= head.bytes.length;
      if (!this.#to.write(head.bytes)) return;
    }
    if (this.#finished) this.#to.end();
    else if (this.#queuedBytes < QUEUE_BYTES_MAX) this.#from.resume();
  }

  #take(bytes: Uint8Array): void {
    const link = this.#link;
    if (this.#connection.isDead) return;
    if (link.loses) {
      this.#connection.destroy();
      return;
    }
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes.length / link.bytesPerSecond) * 1000;
    this.#queue.push({ bytes, dueAt: this.#freeAt + link.delayMs });
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > QUEUE_BYTES_MAX) this.#from.pause();
    this.pump();
  }
}
