/** A snapshot of one shard installed into another: what the other is afterwards, and what is refused. */
import { expect, test } from "bun:test";
import { MessageChannel } from "node:worker_threads";
import type { ShardReply } from "../../src/bridge/shard-protocol.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { CompactorState, WORD_BYTES } from "../../src/shard/compactor-protocol.ts";
import { Compactors } from "../../src/shard/compactors.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import { inspectFile } from "../../src/inspect.ts";
import { verifyDirectory } from "../../src/verify.ts";
import { BUCKET, KIB, put, ShardHarness, testOptions } from "./shard-harness.ts";

const PIECE = 900;
const { tree } = testOptions("");
const SEPARATED = {
  ...tree,
  values: { thresholdBytes: 100, collectBelow: 0.9, segmentBytes: 64 * KIB, hotKeyBytes: 0 },
};

const ROOT = "/d/shard-0000";

/** On a simulated disk, which knows links as a real one does, and syncs at once. */
class Member extends ShardHarness {
  readonly disk: SimDisk;

  constructor(
    options: Partial<ShardOptions> = {},
    more: { readonly returnsArenas?: boolean; readonly compactors?: Compactors } = {},
  ) {
    const disk = new SimDisk(1, { capacityBytes: 1 << 28, sync: null });
    super({ disk, directory: "/d", options, ...more });
    this.disk = disk;
  }
}

type Made = Extract<ShardReply, { type: "snapshotMade" }>;

function made(from: Member): Made {
  const reply = from.snapshot();
  if (reply.type !== "snapshotMade") throw new Error(`no snapshot: ${JSON.stringify(reply)}`);
  return reply;
}

/** A shard with a few hundred writes, flushed now and then, and a configuration. */
function leader(isSeparated: boolean): Member {
  const harness = new Member(isSeparated ? { tree: SEPARATED } : {});
  for (let i = 0; i < 300; i++) {
    harness.run(put(`k${i % 60}`, `${i} `.repeat(i % 3 === 0 ? 2 : 60)));
    if (i % 100 === 99) harness.maintain("flush");
  }
  harness.configure("members");
  harness.run(put("last", "one"));
  return harness;
}

/** Sends what is missing of every file; `limit`: no more than so many pieces. Returns how many were sent. */
function send(from: Member, to: Member, { id, description }: Made, limit = Number.POSITIVE_INFINITY): number {
  const begun = to.ask({ type: "installBegin", requestId: 0, description });
  if (begun.type !== "installBegun") throw new Error(JSON.stringify(begun));
  let sent = 0;
  for (const [file, { byteCount, heldBytes }] of begun.files.entries()) {
    for (let offset = heldBytes; offset < byteCount && sent < limit; sent++) {
      const piece = from.ask({ type: "snapshotRead", requestId: 0, id, file, offset, byteCount: PIECE });
      if (piece.type !== "snapshotPiece") throw new Error(JSON.stringify(piece));
      const { bytes } = piece;
      expect(to.ask({ type: "installPiece", requestId: 0, file, offset, bytes })).toMatchObject({
        result: { kind: "ok" },
      });
      offset += bytes.length;
    }
  }
  return sent;
}

function end(to: Member): ShardReply {
  const reply = to.ask({ type: "installEnd", requestId: 0 });
  if (reply.type === "installed") {
    to.boot = reply.boot;
    to.lastIndex = reply.boot.lastIndex;
    to.stamps.pass(1000);
  }
  return reply;
}

function errorOf(reply: ShardReply): string {
  return reply.type === "done" && reply.result.kind === "error" ? reply.result.code : reply.type;
}

function damageOf(harness: Member): string[] {
  const found: string[] = [];
  verifyDirectory(harness.disk, ROOT, false, ({ severity, file, what }) => {
    if (severity === "damage") found.push(`${file}: ${what}`);
  });
  return found;
}

for (const isSeparated of [false, true]) {
  const where = isSeparated ? "values in the log" : "values in tables";

  test(`an empty shard becomes what the other was, and goes on from there; ${where}`, () => {
    using from = leader(isSeparated);
    using to = new Member(isSeparated ? { tree: SEPARATED } : {});
    to.send({ type: "saveHardState", term: term(9), vote: nodeId(2) });
    to.shard.turn();
    const snapshot = made(from);
    const expected = from.content();
    send(from, to, snapshot);
    expect(end(to)).toMatchObject({ type: "installed" });
    expect(to.boot).toMatchObject({
      hardTerm: term(9),
      hardVote: nodeId(2),
      firstIndex: logIndex(from.lastIndex + 1),
      lastIndex: logIndex(from.lastIndex),
      lastTerm: term(1),
      previousTerm: term(1),
      commitIndex: logIndex(from.lastIndex),
      appliedIndex: logIndex(from.lastIndex),
      termRuns: [],
    });
    expect(to.boot.configurations.map(({ body }) => text(body))).toEqual(["members"]);
    expect(to.content()).toEqual(expected);
    expect(damageOf(to)).toEqual([]);
    const first = to.append([put("new", "value")]);
    expect(first).toBe(from.lastIndex + 1);
    to.shard.turn();
    to.maintain("compact");
    to.settle();
    expect(to.content()).toEqual(new Map([...expected, ["new", "value"]]));
    to.stop();
    expect(damageOf(to)).toEqual([]);
    to.reopen();
    expect(to.boot.firstIndex as number).toBe(first);
    expect(to.content()).toEqual(new Map([...expected, ["new", "value"]]));
    expect(to.boot.configurations.map(({ body }) => text(body))).toEqual(["members"]);
  });

  test(`a shard that has data of its own holds nothing of it afterwards, on the disk neither; ${where}`, () => {
    using from = leader(isSeparated);
    using to = new Member(isSeparated ? { tree: SEPARATED } : {});
    for (let i = 0; i < 150; i++) to.run(put(`old${i}`, "x".repeat(150)));
    to.maintain("flush");
    to.run(put("k1", "stale"));
    send(from, to, made(from));
    end(to);
    expect(to.content()).toEqual(from.content());
    to.settle();
    const names = to.disk.list(ROOT);
    const own = ["generation-00000001", "generation.meta", "hard-state.0.meta", "hard-state.1.meta"];
    expect(names).toEqual(own);
    // And once more.
    for (let i = 0; i < 50; i++) from.run(put(`k${i}`, `again ${i}`));
    send(from, to, made(from));
    end(to);
    to.settle();
    expect(to.content()).toEqual(from.content());
    expect(to.disk.list(ROOT)).toEqual(["generation-00000002", ...own.slice(1)]);
    to.reopen();
    expect(to.content()).toEqual(from.content());
    expect(damageOf(to)).toEqual([]);
  });
}

test("the tools tell what the new files are", () => {
  using from = leader(false);
  using to = new Member();
  send(from, to, made(from));
  const kinds = (member: Member, path: string): string[] => {
    const found: string[] = [];
    const damage = inspectFile(member.disk, `${ROOT}/${path}`, { withEntries: false }, ({ kind }) => found.push(kind));
    return damage === null ? found : [damage.message];
  };
  expect(kinds(from, "snapshot-0001/snapshot.meta").slice(0, 2)).toEqual(["snapshot", "file"]);
  end(to);
  expect(kinds(to, "generation.meta")).toEqual(["pointer"]);
  to.disk.flipBit(`${ROOT}/generation.meta`, 33, 0);
  expect(kinds(to, "generation.meta")[0]).toContain("a pointer with a wrong checksum");
  expect(damageOf(to)[0]).toContain("a pointer with a wrong checksum");
  expect(() => to.reopen()).toThrow("a pointer with a wrong checksum");
  to.disk.flipBit(`${ROOT}/generation.meta`, 33, 0);
  to.reopen();
  expect(to.content()).toEqual(from.content());
});

test("a shard whose generation, its log or its hard state is gone is an error, and never an empty one", () => {
  using from = leader(false);
  const losses: readonly [string, (disk: SimDisk) => void][] = [
    ["is missing or has no manifest", (disk) => disk.removeTree(`${ROOT}/generation-00000001`)],
    ["is missing or has no manifest", (disk) => removeAll(disk, ".manifest")],
    ["its log is gone", (disk) => removeAll(disk, ".evp")],
    [
      "hard-state.0.meta and its second copy are missing",
      (disk) => {
        for (const copy of [0, 1]) disk.remove(`${ROOT}/hard-state.${copy}.meta`);
      },
    ],
  ];
  const removeAll = (disk: SimDisk, ending: string): void => {
    for (const path of disk.files()) if (path.includes("generation-") && path.endsWith(ending)) disk.remove(path);
  };
  const snapshot = made(from);
  for (const [said, lose] of losses) {
    const to = new Member();
    send(from, to, snapshot);
    end(to);
    to.settle();
    to.stop();
    lose(to.disk);
    expect(() => to.reopen()).toThrow(said);
    expect(damageOf(to).length).toBeGreaterThan(0);
  }
});

test("what came before a restart does not come again", () => {
  using from = leader(false);
  using to = new Member();
  const snapshot = made(from);
  const all = send(from, to, snapshot);
  using other = new Member();
  const half = Math.floor(all / 2);
  send(from, other, snapshot, half);
  other.reopen();
  const rest = send(from, other, snapshot);
  expect(rest).toBeLessThan(all);
  expect(rest).toBeGreaterThanOrEqual(all - half);
  end(other);
  expect(other.content()).toEqual(from.content());
});

test("a file that has changed since it came is found before it counts, and comes again", () => {
  using from = leader(false);
  using to = new Member();
  const snapshot = made(from);
  send(from, to, snapshot);
  to.reopen();
  const directory = `${ROOT}/generation-00000001`;
  const path = `${directory}/${to.disk.list(directory).find((one) => one.endsWith(".sst"))}`;
  to.disk.flipBit(path, to.disk.byteCount(path) >> 1, 0);
  expect(send(from, to, snapshot)).toBe(0);
  expect(errorOf(end(to))).toBe("CORRUPTION");
  expect(to.boot.lastIndex as number).toBe(0);
  expect(send(from, to, snapshot)).toBeGreaterThan(0);
  expect(end(to).type).toBe("installed");
  expect(to.content()).toEqual(from.content());
});

test("pieces that are not the next, or not what was described, are refused", () => {
  using from = leader(false);
  using to = new Member();
  const piece = (offset: number, bytes: Uint8Array) =>
    errorOf(to.ask({ type: "installPiece", requestId: 0, file: 0, offset, bytes }));
  expect(piece(0, new Uint8Array(10))).toBe("INVALID_ARGUMENT");
  expect(errorOf(to.ask({ type: "installEnd", requestId: 0 }))).toBe("INVALID_ARGUMENT");
  const snapshot = made(from);
  const begun = to.ask({ type: "installBegin", requestId: 0, description: snapshot.description });
  const byteCount = begun.type === "installBegun" ? (begun.files[0]?.byteCount ?? 0) : 0;
  expect(piece(5, new Uint8Array(10))).toBe("INVALID_ARGUMENT");
  expect(piece(0, new Uint8Array(byteCount + 1))).toBe("INVALID_ARGUMENT");
  expect(errorOf(to.ask({ type: "installEnd", requestId: 0 }))).toBe("INVALID_ARGUMENT");
  expect(piece(0, new Uint8Array(byteCount))).toBe("CORRUPTION");
  const damaged = snapshot.description.slice();
  damaged[40]! ^= 1;
  expect(errorOf(to.ask({ type: "installBegin", requestId: 0, description: damaged }))).toBe("CORRUPTION");
  send(from, to, snapshot);
  expect(end(to).type).toBe("installed");
});

test("an older snapshot, and one whose last entry the log has, change nothing", () => {
  using from = leader(false);
  using to = new Member();
  const snapshot = made(from);
  for (let i = 0; i < snapshot.index - 1; i++) to.run(put("k", `${i}`));
  // The last entry is there, and decided only elsewhere; one more behind it was acknowledged.
  to.append([put("k", "mine")], { applyThrough: 0 });
  to.append([put("k", "acknowledged")], { applyThrough: 0 });
  to.shard.turn();
  const begin = () => errorOf(to.ask({ type: "installBegin", requestId: 0, description: snapshot.description }));
  expect(begin()).toBe("INVALID_ARGUMENT");
  to.send({ type: "commit", commitIndex: logIndex(to.lastIndex) });
  to.shard.turn();
  expect(begin()).toBe("INVALID_ARGUMENT");
  expect(to.get("k")).toBe("acknowledged");
  expect(to.disk.list(ROOT).some((name) => name.startsWith("generation"))).toBe(false);
});

test("a snapshot that was overtaken while it came is refused at its end", () => {
  using from = leader(false);
  using to = new Member();
  const snapshot = made(from);
  send(from, to, snapshot);
  for (let i = 0; i <= snapshot.index; i++) to.run(put("k", `${i}`));
  expect(errorOf(end(to))).toBe("INVALID_ARGUMENT");
  expect(to.get("k")).toBe(`${snapshot.index}`);
  to.settle();
  expect(to.disk.exists(`${ROOT}/generation-00000001`)).toBe(false);
});

test("main reads nothing of before once it may read what was installed", () => {
  using from = leader(false);
  using to = new Member({}, { returnsArenas: false });
  to.run(put("k1", "stale"), put("gone", "stale"));
  const state = new SharedState(to.memory.state);
  const found = (key: string): boolean => {
    const bytes = utf8(key);
    return to.main.find(BUCKET, bytes, 0, bytes.length, murmur3(bytes, 0, bytes.length, BUCKET)) !== null;
  };
  expect(found("gone")).toBe(true);
  expect(state.missIsFinal).toBe(true);
  const snapshot = made(from);
  send(from, to, snapshot);
  expect(state.readable(snapshot.index)).toBe(false);
  end(to);
  expect(state.readable(snapshot.index)).toBe(true);
  expect(found("gone")).toBe(false);
  expect(state.missIsFinal).toBe(false);
  to.append([put("fresh", "value")]);
  to.shard.turn();
  expect(found("fresh")).toBe(true);
  expect(found("gone")).toBe(false);
});

test("who was reading is told that it is gone", () => {
  using from = leader(false);
  using to = new Member();
  to.run(put("a", "1"), put("b", "2"));
  const { reader } = to.shard;
  const snapshot = reader.snapshot();
  using iterator = reader.iterate(
    { bucket: BUCKET, prefix: new Uint8Array(0), low: new Uint8Array(0), high: null },
    null,
  );
  iterator.first();
  send(from, to, made(from));
  end(to);
  expect(() => iterator.next()).toThrow(EnvelopeError);
  expect(() => reader.get(BUCKET, utf8("a"), snapshot)).toThrow("no longer kept");
  expect(text(reader.get(BUCKET, utf8("last"), null)?.value ?? new Uint8Array(0))).toBe("one");
});

test("what is sent behind the end waits for it, and entries for the old log are dropped", () => {
  using from = leader(false);
  using to = new Member();
  to.run(put("k", "stale"));
  const snapshot = made(from);
  send(from, to, snapshot);
  to.send({ type: "installEnd", requestId: 77 });
  to.shard.turn();
  const read = to.sendRead({ type: "get", bucket: BUCKET, key: utf8("last"), metadataOnly: false }, snapshot.index);
  to.shard.turn();
  expect(to.answerOf(read)).toBeNull();
  while (!to.replies.some(({ type }) => type === "installed")) {
    to.append([put("k", "for the old log")]);
    to.shard.backgroundStep();
  }
  to.shard.turn();
  expect(to.answerOf(read)).toMatchObject({ kind: "version" });
  expect(to.content()).toEqual(from.content());
});

test("a shard that is to stop does not wait for a switch that waits for a compactor, and can go on with it later", () => {
  const { port1, port2 } = new MessageChannel();
  const state = new SharedArrayBuffer(WORD_BYTES);
  using from = leader(false);
  using to = new Member({}, { compactors: new Compactors([{ port: port1, state }]) });
  to.run(put("old", "value"));
  to.send({ type: "flush", requestId: 76 });
  to.shard.turn();
  // The compactor has been given the flush and does nothing about it.
  to.shard.backgroundStep();
  expect(to.shard.idleMs).toBeLessThan(10);
  const snapshot = made(from);
  send(from, to, snapshot);
  to.send({ type: "installEnd", requestId: 77 });
  to.shard.turn();
  for (let i = 0; i < 20; i++) to.shard.backgroundStep();
  expect(to.replies.some(({ type }) => type === "installed")).toBe(false);
  Atomics.store(new Int32Array(state), 0, CompactorState.dead);
  to.stop();
  expect(to.shard.stopped).toBe(true);
  to.reopen();
  expect(to.content()).toEqual(new Map([["old", "value"]]));
  expect(send(from, to, snapshot)).toBe(0);
  expect(end(to)).toMatchObject({ type: "installed" });
  expect(to.content()).toEqual(from.content());
  port1.close();
  port2.close();
});
