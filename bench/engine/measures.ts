/** The measurements of the engines that run in a process of ours, one at a time. */
import { Random } from "../../src/core/random.ts";
import { type BenchReader, type BenchStore, finished } from "./bench-store.ts";
import { isEnvelope, type Job, NOTHING, type Outcome } from "./job.ts";
import { startMeter } from "./meter.ts";
import { measureMixed } from "./mixed-load.ts";
import { openReader, openStore, optionsOf } from "./open-engine.ts";
import { distinctKeys, KeyBuffer, type KeyOrder, keyNumbers, RECORD_BYTES, Values } from "./workload.ts";

const SEED = 1;
/** Reads before the ones that count: the code is compiled, caches are warm. */
const WARMUP_SHARE = 0.25;

type Of<Type extends Job["type"]> = Extract<Job, { type: Type }>;

export async function measure(job: Job): Promise<Outcome> {
  switch (job.type) {
    case "fill":
      return await fill(job);
    case "fillsync":
      return await fillSync(job);
    case "read":
      return await read(job);
    case "seek":
      return await seek(job);
    case "scan":
      return await scan(job);
    case "mixed":
      return await measureMixed(job);
    case "crash":
      return await crash(job);
    case "reopen":
      return await reopen(job);
  }
}

async function fill(job: Of<"fill">): Promise<Outcome> {
  const store = await openStore(job.engine, optionsOf(job, false));
  const read = startMeter();
  await write(store, job.order, job.keyCount, job.opCount, job.batch);
  const { seconds: writeSeconds } = read();
  if (job.flushes) await finished(store.flush());
  await finished(store.drain());
  const { seconds, processorMicros, writtenBytes } = read();
  await finished(store.close());
  const liveKeys = job.isFresh ? distinctKeys(job.order, job.opCount, job.keyCount) : job.keyCount;
  const liveBytes = Math.round(liveKeys * RECORD_BYTES);
  return { ...NOTHING, ops: job.opCount, seconds, writeSeconds, processorMicros, writtenBytes, liveBytes };
}

async function write(store: BenchStore, order: KeyOrder, keyCount: number, opCount: number, batch: number) {
  const random = new Random(SEED);
  const values = new Values(random);
  const nextNumber = keyNumbers(order, keyCount, random);
  if (batch === 1) {
    const key = new KeyBuffer();
    for (let i = 0; i < opCount; i++) {
      const work = store.put(key.present(nextNumber()), values.next());
      if (work !== undefined) await work;
    }
    return;
  }
  const keys = Array.from({ length: batch }, () => new KeyBuffer());
  const batchKeys = keys.map(({ bytes }) => bytes);
  const batchValues = batchKeys.map(() => values.next());
  for (let i = 0; i < opCount; i += batch) {
    for (let j = 0; j < batch; j++) {
      keys[j]!.present(nextNumber());
      batchValues[j] = values.next();
    }
    const work = store.putBatch(batchKeys, batchValues);
    if (work !== undefined) await work;
  }
}

async function fillSync(job: Of<"fillsync">): Promise<Outcome> {
  const store = await openStore(job.engine, optionsOf(job, true));
  const random = new Random(SEED);
  const values = new Values(random);
  const nextNumber = keyNumbers("random", job.keyCount, random);
  const keys = Array.from({ length: job.outstanding }, () => new KeyBuffer());
  const batchKeys = keys.map(({ bytes }) => bytes);
  const batchValues = batchKeys.map(() => values.next());
  const syncsBefore = store.syncCount();
  const read = startMeter();
  let ops = 0;
  for (; ops < job.opCount; ops += job.outstanding) {
    for (const key of keys) key.present(nextNumber());
    const work = store.putOutstanding(batchKeys, batchValues);
    if (work !== undefined) await work;
  }
  const { seconds, processorMicros, writtenBytes } = read();
  const syncs = store.syncCount();
  await finished(store.close());
  const syncCount = syncs === null || syncsBefore === null ? null : syncs - syncsBefore;
  return { ...NOTHING, ops, seconds, processorMicros, writtenBytes, syncCount };
}

async function read(job: Of<"read">): Promise<Outcome> {
  const options = optionsOf(job, false);
  const isStore = isEnvelope(job.engine) && job.throughMessages;
  const store = isStore ? await openStore(job.engine, options) : await openReader(job.engine, options);
  const random = new Random(SEED);
  const nextNumber = keyNumbers("random", job.keyCount, random);
  readSome(store, nextNumber, Math.ceil(job.opCount * WARMUP_SHARE), job.isMissing);
  const end = startMeter();
  const found = readSome(store, nextNumber, job.opCount, job.isMissing);
  const { seconds, processorMicros } = end();
  await finished(store.close());
  return { ...NOTHING, ops: job.opCount, seconds, processorMicros, found };
}

function readSome(
  store: { get(key: Uint8Array): Uint8Array | null },
  nextNumber: () => number,
  opCount: number,
  isMissing: boolean,
) {
  const key = new KeyBuffer();
  let found = 0;
  for (let i = 0; i < opCount; i++) {
    const number = nextNumber();
    if (store.get(isMissing ? key.missing(number) : key.present(number)) !== null) found += 1;
  }
  return found;
}

async function seek(job: Of<"seek">): Promise<Outcome> {
  const reader = await openReader(job.engine, optionsOf(job, false));
  const nextNumber = keyNumbers("random", job.keyCount, new Random(SEED));
  await seekSome(reader, nextNumber, Math.ceil(job.opCount * WARMUP_SHARE), job.nextCount);
  const end = startMeter();
  const found = await seekSome(reader, nextNumber, job.opCount, job.nextCount);
  const { seconds, processorMicros } = end();
  await finished(reader.close());
  return { ...NOTHING, ops: job.opCount, seconds, processorMicros, found };
}

async function seekSome(reader: BenchReader, nextNumber: () => number, opCount: number, nextCount: number) {
  const key = new KeyBuffer();
  let found = 0;
  for (let i = 0; i < opCount; i++) {
    const records = reader.scan(key.present(nextNumber()), nextCount + 1);
    if ((typeof records === "number" ? records : await records) > 0) found += 1;
  }
  return found;
}

async function scan(job: Of<"scan">): Promise<Outcome> {
  const reader = await openReader(job.engine, optionsOf(job, false));
  const first = new KeyBuffer().present(0);
  await reader.scan(first, Math.ceil(job.keyCount * WARMUP_SHARE));
  const end = startMeter();
  const found = await reader.scan(first, Number.MAX_SAFE_INTEGER);
  const { seconds, processorMicros } = end();
  await finished(reader.close());
  return { ...NOTHING, ops: found, seconds, processorMicros, found };
}

/** Does not return. */
async function crash(job: Of<"crash">): Promise<Outcome> {
  const store = await openStore(job.engine, optionsOf(job, false));
  await write(store, "permuted", job.keyCount, job.keyCount, 1);
  process.kill(process.pid, "SIGKILL");
  return NOTHING;
}

async function reopen(job: Of<"reopen">): Promise<Outcome> {
  const store = await openStore(job.engine, optionsOf(job, false));
  const found = store.get(new KeyBuffer().present(0)) === null ? 0 : 1;
  // From the start of the process, its own start included.
  const seconds = performance.now() / 1000;
  const { user, system } = process.cpuUsage();
  await finished(store.close());
  return { ...NOTHING, ops: 1, seconds, processorMicros: user + system, found };
}
