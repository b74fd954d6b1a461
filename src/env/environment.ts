/** Everything a node may touch outside its own memory. The real one and the simulator's have the same shape. */
import type { Clock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import type { Network } from "./network.ts";

/** One structured line for operators; fields hold plain values. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** The least severity from now on; only where it can change. */
  setLevel?(level: string): void;
}

export interface Environment {
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Logger;
  /** A seed for everything that needs chance: from the system in a real node, from the run's seed in a simulation. */
  readonly seed: number;
}
