/** A database inside the process: its directory, its life beside that of the process, its ports. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bytes,
  CancelledError,
  connect,
  DirectoryInUseError,
  type EmbeddedDatabase,
  ForeignDirectoryError,
  open,
  type OpenOptions,
  OverloadedError,
  ShuttingDownError,
  text,
} from "../../src/embedded.ts";
import { RespClient } from "../../src/client/resp-client.ts";
import { parseTargets } from "../../src/client/target.ts";
import { TestCluster } from "../process/test-cluster.ts";

const ENTRY = join(import.meta.dir, "../../src/embedded.ts");
const SMALL = { memtableBytes: 32 * 1024 * 1024, segmentBytes: 1024 * 1024 };

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-embedded-"));
  path = join(directory, "data");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function openSmall(options: Partial<OpenOptions> = {}): Promise<EmbeddedDatabase> {
  return open({ ...SMALL, path, ...options });
}

/** Starts a program in a process of its own, with `open`, `path` and `SMALL` at hand. */
function start(code: string) {
  const file = join(directory, "program.ts");
  const setting = `const path = ${JSON.stringify(path)}; const SMALL = ${JSON.stringify(SMALL)};`;
  writeFileSync(file, `import { open } from ${JSON.stringify(ENTRY)};\n${setting}\n${code}`);
  return Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "pipe" });
}

/** Runs a program to its end; what it prints. */
async function program(code: string): Promise<{ code: number; out: string; errors: string }> {
  const child = start(code);
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, errors };
}

for (const workers of [0, 1]) {
  const where = workers === 0 ? "on this thread" : "on a worker";

  test(`what was written is there when it is opened again, shards ${where}`, async () => {
    {
      await using db = await openSmall({ shards: 2, workers });
      await db.buckets.create("b");
      await db.bucket<number>("b").putMany([
        ["k", 1],
        ["l", 2],
      ]);
    }
    await expect(openSmall({ shards: 3 })).rejects.toThrow("was made with 2 shards");
    // Where nothing is said, it is the directory's.
    await using db = await openSmall({ workers });
    expect(await db.bucket("b").getMany(["k", "l"])).toEqual([1, 2]);
    expect((await db.status()).leaders).toHaveLength(2);
  });

  test(`the process ends with its program, although nobody closes, and nothing is lost, shards ${where}`, async () => {
    const end = await program(`
      const db = await open({ ...SMALL, path, workers: ${workers} });
      await db.buckets.create("b");
      const bucket = db.bucket("b");
      void bucket.put("pending", 2);
      await bucket.put("k", 1);
      console.log("done");`);
    expect(end).toMatchObject({ code: 0, out: "done\n", errors: "" });
    await using db = await openSmall();
    expect(await db.bucket("b").getMany(["k", "pending"])).toEqual([1, 2]);
  });

  test(`a process that is killed has lost nothing that was answered, shards ${where}`, async () => {
    const child = start(`
      const db = await open({ ...SMALL, path, workers: ${workers} });
      await db.buckets.create("b");
      const bucket = db.bucket("b");
      for (let i = 0; ; i++) {
        await Promise.all([bucket.put("a" + i, i), bucket.put("b" + i, i)]);
        process.stdout.write(i + "\\n");
      }`);
    let printed = "";
    for await (const piece of child.stdout) {
      printed += new TextDecoder().decode(piece);
      if (printed.includes("\n20\n")) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    const answered = Number(printed.slice(0, printed.lastIndexOf("\n")).split("\n").at(-1));
    await using db = await openSmall();
    const keys = Array.from({ length: answered + 1 }, (_, i) => [`a${i}`, `b${i}`]).flat();
    expect(await db.bucket("b").getMany(keys)).toEqual(keys.map((key) => Number(key.slice(1))));
  });
}

test("a directory is open once, in this process and in all", async () => {
  const db = await openSmall();
  await expect(openSmall()).rejects.toBeInstanceOf(DirectoryInUseError);
  const other = await program(`await open({ path }).catch((error) => console.log(error.name));`);
  expect(other).toMatchObject({ code: 0, out: "DirectoryInUseError\n" });
  await db.close();
  await (await openSmall()).close();
});

test.skipIf(!existsSync("/proc/self/fd"))("opening and closing leaves nothing open", async () => {
  const openFiles = (): number => readdirSync("/proc/self/fd").length;
  const once = async (): Promise<void> => {
    await using db = await openSmall();
    await db.bucket("0").put("k", 1);
  };
  await once();
  const before = openFiles();
  for (let i = 0; i < 5; i++) await once();
  expect(openFiles()).toBeLessThanOrEqual(before);
});

test("a server's directory opens here, under whatever name it has, and the other way round", async () => {
  const flags = ["--cluster", "other", "--memtable-bytes", "32MiB"];
  const server = await TestCluster.start({
    nodes: 1,
    shards: 2,
    workers: 1,
    flags,
    dataElsewhere: new Map([[0, path]]),
  });
  try {
    const client = await server.client([0]);
    await client.command("SET", "k", "from the server");
    client.close();
    await server.end(0, "SIGTERM");
    {
      await using db = await openSmall();
      const bucket = db.bucket("0", { codec: text });
      expect(await bucket.get("k")).toBe("from the server");
      await bucket.put("k", "from inside");
    }
    await server.restart(0);
    const again = await server.client([0]);
    expect(await again.command("GET", "k")).toMatchObject({ bytes: new TextEncoder().encode("from inside") });
    again.close();
  } finally {
    await server.stop();
  }
}, 60_000);

test("the directory of a cluster's node is refused", async () => {
  const cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 0, dataElsewhere: new Map([[0, path]]) });
  await cluster.stop();
  await expect(openSmall()).rejects.toBeInstanceOf(ForeignDirectoryError);
  await expect(openSmall()).rejects.toThrow("node of a cluster");
}, 60_000);

test("others reach it as long as it is served, by every protocol, and it goes on for its own program", async () => {
  const db = await openSmall();
  await db.buckets.create("b");
  const bucket = db.bucket("b", { codec: text });
  await bucket.put("k", "inside");
  const served = await db.serve({ client: "127.0.0.1:0", http: "127.0.0.1:0" });
  await expect(db.serve({ client: "127.0.0.1:0" })).rejects.toThrow("served already");

  const redis = await RespClient.connect({
    targets: parseTargets(served.client),
    connectTimeoutMs: 5_000,
    replyTimeoutMs: 5_000,
    protocol: 2,
    bucket: "b",
    onPush: () => undefined,
  });
  expect(await redis.command("GET", "k")).toMatchObject({ bytes: new TextEncoder().encode("inside") });
  await redis.command("SET", "k", "redis");
  expect(await bucket.get("k")).toBe("redis");
  expect(await redis.command("SHUTDOWN")).toMatchObject({ kind: "error" });
  expect(await redis.command("MEMBER", "ADD", "n2", "127.0.0.1:1")).toMatchObject({ kind: "error" });

  const client = await connect({ nodes: [served.client] });
  await client.bucket("b", { codec: text }).put("k", "client");
  expect(await bucket.get("k")).toBe("client");
  await client.close();
  const health = await fetch(`http://${served.http}/health`);
  expect(await health.json()).toMatchObject({ status: "ok" });

  await db.close();
  await expect(connect({ nodes: [served.client], connectTimeoutMs: 500 })).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  redis.close();
});

test("an address that is taken, or that others reach without users, is refused; the database goes on, and can be served elsewhere", async () => {
  await using db = await openSmall();
  const holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  await expect(db.serve({ client: `127.0.0.1:${holder.port}` })).rejects.toMatchObject({ code: "CONFIG" });
  await holder.stop();
  await expect(db.serve({ client: "0.0.0.0:0" })).rejects.toThrow("there are no users");
  await expect(db.serve({ client: "127.0.0.1:0", shards: 2 } as never)).rejects.toThrow("shards is no option of serve");
  await db.bucket("0").put("k", 1);
  const { client, http } = await db.serve({ client: "127.0.0.1:0" });
  expect(http).toBeNull();
  await using over = await connect({ nodes: [client] });
  expect(await over.bucket("0").get("k")).toBe(1);
});

test("when the disk fails, calls are rejected with the reason until it is opened again", async () => {
  const lines: string[] = [];
  const note = (message: string): void => void lines.push(message);
  const log = { debug: () => undefined, info: () => undefined, warn: note, error: note };
  const db = await openSmall({ segmentBytes: 256 * 1024, log });
  const bucket = db.bucket("0", { codec: bytes });
  await bucket.put("k", new Uint8Array(10));
  rmSync(path, { recursive: true });
  // Not all of them can fail for want of the next segment.
  const writes = Array.from({ length: 100 }, (_, i) => bucket.put(`k${i}`, new Uint8Array(20_000)));
  const outcomes = await Promise.allSettled(writes);
  expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
  await expect(bucket.get("k")).rejects.toMatchObject({ code: "MISSING_FILE" });
  await expect(bucket.put("k", new Uint8Array(1))).rejects.toMatchObject({ code: "MISSING_FILE" });
  expect(lines).toContain("shard failed");
  await db.close();
  await using again = await openSmall();
  expect(await again.bucket("0").get("k")).toBeUndefined();
}, 30_000);

test("its own program has all rights, whoever else must log in", async () => {
  const passwordFile = join(directory, "password");
  writeFileSync(passwordFile, "correct horse\n");
  await using db = await openSmall();
  const users = { initialUser: "ann", initialPasswordFile: passwordFile };
  const { client } = await db.serve({ client: "127.0.0.1:0", ...users });
  const bucket = db.bucket("0", { codec: text });
  await bucket.put("k", "mine");
  const redis = await RespClient.connect({
    targets: parseTargets(client, { user: "ann", password: "correct horse" }),
    connectTimeoutMs: 5_000,
    replyTimeoutMs: 5_000,
    protocol: 2,
    bucket: null,
    onPush: () => undefined,
  });
  expect(await redis.command("GET", "k")).toMatchObject({ bytes: new TextEncoder().encode("mine") });
  redis.close();
  await expect(connect({ nodes: [client], connectTimeoutMs: 1_000 })).rejects.toThrow();
  expect(await bucket.get("k")).toBe("mine");
  await db.buckets.create("more");
});

test("what is wrong with options is said", async () => {
  await expect(openSmall({ shards: 0 })).rejects.toThrow("shards (from open)");
  await expect(openSmall({ timeoutMs: 0 })).rejects.toThrow("timeoutMs");
  await expect(open({ path, peers: [] } as never)).rejects.toThrow("peers is no option of open");
});

test("what comes out is the caller's own, whatever is written afterwards", async () => {
  await using db = await openSmall();
  const bucket = db.bucket("0", { codec: bytes });
  const size = [1, 100, 5_000, 200_000] as const;
  for (const length of size) {
    const given = new Uint8Array(length).fill(7);
    await bucket.put("k", given);
    given.fill(8);
    const found = [await bucket.get("k"), (await bucket.getMany(["k"]))[0], (await bucket.getVersioned("k"))?.value];
    found.push(await bucket.swap("k", new Uint8Array(length).fill(9)));
    for (let i = 0; i < 50; i++) await bucket.put(`k${i}`, new Uint8Array(length).fill(10));
    for (const value of found) expect(value).toEqual(new Uint8Array(length).fill(7));
    found[0]?.fill(1);
    expect(await bucket.get("k")).toEqual(new Uint8Array(length).fill(9));
  }
});

test("what is no key and no bytes is refused before it comes near the data", async () => {
  await using db = await openSmall();
  const bucket = db.bucket("0", { codec: bytes });
  for (const key of [1, null, undefined, {}, [1], new ArrayBuffer(2)] as never[]) {
    await expect(bucket.put(key, Uint8Array.of(1))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(bucket.get(key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  }
  await expect(bucket.put("k", "text" as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(await bucket.get("k")).toBeUndefined();
});

test("a call can be aborted; too many at once are refused; after the end there are none", async () => {
  const db = await openSmall({ pendingMax: 10 });
  const bucket = db.bucket<number>("0");
  const controller = new AbortController();
  const aborted = bucket.put("k", 1, { signal: controller.signal });
  controller.abort("why not");
  await expect(aborted).rejects.toBeInstanceOf(CancelledError);
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => bucket.put("k", i)));
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(refused).toHaveLength(40);
  for (const { reason } of refused) expect(reason).toBeInstanceOf(OverloadedError);
  const last = bucket.put("last", 1);
  await Promise.all([db.close(), db.close(), last]);
  await expect(bucket.get("k")).rejects.toBeInstanceOf(ShuttingDownError);
  await expect(db.serve({ client: "127.0.0.1:0" })).rejects.toThrow("closed");
});

test("a program that does nothing but read lets timers and writers have their turn", async () => {
  await using db = await openSmall();
  const bucket = db.bucket<number>("0");
  await bucket.put("k", 0);
  let isWritten = false;
  setTimeout(async () => {
    await bucket.put("other", 1);
    isWritten = true;
  }, 1);
  for (let i = 0; i < 1_000_000 && !isWritten; i++) await bucket.get("k");
  expect(isWritten).toBe(true);
}, 60_000);

test("a scan goes on while its keys are deleted, and ends early without a trace", async () => {
  await using db = await openSmall();
  const bucket = db.bucket<number>("0");
  await bucket.putMany(Array.from({ length: 3_000 }, (_, i) => [`k${String(i).padStart(5, "0")}`, i] as const));
  let count = 0;
  for await (const { key } of bucket.scan({ keysOnly: true })) {
    count += 1;
    if (count % 3 === 0) await bucket.delete(key);
    if (count === 2_500) break;
  }
  expect(await db.buckets.count("0")).toBe(3_000 - Math.floor(2_500 / 3));
  for (let i = 0; i < 40; i++) for await (const _ of bucket.scan({ limit: 5_000 })) break;
  expect(await bucket.get("k00000")).toBe(0);
});
