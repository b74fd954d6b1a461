/**
 * SCAN: whoever scans to the end has seen every key that was there throughout, and gets to the end, wherever each step is
 * sent, whatever has become of the node that made the cursor, and however many others scan.
 */
import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { LeastHashes } from "../../src/server/hash-page.ts";
import { ScanCursors } from "../../src/server/scan-cursors.ts";
import { FakeCoordinator } from "./fake-coordinator.ts";
import { command, RawClient, type StartedPort, startPort } from "./started-port.ts";

const SEEDS = 12;
const STEPS_MAX = 2_000;
const SLOTS = 4_096;

test("pages by hash hold every key exactly once, whatever their size", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const keys = Array.from({ length: random.between(1, 3_000) }, (_, i) => utf8(`key:${i}:${random.u32()}`));
    const seen: string[] = [];
    let from: number | null = 0;
    for (let page = 0; from !== null; page++) {
      expect(page).toBeLessThanOrEqual(keys.length);
      const hashes: LeastHashes = new LeastHashes(from, 1024 * 1024, random.between(1, 20_000));
      for (const key of keys) hashes.add(key);
      seen.push(...hashes.keys().map((key) => Buffer.from(key).toString()));
      if (hashes.next !== null) expect(hashes.next).toBeGreaterThan(from);
      from = hashes.next;
    }
    expect({ seed, seen: seen.toSorted() }).toEqual({
      seed,
      seen: keys.map((key) => Buffer.from(key).toString()).toSorted(),
    });
  }
});

test("a page by hash is bounded, and grows with what it was taken from", () => {
  const hashes = new LeastHashes(0, 1024 * 1024, 4_096);
  for (let i = 0; i < 50_000; i++) hashes.add(utf8(`key:${i}`));
  const byteCount = hashes.keys().reduce((sum, key) => sum + key.length + 16, 0);
  expect(byteCount).toBeLessThan((50_000 * 26) / 16);
  expect(byteCount).toBeGreaterThan((50_000 * 26) / 130);
});

test("cursors are integers that a double holds, and lead back to where they came from", () => {
  const cursors = new ScanCursors();
  const positions = [
    { order: "keys", shard: 0, after: utf8("a") },
    { order: "keys", shard: 1023, after: utf8("") },
    { order: "keys", shard: 7, after: null },
    { order: "hashes", shard: 1023, from: 0xffff_ffff },
    { order: "hashes", shard: 0, from: 1 },
  ] as const;
  for (const position of positions) {
    const cursor = cursors.remember("bucket", position);
    expect(Number.isSafeInteger(cursor)).toBe(true);
    expect(cursors.position("bucket", cursor)).toEqual(position);
  }
});

test("a cursor of another bucket, node or time is not taken for one's own", () => {
  const cursors = new ScanCursors();
  const cursor = cursors.remember("bucket", { order: "keys", shard: 3, after: utf8("user:1") });
  const lost = { order: "hashes", shard: 3, from: 0 };
  expect(cursors.position("other", cursor)).toEqual({ ...lost, order: "hashes" });
  expect(new ScanCursors().position("bucket", cursor)).toEqual({ ...lost, order: "hashes" });
  for (let i = 0; i < SLOTS; i++) cursors.remember("bucket", { order: "keys", shard: 3, after: utf8(`user:${i + 2}`) });
  expect(cursors.position("bucket", cursor)).toEqual({ ...lost, order: "hashes" });
});

test("a scan through nodes that change, restart and forget misses no key that stays, and ends", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const coordinator = new FakeCoordinator();
    const nodes: StartedPort[] = [startPort({}, { coordinator }), startPort({}, { coordinator })];
    const staying = Array.from({ length: 120 }, (_, i) => `user:profile:${String(i).padStart(6, "0")}`);
    await tell(
      nodes,
      0,
      staying.map((key) => command("SET", key, "1")),
    );
    const seen = new Set<string>();
    let cursor = "0";
    for (let step = 0; step === 0 || cursor !== "0"; step++) {
      expect(step).toBeLessThan(STEPS_MAX);
      const node = random.below(nodes.length);
      if (random.chance(0.1)) restart(nodes, node, coordinator);
      if (random.chance(0.1)) for (let i = 0; i < SLOTS; i++) forget(nodes, node, random);
      await tell(nodes, node, [passing(random)]);
      const [next, keys] = await scanStep(nodes, node, cursor, random.between(1, 12));
      for (const key of keys) seen.add(key);
      cursor = next;
    }
    for (const node of nodes) node.stop();
    expect({ seed, missed: staying.filter((key) => !seen.has(key)) }).toEqual({ seed, missed: [] });
  }
});

/** Keys that come and go beside those that stay. */
function passing(random: Random): Buffer {
  const key = `user:profile:${String(random.below(120)).padStart(6, "0")}x`;
  return random.chance(0.5) ? command("SET", key, "1") : command("DEL", key);
}

function restart(nodes: StartedPort[], node: number, coordinator: FakeCoordinator): void {
  nodes[node]?.stop();
  nodes[node] = startPort({}, { coordinator });
}

/** Another scan takes a slot. */
function forget(nodes: readonly StartedPort[], node: number, random: Random): void {
  const after = utf8(`other:${random.u32()}`);
  nodes[node]?.clientPort.cursors.remember("other", { order: "keys", shard: 0, after });
}

async function tell(nodes: readonly StartedPort[], node: number, commands: readonly Buffer[]): Promise<string> {
  const client = await RawClient.open(nodes[node]?.port ?? 0);
  const marked = command("ECHO", "the-end");
  const text = await client.send(Buffer.concat([...commands, marked])).until("$7\r\nthe-end\r\n");
  client.close();
  return text;
}

async function scanStep(
  nodes: readonly StartedPort[],
  node: number,
  cursor: string,
  count: number,
): Promise<[string, string[]]> {
  const text = await tell(nodes, node, [command("SCAN", cursor, "COUNT", String(count))]);
  const lines = text.split("\r\n");
  const keys = lines.slice(4, -3).filter((_, i) => i % 2 === 1);
  return [lines[2] ?? "", keys];
}
