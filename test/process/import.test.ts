/**
 * The job the program is made for: a file of JSON lines is imported into a running cluster while nodes are killed or
 * stopped under it. The import carries on by itself, and in the end every node gives back every record as it was in the file.
 */
import { afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replyText } from "../../src/client/reply.ts";
import { Random } from "../../src/core/random.ts";
import { ELECTION_MS, MAIN, TestCluster } from "./test-cluster.ts";

const TEST_MS_MAX = 120_000;
const CITIES = join(import.meta.dir, "../../../shared/data/cities.jsonl.gz");
const RECORDS = 20_000;
const READ_TOGETHER = 500;

let lines: readonly string[] = [];
let cluster: TestCluster | null = null;

beforeAll(() => {
  lines = existsSync(CITIES) ? firstCities() : generated();
});

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
}, TEST_MS_MAX);

test(
  "the leader is killed halfway: the import carries on by itself and every node has every record",
  async () => {
    const running = await TestCluster.start({ nodes: 3, shards: 2, workers: 1 });
    cluster = running;
    const victim = await running.leader();
    const importing = startImport(running, victim);
    await reached(running, lines.length >> 1, [(victim + 1) % 3]);
    await running.kill(victim);
    const said = await importing;
    expect(said).toContain(`${lines.length} lines read, ${lines.length} acknowledged, 0 blank, 0 failed`);
    expect(said).toContain("retries");
    await running.restart(victim);
    await checkEveryNode(running);
  },
  TEST_MS_MAX,
);

test(
  "all three are killed at once and started again: the import carries on by itself and every node has every record",
  async () => {
    const running = await TestCluster.start({ nodes: 3, shards: 2, workers: 1 });
    cluster = running;
    const importing = startImport(running, 0);
    await reached(running, lines.length >> 2, [1]);
    await Promise.all([0, 1, 2].map((node) => running.kill(node)));
    await Promise.all([0, 1, 2].map((node) => running.restart(node)));
    await reached(running, lines.length >> 1, [1]);
    await Promise.all([0, 1, 2].map((node) => running.kill(node)));
    await Promise.all([0, 1, 2].map((node) => running.restart(node)));
    const said = await importing;
    expect(said).toContain(`${lines.length} lines read, ${lines.length} acknowledged, 0 blank, 0 failed`);
    expect(said).toContain("retries");
    await checkEveryNode(running);
  },
  TEST_MS_MAX,
);

test(
  "the leader is stopped for two election timeouts under load and continued: nothing acknowledged is lost, nothing old is read",
  async () => {
    const running = await TestCluster.start({ nodes: 3, shards: 1, workers: 1 });
    cluster = running;
    const leader = await running.leader();
    const others = [0, 1, 2].filter((node) => node !== leader);
    const stale = await running.client([leader]);
    const fresh = await running.client(others);
    expect(replyText(await fresh.command("SET", "register", "before"))).toBe("OK");
    expect(replyText(await stale.command("GET", "register"))).toBe("before");
    const importing = startImport(running, leader);
    await reached(running, lines.length >> 2, others);
    running.signal(leader, "SIGSTOP");
    const until = performance.now() + 2 * ELECTION_MS;
    for (let i = 0; performance.now() < until; i++) await written(running, others, String(i));
    await written(running, others, "after");
    // Asked while it cannot answer: what it says when it wakes must not be what it remembers.
    const questions = Array.from({ length: 10 }, () => stale.command("GET", "register"));
    running.signal(leader, "SIGCONT");
    for (const reply of await Promise.all(questions)) {
      expect(["after", "TRYAGAIN"]).toContain(reply.kind === "error" ? reply.code : String(replyText(reply)));
    }
    const reader = await running.client([leader]);
    for (let i = 0; i < 100; i++) expect(replyText(await reader.command("GET", "register"))).toBe("after");
    for (const client of [stale, fresh, reader]) client.close();
    expect(await importing).toContain(`${lines.length} acknowledged, 0 blank, 0 failed`);
    await checkEveryNode(running);
  },
  TEST_MS_MAX,
);

/** Resolves with what the import printed; it talks to `first` before the others. */
async function startImport(running: TestCluster, first: number): Promise<string> {
  const file = join(running.directory, "records.jsonl");
  writeFileSync(file, `${lines.join("\n")}\n`);
  const ports = [0, 1, 2].map((i) => running.clientPorts[(first + i) % 3]);
  const targets = ports.map((port) => `127.0.0.1:${port}`).join(",");
  const command = [process.execPath, MAIN, "import", file, "--key", "id", "--target", targets, "--pipeline", "32"];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ code, errors, output }).toMatchObject({ code: 0 });
  return output;
}

/** Waits until the record at `position` can be read through one of `nodes`. */
async function reached(running: TestCluster, position: number, nodes: readonly number[]): Promise<void> {
  const client = await running.client(nodes);
  const key = keyOf(lines[position] ?? "");
  while (replyText(await client.command("GET", key)) === null) await Bun.sleep(2);
  client.close();
}

/** Writes the register until the write is acknowledged. */
async function written(running: TestCluster, nodes: readonly number[], value: string): Promise<void> {
  const client = await running.client(nodes);
  while ((await client.command("SET", "register", value)).kind === "error") await Bun.sleep(20);
  client.close();
}

async function checkEveryNode(running: TestCluster): Promise<void> {
  await Promise.all([0, 1].map((shard) => (running.shardCount > shard ? running.leader(shard) : null)));
  for (const node of [0, 1, 2]) {
    const client = await running.client([node]);
    for (let from = 0; from < lines.length; from += READ_TOGETHER) {
      const part = lines.slice(from, from + READ_TOGETHER);
      const reply = await client.command("MGET", ...part.map(keyOf));
      expect({ node, kind: reply.kind }).toEqual({ node, kind: "array" });
      const values = reply.kind === "array" ? reply.items.map(replyText) : [];
      expect({ node, from, same: values.every((value, i) => value === part[i]) }).toMatchObject({ same: true });
    }
    client.close();
  }
}

function keyOf(line: string): string {
  return String((JSON.parse(line) as { id: unknown }).id);
}

function firstCities(): string[] {
  return new TextDecoder()
    .decode(Bun.gunzipSync(readFileSync(CITIES)))
    .split("\n", RECORDS)
    .filter((line) => line !== "");
}

function generated(): string[] {
  const random = new Random(1);
  return Array.from({ length: RECORDS }, (_, i) => {
    const filler = String.fromCharCode(0x61 + random.below(26)).repeat(20 + random.below(200));
    return JSON.stringify({ id: i + 1, name: `Ört ${i}`, latitude: random.below(18_000) / 100 - 90, filler });
  });
}
