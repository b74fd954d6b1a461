/** The TypeScript client against real nodes: what a database promises, and what it promises when nodes fail. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Database } from "../../src/client.ts";
import { databaseContract } from "../client/contract.ts";
import { TestCluster } from "./test-cluster.ts";

let server: TestCluster;
let cluster: TestCluster;

beforeAll(async () => {
  server = await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
  cluster = await TestCluster.start({ nodes: 3, shards: 3, workers: 1 });
}, 120_000);

afterAll(async () => {
  await Promise.all([server.stop(), cluster.stop()]);
});

databaseContract("one server", () => connect({ nodes: server.targets.split(",") }));
databaseContract("a cluster of three", () => connect({ nodes: cluster.targets.split(",") }));
databaseContract("a cluster, through one node that was named, with compression and short sessions", () =>
  connect({ nodes: [cluster.targets.split(",")[1] ?? ""], compress: true, sessionTtlMs: 1_000 }),
);

/** Increments random counters from several lanes until told to stop; what each counter must be. */
class Counting {
  readonly #db: Database;
  readonly #counters: number;
  readonly expected: number[];
  readonly errors: unknown[] = [];
  #isOver = false;
  readonly #lanes: Promise<void>[];

  constructor(db: Database, counters: number, lanes: number) {
    this.#db = db;
    this.#counters = counters;
    this.expected = Array.from({ length: counters }, () => 0);
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#run(lane));
  }

  get done(): number {
    return this.expected.reduce((sum, count) => sum + count, 0);
  }

  async #run(lane: number): Promise<void> {
    const bucket = this.#db.bucket("counting");
    for (let i = lane; !this.#isOver; i++) {
      const counter = i % this.#counters;
      try {
        await bucket.increment(`c${counter}`);
        this.expected[counter] = (this.expected[counter] ?? 0) + 1;
      } catch (cause) {
        this.errors.push(cause);
      }
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#lanes);
  }
}

test("counters are exact through the death and the standstill of leaders under load", async () => {
  const db = await connect({ nodes: cluster.targets.split(","), timeoutMs: 60_000, silenceMs: 1_000 });
  await db.buckets.create("counting");
  const counting = new Counting(db, 20, 32);
  const progress = async (count: number): Promise<void> => {
    const wanted = counting.done + count;
    while (counting.done < wanted) await Bun.sleep(10);
  };
  await progress(500);
  for (let round = 0; round < 3; round++) {
    const leader = await cluster.leader();
    // A node that stands still is only noticed by its silence.
    if (round === 1) cluster.signal(leader, "SIGSTOP");
    else await cluster.kill(leader);
    await progress(500);
    if (round === 1) cluster.signal(leader, "SIGCONT");
    else await cluster.restart(leader);
    await progress(500);
  }
  await counting.stop();
  expect(counting.errors).toEqual([]);
  const counters = counting.expected.map((_, counter) => `c${counter}`);
  expect(await db.bucket<number>("counting").getMany(counters)).toEqual(counting.expected);
  await db.close();
}, 180_000);
