/**
 * The compactors as a shard's thread uses them. A job is given to one that is idle, or not at all; the thread looks for
 * its outcome when it steps the job, and never waits for it, but to cancel it: then it waits for the end of the step that
 * the compactor is in, so that no file appears behind its back. All shards of a thread share one set. Shard thread.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { CompactorEnd } from "../bridge/worker-data.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { FrozenRule } from "../storage/job.ts";
import type { RewriteJob } from "../storage/rewrite-job.ts";
import {
  type CompactorOrder,
  type CompactorReply,
  CompactorState,
  JobControl,
  type OrderSource,
  WORD_BYTES,
} from "./compactor-protocol.ts";
import type { Progress, RunningJob } from "./running-job.ts";

/** A cancelled job ends at its next step. One that does not leaves files that the next start of the shard removes. */
const CANCEL_MS_MAX = 5000;

export class Compactors {
  readonly #links: readonly CompactorLink[];

  constructor(ends: readonly CompactorEnd[]) {
    this.#links = ends.map((end) => new CompactorLink(end));
  }

  /** Those whose threads live. */
  get aliveCount(): number {
    return this.#links.reduce((count, link) => (link.isDead ? count : count + 1), 0);
  }

  get hasIdle(): boolean {
    return this.#links.some((link) => link.isIdle);
  }

  /** Gives the job, of which no step was taken, to an idle compactor; null when there is none. */
  offer(job: RewriteJob, source: OrderSource, sourceBytes: number, rule: FrozenRule): RunningJob | null {
    for (const link of this.#links) if (link.take()) return new RemoteJob(link, job, source, sourceBytes, rule);
    return null;
  }
}

class CompactorLink {
  readonly #end: CompactorEnd;
  readonly #state: Int32Array;
  /** The outcome of each job under way, once it is there: it may be idle for a while before its shard has looked. */
  readonly #outcomes = new Map<number, CompactorReply | null>();
  #lastJob = 0;

  constructor(end: CompactorEnd) {
    this.#end = end;
    this.#state = new Int32Array(end.state);
  }

  get isIdle(): boolean {
    return Atomics.load(this.#state, 0) === CompactorState.idle;
  }

  get isDead(): boolean {
    return Atomics.load(this.#state, 0) === CompactorState.dead;
  }

  /** False: another thread was faster, or it works, or it is dead. */
  take(): boolean {
    return Atomics.compareExchange(this.#state, 0, CompactorState.idle, CompactorState.taken) === CompactorState.idle;
  }

  /** Returns the job id under which the outcome comes. */
  order(order: Omit<CompactorOrder, "jobId">): number {
    this.#lastJob += 1;
    this.#outcomes.set(this.#lastJob, null);
    this.#end.port.postMessage({ ...order, jobId: this.#lastJob } satisfies CompactorOrder);
    return this.#lastJob;
  }

  /** The outcome if it is there. */
  receive(jobId: number): CompactorReply | null {
    for (;;) {
      const received: { message: CompactorReply } | undefined = receiveMessageOnPort(this.#end.port);
      if (received === undefined) break;
      const { message } = received;
      if (this.#outcomes.has(message.jobId)) this.#outcomes.set(message.jobId, message);
    }
    return this.#outcomes.get(jobId) ?? null;
  }

  /** Nobody asks for the outcome any more. */
  forget(jobId: number): void {
    this.#outcomes.delete(jobId);
  }
}

class RemoteJob implements RunningJob {
  readonly isElsewhere = true;
  readonly doneBytes = 0;
  readonly #link: CompactorLink;
  readonly #job: RewriteJob;
  readonly #control = new Int32Array(new SharedArrayBuffer(WORD_BYTES));
  readonly #jobId: number;

  constructor(link: CompactorLink, job: RewriteJob, source: OrderSource, sourceBytes: number, rule: FrozenRule) {
    const { directory, options, identity } = job.home;
    this.#link = link;
    this.#job = job;
    this.#jobId = link.order({
      control: this.#control.buffer as SharedArrayBuffer,
      directory,
      options,
      identity,
      numbers: job.reserveNumbers(sourceBytes),
      rule,
      older: job.work.older,
      source,
    });
  }

  step(): Progress {
    const reply = this.#link.receive(this.#jobId);
    if (reply === null) return this.#link.isDead ? "lost" : "waiting";
    if (reply.type === "outgrown") return "outgrown";
    if (reply.type === "failed") throw new EnvelopeError(reply.code, reply.message, reply.place);
    this.#link.forget(this.#jobId);
    this.#job.adopt(reply.tables);
    while (this.#job.step(0));
    return "done";
  }

  abort(): void {
    const wasRunning = Atomics.compareExchange(this.#control, 0, JobControl.running, JobControl.cancelled);
    if (wasRunning === JobControl.running && !this.#link.isDead) {
      Atomics.wait(this.#control, 0, JobControl.cancelled, CANCEL_MS_MAX);
    }
    this.#link.forget(this.#jobId);
    this.#job.abort();
  }
}
