/**
 * The life of a shard worker: take what main has sent, let every shard work it off, send the replies, use the rest of
 * the time for one step of background work after the other, sleep when there is nothing left. It blocks the thread, so
 * nothing else can run on it. It returns when all shards have stopped or failed.
 */
import { WorkerRingPort } from "../bridge/ring-port.ts";
import { encodeReply } from "../bridge/shard-reply-codec.ts";
import { decodeRequest, decodeShard } from "../bridge/shard-request-codec.ts";
import type { WorkerData } from "../bridge/worker-data.ts";
import { assert } from "../core/assert.ts";
import { ByteReader } from "../core/byte-reader.ts";
import type { ShardId } from "../core/ids.ts";
import type { YoungGarbage } from "../core/young-garbage.ts";
import { type OpenShard, openShard } from "./open-shard.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import type { ShardOptions } from "./shard-options.ts";

export function runWorker(env: ShardEnvironment, data: WorkerData<ShardOptions>, garbage: YoungGarbage): void {
  const port = new WorkerRingPort(data.rings, data.queueBytesMax);
  const shards = new Map<ShardId, OpenShard>();
  for (const { shard, options, memory } of data.shards) {
    const opened = openShard(env, options, memory, (reply) => {
      port.open();
      const start = port.writer.length;
      encodeReply(shard, reply, port.writer);
      garbage.note(port.writer.length - start);
      port.close();
    });
    shards.set(shard, opened);
    port.flush();
  }
  const all = [...shards.values()];
  const reader = new ByteReader("PROTOCOL", "the main thread");
  while (all.some((shard) => !shard.stopped)) {
    port.drain((bytes, start, end) => {
      reader.over(bytes, start, end);
      garbage.note(end - start);
      const shard = shards.get(decodeShard(reader));
      assert(shard !== undefined, "main speaks to the shards of this worker only");
      shard.handle(decodeRequest(reader));
    });
    for (const shard of all) shard.takeAndWrite();
    port.flush();
    for (const shard of all) shard.settle();
    port.flush();
    garbage.collectIfDue();
    if (!stepAll(all)) sleep(port, all);
  }
  sendRest(port);
}

/** One background step of each shard; true when any has more to do. */
function stepAll(shards: readonly OpenShard[]): boolean {
  let isMore = false;
  for (const shard of shards) if (shard.backgroundStep()) isMore = true;
  return isMore;
}

function sleep(port: WorkerRingPort, shards: readonly OpenShard[]): void {
  port.flush();
  let idleMs = Number.POSITIVE_INFINITY;
  for (const shard of shards) if (!shard.stopped) idleMs = Math.min(idleMs, shard.idleMs);
  if (shards.some((shard) => !shard.stopped)) port.wait(idleMs);
}

/** The last replies leave before the thread does. */
function sendRest(port: WorkerRingPort): void {
  port.flush();
  while (port.congested) {
    port.waitForRoom();
    port.flush();
  }
}
