/** The settings of the benchmark's shard: the defaults of a node, on a disk that may be told not to sync. */
import { availableParallelism } from "node:os";
import type { NodeSettings } from "../../src/config.ts";
import { resolveSettings } from "../../src/config.ts";
import type { Disk, DiskFile, OpenMode } from "../../src/env/disk.ts";
import type { Logger } from "../../src/env/environment.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { shardOptions } from "../../src/node-shards.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import type { StoreOptions } from "./bench-store.ts";

export const BENCH_BUCKET = 1;
const CLUSTER_ID = "00".repeat(16);

export const LOG: Logger = { debug: () => {}, info: () => {}, warn: console.warn, error: console.error };

/** Syncs are taken as done. */
class UnsyncedDisk extends RealDisk implements Disk {
  override open(path: string, mode: OpenMode): DiskFile {
    const file = super.open(path, mode);
    file.sync = () => undefined;
    file.beginSync = (done) => done(null);
    return file;
  }

  override syncDirectory(): void {}
}

export function benchDisk(isSynced: boolean): Disk {
  return isSynced ? new RealDisk() : new UnsyncedDisk();
}

/** One shard, and compactors on the cores that it leaves free: the other engines flush and compact on threads, too. */
export function benchSettings({ directory, tableIo, memoryBytes }: StoreOptions): NodeSettings {
  const cores = availableParallelism();
  const memory = memoryBytes === null ? {} : { memoryBytes: String(memoryBytes) };
  const flags = { data: directory, shards: "1", compactors: String(cores - 1), tableIo, ...memory };
  return resolveSettings({ flags, environment: {}, file: null, cores });
}

export function benchOptions(settings: NodeSettings): ShardOptions {
  return shardOptions(settings, 0, CLUSTER_ID, false);
}
