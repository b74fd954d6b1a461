/** A client's connection as its port sees it, whichever protocol it speaks. */
import type { ConnectionLogin } from "./access/connection-login.ts";
import type { MemoryHolder } from "./client-memory.ts";
import type { FrameWatch } from "./frame-watch.ts";

/** What CLIENT LIST tells of a client, besides what every connection has. */
export interface ShownClient {
  readonly name: string;
  readonly bucket: string;
  readonly lastCommand: string;
  readonly library: readonly [name: string, version: string];
  readonly protocol: string;
}

export interface PortConnection extends MemoryHolder {
  readonly id: number;
  readonly remoteAddress: string;
  readonly openedMs: number;
  readonly login: ConnectionLogin;
  readonly shown: ShownClient;
  /** Bytes of replies that have not left. */
  readonly unsentBytes: number;
  /** Requests without an answer. */
  readonly unansweredCount: number;
  /** Requests it has made. */
  readonly commandCount: number;
  /** Of a request that is half sent. */
  readonly frameWatch: FrameWatch;
  /** Of replies that the client does not read. */
  readonly outputWatch: FrameWatch;
  /** Hands the gathered replies to the socket and, if that ended a stall, goes on with what has arrived. */
  flush(): void;
  /** Goes on after a stall, if nothing stands against it any more. */
  tryContinue(): void;
  /** Takes no more requests; closes when everything asked before is answered and sent. */
  finish(): void;
  /** Gives back what it keeps for what may come, if nothing has come for a while. */
  rest(): void;
  /** Closes at once and tells the operator why. */
  abort(reason: string): void;
}
