/** A thread that carries out flushes and compactions for the shards of a node, until it is told that no more come. */
import { parentPort, workerData } from "node:worker_threads";
import { lowerPriority } from "../src/env/thread-priority.ts";
import { RealDisk } from "../src/env/real-disk.ts";
import { closeCompactor, runCompactor } from "../src/shard/compactor-loop.ts";
import type { CompactorData } from "../src/shard/compactor-protocol.ts";

const data = workerData as CompactorData;
lowerPriority();
runCompactor(new RealDisk(), data);
parentPort?.once("message", () => closeCompactor(data));
