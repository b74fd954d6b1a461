/** Every single call of the disk in an installation fails or crashes in turn: what is found then is the old state or the new one. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { ShardReply } from "../../src/bridge/shard-protocol.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { nodeId, term } from "../../src/core/ids.ts";
import { type PlannedFault, SimDisk, SimulatedCrash } from "../../src/sim/sim-disk.ts";
import { decodeSnapshotDescription } from "../../src/storage/snapshot-format.ts";
import { KIB, put, ShardHarness, testOptions } from "./shard-harness.ts";

setDefaultTimeout(120_000);

const { tree, log } = testOptions("");
const OPTIONS = {
  tree: { ...tree, values: { thresholdBytes: 100, collectBelow: 0.9, segmentBytes: 64 * KIB, hotKeyBytes: 0 } },
  log: { ...log, segmentBytes: 16 * KIB },
};
const DIRECTORY = "/d";

function newDisk(): SimDisk {
  return new SimDisk(7, { capacityBytes: 1 << 28, sync: null });
}

interface Snapshot {
  readonly index: number;
  readonly description: Uint8Array;
  readonly files: readonly Uint8Array[];
  readonly content: Map<string, string>;
}

function snapshotOfAnother(): Snapshot {
  using from = new ShardHarness({ disk: newDisk(), directory: DIRECTORY, options: OPTIONS });
  for (let i = 0; i < 60; i++) from.run(put(`k${i % 20}`, `${i} `.repeat(i % 2 === 0 ? 2 : 60)));
  const made = from.snapshot();
  if (made.type !== "snapshotMade") throw new Error(JSON.stringify(made));
  const files = decodeSnapshotDescription(made.description, null, "a test").files.map((_, file) => {
    const request = { type: "snapshotRead", requestId: 0, id: made.id, file, offset: 0, byteCount: 1 << 20 } as const;
    const piece = from.ask(request);
    if (piece.type !== "snapshotPiece") throw new Error(JSON.stringify(piece));
    return piece.bytes;
  });
  return { index: made.index, description: made.description, files, content: from.content() };
}

/** The receiver's first life: data of its own, and a vote. Returns what it holds. */
function begun(disk: SimDisk): Map<string, string> {
  const to = new ShardHarness({ disk, directory: DIRECTORY, options: OPTIONS });
  to.send({ type: "saveHardState", term: term(5), vote: nodeId(2) });
  for (let i = 0; i < 20; i++) to.run(put(`old${i}`, "x".repeat(150)));
  to.maintain("flush");
  to.run(put("k1", "stale"));
  const content = to.content();
  to.stop();
  return content;
}

function checked(reply: ShardReply): ShardReply {
  if (reply.type === "done" && reply.result.kind === "error") {
    throw new EnvelopeError(reply.result.code, reply.result.message);
  }
  return reply;
}

/** Throws where the shard refuses or fails, or the process dies. */
function install(disk: SimDisk, { description, files }: Snapshot): ShardHarness {
  const to = new ShardHarness({ disk, directory: DIRECTORY, options: OPTIONS });
  const ask = (request: Parameters<ShardHarness["ask"]>[0]): ShardReply => checked(to.ask(request));
  const begin = ask({ type: "installBegin", requestId: 0, description });
  if (begin.type !== "installBegun") throw new Error(begin.type);
  for (const [file, { byteCount, heldBytes }] of begin.files.entries()) {
    if (heldBytes === byteCount) continue;
    const bytes = files[file]?.subarray(heldBytes) ?? new Uint8Array(0);
    ask({ type: "installPiece", requestId: 0, file, offset: heldBytes, bytes });
  }
  const installed = ask({ type: "installEnd", requestId: 0 });
  if (installed.type === "installed") to.boot = installed.boot;
  to.settle();
  if (to.shard.stopped) throw new EnvelopeError("IO", "the shard has failed");
  return to;
}

const FAULTS: readonly PlannedFault[] = [
  { kind: "crash" },
  { kind: "fail", code: "IO" },
  { kind: "fail", code: "DISKFULL" },
];

for (const fault of FAULTS) {
  const what = fault.kind === "crash" ? "a crash" : `an error ${"code" in fault ? fault.code : ""}`;
  test(`${what} at any call of an installation leaves the old state or the new one, and it can be gone on with`, () => {
    const snapshot = snapshotOfAnother();
    const seen = { old: 0, new: 0 };
    for (let call = 1; ; call++) {
      const disk = newDisk();
      const before = begun(disk);
      const callsBefore = disk.callCount;
      disk.plan(call, fault);
      let isWhole = false;
      try {
        install(disk, snapshot);
        isWhole = true;
      } catch (cause) {
        if (!(cause instanceof EnvelopeError) && !(cause instanceof SimulatedCrash)) throw cause;
      }
      if (isWhole && disk.callCount < callsBefore + call) break;
      disk.cancelPlans();
      disk.crash({ sector: call % 3 === 0 ? 0 : call % 3 === 1 ? 1 : 0.5 });
      const after = new ShardHarness({ disk, directory: DIRECTORY, options: OPTIONS });
      after.send({ type: "commit", commitIndex: after.boot.lastIndex });
      after.shard.turn();
      expect([after.boot.hardTerm, after.boot.hardVote].map(Number), `call ${call}`).toEqual([5, 2]);
      const isNew = (after.boot.lastIndex as number) === snapshot.index;
      expect(after.content(), `call ${call}`).toEqual(isNew ? snapshot.content : before);
      expect(isNew || !isWhole).toBe(true);
      seen[isNew ? "new" : "old"] += 1;
      after.stop();
      disk.crash({ sector: 1 });
      if (isNew) continue;
      const again = install(disk, snapshot);
      expect(again.content(), `call ${call}`).toEqual(snapshot.content);
      again.stop();
    }
    expect(seen.old).toBeGreaterThan(20);
    expect(seen.new).toBeGreaterThan(20);
  });
}
