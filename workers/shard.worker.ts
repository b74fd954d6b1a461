/** A thread that hosts shards: builds their environment and runs them until they have stopped. */
import { workerData } from "node:worker_threads";
import type { WorkerData } from "../src/bridge/worker-data.ts";
import { YoungGarbage } from "../src/core/young-garbage.ts";
import { pinoLog } from "../src/env/pino-log.ts";
import { RealClock } from "../src/env/real-clock.ts";
import { RealDisk } from "../src/env/real-disk.ts";
import { Compactors } from "../src/shard/compactors.ts";
import type { ShardOptions } from "../src/shard/shard-options.ts";
import { BlockCache } from "../src/storage/block-cache.ts";
import { runWorker } from "../src/shard/worker-loop.ts";

const data = workerData as WorkerData<ShardOptions>;
const log = pinoLog(data.logLevel, { ...data.logFields });
const compactors = new Compactors(data.compactors);
const blockCache = new BlockCache(data.blockCacheBytes);
runWorker(
  { disk: new RealDisk(), clock: new RealClock(), log, compactors, blockCache },
  data,
  new YoungGarbage(() => Bun.gc(false)),
);
