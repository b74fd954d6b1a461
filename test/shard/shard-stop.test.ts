/** A shard that is told to stop says how that ended, whatever its disk does. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { KIB, put, ShardHarness } from "./shard-harness.ts";

setDefaultTimeout(60_000);

test("a failure while it stops is told, and everything is there at the next start", () => {
  const disk = new SimDisk(1, { capacityBytes: 1 << 30, sync: null });
  using harness = new ShardHarness({ directory: "/data", disk, options: { stepBytes: KIB } });
  for (let i = 0; i < 40; i++) harness.run(put(`k${i}`, "x".repeat(500)));
  harness.send({ type: "flush", requestId: 1 });
  harness.shard.turn();
  const isWriting = (): boolean => disk.files().some((path) => path.endsWith(".sst"));
  while (!isWriting()) harness.shard.backgroundStep();
  disk.planCall("remove", 1, { kind: "fail", code: "IO" });
  harness.stop();
  expect(harness.ofType("failed").map(({ code }) => code)).toEqual(["IO"]);
  expect(harness.ofType("stopped")).toEqual([]);
  disk.kill();
  harness.reopen();
  expect(harness.content().size).toBe(40);
});
