/** A client's connection as its port sees it, whichever protocol it speaks. */
import type { MemoryHolder } from "./client-memory.ts";
import type { FrameWatch } from "./frame-watch.ts";

export interface PortConnection extends MemoryHolder {
  readonly id: number;
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
  /** Users, roles or tokens have changed: rights are looked up anew, and whoever has none left is sent away. */
  accessChanged(): void;
  /** Closes it when nobody has logged in for too long, or the token it came in with has ended. */
  checkLogin(nowMs: number): void;
  /** Gives back what it keeps for what may come, if nothing has come for a while. */
  rest(): void;
  /** Closes at once and tells the operator why. */
  abort(reason: string): void;
}
