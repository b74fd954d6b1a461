/** The other side of forwarding, for all peers and shards: one server for each that has sent something. Main thread only. */
import type { NodeId } from "../core/ids.ts";
import { ForwardServer } from "./forward-server.ts";
import type { Lane } from "./lane.ts";
import type { PeerTransport } from "./peer-transport.ts";

export class ForwardServers {
  readonly #transport: PeerTransport;
  readonly #wake: () => void;
  readonly #servers = new Map<string, ForwardServer>();

  constructor(transport: PeerTransport, wake: () => void) {
    this.#transport = transport;
    this.#wake = wake;
  }

  /** Operations have come from a process of a peer. Throws PROTOCOL. */
  received(from: NodeId, session: number, lane: Lane, body: Uint8Array): void {
    const key = `${from}/${lane.group.shard}`;
    let server = this.#servers.get(key);
    if (server === undefined || server.session !== session) {
      server = new ForwardServer(lane.group, lane.usage, from, session, this.#transport, this.#wake);
      this.#servers.set(key, server);
    }
    server.onForward(body);
  }

  /** The peer has given up what it waited for here: answers, and operations that have not begun, are nobody's any more. */
  lost(peer: NodeId): void {
    for (const [key, server] of this.#servers) if (server.peer === peer) this.#servers.delete(key);
  }

  pump(): void {
    for (const server of this.#servers.values()) server.pump();
  }

  flush(): void {
    for (const server of this.#servers.values()) server.flush();
  }

  /** Gives up what has waited since before `longAgoMs`. */
  expire(nowMs: number, longAgoMs: number): void {
    for (const server of this.#servers.values()) if (server.isWaiting) server.expire(nowMs, longAgoMs);
  }

  /** Whether anything is held that the next turn may move, though nothing has come for it. */
  get awaitsTurn(): boolean {
    for (const server of this.#servers.values()) if (server.awaitsTurn) return true;
    return false;
  }
}
