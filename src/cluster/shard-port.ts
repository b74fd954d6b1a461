/**
 * What main holds of one shard: the link to it, and the memory it shares with it. How a port is made (a worker behind
 * rings, or the shard itself on this thread) is the composition's business.
 */
import type { MemtableSet } from "../bridge/memtable-set.ts";
import type { ShardLink, ShardReply } from "../bridge/shard-protocol.ts";
import type { SharedState } from "../bridge/shared-state.ts";

export interface ShardPort {
  readonly link: ShardLink;
  readonly state: SharedState;
  readonly memtables: MemtableSet;
  /** One bounded step of the shard's own work, where it has no thread for it; true: there is more. */
  background(): boolean;
  /** It has said something, or its time has come: where it has no thread for it, it is looked at again. */
  stir(): void;
  /** Milliseconds after which that shard has something to do even if no request comes. */
  dueInMs(): number;
}

/** Opens the shards of a node. Replies may come during the call. */
export type OpenShard = (shard: number, onReply: (reply: ShardReply) => void) => ShardPort;
