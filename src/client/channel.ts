/**
 * One way to one node, on which many requests are under way at a time: a socket (socket-channel.ts), or a call inside the
 * process. It never connects again and repeats nothing; who sits on it decides that (nodes.ts, caller.ts).
 */
import type { BinaryLimits, BinaryReply, BinaryRequest, Topology } from "../wire/binary-messages.ts";

/** Hears what becomes of one request. Nothing is called while `send` still runs. */
export interface ReplySink {
  /** Its reply; of a scan, each page. */
  replied(reply: BinaryReply): void;
  /** The channel has ended before the (last) reply. Not sent: the node has never seen the request. */
  lost(reason: string, wasSent: boolean): void;
}

export interface Channel {
  /** Name of the node. */
  readonly node: string;
  readonly limits: BinaryLimits;
  /** Requests without their (last) reply. */
  readonly underway: number;
  /** Returns the number of the request on this channel. */
  send(request: BinaryRequest, sink: ReplySink): number;
  /** Lets a scan send so many pages more. */
  grant(id: number, credits: number): void;
  /** The request is of no more use: its sink hears nothing more, and the node is told. Whether it had left. */
  drop(id: number): boolean;
  /** What is under way is lost. */
  close(reason: string): void;
}

export interface ChannelEvents {
  /** Who leads what has changed, as this node sees it. */
  learned(topology: Topology): void;
  /** Comes exactly once after the channel was opened, behind `lost` of all its requests. */
  closed(reason: string): void;
}

/** Opens a channel to an address; rejects with an EnvelopeError. Its first topology is told by `learned` before that. */
export type OpenChannel = (address: string, events: ChannelEvents) => Promise<Channel>;
