/** What a replica has applied, in words that can be compared with another's. */
import { EMPTY_BYTES, text } from "../core/bytes.ts";
import { SESSION_BUCKET, SYSTEM_BUCKET } from "../core/ids.ts";
import type { Stamp } from "../core/stamp.ts";
import { FENCE_PREFIX } from "../shard/apply-catalog.ts";
import type { ShardReader } from "../shard/shard-reader.ts";
import type { ReadPoint } from "../shard/snapshots.ts";

/** `bucket/key` → value. */
export type ReplicaState = ReadonlyMap<string, string>;

/** Behind all keys that there are. */
const KEYS_END = Uint8Array.of(0xff);

/** As of a stamp: buckets that are fenced are left out, what it remembers of client sessions is in it. Throws HISTORY_GONE. */
export function replicaState(reader: ShardReader, stamp: Stamp, buckets: ReadonlySet<number>): ReplicaState {
  const at = reader.asOf(stamp);
  const state = new Map<string, string>();
  for (const [key, value] of entriesOf(reader, SYSTEM_BUCKET, at)) state.set(`system/${text(key)}`, hex(value));
  for (const [key, value] of entriesOf(reader, SESSION_BUCKET, at)) state.set(`session/${hex(key)}`, hex(value));
  for (const bucket of [...buckets].sort((a, b) => a - b)) {
    const isInternal = bucket === SYSTEM_BUCKET || bucket === SESSION_BUCKET;
    if (isInternal || state.has(`system/${FENCE_PREFIX}${bucket}`)) continue;
    for (const [key, value] of entriesOf(reader, bucket, at)) state.set(`${bucket}/${text(key)}`, text(value));
  }
  return state;
}

function entriesOf(reader: ShardReader, bucket: number, at: ReadPoint): [Uint8Array, Uint8Array][] {
  const entries: [Uint8Array, Uint8Array][] = [];
  using walk = reader.iterate({ bucket, prefix: EMPTY_BYTES, low: EMPTY_BYTES, high: KEYS_END }, at);
  for (walk.first(); walk.valid; walk.next()) entries.push([walk.key.slice(), walk.value.slice()]);
  return entries;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
