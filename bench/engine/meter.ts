/** Time, processor time and written bytes of this process between two moments. */
import { readFileSync } from "node:fs";

export interface Reading {
  readonly seconds: number;
  readonly processorMicros: number;
  readonly writtenBytes: number;
}

/** Starts to measure; the function that it returns may be called more than once. */
export function startMeter(): () => Reading {
  const written = writtenBytes("/proc/self/io");
  const processor = process.cpuUsage();
  const startMs = performance.now();
  return () => {
    const seconds = (performance.now() - startMs) / 1000;
    const { user, system } = process.cpuUsage(processor);
    return {
      seconds,
      processorMicros: user + system,
      writtenBytes: writtenBytes("/proc/self/io") - written,
    };
  };
}

/** Bytes a process has handed to write(2) and its kin, by /proc/PID/io. */
export function writtenBytes(path: string): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(path, "latin1"))?.[1] ?? Number.NaN);
}
