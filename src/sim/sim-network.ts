/**
 * Streams between simulated hosts. One `SimNetwork` is a host's view of the one `Wire` all share.
 *
 * A stream delivers what was written in order and after a delay; a blocked direction holds it back, and a stream that
 * has been held too long breaks on both sides. In `frames` mode each chunk (what one `write` took) is by itself
 * delivered, lost, delivered twice or overtaken, which real streams never do: it is the harder network of the Raft
 * papers, for protocols whose every write is whole frames. The first chunks of a stream, its introduction, are spared.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "../env/network.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";

type Accept = (connection: Connection) => ConnectionHandler;

export interface WireOptions {
  readonly delayMs: Range;
  /** Chance for a chunk to take `slowMs` more. */
  readonly slowChance: number;
  readonly slowMs: Range;
  /** Chance for each chunk to cut its stream instead of arriving. */
  readonly cutChance: number;
  /** `frames` mode; null: an ordinary stream. */
  readonly frames: FrameFaults | null;
  /** Bytes on the way in one direction before `write` takes no more. */
  readonly windowBytes: number;
}

/** Chances for each chunk. */
export interface FrameFaults {
  readonly loss: number;
  readonly reordering: number;
  readonly duplication: number;
  /** Whether a chunk may be overtaken or come twice; the others rely on the stream for that, though they may be lost. */
  readonly standsAlone: (chunk: Uint8Array) => boolean;
}

const SPARED_CHUNKS = 2;
const BROKEN_AFTER_MS: Range = { min: 800, max: 3000 };
const RETRY_MS = 10;

interface Host {
  readonly name: string;
  readonly process: SimProcess;
  readonly accept: Map<number, Accept>;
  readonly streams: Set<Endpoint>;
}

export class Wire {
  readonly scheduler: Scheduler;
  options: WireOptions;
  /** `from>to` pairs of host names between which nothing arrives. */
  readonly #blocked = new Set<string>();
  /** `from>to` pairs on which everything takes so much longer. */
  readonly #slow = new Map<string, Range>();
  readonly #hosts = new Map<string, Host>();

  constructor(scheduler: Scheduler, options: WireOptions) {
    this.scheduler = scheduler;
    this.options = options;
  }

  /** One direction only; block both for an ordinary partition. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  heal(from: string, to: string): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  healAll(): void {
    this.#blocked.clear();
    this.#slow.clear();
  }

  /** What is sent in this direction takes so much longer from now on. */
  slowDown(from: string, to: string, moreMs: Range): void {
    this.#slow.set(`${from}>${to}`, moreMs);
  }

  /** Every stream of a host breaks, with what is on its way. Its peers may dial again at once. */
  cutStreams(name: string): void {
    for (const stream of [...(this.#hosts.get(name)?.streams ?? [])]) stream.cut();
  }

  isBlocked(from: string, to: string): boolean {
    return this.#blocked.has(`${from}>${to}`);
  }

  /** The network of one life of a host. */
  attach(name: string, process: SimProcess): SimNetwork {
    const host: Host = { name, process, accept: new Map(), streams: new Set() };
    this.#hosts.set(name, host);
    return new SimNetwork(this, host);
  }

  /** The host is gone; its peers notice after a while, as they do when nobody sends a FIN. */
  detach(name: string): void {
    const host = this.#hosts.get(name);
    if (host === undefined) return;
    this.#hosts.delete(name);
    for (const stream of host.streams) {
      const noticedMs = this.scheduler.random.chance(0.5) ? RETRY_MS : this.scheduler.duration(BROKEN_AFTER_MS);
      stream.vanish(noticedMs);
    }
  }

  hostAt(name: string): Host | undefined {
    return this.#hosts.get(name);
  }

  delayMs(from: string, to: string): number {
    const { random } = this.scheduler;
    const slow = random.chance(this.options.slowChance) ? this.scheduler.duration(this.options.slowMs) : 0;
    const moreMs = this.#slow.get(`${from}>${to}`);
    const more = moreMs === undefined ? 0 : this.scheduler.duration(moreMs);
    return this.scheduler.duration(this.options.delayMs) + slow + more;
  }
}

class SimNetwork implements Network {
  readonly #wire: Wire;
  readonly #host: Host;

  constructor(wire: Wire, host: Host) {
    this.#wire = wire;
    this.#host = host;
  }

  listen(address: string, accept: Accept): Listener {
    const { port } = splitAddress(address);
    if (this.#host.accept.has(port)) throw new EnvelopeError("CONFIG", `${address} is taken`);
    this.#host.accept.set(port, accept);
    return { port, close: () => this.#host.accept.delete(port) };
  }

  dial(address: string, opened: Accept, failed: (reason: string) => void): void {
    const wire = this.#wire;
    const { name, port } = splitAddress(address);
    const own = this.#host;
    const fail = (): void => {
      wire.scheduler.schedule(wire.delayMs(name, own.name), own.process, () => failed(`cannot reach ${address}`));
    };
    wire.scheduler.schedule(wire.delayMs(own.name, name), null, () => {
      const other = wire.hostAt(name);
      const accept = other?.accept.get(port);
      const unreachable = wire.isBlocked(own.name, name) || wire.isBlocked(name, own.name);
      if (!own.process.alive) return;
      if (other === undefined || accept === undefined || unreachable) {
        fail();
        return;
      }
      const near = new Endpoint(wire, own, name);
      const far = new Endpoint(wire, other, own.name);
      near.join(far);
      far.join(near);
      wire.scheduler.schedule(0, other.process, () => far.attach(accept(far)));
      wire.scheduler.schedule(wire.delayMs(name, own.name), own.process, () => near.attach(opened(near)));
    });
  }
}

/** A chunk on its way that keeps its place. */
interface Passage {
  readonly chunk: Uint8Array;
  readonly isLost: boolean;
  /** Held back for longer than until then, the stream breaks. */
  readonly breaksAtMs: number;
  hasArrived: boolean;
}

/** One end of a stream. */
class Endpoint implements Connection {
  readonly remoteAddress: string;
  readonly certificateName = null;
  readonly certificateHosts: readonly string[] = [];
  readonly #wire: Wire;
  readonly #host: Host;
  readonly #remoteHost: string;
  #peer: Endpoint | null = null;
  #handler: ConnectionHandler | null = null;
  /** `finishing`: this side says no more and hears no more, but what it said is still delivered. */
  #state: "open" | "finishing" | "closed" = "open";
  #paused = false;
  #full = false;
  /** What arrived before there was a handler, or while paused. */
  #waiting: Uint8Array[] = [];
  #bytesOnTheWay = 0;
  #chunkCount = 0;
  #lastArrivalMs = 0;
  /** On the way, in order: nothing in it overtakes anything. */
  readonly #line: Passage[] = [];
  #isHeld = false;

  constructor(wire: Wire, host: Host, remoteHost: string) {
    this.#wire = wire;
    this.#host = host;
    this.#remoteHost = remoteHost;
    this.remoteAddress = `${remoteHost}:1`;
    host.streams.add(this);
  }

  join(peer: Endpoint): void {
    this.#peer = peer;
  }

  attach(handler: ConnectionHandler): void {
    this.#handler = handler;
    if (this.#state === "closed") this.#announceClose();
    else this.#drainWaiting();
  }

  write(bytes: Uint8Array, start: number, byteCount: number): number {
    const { scheduler } = this.#wire;
    if (this.#state !== "open" || !this.#host.process.alive) return -1;
    if (this.#bytesOnTheWay >= this.#wire.options.windowBytes) {
      this.#full = true;
      return 0;
    }
    this.#bytesOnTheWay += byteCount;
    const chunk = bytes.slice(start, start + byteCount);
    // A process that is stopped before it gets to that may not live to do it.
    if (scheduler.isAhead) scheduler.schedule(0, this.#host.process, () => this.#send(chunk));
    else this.#send(chunk);
    return byteCount;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wire.scheduler.schedule(0, this.#host.process, () => this.#drainWaiting());
  }

  shutdown(): void {
    if (this.#state !== "open") return;
    this.#state = "finishing";
    const afterLast = Math.max(this.#delayMs(), this.#lastArrivalMs - this.#wire.scheduler.nowMs + 1);
    this.#wire.scheduler.schedule(afterLast, null, () => this.#peer?.close());
    this.#wire.scheduler.schedule(afterLast, null, () => this.close());
  }

  terminate(): void {
    if (this.#state === "closed") return;
    const peer = this.#peer;
    this.#wire.scheduler.schedule(this.#delayMs(), null, () => peer?.close());
    this.close();
  }

  /** Ends this side; the handler hears of it outside of any call. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#waiting = [];
    this.#host.streams.delete(this);
    if (this.#handler !== null) this.#announceClose();
  }

  #announceClose(): void {
    const handler = this.#handler;
    this.#wire.scheduler.schedule(0, this.#host.process, () => handler?.onClose());
  }

  /** The host of this end is gone without a word. */
  vanish(noticedMs: number): void {
    this.#state = "closed";
    const peer = this.#peer;
    this.#wire.scheduler.schedule(noticedMs, null, () => peer?.close());
  }

  #send(chunk: Uint8Array): void {
    const { options, scheduler } = this.#wire;
    const { random } = scheduler;
    const spared = this.#chunkCount++ < SPARED_CHUNKS;
    if (!spared && random.chance(options.cutChance)) {
      this.cut();
      return;
    }
    const { frames } = options;
    const arrivalMs = scheduler.nowMs + this.#delayMs();
    const isFree = frames !== null && !spared && frames.standsAlone(chunk);
    if (isFree && random.chance(frames.reordering)) {
      this.#passAlone(chunk, arrivalMs + scheduler.duration({ min: 0, max: 30 }));
    } else {
      this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivalMs);
      this.#passInLine(chunk, frames !== null && !spared && random.chance(frames.loss));
    }
    if (isFree && random.chance(frames.duplication)) {
      this.#bytesOnTheWay += chunk.length;
      this.#passAlone(chunk.slice(), this.#lastArrivalMs + this.#delayMs());
    }
  }

  #passAlone(chunk: Uint8Array, arrivalMs: number): void {
    const { scheduler } = this.#wire;
    scheduler.schedule(arrivalMs - scheduler.nowMs, null, () => {
      const peer = this.#peer;
      this.#taken(chunk.length);
      if (peer !== null && !this.#isBlocked) peer.#receive(chunk);
    });
  }

  #passInLine(chunk: Uint8Array, isLost: boolean): void {
    const { scheduler } = this.#wire;
    const arrivalMs = this.#lastArrivalMs;
    const breaksAtMs = arrivalMs + scheduler.duration(BROKEN_AFTER_MS);
    const passage: Passage = { chunk, isLost, breaksAtMs, hasArrived: false };
    this.#line.push(passage);
    scheduler.schedule(arrivalMs - scheduler.nowMs, null, () => {
      passage.hasArrived = true;
      if (!this.#isHeld) this.#advanceLine();
    });
  }

  /** Delivers what has arrived. In `frames` mode a blocked direction loses it, otherwise it is held and tried again. */
  #advanceLine(): void {
    this.#isHeld = false;
    const { scheduler, options } = this.#wire;
    for (let first = this.#line[0]; first?.hasArrived === true; first = this.#line[0]) {
      if (this.#peer === null || this.#peer.#state === "closed") return;
      if (this.#isBlocked && options.frames === null) {
        if (scheduler.nowMs > first.breaksAtMs) return this.cut();
        this.#isHeld = true;
        scheduler.schedule(RETRY_MS, null, () => this.#advanceLine());
        return;
      }
      this.#line.shift();
      this.#taken(first.chunk.length);
      if (!first.isLost && !this.#isBlocked) this.#peer.#receive(first.chunk);
    }
  }

  get #isBlocked(): boolean {
    return this.#peer !== null && this.#wire.isBlocked(this.#host.name, this.#peer.#host.name);
  }

  #delayMs(): number {
    return this.#wire.delayMs(this.#host.name, this.#remoteHost);
  }

  /** The stream is cut: both sides find out, each in its own time. */
  cut(): void {
    const { scheduler } = this.#wire;
    const peer = this.#peer;
    scheduler.schedule(this.#delayMs(), null, () => this.close());
    scheduler.schedule(this.#delayMs(), null, () => peer?.close());
  }

  #taken(byteCount: number): void {
    this.#bytesOnTheWay -= byteCount;
    if (!this.#full || this.#state !== "open" || this.#bytesOnTheWay >= this.#wire.options.windowBytes) return;
    this.#full = false;
    this.#wire.scheduler.schedule(0, this.#host.process, () => {
      if (this.#state === "open") this.#handler?.onDrain();
    });
  }

  #receive(chunk: Uint8Array): void {
    if (!this.#host.process.alive || this.#state !== "open") return;
    this.#waiting.push(chunk);
    this.#wire.scheduler.schedule(0, this.#host.process, () => this.#drainWaiting());
  }

  #drainWaiting(): void {
    while (!this.#paused && this.#handler !== null && this.#state === "open") {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) return;
      this.#handler.onData(chunk);
    }
  }
}

function splitAddress(address: string): { name: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { name: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
