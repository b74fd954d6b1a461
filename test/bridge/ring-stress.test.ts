/**
 * The rings under two real threads: nothing is lost, damaged or out of order in either direction, and no wake-up is
 * missed (a missed one hangs, and the test's timeout reports it).
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Worker } from "node:worker_threads";
import { createRingPair, MainRingPort } from "../../src/bridge/ring-port.ts";
import { Random } from "../../src/core/random.ts";
import { randomBody, readNumbered, type RingStress, writeNumbered } from "./stress-protocol.ts";

setDefaultTimeout(60_000);

const MAIN_QUEUE_BYTES_MAX = 16 << 20;

function startWorker(data: RingStress): Promise<void> {
  const worker = new Worker(new URL("./ring-stress.worker.ts", import.meta.url), { workerData: data });
  return new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", () => resolve());
  });
}

function send(port: MainRingPort, number: number, body: Uint8Array): void {
  port.open();
  writeNumbered(port.writer, number, body);
  port.close();
}

function sendStop(port: MainRingPort): void {
  port.open();
  port.close();
}

for (const ringBytes of [1024, 16 << 10]) {
  const seed = Math.floor(Math.random() * 2 ** 32);
  test(`both directions at once through ${ringBytes} bytes (seed ${seed})`, async () => {
    const requestTotal = 20_000;
    const random = new Random(seed);
    const pair = createRingPair(ringBytes);
    const port = new MainRingPort(pair, MAIN_QUEUE_BYTES_MAX);
    const exited = startWorker({ pair, seed: seed ^ 1, replyBytesMax: ringBytes * 5 });
    let sent = 0;
    let stopSent = false;
    let received = 0;
    let finalCount = -1;
    const finished = new Promise<void>((resolve, reject) => {
      const take = (bytes: Uint8Array, start: number, end: number): void => {
        if (end - start > 4) readNumbered(bytes, start, end, received++);
        else finalCount = new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0, true);
      };
      const turn = (): void => {
        try {
          port.drain(take);
          for (let left = random.below(200); left > 0 && sent < requestTotal && !port.congested; left--) {
            send(port, sent++, randomBody(random, ringBytes * 5));
          }
          if (sent === requestTotal && !stopSent) {
            sendStop(port);
            stopSent = true;
          }
          port.flush();
          if (finalCount >= 0) resolve();
          else if (!stopSent && !port.congested) setImmediate(turn);
        } catch (error) {
          reject(error);
        }
      };
      exited.catch(reject);
      port.listen(turn);
      turn();
    });
    await finished;
    await exited;
    port.stopListening();
    expect([sent, received]).toEqual([requestTotal, finalCount]);
    expect(received).toBeGreaterThan(requestTotal / 2);
  });
}

test("one message to and fro at a time wakes both sides each time", async () => {
  const rounds = 5_000;
  const pair = createRingPair(4096);
  const port = new MainRingPort(pair, MAIN_QUEUE_BYTES_MAX);
  const exited = startWorker({ pair, seed: 1, replyBytesMax: 0 });
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    exited.catch(reject);
    const ping = (): void => {
      send(port, received, Uint8Array.of(received & 0xff));
      port.flush();
    };
    port.listen(() => {
      port.drain((bytes, start, end) => {
        if (end - start === 4) return resolve();
        readNumbered(bytes, start, end, received++);
        if (received < rounds) ping();
        else {
          sendStop(port);
          port.flush();
        }
      });
    });
    ping();
  });
  await exited;
  port.stopListening();
  expect(received).toBe(rounds);
});
