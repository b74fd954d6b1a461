/** What a group that leads promises its readers and writers. */
import { expect, test } from "bun:test";
import { Catalog } from "../../src/cluster/catalog.ts";
import { TokenTable } from "../../src/core/token-table.ts";
import { EMPTY_BYTES, utf8, viewOf } from "../../src/core/bytes.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { HybridClock } from "../../src/core/stamp.ts";
import { encode } from "@msgpack/msgpack";
import { CommandType } from "../../src/record/command-format.ts";
import { OS_DECIDES, SYNC } from "../../src/record/durability.ts";
import { entryDurability, entryIndex, EntryKind, entryKind } from "../../src/record/entry-format.ts";
import { NIL, OK, type Result } from "../../src/record/result.ts";
import { LeadingGroup, routerOver } from "./leading-group.ts";

function range(text: string) {
  const bytes = utf8(text);
  return { bytes, start: 0, end: bytes.length };
}

function recorder() {
  const said: string[] = [];
  const resolve = (tag: number, result: Result) => {
    said.push(`${tag}:${result.kind === "error" ? result.code : result.kind}`);
  };
  return { said, resolve };
}

test("a read that comes after a round was begun is not confirmed by it", () => {
  const { group, ...leading } = lead();
  const waiter = recorder();
  const readAgain = {
    resolve: () => group.get(1, range("b"), false, 0, group.self, "linearizable", waiter, 2),
  };
  group.get(1, range("a"), false, 0, group.self, "linearizable", readAgain, 1);
  leading.turn();
  leading.confirm(leading.round());
  group.drive();
  // The second read was asked for by whoever got the first one's answer, in the midst of that drive, and its round has
  // left. The answer to that round and a third read arrive together.
  leading.confirm(leading.round());
  group.get(1, range("c"), false, 0, group.self, "linearizable", waiter, 3);
  leading.turn();
  expect(waiter.said).toEqual(["2:nil"]);
  leading.confirm(leading.round());
  leading.turn();
  expect(waiter.said).toEqual(["2:nil", "3:nil"]);
});

test("reads given up for their age leave no gate behind that later ones would wait at for ever", () => {
  const { group, clock, ...leading } = lead();
  const waiter = recorder();
  group.get(1, range("a"), false, 0, group.self, "linearizable", waiter, 1);
  group.settleReads();
  clock.nowMs += 10_000;
  group.tick(5000);
  group.get(1, range("b"), false, 0, group.self, "linearizable", waiter, 2);
  leading.turn();
  leading.confirm(leading.round());
  leading.turn();
  expect(waiter.said).toEqual(["1:UNAVAILABLE", "2:nil"]);
});

test("a read handed over by a voter needs no round, and asks for the turn in which it is answered", () => {
  const leading = new LeadingGroup();
  const { group } = leading;
  const waiter = recorder();
  const rounds = leading.round;
  leading.wakeCount = 0;
  group.get(1, range("a"), false, 0, nodeId(2), "linearizable", waiter, 1);
  expect(leading.wakeCount).toBe(1);
  leading.turn();
  expect(waiter.said).toEqual(["1:nil"]);
  expect(leading.round).toBe(rounds);
});

test("a read that waits for its own write is given up when another leads: its index may hold what was sent later", () => {
  const { group, requests, say, ...leading } = lead();
  const [writer, reader] = [recorder(), recorder()];
  leading.holdReads();
  const index = group.write(CommandType.put, 0, 1, range("k"), range("v"), 0, SYNC, writer, 1);
  group.get(1, range("k"), false, index, group.self, "linearizable", reader, 2);
  leading.turn();
  leading.confirm(leading.round());
  leading.turn();
  const asked = requests.findLast((request) => request.type === "read");
  if (asked?.type !== "read") throw new Error("the shard was not asked");
  const news = { commitIndex: logIndex(group.commitIndex), readRound: 0, releaseIndex: logIndex(0) };
  group.step({ type: "heartbeat", from: nodeId(2), to: nodeId(1), term: term(group.term + 1), ...news });
  leading.turn();
  expect([group.role, reader.said]).toEqual(["follower", ["2:UNAVAILABLE"]]);
  // The shard answers when it has applied that index, whoever's entry it is.
  say({ type: "readResult", requestId: asked.requestId, result: NIL });
  expect(reader.said).toEqual(["2:UNAVAILABLE"]);
});

test("48: a write that Raft does not take for want of commits is answered in time, and may yet be executed", () => {
  const leading = new LeadingGroup({ uncommittedBytesMax: 1000 });
  const { group, clock } = leading;
  const waiter = recorder();
  const write = (tag: number): void => {
    const value = { bytes: new Uint8Array(900), start: 0, end: 900 };
    group.write(CommandType.put, 0, 1, range("k"), value, 0, SYNC, waiter, tag);
  };
  const appended = (): number => leading.requests.filter(({ type }) => type === "append").length;
  write(1);
  leading.turn();
  clock.nowMs += 4000;
  write(2);
  leading.turn();
  expect([group.congested, appended()]).toEqual([true, 2]);
  for (const [nowMs, said] of [
    [4500, []],
    [5500, ["1:UNKNOWN_OUTCOME"]],
    [9500, ["1:UNKNOWN_OUTCOME", "2:UNKNOWN_OUTCOME"]],
  ] as const) {
    clock.nowMs = 1000 + nowMs;
    group.tick(5000);
    expect(waiter.said).toEqual([...said]);
  }
  write(3);
  leading.acknowledge();
  leading.turn();
  leading.acknowledge();
  expect([appended(), waiter.said.slice(2)]).toEqual([3, ["3:ok"]]);
});

test("a change of members goes behind the open entry: the places of its writes have been told already", () => {
  for (const isFull of [false, true]) {
    const leading = new LeadingGroup({ uncommittedBytesMax: 1000 });
    const { group, requests } = leading;
    const write = (byteCount: number): number => {
      const value = { bytes: new Uint8Array(byteCount), start: 0, end: byteCount };
      return group.write(CommandType.put, 0, 1, range("k"), value, 0, SYNC, recorder(), 1);
    };
    if (isFull) write(900);
    leading.turn();
    const index = write(900);
    const aim = { placed: [1, 2, 3, 4].map(nodeId), forced: [] };
    for (let ticks = 0; ticks < 100; ticks++) group.reconcile(aim, { members: [], isConnected: () => true });
    // Where Raft does not take the open entry, the change waits.
    expect(group.configuration.learners.map(Number)).toEqual(isFull ? [] : [4]);
    leading.turn();
    leading.acknowledge();
    leading.turn();
    const entries = requests.flatMap((request) => (request.type === "append" ? request.entries : []));
    const there = entries.find((entry) => entryIndex(entry) === index);
    expect(there !== undefined && entryKind(viewOf(there)) === EntryKind.commands).toBe(true);
  }
});

test("24: a read waits until everything that was committed when it came is applied", () => {
  const leading = new LeadingGroup();
  const { group, requests } = leading;
  const [writer, reader] = [recorder(), recorder()];
  leading.appliesNothing = true;
  group.write(CommandType.put, 0, 1, range("k"), range("v"), 0, SYNC, writer, 1);
  leading.turn();
  leading.acknowledge();
  expect([writer.said, group.commitIndex > group.appliedIndex]).toEqual([["1:ok"], true]);
  group.get(1, range("k"), false, 0, group.self, "linearizable", reader, 2);
  leading.turn();
  leading.confirm(leading.round);
  leading.turn();
  const asked = requests.findLast((request) => request.type === "read");
  expect(reader.said).toEqual([]);
  expect(asked?.type === "read" && asked.minIndex === group.commitIndex).toBe(true);
});

test("a leader takes nothing before its own first entry is applied: until then it knows neither stamps nor fences", () => {
  const leading = new LeadingGroup();
  const { group } = leading;
  const elect = (): void => {
    const news = { commitIndex: logIndex(0), readRound: 0, releaseIndex: logIndex(0) };
    group.step({ type: "heartbeat", from: nodeId(3), to: nodeId(1), term: term(group.term + 1), ...news });
    leading.turn();
    expect(group.accepting).toBe(false);
    leading.lead();
  };
  group.expectFence(70);
  expect(group.awaitsFence(70)).toBe(true);
  leading.appliesNothing = true;
  elect();
  expect([group.role, group.accepting, group.awaitsFence(70)]).toEqual(["leader", false, false]);
  leading.appliesNothing = false;
  leading.applyCommitted();
  expect(group.accepting).toBe(true);
});

test("with a full disk a leader refuses writes before they are executed, and a follower takes no entries", () => {
  const { group, router, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const before = [group.openIndex, leading.requests.length];
  const [here, other] = [router.newOrdering(), router.bucket("1")];
  leading.fill(true);
  router.write(here, CommandType.put, 0, router.bucket("0"), range("k"), range("v"), 0, waiter, 1);
  // The long way, while a name is looked up.
  router.read(router.newOrdering(), router.bucket("unknown"), range("k"), false, recorder(), 0);
  router.write(here, CommandType.put, 0, other, range("k"), range("v"), 0, waiter, 2);
  expect(waiter.said).toEqual(["1:DISKFULL", "2:DISKFULL"]);
  expect([group.openIndex, leading.requests.filter(({ type }) => type === "append").length]).toEqual([before[0]!, 1]);

  const next = term(group.term + 1);
  const message = { type: "append", from: nodeId(2), to: nodeId(1), term: next, readRound: 0 } as const;
  const rest = {
    commitIndex: logIndex(0),
    releaseIndex: logIndex(0),
    previousIndex: logIndex(1),
    previousTerm: term(1),
  };
  const bytes = new Uint8Array(64);
  const entries = [{ index: logIndex(2), term: next, bytes, configuration: null }];
  group.step({ ...message, ...rest, entries });
  leading.turn();
  expect([group.role, group.openIndex]).toEqual(["leader", 1]);
  leading.fill(false);
  group.step({ ...message, ...rest, entries });
  leading.turn();
  expect([group.role, group.openIndex]).toEqual(["follower", 2]);
});

test("a time to live is counted from the newest stamp of the key's shard: a clock that was ahead takes nothing with it", () => {
  const { group, clock, router, say } = leadBehindRouter();
  const key = range("k");
  const day = 24 * 3600 * 1000;
  clock.nowMs = 20_000 * day;
  expect(router.timeOf(router.bucket("0"), key)).toBe(20_000 * day);
  // The leader of a moment ago had a clock that was a day ahead: whatever follows is stamped after that.
  const ahead = new HybridClock();
  ahead.next(20_001 * day);
  const rest = { stampHigh: ahead.high, stampLow: ahead.low, results: [], system: [] };
  say({ type: "applied", appliedIndex: logIndex(group.appliedIndex), ...rest });
  expect(router.timeOf(router.bucket("0"), key)).toBe(20_001 * day);
  clock.nowMs = 20_002 * day;
  expect(router.timeOf(router.bucket("0"), key)).toBe(20_002 * day);
});

test("in a bucket that was emptied, too, the newest stamp is that of the shard in which the key lies", () => {
  const catalog = new Catalog(0);
  const shards = [0, 1].map((shard) => new LeadingGroup({ shard }));
  const router = routerOver(shards, catalog);
  const bucket = router.bucket("0");
  const key = range("k");
  const shardBy = (seed: number): number => new TokenTable(2).shardOf(seed, key.bytes, key.start, key.end);
  const here = shardBy(bucket.seed);
  const nextId = [64, 65, 66, 67, 68, 69].find((id) => shardBy(id) !== here) ?? 0;
  catalog.learnEntry("0", encode({ id: nextId, seed: bucket.seed }));
  expect([bucket.id, shardBy(bucket.seed), shardBy(bucket.id)]).toEqual([nextId, here, 1 - here]);
  const ahead = new HybridClock();
  ahead.next(5000);
  const rest = { stampHigh: ahead.high, stampLow: ahead.low, results: [], system: [] };
  shards[here]?.say({ type: "applied", appliedIndex: logIndex(1), ...rest });
  expect(router.timeOf(bucket, key)).toBe(5000);
});

test("voters acknowledge to each other only what is on disk, whatever a bucket asks for", () => {
  const { group, requests, ...leading } = lead();
  const said: Result[] = [];
  const waiter = { resolve: (_tag: number, result: Result) => void said.push(result) };
  group.write(CommandType.put, 0, 1, range("a"), range("1"), 0, OS_DECIDES, waiter, 1);
  leading.turn();
  leading.acknowledge();
  const entry = requests.flatMap((request) => (request.type === "append" ? request.entries : [])).at(-1);
  expect([entry && entryDurability(entry), said]).toEqual([SYNC, [OK]]);
});

test("a shard that fails leaves nobody waiting: proposed is unknown, not proposed is not executed", () => {
  const { group, say, failures, ...leading } = lead();
  const waiter = recorder();
  group.write(CommandType.put, 0, 1, range("a"), range("1"), 0, 0, waiter, 1);
  leading.turn();
  group.write(CommandType.put, 0, 1, range("b"), range("1"), 0, 0, waiter, 2);
  group.get(1, range("c"), false, 0, group.self, "linearizable", waiter, 3);
  say({ type: "failed", code: "IO", message: "the disk is gone" });
  expect(waiter.said.sort()).toEqual(["1:UNKNOWN_OUTCOME", "2:UNAVAILABLE", "3:UNAVAILABLE"]);
  expect([failures, group.accepting]).toEqual([["IO"], false]);
});

test("a read takes the long way because another client looks a name up, and still sees its connection's write", () => {
  const { group, requests, router, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const ordering = router.newOrdering();
  const bucket = router.bucket("0");
  requests.length = 0;
  leading.holdReads();
  router.write(ordering, CommandType.put, 0, bucket, range("k"), range("v"), 0, waiter, 1);
  router.read(router.newOrdering(), router.bucket("unknown"), range("k"), false, waiter, 2);
  router.read(ordering, bucket, range("k"), false, waiter, 3);
  router.settleReads();
  const own = requests.findLast((request) => request.type === "read");
  expect(own?.type === "read" && own.read.type === "get" && own.read.bucket).toBe(1);
  expect(own?.type === "read" && own.minIndex > group.commitIndex).toBe(true);
});

test("a read behind a write that both waited for the bucket's id sees that write", () => {
  const { group, requests, router, say, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const ordering = router.newOrdering();
  const bucket = router.bucket("news");
  requests.length = 0;
  leading.holdReads();
  router.write(ordering, CommandType.put, 0, bucket, range("k"), range("v"), 0, waiter, 1);
  router.read(ordering, bucket, range("k"), false, waiter, 2);
  router.settleReads();
  const lookUp = requests.find((request) => request.type === "read");
  if (lookUp?.type !== "read") throw new Error("the catalog was not asked");
  const entry = encode({ id: 70 });
  say({
    type: "readResult",
    requestId: lookUp.requestId,
    result: { kind: "version", valueBytes: entry.length, expiryMs: 0, value: entry },
  });
  leading.turn();
  leading.confirm(leading.round());
  const before = group.commitIndex;
  leading.turn();
  const own = requests.findLast((request) => request.type === "read");
  expect(own?.type === "read" && own.read.type === "get" && own.read.bucket).toBe(70);
  expect(own?.type === "read" && own.minIndex > before).toBe(true);
});

test("keys that are in one shard only by what a bucket's seed was taken for are no transaction", () => {
  const catalog = new Catalog(0);
  const shards = [0, 1].map((shard) => new LeadingGroup({ shard }));
  const router = routerOver(shards, catalog);
  const tokens = new TokenTable(2);
  const seed = 70;
  const shardBy = (key: string, by: number): number => tokens.shardOf(by, utf8(key), 0, key.length);
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
  const [first = ""] = keys;
  const isTogether = (key: string, by: number): boolean => shardBy(key, by) === shardBy(first, by);
  const partedLater = keys.find((key) => isTogether(key, 0) && !isTogether(key, seed)) ?? "";
  const joinedLater = keys.find((key) => !isTogether(key, 0) && isTogether(key, seed)) ?? "";
  for (const leading of shards) leading.noteTables();
  const waiter = recorder();
  const ordering = router.newOrdering();
  const bucket = router.bucket("news");
  for (const [tag, other] of [partedLater, joinedLater].entries()) {
    const operations = [first, other].map((key) => {
      const rest = { type: CommandType.put, modifiers: 0, value: utf8("1"), expiryMs: 0 } as const;
      return { kind: "write", key: utf8(key), ...rest } as const;
    });
    router.transact(ordering, bucket, { conditions: [], operations }, waiter, tag);
  }
  router.settleReads();
  const catalogShard = shards[0]!;
  const lookUp = catalogShard.requests.find((request) => request.type === "read");
  if (lookUp?.type !== "read") throw new Error("the catalog was not asked");
  const value = encode({ id: seed });
  const result: Result = { kind: "version", valueBytes: value.length, expiryMs: 0, value };
  catalogShard.say({ type: "readResult", requestId: lookUp.requestId, result });
  catalogShard.turn();
  catalogShard.confirm(catalogShard.round);
  const before = shards.map(({ requests }) => requests.length);
  for (const leading of shards) leading.turn();
  expect(waiter.said).toEqual(["0:CROSS_SHARD"]);
  const written = shards.map(({ requests }, i) => requests.slice(before[i]).some(({ type }) => type === "append"));
  expect(written).toEqual([0, 1].map((shard) => shard === shardBy(first, seed)));
});

test("that a bucket is missing is told only to those who asked before the catalog was read", () => {
  const { group, requests, router, say, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const bucket = router.bucket("news");
  leading.holdReads();
  const answer = (result: Result): void => {
    const lookUp = requests.findLast((request) => request.type === "read");
    if (lookUp?.type !== "read") throw new Error("the catalog was not asked");
    leading.turn();
    leading.confirm(leading.round());
    say({ type: "readResult", requestId: lookUp.requestId, result });
    leading.turn();
  };
  router.read(router.newOrdering(), bucket, range("k"), false, waiter, 1);
  leading.turn();
  // Elsewhere the bucket is created; whoever heard of it asks here while the answer of before is on its way.
  router.read(router.newOrdering(), bucket, range("k"), false, waiter, 2);
  answer(NIL);
  expect(waiter.said).toEqual(["1:NO_BUCKET"]);
  const entry = encode({ id: 70 });
  answer({ kind: "version", valueBytes: entry.length, expiryMs: 0, value: entry });
  const own = requests.findLast((request) => request.type === "read");
  expect(own?.type === "read" && own.read.type === "get" && own.read.bucket).toBe(70);
  expect(group.accepting).toBe(true);
});

test("a connection's operations on a bucket do not overtake each other while its id changes", () => {
  const { catalog, router, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const ordering = router.newOrdering();
  const bucket = router.bucket("0");
  // Somebody else looks a name up, so that the first write takes the long way.
  leading.holdReads();
  router.read(router.newOrdering(), router.bucket("unknown"), range("k"), false, waiter, 1);
  router.write(ordering, CommandType.put, 0, bucket, range("k"), range("a"), 0, waiter, 2);
  catalog.learnEntry("0", encode({ id: 64 }));
  router.write(ordering, CommandType.put, 0, bucket, range("k"), range("b"), 0, waiter, 3);
  leading.turn();
  leading.acknowledge();
  expect(waiter.said).toEqual(["2:ok"]);
  leading.turn();
  leading.acknowledge();
  expect(waiter.said).toEqual(["2:ok", "3:ok"]);
});

test("the newer id of a bucket is looked up only once the older one's fence is applied, and what comes behind waits", () => {
  const { group, requests, router, say, ...leading } = leadBehindRouter();
  const waiter = recorder();
  const ordering = router.newOrdering();
  const lookUpCount = (): number => requests.filter(({ type }) => type === "read").length;
  leading.holdReads();
  group.expectFence(router.bucket("0").id);
  router.write(ordering, CommandType.put, 0, router.bucket("0"), range("k"), range("a"), 0, waiter, 1);
  router.write(ordering, CommandType.put, 0, router.bucket("1"), range("k"), range("b"), 0, waiter, 2);
  router.pump();
  leading.turn();
  leading.acknowledge();
  expect([lookUpCount(), waiter.said]).toEqual([0, []]);
  const system = [{ key: utf8("fence/1"), value: EMPTY_BYTES }];
  const appliedIndex = logIndex(group.appliedIndex);
  say({ type: "applied", appliedIndex, stampHigh: 0, stampLow: 0, results: [], system });
  router.pump();
  leading.turn();
  leading.acknowledge();
  expect([lookUpCount(), waiter.said]).toEqual([1, ["2:ok"]]);
});

function lead() {
  const leading = new LeadingGroup();
  const { group, clock, requests, failures } = leading;
  expect(group.accepting).toBe(true);
  return {
    group,
    clock,
    requests,
    failures,
    say: leading.say,
    turn: () => leading.turn(),
    confirm: (round: number) => leading.confirm(round),
    acknowledge: () => leading.acknowledge(),
    round: () => leading.round,
    holdReads: () => leading.noteTables(),
    fill: (isFull: boolean) => leading.fill(isFull),
  };
}

function leadBehindRouter() {
  const leading = lead();
  const catalog = new Catalog(0);
  const router = routerOver([leading], catalog);
  return { ...leading, router, catalog };
}

test("a shard that is behind has its entries held back for as long as it says, and its clients only when one is full", () => {
  const leading = new LeadingGroup();
  const { group, clock } = leading;
  const waiter = recorder();
  const write = (bytes: number): void => {
    const value = { bytes: new Uint8Array(bytes), start: 0, end: bytes };
    group.write(CommandType.put, 0, 1, range("k"), value, 0, SYNC, waiter, 1);
  };
  const entries = (): number =>
    leading.requests.reduce((sum, request) => sum + (request.type === "append" ? request.entries.length : 0), 0);
  leading.slow(1000);
  write(128 * 1024);
  leading.turn();
  leading.acknowledge();
  const before = entries();
  write(1000);
  group.drive();
  clock.nowMs += 100;
  group.drive();
  expect(entries()).toBe(before);
  expect(group.congested).toBe(false);
  write(300 * 1024);
  expect(group.congested).toBe(true);
  group.drive();
  expect(entries()).toBe(before);
  clock.nowMs += 100;
  group.drive();
  expect(entries()).toBe(before + 1);
  expect(group.congested).toBe(false);
});
