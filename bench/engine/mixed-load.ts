/**
 * Reads and overwrites, in turn, that come at fixed times whether or not the ones before are done: half as many a second
 * as the engine takes when it is never left waiting. A latency is counted from the time at which the operation was due.
 * What has become due together is one turn, as with a server's clients: its writes are one entry; in the time between,
 * the engine gets steps of what it has put off.
 */
import { build, type Histogram } from "hdr-histogram-js";
import { Random } from "../../src/core/random.ts";
import { EnvelopeStore } from "./envelope-store.ts";
import { type Job, type Latencies, NOTHING, type Outcome } from "./job.ts";
import { startMeter } from "./meter.ts";
import { optionsOf } from "./open-engine.ts";
import { KeyBuffer, keyNumbers, Values } from "./workload.ts";

const PEAK_SECONDS = 2;
const LOAD_SHARE = 0.5;
/** Operations of one turn at most; what is due beyond it waits, and its latency shows it. */
const TURN_OPS_MAX = 64;
const NANOS = 1000;

export function measureMixed(job: Extract<Job, { type: "mixed" }>): Outcome {
  const store = new EnvelopeStore(optionsOf(job, false));
  const load = new MixedLoad(store, job.keyCount);
  const opsPerSecond = job.writesPerSecond > 0 ? 2 * job.writesPerSecond : load.peak(PEAK_SECONDS) * LOAD_SHARE;
  const before = store.stats();
  const end = startMeter();
  const ops = load.run(opsPerSecond, job.seconds);
  const { seconds, processorMicros, writtenBytes } = end();
  const after = store.stats();
  const note = `${after.flushCount - before.flushCount} flushes, ${after.compactionCount - before.compactionCount} compactions`;
  store.close();
  const { reads, writes } = load;
  return {
    ...NOTHING,
    ops,
    seconds,
    processorMicros,
    writtenBytes,
    readMicros: latencies(reads),
    writeMicros: latencies(writes),
    note,
  };
}

class MixedLoad {
  readonly reads = newHistogram();
  readonly writes = newHistogram();
  readonly #store: EnvelopeStore;
  readonly #nextNumber: () => number;
  readonly #values: Values;
  readonly #key = new KeyBuffer();

  constructor(store: EnvelopeStore, keyCount: number) {
    const random = new Random(2);
    this.#store = store;
    this.#values = new Values(random);
    this.#nextNumber = keyNumbers("random", keyCount, random);
  }

  /** Operations a second when the next one is always there. */
  peak(seconds: number): number {
    const startMs = performance.now();
    const endMs = startMs + seconds * 1000;
    let ops = 0;
    while (performance.now() < endMs) {
      this.#turn(2);
      ops += 2;
    }
    return ops / ((performance.now() - startMs) / 1000);
  }

  /** Returns the operations that were done. */
  run(opsPerSecond: number, seconds: number): number {
    const total = 2 * Math.floor((opsPerSecond * seconds) / 2);
    const intervalMs = 1000 / opsPerSecond;
    const startMs = performance.now();
    let done = 0;
    while (done < total) {
      const due = Math.min(total, 1 + Math.floor((performance.now() - startMs) / intervalMs));
      if (due <= done + 1) {
        this.#store.step();
        continue;
      }
      // Pairs of a write and a read.
      const count = Math.min(due - done, TURN_OPS_MAX) & ~1;
      this.#turn(count);
      const nowMs = performance.now();
      for (let i = 0; i < count; i++) {
        const latencyMs = Math.max(0, nowMs - (startMs + (done + i) * intervalMs));
        (i % 2 === 0 ? this.writes : this.reads).recordValue(Math.round(latencyMs * 1000 * NANOS));
      }
      done += count;
    }
    return done;
  }

  #turn(count: number): void {
    const store = this.#store;
    for (let i = 0; i < count; i += 2) store.add(this.#key.present(this.#nextNumber()), this.#values.next());
    store.commit();
    for (let i = 1; i < count; i += 2) store.get(this.#key.present(this.#nextNumber()));
  }
}

function newHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60e9,
    numberOfSignificantValueDigits: 3,
  }) as Histogram;
}

/** In microseconds; recorded were nanoseconds. */
function latencies(histogram: Histogram): Latencies {
  const at = (share: number): number => Math.min(histogram.getValueAtPercentile(share), histogram.maxValue) / NANOS;
  return { p50: at(50), p99: at(99), p999: at(99.9), max: histogram.maxValue / NANOS };
}
