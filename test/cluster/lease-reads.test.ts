/** A read on the leader's lease costs no round, and is never answered after the lease. */
import { expect, test } from "bun:test";
import type { ConnectionOrdering } from "../../src/cluster/operation.ts";
import type { ReadMode } from "../../src/cluster/coordinator.ts";
import { raftTimes } from "../../src/cluster/raft-times.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { NO_NODE, nodeId } from "../../src/core/ids.ts";
import { NIL, type Result } from "../../src/record/result.ts";
import { LeadingGroup, routerOver } from "./leading-group.ts";

/** Of the group's options. */
const LEASE_MS = 200;

test("while the lease holds a read is answered at once, and one in the ordinary mode needs its round as ever", () => {
  const { waiter, get, leading } = onLease();
  const rounds = leading.round;
  expect([get("lease", 1), leading.group.accepting]).toEqual([true, true]);
  leading.group.settleReads();
  expect([waiter.said, leading.round]).toEqual([["1:nil"], rounds]);
  expect(get("linearizable", 2)).toBe(false);
  leading.turn();
  expect([waiter.said, leading.round]).toEqual([["1:nil"], rounds + 1]);
});

test("without a lease a read in that mode takes a round", () => {
  const { waiter, get, leading } = onLease();
  leading.clock.nowMs += LEASE_MS;
  get("lease", 1);
  leading.turn();
  expect(waiter.said).toEqual([]);
  leading.confirm(leading.round);
  leading.turn();
  expect(waiter.said).toEqual(["1:nil"]);
});

test("26: a lease that ends while the read is made answers nobody; a round does", () => {
  const { waiter, get, leading } = onLease();
  // The clock is read before and after: in between the process stands still.
  const monotonicMs = leading.clock.monotonicMs.bind(leading.clock);
  let looks = 0;
  leading.clock.monotonicMs = () => monotonicMs() + (looks++ < 2 ? 0 : LEASE_MS);
  get("lease", 1);
  leading.group.settleReads();
  expect(waiter.said).toEqual([]);
  leading.turn();
  leading.confirm(leading.round);
  leading.turn();
  expect(waiter.said).toEqual(["1:nil"]);
});

test("26: a read that the shard has to answer is looked at again when it has", () => {
  for (const late of [false, true]) {
    const { waiter, get, leading } = onLease();
    leading.noteTables();
    get("lease", 1);
    leading.turn();
    const asked = leading.requests.findLast((request) => request.type === "read");
    if (asked?.type !== "read") throw new Error("the shard was not asked");
    if (late) leading.clock.nowMs += LEASE_MS;
    leading.say({ type: "readResult", requestId: asked.requestId, result: NIL });
    expect(waiter.said).toEqual(late ? [] : ["1:nil"]);
    leading.turn();
    leading.confirm(leading.round);
    leading.turn();
    expect(waiter.said).toEqual(["1:nil"]);
  }
});

test("26: a leader that hands over has no lease", () => {
  const { get, leading } = onLease();
  expect(get("lease", 1)).toBe(true);
  leading.group.handOver(() => true);
  for (let ticks = 0; ticks < 6; ticks++) {
    leading.tick();
    leading.confirm(leading.round);
    leading.turn();
  }
  expect([leading.group.accepting, get("lease", 2)]).toEqual([true, false]);
});

test("an index is told at once to who makes a majority with the leader, and to others after a round, lease or not", () => {
  const { waiter, leading } = onLease();
  const { group } = leading;
  group.readIndex(0, nodeId(2), waiter, 1);
  expect(waiter.said).toEqual(["1:integer"]);
  group.readIndex(0, NO_NODE, waiter, 2);
  leading.turn();
  expect(waiter.said).toEqual(["1:integer"]);
  leading.confirm(leading.round);
  leading.turn();
  expect(waiter.said).toEqual(["1:integer", "2:integer"]);
});

test("a connection says how its reads are answered", () => {
  const { waiter, leading } = onLease();
  const router = routerOver([leading]);
  const ordering = router.newOrdering();
  const read = (tag: number): void => router.read(ordering, router.bucket("0"), range("k"), false, waiter, tag);
  read(1);
  (ordering as ConnectionOrdering).readMode = "lease";
  read(2);
  router.settleReads();
  expect(waiter.said).toEqual(["2:nil"]);
});

test("26: a lease is shorter than the ticks of a voter's promise, whatever the settings", () => {
  for (const [heartbeatMs, electionMs] of [
    [150, 300],
    [100, 150],
    [50, 1000],
    [1000, 1001],
    [7, 23],
  ] as const) {
    const { tickMs, heartbeatTicks, electionTicks, leaseMs } = raftTimes(heartbeatMs, electionMs);
    expect(heartbeatTicks).toBeLessThan(electionTicks);
    // A voter's clock may run a quarter faster than the leader's.
    expect(leaseMs * 1.25).toBeLessThanOrEqual((electionTicks - 1) * tickMs + 1e-9);
  }
});

function onLease() {
  const leading = new LeadingGroup();
  for (let ticks = 0; ticks < 3; ticks++) leading.tick();
  leading.confirm(leading.round);
  leading.turn();
  const said: string[] = [];
  const waiter = {
    said,
    resolve: (tag: number, result: Result) => {
      said.push(`${tag}:${result.kind === "error" ? result.code : result.kind}`);
    },
  };
  /** True: the read asks for no turn. */
  const get = (mode: ReadMode, tag: number): boolean => {
    leading.wakeCount = 0;
    leading.group.get(1, range("k"), false, 0, leading.group.self, mode, waiter, tag);
    return leading.wakeCount === 0;
  };
  return { leading, waiter, get };
}

function range(text: string) {
  const bytes = utf8(text);
  return { bytes, start: 0, end: bytes.length };
}
