/** What the client port must be told. Limits of bytes and counts are refusals, never growth. */
import type { RespLimits } from "../wire/resp-parser.ts";

export interface ClientPortSettings {
  readonly keyBytesMax: number;
  /** Also the longest single argument of any command. */
  readonly valueBytesMax: number;
  readonly argumentsMax: number;
  /** A command typed as a line, and every line of the protocol. */
  readonly lineBytesMax: number;
  /** Replies a connection has not read; beyond it the connection is closed. Long before, it is no longer read from. */
  readonly outputBytesMax: number;
  /** Replies that a client does not read may stand still this long; 0: for ever. */
  readonly outputIdleMs: number;
  /** Requests and replies of all connections together; beyond it those that hold most are closed. */
  readonly clientMemoryBytes: number;
  /** Commands a second of a tenant (turn-shares.ts) that has no rate of its own; 0: any. */
  readonly requestsPerSecond: number;
  /** Commands beyond the rate wait this long at most, in the mean; more are refused. */
  readonly rateDelayMs: number;
  /** Commands of one connection that wait for an answer. */
  readonly requestsInflightMax: number;
  readonly connectionsMax: number;
  /** Half a request may stand still this long. */
  readonly frameIdleMs: number;
  /** Whoever has to log in has done so within this time. */
  readonly loginTimeoutMs: number;
  /** Whether USE of an unknown bucket creates it. */
  readonly bucketsCreateByUse: boolean;
  /** Whether DEBUG does anything. */
  readonly debugCommands: boolean;
  /** The version of EnvelopeDB that INFO and HELLO tell. */
  readonly version: string;
}

const OUTPUT_PAUSE_BYTES = 4 * 1024 * 1024;
/** A request may hold so many of the largest values. */
const FRAME_VALUES = 4;

/** Unread replies from which a connection is no longer read from. */
export function outputPauseBytes(settings: ClientPortSettings): number {
  return Math.min(OUTPUT_PAUSE_BYTES, settings.outputBytesMax / 4);
}

export function respLimits(settings: ClientPortSettings): RespLimits {
  return {
    valueBytesMax: settings.valueBytesMax,
    argumentsMax: settings.argumentsMax,
    lineBytesMax: settings.lineBytesMax,
    frameBytesMax: settings.valueBytesMax * FRAME_VALUES,
  };
}
