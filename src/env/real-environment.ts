/** What a real node stands on. The logger is made by whoever starts the node (`pino-log.ts`). */
import type { Environment, Logger } from "./environment.ts";
import { RealClock } from "./real-clock.ts";
import { RealDisk } from "./real-disk.ts";
import { RealNetwork } from "./real-network.ts";

export function realEnvironment(log: Logger): Environment {
  const clock = new RealClock();
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return { disk: new RealDisk(), network: new RealNetwork(clock), clock, log, seed };
}
