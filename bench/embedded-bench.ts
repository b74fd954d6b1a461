/**
 * The database inside the process, durable, on one thread: what a call costs through the typed interface and with bytes.
 *
 *   bun bench/embedded-bench.ts [seconds] [directory]
 *
 * One caller awaits each call; many have so many under way at a time. `cpu` is processor time of the whole process, user and
 * system, so what is waited for at the disk is not in it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytes, open } from "../src/embedded.ts";

const KEYS = 10_000;
const VALUE = new Uint8Array(100).fill(118);
const DOCUMENT = { name: "Ann", visits: 3, tags: ["a", "b"], city: "Berlin", note: "v".repeat(40) };

const seconds = Number(process.argv[2] ?? 2);
const directory = mkdtempSync(join(process.argv[3] ?? tmpdir(), "edb-bench-embedded-"));
const db = await open({ path: directory });
await db.buckets.create("bench", { durability: "sync" });
const raw = db.bucket("bench", { codec: bytes });
const typed = db.bucket<typeof DOCUMENT>("bench");
const rawKeys = Array.from({ length: KEYS }, (_, i) => Buffer.from(`raw:${i}`) as Uint8Array);
const typedKeys = Array.from({ length: KEYS }, (_, i) => `doc:${i}`);

/** `run` makes the call of a number; so many are under way at a time. */
async function measure(name: string, parallel: number, run: (i: number) => Promise<unknown>, each = 1): Promise<void> {
  const started = performance.now();
  const cpu = process.cpuUsage();
  const end = started + seconds * 1000;
  let next = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) await run(next++ % KEYS);
  };
  await Promise.all(Array.from({ length: parallel }, caller));
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const count = next * each;
  const rate = Math.round((count / elapsed) * 1000).toLocaleString("en");
  const wall = ((elapsed * 1000 * parallel) / next).toFixed(1);
  const processor = ((used.user + used.system) / count).toFixed(2);
  console.log(
    `${name.padEnd(34)} ${rate.padStart(10)}/s  ${wall.padStart(9)} µs a call  ${processor.padStart(7)} µs cpu`,
  );
}

const key = (keys: readonly Uint8Array[], i: number): Uint8Array => keys[i] ?? VALUE;
const name = (i: number): string => typedKeys[i] ?? "";

try {
  await raw.putMany(rawKeys.map((each) => [each, VALUE] as const));
  await typed.putMany(typedKeys.map((each) => [each, DOCUMENT] as const));
  await measure("put, bytes, one caller", 1, (i) => raw.put(key(rawKeys, i), VALUE));
  await measure("put, bytes, 64 at a time", 64, (i) => raw.put(key(rawKeys, i), VALUE));
  await measure("put, json, 64 at a time", 64, (i) => typed.put(name(i), DOCUMENT));
  await measure(
    "batch of 100 puts, atomic, bytes",
    1,
    (i) => {
      const batch = raw.batch();
      for (let k = 0; k < 100; k++) batch.put(key(rawKeys, (i * 100 + k) % KEYS), VALUE);
      return batch.commit({ atomic: true });
    },
    100,
  );
  await measure("get, bytes, one caller", 1, (i) => raw.get(key(rawKeys, i)));
  await measure("get, bytes, 64 at a time", 64, (i) => raw.get(key(rawKeys, i)));
  await measure("get, json, one caller", 1, (i) => typed.get(name(i)));
  await measure("get, json, 64 at a time", 64, (i) => typed.get(name(i)));
  await measure(
    "getMany of 100, bytes",
    1,
    (i) => raw.getMany(rawKeys.slice((i * 100) % KEYS, ((i * 100) % KEYS) + 100)),
    100,
  );
  const scan = async (): Promise<void> => {
    for await (const _ of raw.scan({ prefix: "raw:", limit: 1_000 }));
  };
  await measure("scan of 1000 entries, bytes", 1, scan, 1_000);
} finally {
  await db.close();
  rmSync(directory, { recursive: true, force: true });
}
