/**
 * What happened in a run: the last lines for people, and a checksum over all of them, which two runs of one seed must
 * share. It is the proof that a simulation is deterministic.
 */
import { utf8 } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import type { Logger } from "../env/environment.ts";
import type { Scheduler } from "./scheduler.ts";

const LINES_KEPT = 400;

export class Trace {
  readonly #scheduler: Scheduler;
  readonly #lines: string[] = [];
  readonly #listener: ((line: string) => void) | null;
  #checksum = 0;
  #lineCount = 0;

  /** `listener` is shown every line as it comes. */
  constructor(scheduler: Scheduler, listener: ((line: string) => void) | null) {
    this.#scheduler = scheduler;
    this.#listener = listener;
  }

  note(line: string): void {
    const stamped = `${this.#scheduler.nowMs.toFixed(3)} ${line}`;
    this.#checksum = crc32(utf8(stamped), this.#checksum);
    this.#lineCount += 1;
    this.#lines.push(stamped);
    this.#listener?.(stamped);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
  }

  /** Equal for equal runs. */
  get fingerprint(): string {
    return `${this.#lineCount}:${this.#checksum.toString(16)}`;
  }

  tail(lineCount: number): readonly string[] {
    return this.#lines.slice(-Math.min(lineCount, LINES_KEPT));
  }

  /** The log of a simulated node. */
  logger(node: string): Logger {
    const line = (level: string) => (message: string, fields?: Record<string, unknown>) =>
      this.note(`${node} ${level} ${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}`);
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  }
}
