/** What a shard may touch outside its own memory. */
import type { Clock } from "../env/clock.ts";
import type { Disk } from "../env/disk.ts";
import type { Logger } from "../env/environment.ts";
import type { BlockCache } from "../storage/block-cache.ts";
import type { Compactors } from "./compactors.ts";

export interface ShardEnvironment {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of all shards of this thread. */
  readonly blockCache: BlockCache;
  /** Without any, flushes and compactions run on the shard's own thread, in steps. */
  readonly compactors?: Compactors;
}
