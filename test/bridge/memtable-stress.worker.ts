/**
 * The writer of the memtable's stress test: version i goes to key i modulo keyCount, is published as applied index i,
 * and a full arena gives way to the next. What stands for the flush is over at once; main hears the last stamp of the
 * retired arena beside its number.
 */
import { workerData } from "node:worker_threads";
import { ArenaPool } from "../../src/bridge/arena-pool.ts";
import { WorkerRingPort } from "../../src/bridge/ring-port.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { VersionKind } from "../../src/record/version.ts";
import { type MemtableStress, QUEUE_BYTES_MAX, stressKeys, stressValue } from "./stress-protocol.ts";

const { pair, memory, keyCount, versionCount } = workerData as MemtableStress;
const port = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
const state = new SharedState(memory.state);
const pool = new ArenaPool(state, memory.arenas);
const keys = stressKeys(keyCount);
const random = new Random(1);

function insert(stamp: number): boolean {
  const { key, hash } = keys[stamp % keyCount]!;
  const value = stressValue(stamp);
  return pool.active.insert(1, key, 0, key.length, hash, 0, stamp, 1, VersionKind.value, 0, value, 0, value.length);
}

function tell(arena: number, lastStamp: number): void {
  port.open();
  port.writer.u32(arena);
  port.writer.u32(lastStamp);
  port.close();
  port.flush();
}

function takeReturns(): void {
  port.drain((bytes, start) => pool.returned(new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0, true)));
}

for (let stamp = 1; stamp <= versionCount; stamp++) {
  while (!insert(stamp)) {
    takeReturns();
    const full = pool.activeArena;
    if (pool.rotate()) {
      state.noteTables();
      tell(full, stamp - 1);
    } else {
      port.wait(Number.POSITIVE_INFINITY);
    }
  }
  // Some indexes are published one by one and some in batches, as entries are.
  if (random.chance(0.3) || stamp === versionCount) state.publishApplied(logIndex(stamp));
  if (random.chance(0.1)) pool.active.observe(state.readerTurn);
}
tell(0, versionCount);
