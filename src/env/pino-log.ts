/**
 * The log of a real process: one JSON line each, to standard error, written before the call returns, so that the last
 * line before a crash is there. Any thread.
 */
import pino from "pino";
import type { Logger } from "./environment.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** `fields` are repeated on every line: node, shard. */
export function pinoLog(level: LogLevel, fields: Record<string, unknown>): Logger {
  const out = pino({ level, base: fields }, pino.destination({ fd: 2, sync: true }));
  return {
    debug: (message, more) => out.debug(more ?? {}, message),
    info: (message, more) => out.info(more ?? {}, message),
    warn: (message, more) => out.warn(more ?? {}, message),
    error: (message, more) => out.error(more ?? {}, message),
    setLevel: (next) => {
      out.level = next;
    },
  };
}
