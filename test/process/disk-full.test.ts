/**
 * A full disk: writes are refused with a word of their own, reads go on, nothing acknowledged is lost, and writes go on
 * by themselves when there is room. The disk is a small tmpfs, which takes root to mount.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmdirSync, statfsSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Reply, replyText } from "../../src/client/reply.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(90_000);

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;
const DISK_BYTES = 48 * MIB;
const FILLER_BYTES = 6 * MIB;
const FILLERS = 2;
/** The node with the small disk. */
const SMALL = 1;
const VALUE_BYTES = 32 * 1024;
const WRITES_TOGETHER = 8;
/** After the first refusal: it stays full, whatever flushes and compactions give back meanwhile. */
const REFUSALS = 40;
const FLAGS = [
  ...["--segment-bytes", "1MiB", "--value-bytes-max", "64KiB", "--memtable-bytes", "1MiB"],
  ...["--table-bytes", "1MiB", "--level-bytes", "4MiB", "--replay-bytes", "4MiB"],
];

const reasonToSkip = whyNoMount();
const mounted = describe.skipIf(reasonToSkip !== null);

let mountPoint: string;
let cluster: TestCluster | null = null;

beforeEach(() => {
  if (reasonToSkip !== null) return;
  mountPoint = mkdtempSync(join(tmpdir(), "edb-small-disk-"));
  run("mount", "-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", mountPoint);
  for (let i = 0; i < FILLERS; i++) writeFileSync(fillerPath(i), new Uint8Array(FILLER_BYTES));
});

afterEach(async () => {
  if (reasonToSkip !== null) return;
  await cluster?.stop();
  cluster = null;
  run("umount", mountPoint);
  rmdirSync(mountPoint);
});

mounted(`a full disk${reasonToSkip === null ? "" : ` (skipped: ${reasonToSkip})`}`, () => {
  test("refuses writes, answers reads, loses nothing, and takes writes again when there is room", async () => {
    const running = await TestCluster.start({ nodes: 1, shards: 1, workers: 1, flags: FLAGS, under: mountPoint });
    cluster = running;
    const client = await running.client([0]);
    const records = new Records(client);
    await records.fill();
    expect(records.count).toBeGreaterThan(100);
    await records.expectAll();
    for (const command of [["DEL", "nothing"] as const, ["INCR", "counter"] as const]) {
      // Now and then there is a little room again, when a flush has let go of a piece of the log.
      for (let taken = 0; (await client.command(...command)).kind !== "error"; taken++) {
        expect(taken).toBeLessThan(20);
        await records.fill();
      }
    }
    await records.expectAll();
    unlinkSync(fillerPath(0));
    const before = records.count;
    await records.writeUntilTaken();
    await records.fill();
    expect(records.count).toBeGreaterThan(before + 20);
    await records.expectAll();
    client.close();
  });

  test("does not keep a node from starting, with everything that was acknowledged", async () => {
    const running = await TestCluster.start({ nodes: 1, shards: 1, workers: 1, flags: FLAGS, under: mountPoint });
    cluster = running;
    const records = new Records(await running.client([0]));
    await records.fill();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await running.end(0, signal);
      await running.restart(0);
      records.client = await running.client([0]);
      await records.expectAll();
    }
    unlinkSync(fillerPath(0));
    await records.writeUntilTaken();
    await records.expectAll();
    await running.kill(0);
    // To the last page: the node starts, or says what it lacks.
    writeFileSync(fillerPath(0), new Uint8Array(Math.max(0, freeBytes() - PAGE_BYTES)));
    const whyNot = await running.restart(0).then(
      () => null,
      (cause: unknown) => String(cause),
    );
    if (whyNot === null) {
      records.client = await running.client([0]);
      await records.expectAll();
    } else expect(whyNot).toContain("envelopedb: DISKFULL: ");
    await running.kill(0);
    unlinkSync(fillerPath(0));
    await running.restart(0);
    records.client = await running.client([0]);
    await records.expectAll();
    await records.writeUntilTaken();
    records.client.close();
  });
});

mounted("one full disk of three", () => {
  test("a follower's: the others go on, and it catches up when there is room", async () => {
    const { running, leader } = await clusterWithSmallDisk((leads) => !leads);
    const records = new Records(await running.client([leader]));
    await records.write(DISK_BYTES / VALUE_BYTES);
    const [behind, ahead] = [await running.status(SMALL), await running.status(leader)];
    expect(behind?.shards[0]?.appliedIndex ?? 0).toBeLessThan(ahead?.shards[0]?.appliedIndex ?? 0);
    await records.expectAll();
    for (let i = 0; i < FILLERS; i++) unlinkSync(fillerPath(i));
    run("mount", "-o", `remount,size=${4 * DISK_BYTES}`, mountPoint);
    await running.caughtUp(leader);
    records.client.close();
    records.client = await running.client([SMALL]);
    await records.expectAll();
    records.client.close();
  });

  test("the leader's: it refuses writes for a moment, another leads, and writes go on though the disk stays full", async () => {
    const { running, leader } = await clusterWithSmallDisk((leads) => leads);
    const records = new Records(await running.client([leader]));
    while ((await running.leader()) === leader) await records.writeOrBeRefused();
    expect(records.refusedCount).toBeGreaterThan(0);
    await records.write(100);
    await records.expectAll();
    expect((await running.status(leader))?.shards[0]?.role).toBe("follower");
    for (let i = 0; i < FILLERS; i++) unlinkSync(fillerPath(i));
    run("mount", "-o", `remount,size=${4 * DISK_BYTES}`, mountPoint);
    await running.caughtUp(await running.leader());
    await records.expectAll();
    records.client.close();
  });
});

/** Three nodes, of which one has its data on the small disk and leads, or does not. */
async function clusterWithSmallDisk(
  suits: (leads: boolean) => boolean,
): Promise<{ running: TestCluster; leader: number }> {
  const dataElsewhere = new Map([[SMALL, join(mountPoint, "data")]]);
  const running = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags: FLAGS, dataElsewhere });
  cluster = running;
  for (;;) {
    const leader = await running.leader();
    if (suits(leader === SMALL)) return { running, leader };
    await running.kill(leader);
    await running.leader();
    await running.restart(leader);
  }
}

/** Records written one behind the other; knows what was acknowledged. */
class Records {
  client: RespClient;
  refusedCount = 0;
  #acknowledged: number[] = [];
  #next = 0;

  constructor(client: RespClient) {
    this.client = client;
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  /** Writes until the node has refused for want of room, and goes on refusing. */
  async fill(): Promise<void> {
    const before = this.refusedCount;
    while (this.refusedCount - before < REFUSALS) await this.writeOrBeRefused();
  }

  /** Writes some, which may be refused for want of room and for no other reason. */
  async writeOrBeRefused(): Promise<void> {
    const replies = await Promise.all(Array.from({ length: WRITES_TOGETHER }, () => this.#write()));
    const refused = replies.filter((reply) => reply.kind === "error");
    for (const reply of refused) expect(reply).toMatchObject({ kind: "error", code: "DISKFULL" });
    this.refusedCount += refused.length;
    if (refused.length > 0) await Bun.sleep(50);
  }

  /** Writes so many, all of which must be taken. */
  async write(count: number): Promise<void> {
    for (let done = 0; done < count; done += WRITES_TOGETHER) {
      const replies = await Promise.all(Array.from({ length: WRITES_TOGETHER }, () => this.#write()));
      expect(replies.filter((reply) => reply.kind === "error")).toEqual([]);
    }
  }

  /** Writes go on by themselves. */
  async writeUntilTaken(): Promise<void> {
    while ((await this.#write()).kind === "error") await Bun.sleep(50);
  }

  async expectAll(): Promise<void> {
    for (const i of this.#acknowledged) {
      const text = replyText(await this.client.command("GET", `r${i}`));
      expect({ i, same: text === recordOf(i) }).toEqual({ i, same: true });
    }
  }

  async #write(): Promise<Reply> {
    const i = this.#next;
    this.#next += 1;
    const reply = await this.client.command("SET", `r${i}`, recordOf(i));
    if (reply.kind !== "error") this.#acknowledged.push(i);
    return reply;
  }
}

function recordOf(i: number): string {
  return `${i}:`.padEnd(VALUE_BYTES, String.fromCharCode(0x61 + (i % 26)));
}

function fillerPath(i: number): string {
  return join(mountPoint, `filler-${i}`);
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(mountPoint);
  return bavail * bsize;
}

function run(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
}

/** Null when a tmpfs can be mounted here. */
function whyNoMount(): string | null {
  if (process.platform !== "linux") return "it needs the tmpfs of Linux";
  if (process.getuid?.() !== 0) return "mounting a tmpfs needs root";
  const probe = mkdtempSync(join(tmpdir(), "edb-probe-"));
  const { exitCode, stderr } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", probe]);
  if (exitCode === 0) run("umount", probe);
  rmdirSync(probe);
  return exitCode === 0 ? null : `mounting a tmpfs is not allowed here: ${stderr.toString().trim()}`;
}
