/** A thread that hosts shards: builds their environment and runs them until they have stopped. */
import { workerData } from "node:worker_threads";
import type { WorkerData } from "../src/bridge/worker-data.ts";
import { pinoLog } from "../src/env/pino-log.ts";
import { RealClock } from "../src/env/real-clock.ts";
import { RealDisk } from "../src/env/real-disk.ts";
import type { ShardOptions } from "../src/shard/shard-options.ts";
import { runWorker } from "../src/shard/worker-loop.ts";

const data = workerData as WorkerData<ShardOptions>;
runWorker({ disk: new RealDisk(), clock: new RealClock(), log: pinoLog(data.logLevel, { ...data.logFields }) }, data);
