/** Streams of the simulated network: ordered and whole while they live, and honest about partitions and crashes. */
import { expect, test } from "bun:test";
import type { Connection, ConnectionHandler } from "../../src/env/network.ts";
import { Scheduler, SimProcess } from "../../src/sim/scheduler.ts";
import { Wire, type WireOptions } from "../../src/sim/sim-network.ts";

const CALM: WireOptions = {
  delayMs: { min: 1, max: 20 },
  slowChance: 0,
  slowMs: { min: 0, max: 0 },
  cutChance: 0,
  frames: null,
  windowBytes: 1 << 20,
};

class Ear implements ConnectionHandler {
  bytes: number[] = [];
  closes = 0;
  drains = 0;
  connection: Connection | null = null;

  onData(bytes: Uint8Array): void {
    expect(this.closes).toBe(0);
    this.bytes.push(...bytes);
  }

  onDrain(): void {
    this.drains += 1;
  }

  onClose(): void {
    this.closes += 1;
  }
}

function twoHosts(seed: number, options: WireOptions) {
  const scheduler = new Scheduler(seed);
  const wire = new Wire(scheduler, options);
  const serverProcess = new SimProcess("b");
  const a = wire.attach("a", new SimProcess("a"));
  const b = wire.attach("b", serverProcess);
  const near = new Ear();
  const far = new Ear();
  b.listen("b:1", (connection) => {
    far.connection = connection;
    return far;
  });
  const failures: string[] = [];
  const dial = (): void =>
    a.dial(
      "b:1",
      (connection) => {
        near.connection = connection;
        return near;
      },
      (reason) => failures.push(reason),
    );
  const run = (ms: number): void => scheduler.runUntil(scheduler.nowMs + ms, () => false);
  return { wire, near, far, failures, dial, run, serverProcess };
}

function send(ear: Ear, ...bytes: number[]): number {
  return ear.connection?.write(new Uint8Array(bytes), 0, bytes.length) ?? -2;
}

test("bytes arrive in order and once, in both directions, and shutdown delivers what was said before", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { near, far, dial, run } = twoHosts(seed, CALM);
    dial();
    run(100);
    for (let i = 0; i < 50; i++) {
      send(near, i);
      send(far, 100 + i);
    }
    near.connection?.shutdown();
    run(500);
    expect(far.bytes).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([near.closes, far.closes]).toEqual([1, 1]);
    expect(send(near, 1)).toBe(-1);
  }
});

test("a short partition only delays, a long one breaks the stream, and meanwhile nobody can dial", () => {
  const { wire, near, far, failures, dial, run } = twoHosts(3, CALM);
  dial();
  run(100);
  wire.block("a", "b");
  send(near, 1);
  run(200);
  expect(far.bytes).toEqual([]);
  wire.healAll();
  run(100);
  expect(far.bytes).toEqual([1]);
  wire.block("a", "b");
  send(near, 2);
  dial();
  run(10_000);
  expect(failures.length).toBe(1);
  expect([near.closes, far.closes]).toEqual([1, 1]);
});

test("a host that vanishes is noticed, and a full window drains", () => {
  const { wire, near, far, dial, run, serverProcess } = twoHosts(4, { ...CALM, windowBytes: 2 });
  dial();
  run(100);
  expect(send(near, 1, 2)).toBe(2);
  expect(send(near, 3)).toBe(0);
  run(100);
  expect(near.drains).toBe(1);
  expect(send(near, 3)).toBe(1);
  run(100);
  expect(far.bytes).toEqual([1, 2, 3]);
  serverProcess.end();
  wire.detach("b");
  run(10_000);
  expect([near.closes, far.closes]).toEqual([1, 0]);
});

test("in frames mode chunks get lost, doubled and reordered, but never mangled, and the introduction is spared", () => {
  const frames = { loss: 0.2, duplication: 0.2, reordering: 0.2, standsAlone: () => true };
  const { near, far, dial, run } = twoHosts(5, { ...CALM, frames });
  dial();
  run(100);
  for (let i = 0; i < 100; i++) send(near, i, i);
  run(1000);
  for (let i = 0; i < far.bytes.length; i += 2) expect(far.bytes[i]).toBe(far.bytes[i + 1]!);
  const arrived = far.bytes.filter((_, i) => i % 2 === 0);
  expect(arrived.slice(0, 1)).toEqual([0]);
  expect(new Set(arrived).size).toBeLessThan(100);
  expect(new Set(arrived).size).toBeLessThan(arrived.length);
  expect(arrived).not.toEqual([...arrived].sort((a, b) => a - b));
});

test("a seed replays the same run", () => {
  const options = { ...CALM, frames: { loss: 0.1, duplication: 0.1, reordering: 0.3, standsAlone: () => true } };
  const once = (seed: number): number[] => {
    const { near, far, dial, run } = twoHosts(seed, options);
    dial();
    run(100);
    for (let i = 0; i < 100; i++) send(near, i);
    run(1000);
    return far.bytes;
  };
  expect(once(8)).toEqual(once(8));
  expect(once(8)).not.toEqual(once(9));
});
