/**
 * What is to be known afterwards: who was refused what, who came in with rights over others, and every act upon the cluster
 * (core/audit-format.ts). Lines are gathered and written a batch at a time, never by this thread; the head of the chain moves
 * only once a batch is durable.
 *
 * An act is recorded before it is done and is not done where that fails. What was refused is recorded as far as there is
 * room, and no more than a hundred lines a second, of connections no more than fifty a minute, so that nobody can wash earlier lines away by being refused; what is left
 * out is counted, and the next line tells how much it was. Main thread only.
 */
import { AUDIT_START, type AuditEvent, type AuditHead, auditHeadOf, encodeAuditLine } from "../../core/audit-format.ts";
import type { AppendFile } from "../../env/append-file.ts";
import type { Clock } from "../../env/clock.ts";
import type { Logger } from "../../env/environment.ts";

const WAITING_MAX = 1_024;
const BATCH_MAX = 256;
const REFUSALS_PER_SECOND = 100;
const SECOND_MS = 1_000;
const CONNECTIONS_PER_MINUTE = 50;
const MINUTE_MS = 60_000;

export interface AuditOptions {
  /** A file that has grown beyond this is put aside. */
  readonly fileBytesMax: number;
  /** So many files put aside are kept. */
  readonly filesKept: number;
}

interface Waiting {
  readonly event: AuditEvent;
  readonly timeMs: number;
  readonly done: ((isRecorded: boolean) => void) | null;
}

export class AuditLog {
  readonly #file: AppendFile;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #options: AuditOptions;
  #head: AuditHead;
  #waiting: Waiting[] = [];
  #isWriting = false;
  #secondMs = 0;
  #inSecond = 0;
  #minuteMs = Number.NEGATIVE_INFINITY;
  #inMinute = 0;
  #leftOut = 0;
  /** Lines that could not be written, ever. */
  lostCount = 0;
  #idle: (() => void)[] = [];

  /** `lastLine`: what the file ends with. */
  constructor(file: AppendFile, lastLine: Uint8Array | null, clock: Clock, log: Logger, options: AuditOptions) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
    this.#options = options;
    this.#head = (lastLine === null ? null : auditHeadOf(lastLine)) ?? AUDIT_START;
  }

  /** Records as far as there is room. */
  note(event: AuditEvent): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#secondMs >= SECOND_MS) {
      this.#secondMs = nowMs;
      this.#inSecond = 0;
    }
    // Whoever came in must not be hidden by those who did not.
    const isLogin = event.event === "login";
    if (!isLogin) this.#inSecond += 1;
    const isWithinRate = isLogin || this.#inSecond <= REFUSALS_PER_SECOND;
    const hasRoom = isWithinRate && this.#waiting.length < (isLogin ? WAITING_MAX : WAITING_MAX / 2);
    if (!hasRoom) this.#leaveOut();
    else {
      if (this.#leftOut > 0) this.#add(leftOut(this.#leftOut), null);
      this.#leftOut = 0;
      this.#add(event, null);
    }
  }

  /** Records that a connection was refused, which anybody can bring about who reaches a port. */
  noteConnection(port: string, address: string, why: string): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#minuteMs >= MINUTE_MS) {
      this.#minuteMs = nowMs;
      this.#inMinute = 0;
    }
    this.#inMinute += 1;
    const event = { event: "refused", user: "", address, command: "connect", bucket: "" } as const;
    if (this.#inMinute <= CONNECTIONS_PER_MINUTE) this.note({ ...event, outcome: `${port} port: ${why}` });
    else this.#leaveOut();
  }

  /** `done` is told whether the event is durable: if not, what it speaks of must not be done. */
  record(event: AuditEvent, done: (isRecorded: boolean) => void): void {
    if (this.#waiting.length >= WAITING_MAX) done(false);
    else this.#add(event, done);
  }

  /** Resolves when everything is written that was to be. */
  async close(): Promise<void> {
    if (this.#isWriting || this.#waiting.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#file.close();
  }

  #leaveOut(): void {
    this.#leftOut += 1;
    this.lostCount += 1;
  }

  #add(event: AuditEvent, done: Waiting["done"]): void {
    this.#waiting.push({ event, timeMs: this.#clock.wallMs(), done });
    if (!this.#isWriting) void this.#write();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX);
      const isRecorded = await this.#append(batch);
      if (!isRecorded) this.lostCount += batch.length;
      for (const { done } of batch) done?.(isRecorded);
    }
    this.#isWriting = false;
    for (const run of this.#idle.splice(0)) run();
  }

  async #append(batch: readonly Waiting[]): Promise<boolean> {
    let head = this.#head;
    const lines: Uint8Array[] = [];
    for (const { event, timeMs } of batch) {
      const next = encodeAuditLine(head, timeMs, event);
      lines.push(next.line);
      head = next.head;
    }
    try {
      if (this.#file.size >= this.#options.fileBytesMax) await this.#file.rotate(this.#options.filesKept);
      await this.#file.append(Buffer.concat(lines));
      this.#head = head;
      return true;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#log.error("the audit log cannot be written: acts upon the cluster are refused", { why });
      return false;
    }
  }
}

function leftOut(count: number): AuditEvent {
  const outcome = `${count} lines left out, for there were too many`;
  return { event: "denied", user: "", address: "", command: "", bucket: "", outcome };
}
