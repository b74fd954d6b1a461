/** What crashes leave behind is no damage: torn tails and leftovers at most, however often the shard comes back. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Finding } from "../../src/core/file-report.ts";
import { Random } from "../../src/core/random.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { verifyDirectory } from "../../src/verify.ts";
import { KIB, put, ShardHarness } from "../shard/shard-harness.ts";

setDefaultTimeout(60_000);

test("after any power cut and any number of recoveries nothing is reported as damage", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const disk = new SimDisk(seed, { capacityBytes: 1 << 30, sync: null });
  const harness = new ShardHarness({ directory: "/shards", disk, memtableBytes: 64 * KIB });
  let noteCount = 0;
  for (let life = 0; life < 12; life++) {
    for (let i = random.below(60); i > 0; i--) {
      harness.run(put(`k${random.below(200)}`, "x".repeat(random.below(4000))));
      if (random.chance(0.2)) harness.shard.backgroundStep();
    }
    if (random.chance(0.3)) harness.clock.nowMs += 100;
    harness.shard.turn();
    if (random.chance(0.5)) harness.settle();
    const fault = random.between(1, 12);
    disk.plan(fault, { kind: "crash" });
    try {
      for (let i = 0; i < 20; i++) harness.run(put(`k${random.below(200)}`, "y".repeat(random.below(9000))));
      harness.settle();
    } catch (cause) {
      if (!disk.isDead) throw cause;
    }
    disk.cancelPlans();
    disk.crash({ sector: random.chance(0.5) ? 0.5 : 0 });
    const damage: Finding[] = [];
    const summary = verifyDirectory(disk, "/shards/shard-0000", false, (finding) => {
      if (finding.severity === "damage") damage.push(finding);
    });
    noteCount += summary.noteCount;
    expect({ seed, life, damage }).toEqual({ seed, life, damage: [] });
    harness.reopen();
  }
  expect(noteCount).toBeGreaterThan(0);
}, 60_000);
