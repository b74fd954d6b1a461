/**
 * A node that must not start does not: it ends with the exit code that the operations manual promises and one line that
 * names the place and the reason, and what lies in the data directory is afterwards what it was before.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { replyText } from "../../src/client/reply.ts";
import { crc32 } from "../../src/core/crc32.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const WRITES = 300;
const WRITES_TOGETHER = 20;
const VALUE = "v".repeat(1000);
/** Of node.meta: magic, version, checksum, length. */
const META_VERSION_OFFSET = 4;
const META_CRC_OFFSET = 8;
const META_BODY_OFFSET = 16;
/** The first block of a segment is its header; groups follow. */
const FIRST_GROUP_OFFSET = 4096;

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start({
    nodes: 1,
    shards: 1,
    workers: 1,
    flags: ["--segment-bytes", "64KiB", "--value-bytes-max", "16KiB", "--memtable-bytes", "1MiB"],
  });
  const client = await cluster.client([0]);
  // In several groups, so that there are several segments, and later ones that prove the earlier.
  for (let from = 0; from < WRITES; from += WRITES_TOGETHER) {
    const replies = Array.from({ length: WRITES_TOGETHER }, (_, i) => client.command("SET", `k${from + i}`, VALUE));
    for (const reply of replies) expect(replyText(await reply)).toBe("OK");
  }
  client.close();
});

afterEach(() => cluster.stop());

/** Starts the node, which must refuse for this reason and change nothing; the data must still be whole afterwards. */
async function expectRefusal(code: number, reason: RegExp, flags: readonly string[] = []): Promise<void> {
  const before = contents(cluster.dataOf(0));
  await expectEnd(code, reason, flags);
  expect(contents(cluster.dataOf(0))).toEqual(before);
}

/** Starts the node, which must end by itself, with one line for people that says why. */
async function expectEnd(code: number, reason: RegExp, flags: readonly string[]): Promise<void> {
  const ended = await cluster.startInVain(0, flags);
  const lines = ended.errors.trimEnd().split("\n");
  expect({ ...ended, last: lines.at(-1) }).toMatchObject({ code, output: "", last: expect.stringMatching(reason) });
  expect(lines.filter((line) => line.startsWith("envelopedb: "))).toHaveLength(1);
  expect(ended.errors).not.toMatch(/^\s+at /m);
}

async function expectWhole(): Promise<void> {
  await cluster.restart(0);
  const client = await cluster.client([0]);
  const replies = await Promise.all(Array.from({ length: WRITES }, (_, i) => client.command("GET", `k${i}`)));
  expect(replies.every((reply) => replyText(reply) === VALUE)).toBe(true);
  client.close();
}

describe("a data directory is refused", () => {
  test("that belongs to another node", async () => {
    await cluster.kill(0);
    const peers = "n1=127.0.0.1:1,n9=127.0.0.1:2";
    await expectRefusal(EXIT_FAILED, /FOREIGN_DIRECTORY: .*n1 belongs to node n1, not to n9$/, [
      ...["--id", "n9", "--peers", peers],
    ]);
    await expectWhole();
  });

  test("that belongs to another cluster, by its name or its members", async () => {
    await cluster.kill(0);
    await expectRefusal(EXIT_FAILED, /FOREIGN_DIRECTORY: .*n1 belongs to another cluster/, ["--cluster", "other"]);
    await expectRefusal(EXIT_FAILED, /FOREIGN_DIRECTORY: .*n1 belongs to another cluster \(its members: n1\)$/, [
      ...["--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2"],
    ]);
    await expectWhole();
  });

  test("that was made with another number of shards", async () => {
    await cluster.kill(0);
    await expectRefusal(EXIT_FAILED, /FOREIGN_DIRECTORY: .*n1 was made with 1 shards/, ["--shards", "2"]);
    await expectWhole();
  });

  test("that another process uses, which goes on undisturbed", async () => {
    const pid = cluster.pid(0);
    await expectEnd(EXIT_FAILED, new RegExp(`DIRECTORY_IN_USE: .*n1 is in use by process ${pid} `), []);
    const client = await cluster.client([0]);
    expect(replyText(await client.command("GET", "k0"))).toBe(VALUE);
    client.close();
  });

  test("that a later release has written", async () => {
    await cluster.kill(0);
    const path = join(cluster.dataOf(0), "node.meta");
    const original = readFileSync(path);
    const newer = Buffer.from(original);
    newer.writeUInt32LE(0xffff, META_VERSION_OFFSET);
    newer.writeUInt32LE(crc32(newer.subarray(META_BODY_OFFSET)), META_CRC_OFFSET);
    writeFileSync(path, newer);
    await expectRefusal(EXIT_FAILED, /NEWER_FORMAT: .*node\.meta/);
    writeFileSync(path, original);
    await expectWhole();
  });

  test("that lies where there can be none", async () => {
    await cluster.kill(0);
    const file = join(cluster.directory, "a-file");
    writeFileSync(file, "not a directory");
    await expectRefusal(EXIT_FAILED, /IO: .*a-file/, ["--data", file]);
    await expectRefusal(EXIT_FAILED, /IO: .*a-file/, ["--data", join(file, "below")]);
    expect(readFileSync(file, "utf8")).toBe("not a directory");
  });

  // Not even root may create anything in sysfs.
  test.skipIf(process.platform !== "linux")("that cannot be created", async () => {
    await cluster.kill(0);
    await expectRefusal(EXIT_FAILED, /IO: cannot create \/sys\/envelopedb: E/, ["--data", "/sys/envelopedb"]);
    await expectWhole();
  });

  // Root may write wherever it likes.
  test.skipIf(process.getuid?.() === 0)("that cannot be written", async () => {
    await cluster.kill(0);
    const shard = join(cluster.dataOf(0), "shard-0000");
    chmodSync(shard, 0o555);
    await expectRefusal(EXIT_FAILED, /IO: .*shard-0000.*EACCES/);
    chmodSync(shard, 0o755);
    await expectWhole();
  });
});

describe("a port in use is named, and the data is not harmed:", () => {
  for (const setting of ["--client", "--http", "--peer"] as const) {
    test(setting, async () => {
      await cluster.kill(0);
      const owner = createServer();
      await new Promise<void>((resolve) => owner.listen(0, "127.0.0.1", resolve));
      const { port } = owner.address() as { port: number };
      await expectEnd(EXIT_USAGE, new RegExp(`CONFIG: cannot listen .*127\\.0\\.0\\.1:${port}.*EADDRINUSE`), [
        ...[setting, `127.0.0.1:${port}`],
      ]);
      owner.close();
      await expectWhole();
    });
  }
});

describe("damage is refused, with file and place, and nothing is changed:", () => {
  test("a flipped bit in what was proven durable", async () => {
    await cluster.kill(0);
    const segments = files(".evp");
    // One that holds values, and is not the last.
    for (const name of segments.slice(0, 2)) {
      for (const offset of [FIRST_GROUP_OFFSET - 4000, FIRST_GROUP_OFFSET + 40, FIRST_GROUP_OFFSET + 70]) {
        await damaged(name, (bytes) => bytes.writeUInt8(bytes.readUInt8(offset) ^ 4, offset));
      }
    }
    await expectWhole();
  });

  test("a segment that is shortened, empty or gone", async () => {
    await cluster.kill(0);
    const name = files(".evp")[1] ?? "";
    const original = readFileSync(name);
    for (const byteCount of [original.length - 4096, 0]) {
      truncateSync(name, byteCount);
      await expectRefusal(EXIT_FAILED, new RegExp(`(CORRUPTION|MISSING_FILE): .*${base(name)}`));
      writeFileSync(name, original);
    }
    renameSync(name, `${name}.elsewhere`);
    await expectRefusal(EXIT_FAILED, new RegExp(`MISSING_FILE: .*shard-0000.*${Number.parseInt(base(name), 10)}`));
    renameSync(`${name}.elsewhere`, name);
    await expectWhole();
  });

  test("node.meta damaged, or gone", async () => {
    await cluster.kill(0);
    const path = join(cluster.dataOf(0), "node.meta");
    const original = readFileSync(path);
    const bytes = Buffer.from(original);
    bytes.writeUInt8(bytes.readUInt8(META_BODY_OFFSET + 9) ^ 1, META_BODY_OFFSET + 9);
    writeFileSync(path, bytes);
    await expectRefusal(EXIT_FAILED, /CORRUPTION: .*node\.meta/);
    renameSync(path, `${path}.elsewhere`);
    await expectRefusal(EXIT_FAILED, /MISSING_FILE: .*node\.meta is missing/);
    writeFileSync(path, original);
    await expectWhole();
  });

  test("both copies of the hard state, or every manifest", async () => {
    await flush();
    await cluster.kill(0);
    for (const ending of [".meta", ".manifest"]) {
      const names = files(ending);
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) renameSync(name, `${name}.elsewhere`);
      await expectRefusal(EXIT_FAILED, /MISSING_FILE: .*shard-0000/);
      for (const name of names) renameSync(`${name}.elsewhere`, name);
    }
    await expectWhole();
  });

  test("a table", async () => {
    await flush();
    await cluster.kill(0);
    expect(files(".sst").length).toBeGreaterThan(0);
    for (const name of files(".sst")) {
      const original = readFileSync(name);
      const bytes = Buffer.from(original);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20);
      writeFileSync(name, bytes);
      await expectRefusal(EXIT_FAILED, new RegExp(`CORRUPTION: .*${base(name)}`));
      writeFileSync(name, original);
      renameSync(name, `${name}.elsewhere`);
      await expectRefusal(EXIT_FAILED, new RegExp(`MISSING_FILE: .*${base(name)}`));
      renameSync(`${name}.elsewhere`, name);
    }
    await expectWhole();
  });
});

test("an older manifest put back is refused, and no table is removed for it", async () => {
  await flush();
  await cluster.kill(0);
  const [older = ""] = files(".manifest");
  const bytes = readFileSync(older);
  await cluster.restart(0);
  const client = await cluster.client([0]);
  for (let i = 0; i < WRITES; i++) expect(replyText(await client.command("SET", `k${i}`, VALUE))).toBe("OK");
  client.close();
  await flush();
  // The log lets go of what is in tables a little later.
  while (files(".evp").length > 3) await Bun.sleep(20);
  await cluster.kill(0);
  const manifests = files(".manifest");
  const tables = files(".sst");
  for (const name of manifests) renameSync(name, `${name}.elsewhere`);
  writeFileSync(older, bytes);
  await expectEnd(EXIT_FAILED, /(CORRUPTION|MISSING_FILE): .*shard-0000/, []);
  expect(files(".sst")).toEqual(tables);
  unlinkSync(older);
  for (const name of manifests) renameSync(`${name}.elsewhere`, name);
  await expectWhole();
});

/** Puts everything into tables. */
async function flush(): Promise<void> {
  const client = await cluster.client([0]);
  expect(replyText(await client.command("FLUSH"))).toBe("OK");
  client.close();
}

/** The node refuses a file changed like this, and takes it as it was. */
async function damaged(path: string, change: (bytes: Buffer) => void): Promise<void> {
  const original = readFileSync(path);
  const bytes = Buffer.from(original);
  change(bytes);
  writeFileSync(path, bytes);
  await expectRefusal(EXIT_FAILED, new RegExp(`(CORRUPTION|FOREIGN_DIRECTORY): .*${base(path)}`));
  writeFileSync(path, original);
}

function base(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Files of the shard with this ending, in order. */
function files(ending: string): string[] {
  const directory = join(cluster.dataOf(0), "shard-0000");
  const names = readdirSync(directory).filter((name) => name.endsWith(ending));
  return names.sort().map((name) => join(directory, name));
}

/** Name, length and checksum of every file, but for what the lock and preparations leave. */
function contents(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(directory, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(directory, entry);
    if (!statSync(path).isFile() || entry === "LOCK") continue;
    found[entry] = `${statSync(path).size} ${crc32(readFileSync(path))}`;
  }
  return found;
}
