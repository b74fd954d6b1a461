/**
 * Bytes of a stopped member's tables are changed. When it is started again it finds that out, and gets what it has lost from
 * the others: nothing is quarantined any more, and it leads as well as anybody.
 */
import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RespClient } from "../../src/client/resp-client.ts";
import { replyText } from "../../src/client/reply.ts";
import { TestCluster } from "./test-cluster.ts";

const FLAGS = [
  ...["--value-bytes-max", "16KiB", "--memtable-bytes", "256KiB", "--table-bytes", "64KiB"],
  ...["--segment-bytes", "256KiB"],
];
const VALUE = "v".repeat(1024);
const KEY_COUNT = 1200;
const NAME = /^\d+\.sst$/;

let cluster: TestCluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

async function inBatches(count: number, run: (key: number) => Promise<void>): Promise<void> {
  for (let i = 0; i < count; i += 50) {
    await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, j) => run(i + j)));
  }
}

async function expectAll(client: RespClient): Promise<void> {
  await inBatches(KEY_COUNT, async (key) => {
    const reply = replyText(await client.command("GET", `key${key}`));
    expect(reply).toBe(key % 10 === 0 ? null : `${key}/${VALUE}`);
  });
  expect(replyText(await client.command("GET", "counter"))).toBe(String(KEY_COUNT));
}

/** Flips a byte in the midst of some tables of a node that is not running; returns how many. */
function damage(directory: string): number {
  const names = readdirSync(directory).filter((name) => NAME.test(name));
  const chosen = names.filter((_, i) => i % 3 === 0);
  for (const name of chosen) {
    const bytes = readFileSync(join(directory, name));
    const middle = bytes.length >>> 1;
    bytes[middle] = bytes[middle]! ^ 0x40;
    writeFileSync(join(directory, name), bytes);
  }
  return chosen.length;
}

for (const workers of [0, 1]) {
  test(`a member with damaged tables repairs itself from the others, and leads afterwards, workers: ${workers}`, async () => {
    const running = await TestCluster.start({ nodes: 3, shards: 1, workers, flags: FLAGS });
    cluster = running;
    const leader = await running.leader();
    const [broken, other] = running.nodes.filter((node) => node !== leader) as [number, number];
    const client = await running.client([leader]);
    await inBatches(KEY_COUNT, async (key) => {
      await client.command("SET", `key${key}`, `${key}/${VALUE}`);
      await client.command("INCR", "counter");
    });
    await running.caughtUp(leader);
    const local = await running.client([broken]);
    await local.command("FLUSH");
    await local.command("MERGE");
    local.close();
    await running.end(broken, "SIGTERM");
    const directory = join(running.dataOf(broken), "shard-0000");
    expect(damage(directory)).toBeGreaterThan(0);
    await inBatches(KEY_COUNT / 10, async (key) => {
      await client.command("DEL", `key${key * 10}`);
    });
    client.close();
    await running.restart(broken);
    await running.caughtUp(await running.leader(0, [leader, other]));
    // The scrubber reads everything after a start; whatever it finds is repaired, and then it is found no more.
    for (let quiet = 0; quiet < 10; await Bun.sleep(100)) {
      const isWhole = (await running.status(broken))?.shards[0]?.quarantined === 0;
      const isSound = readdirSync(directory).every((name) => !name.endsWith(".quarantine"));
      quiet = isWhole && isSound ? quiet + 1 : 0;
    }
    await running.end(leader, "SIGTERM");
    await running.leader(0, [broken, other]);
    const { code, errors } = await running.end(other, "SIGTERM");
    expect({ code, errors }).toMatchObject({ code: 0 });
    await running.restart(leader);
    // Two of three, and the one that has handed nothing over may lead, or this one; either way both have to be whole.
    await running.leader(0, [broken, leader]);
    const both = await running.client([broken, leader]);
    await expectAll(both);
    both.close();
    const ended = await running.end(broken, "SIGTERM");
    expect(ended.code).toBe(0);
    expect(ended.errors).toContain("damage found; the file is quarantined");
    const verified = Bun.spawnSync([
      process.execPath,
      join(import.meta.dir, "../../src/main.ts"),
      "verify",
      running.dataOf(broken),
    ]);
    expect(verified.stdout.toString()).toContain("sound");
  }, 120_000);
}
