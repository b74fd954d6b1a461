/**
 * Opens a shard for whoever speaks to it by messages alone: what keeps it from opening becomes its `failed` reply, as
 * it would later on, and an inert shard takes its place. Shard thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { ShardMemory } from "../bridge/shard-memory.ts";
import type { ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import { Shard } from "./shard.ts";
import type { ShardOptions } from "./shard-options.ts";

/** A shard as the worker's loop and the direct link see it. */
export interface OpenShard {
  readonly stopped: boolean;
  /** Milliseconds for which nothing is due if no request comes. */
  readonly idleMs: number;
  handle(request: ShardRequest): void;
  takeAndWrite(): void;
  settle(): void;
  backgroundStep(): boolean;
}

export function openShard(
  env: ShardEnvironment,
  options: ShardOptions,
  memory: ShardMemory,
  reply: (reply: ShardReply) => void,
): OpenShard {
  try {
    return Shard.open(env, options, memory, reply);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    env.log.error("the shard cannot be opened", { shard: options.shard, code: cause.code, error: cause.message });
    reply({ type: "failed", code: cause.code, message: cause.message });
    return UNOPENED;
  }
}

const UNOPENED: OpenShard = {
  stopped: true,
  idleMs: Number.POSITIVE_INFINITY,
  handle: () => undefined,
  takeAndWrite: () => undefined,
  settle: () => undefined,
  backgroundStep: () => false,
};
