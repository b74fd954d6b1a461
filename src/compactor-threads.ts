/**
 * The compactors of a node: threads that flush and compact for its shards, each reached from every thread that hosts
 * shards. One that ends by itself is marked as dead, and its work is done by the others or by the shards themselves. A part
 * of the composition root; main thread.
 */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { CompactorEnd } from "./bridge/worker-data.ts";
import type { Logger } from "./env/environment.ts";
import { type CompactorData, CompactorState, WORD_BYTES } from "./shard/compactor-protocol.ts";

const ENTRY = new URL("../workers/compactor.worker.ts", import.meta.url);

export interface CompactorThreads {
  /** For each thread that hosts shards, its end of every compactor. */
  readonly ends: readonly (readonly CompactorEnd[])[];
  /** Starts the threads. */
  start(): void;
  /** No shard has work for them any more. */
  stop(): void;
}

export function compactorThreads(count: number, hostCount: number, log: Logger): CompactorThreads {
  const ends: CompactorEnd[][] = Array.from({ length: hostCount }, () => []);
  const threads = Array.from({ length: count }, () => {
    const state = new SharedArrayBuffer(WORD_BYTES);
    const ports: MessagePort[] = [];
    for (const end of ends) {
      const { port1, port2 } = new MessageChannel();
      end.push({ port: port1, state });
      ports.push(port2);
    }
    return new CompactorThread({ ports, state }, log);
  });
  return {
    ends,
    start: () => {
      for (const thread of threads) thread.start();
    },
    stop: () => {
      for (const thread of threads) thread.stop();
    },
  };
}

class CompactorThread {
  readonly #data: CompactorData;
  readonly #log: Logger;
  #worker: Worker | null = null;
  #isStopping = false;

  constructor(data: CompactorData, log: Logger) {
    this.#data = data;
    this.#log = log;
  }

  start(): void {
    const worker = new Worker(ENTRY, { workerData: this.#data, transferList: [...this.#data.ports] });
    worker.on("error", (error: unknown) => this.#log.error("a compactor died", { error: String(error) }));
    worker.on("exit", () => {
      Atomics.store(new Int32Array(this.#data.state), 0, CompactorState.dead);
      if (!this.#isStopping) this.#log.warn("a compactor has ended; its work is done without it", {});
    });
    // Whoever ends the process in haste need not think of it.
    worker.unref();
    this.#worker = worker;
  }

  stop(): void {
    this.#isStopping = true;
    this.#worker?.postMessage("stop");
  }
}
