/**
 * Bits flip in tables at any time, while a shard is written, read, flushed, compacted, scrubbed, stopped and cut from
 * power. The model is what a replica without damage would hold. The shard may refuse to say what a key is; whatever it
 * says is what the model says.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { CommandType } from "../../src/record/command-format.ts";
import type { Result } from "../../src/record/result.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { readTableFile } from "../../src/storage/table-file.ts";
import { BUCKET, command, i64, KIB, put, ShardHarness } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const KEYS = Array.from({ length: 150 }, (_, i) => `k${String(i).padStart(3, "0")}`);
const STEPS = 500;

class Run {
  readonly random: Random;
  readonly disk: SimDisk;
  readonly harness: ShardHarness;
  readonly truth = new Map<string, string>();
  refusedCount = 0;
  flipCount = 0;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
    this.random = new Random(seed);
    this.disk = new SimDisk(seed, { capacityBytes: 1 << 30, sync: null });
    this.harness = new ShardHarness({
      directory: "/shard-test",
      disk: this.disk,
      options: { scrubBytesPerSecond: 100_000, scrubIntervalMs: 2_000 },
      memtableBytes: 64 * KIB,
    });
  }

  step(): void {
    const { harness, random } = this;
    const dice = random.below(100);
    if (dice < 40) this.#write();
    else if (dice < 70) this.#read(this.#key());
    else if (dice < 78) harness.maintain(random.chance(0.8) ? "flush" : "compact");
    else if (dice < 88) this.#rest();
    else if (dice < 92) this.#flip();
    else if (dice < 96) this.#count();
    else this.#restart();
    expect({ seed: this.#seed, stopped: harness.shard.stopped }).toEqual({ seed: this.#seed, stopped: false });
  }

  readAll(): void {
    for (const key of KEYS) this.#read(key);
  }

  #key(): string {
    return KEYS[this.random.below(KEYS.length)] ?? "";
  }

  #write(): void {
    const { harness, random, truth } = this;
    const key = this.#key();
    const before = truth.get(key);
    const dice = random.below(4);
    if (dice < 2) {
      const value = String(1 + random.below(999))
        .padEnd(random.between(3, 600), "0")
        .slice(0, 15);
      truth.set(key, value);
      harness.run(put(key, value));
    } else if (dice === 2) {
      truth.set(key, String(BigInt(before ?? "0") + 1n));
      this.#expectOrRefused(harness.run(command(CommandType.increment, key, { value: i64(1n) }))[0], "integer");
    } else {
      truth.delete(key);
      this.#expectOrRefused(harness.run(command(CommandType.delete, key))[0], "integer");
    }
  }

  #read(key: string): void {
    const result = this.harness.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false });
    if (this.#isRefused(result)) return;
    const value = result.kind === "version" ? Buffer.from(result.value).toString() : null;
    const wanted = this.truth.get(key) ?? null;
    expect({ seed: this.#seed, key, value }).toEqual({ seed: this.#seed, key, value: wanted });
  }

  /** A whole walk: the right count, or a refusal. */
  #count(): void {
    const shape = { bucket: BUCKET, after: null, examineMax: 1000, bytesMax: 100_000, pattern: null } as const;
    const result = this.harness.read({ type: "page", ...shape, mode: "count" });
    if (this.#isRefused(result)) return;
    const count = result.kind === "page" ? result.matchCount : -1;
    expect({ seed: this.#seed, count }).toEqual({ seed: this.#seed, count: this.truth.size });
  }

  #expectOrRefused(result: Result | undefined, kind: Result["kind"]): void {
    if (result !== undefined && this.#isRefused(result)) return;
    expect({ seed: this.#seed, kind: result?.kind }).toEqual({ seed: this.#seed, kind });
  }

  #isRefused(result: Result): boolean {
    if (result.kind !== "error") return false;
    expect({ seed: this.#seed, code: result.code }).toEqual({ seed: this.#seed, code: "CORRUPTION" });
    this.refusedCount += 1;
    return true;
  }

  #rest(): void {
    for (let i = 0; i < 20; i++) {
      this.harness.clock.nowMs += 60;
      this.harness.shard.backgroundStep();
    }
  }

  /** Header and footer stay whole: without them a start refuses the table. */
  #flip(): void {
    const tables = this.disk.files().filter((path) => path.endsWith(".sst"));
    const path = tables[this.random.below(Math.max(1, tables.length))];
    if (path === undefined) return;
    const { header, footerOffset } = readTableFile(this.disk.open(path, "read"), null);
    this.disk.flipBit(path, this.random.between(header.region.length, footerOffset - 1), this.random.below(8));
    this.flipCount += 1;
  }

  #restart(): void {
    const dice = this.random.below(3);
    if (dice === 0) this.harness.stop();
    else if (dice === 1) this.disk.crash({ sector: 0 });
    else this.disk.crash({ sector: 0.5 });
    this.harness.reopen();
    // The only voter has everything that is on its disk committed.
    this.harness.send({ type: "commit", commitIndex: this.harness.boot.lastIndex });
    this.harness.shard.turn();
  }
}

test("with bits flipping in tables, whatever is said is true", () => {
  const first = Math.floor(Math.random() * 2 ** 31);
  let refusedCount = 0;
  let flipCount = 0;
  for (let seed = first; seed < first + 3; seed++) {
    const run = new Run(seed);
    for (let i = 0; i < STEPS; i++) run.step();
    run.readAll();
    refusedCount += run.refusedCount;
    flipCount += run.flipCount;
  }
  expect(flipCount).toBeGreaterThan(0);
  expect(refusedCount).toBeGreaterThan(0);
}, 60_000);
