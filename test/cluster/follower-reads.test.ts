/** A follower answers what it can prove to be recent enough, in the order in which a connection asked, and once. */
import { expect, test } from "bun:test";
import type { ReadMode, Waiter } from "../../src/cluster/coordinator.ts";
import { FollowerReads, type FollowingGroup } from "../../src/cluster/follower-reads.ts";
import { ConnectionOrdering, type Operation } from "../../src/cluster/operation.ts";
import { EMPTY_BYTES, utf8 } from "../../src/core/bytes.ts";
import type { ByteRange } from "../../src/record/command-format.ts";
import { errorResult, NIL, type Result } from "../../src/record/result.ts";
import { StillClock } from "./leading-group.ts";

const TIMEOUT_MS = 5000;
const GRACE_MS = 300;

/** Reads are answered when a test says so; what they were read at is noted. */
class FakeReplica implements FollowingGroup {
  readonly shard = 0;
  isWhole = true;
  isFollowing = true;
  commitIndex = 10;
  appliedIndex = 10;
  fenced = 0;
  readonly read: string[] = [];
  readonly #open: (() => void)[] = [];

  isFenced(bucket: number): boolean {
    return bucket === this.fenced;
  }

  getApplied(_bucket: number, key: ByteRange, _metadata: boolean, index: number, waiter: Waiter, tag: number): void {
    this.read.push(`${String.fromCharCode(...key.bytes.subarray(key.start, key.end))}@${index}`);
    this.#open.push(() => waiter.resolve(tag, NIL));
  }

  answer(): void {
    for (const say of this.#open.splice(0)) say();
  }
}

function setUp() {
  const replica = new FakeReplica();
  const clock = new StillClock();
  const said: string[] = [];
  const forwarded: Operation[] = [];
  const resumed: Operation[] = [];
  const reads = new FollowerReads(replica, clock, TIMEOUT_MS, {
    forward: (operation) => forwarded.push(operation),
    resume: (operation) => resumed.push(operation),
    settled: (operation, result) => operation.waiter.resolve(operation.tag, result),
    wake: () => undefined,
  });
  let sequence = 0;
  const resolve = (tag: number, result: Result): void => {
    said.push(`${tag}:${result.kind === "error" ? result.code : result.kind}`);
  };
  const common = { shard: 0, bucket: null, afterOwnWrite: false, waiter: { resolve }, deadlineMs: 1e9 };
  const get = (ordering: ConnectionOrdering, key: string, readMode: ReadMode = "follower", staleMs = 0): Operation => {
    const tag = ++sequence;
    const read = { type: "get", bucket: 1, key: utf8(key), metadataOnly: false } as const;
    return { ...common, sequence: tag, tag, ordering, work: { kind: "read", read }, readMode, staleMs };
  };
  const write = (ordering: ConnectionOrdering): Operation => {
    const tag = ++sequence;
    const work = { kind: "write", command: EMPTY_BYTES } as const;
    return { ...common, sequence: tag, tag, ordering, work, readMode: "follower", staleMs: 0 };
  };
  /** The leader's answer to the n-th of the questions that have left. */
  const learn = (question: number, index: number | Result): void => {
    const operation = forwarded.filter(({ work }) => work.kind === "index")[question];
    const result: Result = typeof index === "number" ? { kind: "integer", value: BigInt(index) } : index;
    operation?.waiter.resolve(operation.tag, result);
  };
  const stale = (staleMs: number): boolean => {
    const key = utf8("s");
    return reads.readStale(1, { bytes: key, start: 0, end: key.length }, false, staleMs, { resolve }, 0);
  };
  return { replica, clock, said, forwarded, resumed, reads, get, write, learn, stale };
}

test("the reads of a turn share one question, and are read once its index is applied", () => {
  const { replica, said, forwarded, reads, get, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  expect([reads.take(get(ordering, "a")), reads.take(get(new ConnectionOrdering(1), "b"))]).toEqual([true, true]);
  reads.pump();
  expect(forwarded.map(({ work }) => work.kind)).toEqual(["index"]);
  reads.pump();
  learn(0, 12);
  reads.pump();
  expect([forwarded.length, replica.read]).toEqual([1, []]);
  replica.appliedIndex = 12;
  reads.pump();
  expect(replica.read).toEqual(["a@12", "b@12"]);
  replica.answer();
  expect([said, reads.busy, reads.count]).toEqual([["1:nil", "2:nil"], false, 0]);
});

test("a read that comes after the question has left is not answered by it", () => {
  const { replica, reads, get, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  reads.take(get(ordering, "a"));
  reads.pump();
  reads.take(get(ordering, "b"));
  learn(0, 10);
  reads.pump();
  expect(replica.read).toEqual(["a@10"]);
  learn(1, 10);
  reads.pump();
  expect(replica.read).toEqual(["a@10", "b@10"]);
});

test("questions answered out of order do not let a later read come first", () => {
  const { replica, reads, get, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  for (const key of ["a", "b"]) {
    reads.take(get(ordering, key));
    reads.pump();
  }
  learn(1, 10);
  reads.pump();
  expect(replica.read).toEqual([]);
  learn(0, 9);
  reads.pump();
  expect(replica.read).toEqual(["a@10", "b@10"]);
});

test("what a connection sends behind such a read waits for it, and other connections do not", () => {
  const { replica, resumed, reads, get, write, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  const [first, behind, last] = [get(ordering, "a"), write(ordering), get(ordering, "b")];
  expect([first, behind, last].map((operation) => reads.take(operation))).toEqual([true, true, true]);
  expect(reads.take(write(new ConnectionOrdering(1)))).toBe(false);
  reads.pump();
  learn(0, 10);
  reads.pump();
  expect([replica.read, resumed]).toEqual([["a@10"], []]);
  replica.answer();
  expect(resumed).toEqual([behind, last]);
  expect(reads.busy).toBe(false);
});

test("a read behind a write of its own goes the write's way", () => {
  const { reads, get } = setUp();
  const ordering = new ConnectionOrdering(1);
  ordering.underway(0, 1);
  expect(reads.take(get(ordering, "a"))).toBe(false);
  ordering.underway(0, -1);
  expect(reads.take(get(ordering, "a"))).toBe(true);
});

test("where nobody is followed, or the replica is damaged, the leader is asked for answers", () => {
  const { replica, reads, get, stale } = setUp();
  replica.isFollowing = false;
  expect(reads.take(get(new ConnectionOrdering(1), "a"))).toBe(false);
  replica.isWhole = false;
  expect(stale(1e6)).toBe(false);
});

test("a question that comes to nothing is the end of its reads", () => {
  const { said, resumed, reads, get, write, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  const behind = write(ordering);
  reads.take(get(ordering, "a"));
  reads.take(behind);
  reads.pump();
  learn(0, errorResult("UNAVAILABLE", "nobody leads"));
  expect([said, resumed, reads.busy]).toEqual([["2:UNAVAILABLE"], [behind], false]);
});

test("a replica that lags gives its reads to the leader in order, and takes none until it has caught up", () => {
  const { replica, clock, forwarded, resumed, reads, get, write, learn } = setUp();
  const ordering = new ConnectionOrdering(1);
  const [first, second, third] = [get(ordering, "a"), get(ordering, "b"), get(ordering, "c")];
  const behind = write(ordering);
  for (const operation of [first, second]) {
    reads.take(operation);
    reads.pump();
  }
  reads.take(third);
  reads.take(behind);
  learn(0, 20);
  clock.nowMs += GRACE_MS - 1;
  reads.expire(GRACE_MS);
  expect(resumed).toEqual([]);
  clock.nowMs += 1;
  reads.expire(GRACE_MS);
  expect(forwarded.filter(({ work }) => work.kind === "read")).toEqual([first, second, third]);
  expect([resumed, reads.busy]).toEqual([[behind], false]);
  // Its late answer is nobody's.
  learn(1, 20);
  expect(reads.take(get(new ConnectionOrdering(1), "d"))).toBe(false);
  replica.appliedIndex = 20;
  expect(reads.take(get(new ConnectionOrdering(1), "d"))).toBe(true);
});

test("the age of what is known counts from when the question was made, not from when its answer came", () => {
  const { replica, clock, reads, get, learn, stale } = setUp();
  expect(stale(1e6)).toBe(false);
  reads.pump();
  clock.nowMs += 400;
  learn(0, 12);
  reads.pump();
  expect(stale(1e6)).toBe(false);
  replica.appliedIndex = 12;
  reads.pump();
  expect([stale(399), stale(400)]).toEqual([false, true]);
  clock.nowMs += 1;
  expect(stale(400)).toBe(false);
  // Leaders may come and go: what was applied remains.
  replica.isFollowing = false;
  expect(stale(401)).toBe(true);
  expect(replica.read).toEqual(["s@12", "s@12"]);
  expect(reads.take(get(new ConnectionOrdering(1), "a", "stale", 400))).toBe(false);
});

test("what was known is forgotten with the state that was given away", () => {
  const { replica, reads, learn, stale } = setUp();
  stale(1e6);
  reads.pump();
  learn(0, 10);
  reads.pump();
  expect(stale(1e6)).toBe(true);
  replica.appliedIndex = 0;
  expect(stale(1e6)).toBe(false);
});

test("at half the age that is allowed another question leaves, so that nobody has to wait", () => {
  const { clock, forwarded, reads, learn, stale } = setUp();
  stale(100);
  reads.pump();
  learn(0, 10);
  reads.pump();
  clock.nowMs += 50;
  expect(stale(100)).toBe(true);
  reads.pump();
  expect(forwarded.length).toBe(1);
  clock.nowMs += 1;
  expect(stale(100)).toBe(true);
  reads.pump();
  expect([stale(100), forwarded.length]).toEqual([true, 2]);
});

test("a bucket that is gone is said to be", () => {
  const { replica, said, reads, get, learn, stale } = setUp();
  reads.take(get(new ConnectionOrdering(1), "a"));
  reads.pump();
  replica.fenced = 1;
  learn(0, 10);
  reads.pump();
  expect([said, stale(1e6)]).toEqual([["1:FENCED"], false]);
});
