/**
 * `kill -9` at any moment loses nothing that was acknowledged. Writers keep writing through whichever node they reach
 * and note what was acknowledged; nodes are killed and restarted under them; in the end every node must return, for
 * every key, the last acknowledged value or one that was sent after it and whose outcome was left unknown.
 */
import { afterEach, expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { replyText } from "../../src/client/reply.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { TestCluster } from "./test-cluster.ts";

let cluster: TestCluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

/** One register, written by one writer with rising numbers. */
interface Register {
  readonly key: string;
  acknowledged: number;
  sent: number;
}

class Writer {
  readonly registers: readonly Register[];
  readonly #cluster: TestCluster;
  readonly #random: Random;
  #client: RespClient | null = null;
  #running = true;
  acknowledgedCount = 0;

  constructor(cluster: TestCluster, seed: number, keyCount: number) {
    this.#cluster = cluster;
    this.#random = new Random(seed);
    this.registers = Array.from({ length: keyCount }, (_, i) => ({ key: `w${seed}:${i}`, acknowledged: 0, sent: 0 }));
  }

  async run(): Promise<void> {
    while (this.#running) {
      const register = this.registers[this.#random.below(this.registers.length)]!;
      register.sent += 1;
      if (await this.#set(register.key, register.sent)) {
        register.acknowledged = register.sent;
        this.acknowledgedCount += 1;
      }
    }
    this.#client?.close();
  }

  stop(): void {
    this.#running = false;
  }

  async #set(key: string, value: number): Promise<boolean> {
    try {
      this.#client ??= await this.#cluster.client([this.#random.below(3)]);
      const reply = await this.#client.command("SET", key, String(value));
      return reply.kind === "status" && reply.text === "OK";
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#client = null;
      await Bun.sleep(20);
      return false;
    }
  }
}

async function checkEveryNode(running: TestCluster, writers: readonly Writer[]): Promise<void> {
  for (const node of [0, 1, 2]) {
    const client = await running.client([node]);
    for (const { registers } of writers) {
      for (const { key, acknowledged, sent } of registers) {
        const reply = await client.command("GET", key);
        const value = Number(replyText(reply) ?? "0");
        const whole = reply.kind !== "error" && value >= acknowledged && value <= sent;
        expect({ node, key, acknowledged, sent, value, whole }).toMatchObject({ whole: true });
      }
    }
    client.close();
  }
}

test("each node in turn, leaders first, and all three at once are killed under load", async () => {
  const running = await TestCluster.start({ nodes: 3, shards: 1, workers: 1 });
  cluster = running;
  const writers = [1, 2, 3, 4].map((seed) => new Writer(running, seed, 20));
  const done = writers.map((writer) => writer.run());
  const victims = [await running.leader(), 0, 1, 2];
  for (const victim of victims) {
    await Bun.sleep(400);
    await running.kill(victim);
    await Bun.sleep(400);
    await running.restart(victim);
    await running.leader();
  }
  await Bun.sleep(300);
  await Promise.all([0, 1, 2].map((node) => running.kill(node)));
  for (const writer of writers) writer.stop();
  await Promise.all([0, 1, 2].map((node) => running.restart(node)));
  await running.leader();
  await Promise.all(done);
  const total = writers.reduce((sum, writer) => sum + writer.acknowledgedCount, 0);
  expect(total).toBeGreaterThan(100);
  await checkEveryNode(running, writers);
}, 180_000);

test("one node by itself keeps what it acknowledged, on its main thread as in a worker", async () => {
  for (const workers of [0, 1]) {
    const running = await TestCluster.start({ nodes: 1, shards: 1, workers });
    cluster = running;
    const client = await running.client([0]);
    const replies = Array.from({ length: 500 }, (_, i) => client.command("SET", `k${i}`, `v${i}`));
    const acknowledged = new Set<number>();
    replies.forEach((reply, i) => {
      reply.then(
        () => acknowledged.add(i),
        () => undefined,
      );
    });
    await replies[200];
    await running.kill(0);
    await Promise.allSettled(replies);
    await running.restart(0);
    const reader = await running.client([0]);
    expect(acknowledged.size).toBeGreaterThan(200);
    for (const i of acknowledged) expect(replyText(await reader.command("GET", `k${i}`))).toBe(`v${i}`);
    reader.close();
    await running.stop();
  }
}, 120_000);

test("SIGTERM and SIGINT end a node cleanly and quickly, and its data is there again", async () => {
  const running = await TestCluster.start({ nodes: 1, shards: 2, workers: 1 });
  cluster = running;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const client = await running.client([0]);
    expect(replyText(await client.command("SET", signal, "kept"))).toBe("OK");
    const { code } = await running.end(0, signal);
    expect(code).toBe(0);
    await running.restart(0);
    const again = await running.client([0]);
    expect(replyText(await again.command("GET", signal))).toBe("kept");
    again.close();
  }
}, 60_000);
