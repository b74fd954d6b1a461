/** The other thread of the ring's stress test: checks every request and answers each, until an empty one comes. */
import { workerData } from "node:worker_threads";
import { WorkerRingPort } from "../../src/bridge/ring-port.ts";
import { Random } from "../../src/core/random.ts";
import { QUEUE_BYTES_MAX, randomBody, readNumbered, type RingStress, writeNumbered } from "./stress-protocol.ts";

const { pair, seed, replyBytesMax } = workerData as RingStress;
const random = new Random(seed);
const port = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
let requestCount = 0;
let replyCount = 0;
let stopped = false;

function answer(body: Uint8Array): void {
  port.open();
  writeNumbered(port.writer, replyCount++, body);
  port.close();
}

function receive(bytes: Uint8Array, start: number, end: number): void {
  if (start === end) {
    stopped = true;
    return;
  }
  const body = readNumbered(bytes, start, end, requestCount++);
  if (replyBytesMax === 0) return answer(body);
  for (let left = random.below(3); left > 0; left--) answer(randomBody(random, replyBytesMax));
}

while (!stopped || port.congested) {
  port.drain(receive);
  port.flush();
  if (!port.hasWork && !stopped) port.wait(Number.POSITIVE_INFINITY);
}
// The last message says how many there were, so that main knows when it has them all.
port.open();
port.writer.u32(replyCount);
port.close();
for (port.flush(); port.congested; port.flush()) port.wait(Number.POSITIVE_INFINITY);
