/**
 * A group of processes whose memory, page cache included, is limited by the kernel: cgroup v2 (memory.max), or v1 where
 * that is what the machine has. Null where neither can be set, and the caller says so.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";

const PLACES = [
  { parent: "/sys/fs/cgroup", limit: "memory.max" },
  { parent: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes" },
];

export interface MemoryGroup extends Disposable {
  /** A process that writes its id there is in the group, and so are its children. */
  readonly processFile: string;
}

export function limitedMemory(byteCount: number): MemoryGroup | null {
  for (const { parent, limit } of PLACES) {
    const directory = `${parent}/envelopedb-bench-${process.pid}`;
    try {
      mkdirSync(directory);
      if (existsSync(`${directory}/${limit}`)) {
        writeFileSync(`${directory}/${limit}`, String(byteCount));
        return { processFile: `${directory}/cgroup.procs`, [Symbol.dispose]: () => rmdirSync(directory) };
      }
      rmdirSync(directory);
    } catch (cause) {
      // Not root, or mounted read-only.
      if (!(cause instanceof Error)) throw cause;
    }
  }
  return null;
}
