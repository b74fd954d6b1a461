/**
 * Operations on their way to a leader: each is answered exactly once, executed at most once, never when it was said to
 * be not executed, and those of one node in the order in which they came, whatever happens to leadership meanwhile.
 */
import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { EMPTY_BYTES, utf8 } from "../../src/core/bytes.ts";
import { NO_NODE, nodeId, term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { ForwardServer } from "../../src/cluster/forward-server.ts";
import { Forwarder, type ForwardTransport } from "../../src/cluster/forwarder.ts";
import type { Waiter } from "../../src/cluster/coordinator.ts";
import { ConnectionOrdering, detachedCommand, type Operation } from "../../src/cluster/operation.ts";
import type { ReadMode } from "../../src/cluster/coordinator.ts";
import { CommandReader, CommandType } from "../../src/record/command-format.ts";
import { NIL, OK, type Result } from "../../src/record/result.ts";
import type { Role } from "../../src/raft/ready.ts";
import type { FrameType } from "../../src/wire/peer-frame-format.ts";

const LEADER = nodeId(2);
const ASKER = nodeId(1);
const OTHER = nodeId(3);
const SESSION = 77;

/** Frames queue here until a test delivers them. */
class Line implements ForwardTransport {
  up = true;
  readonly frames: Uint8Array[] = [];

  connected(): boolean {
    return this.up;
  }

  frame(_to: number, _type: FrameType, _shard: number, write: (writer: ByteWriter) => void): boolean {
    if (!this.up) return false;
    const writer = new ByteWriter();
    write(writer);
    this.frames.push(writer.copy());
    return true;
  }
}

/** The leader's group: executes at once, answers when told. */
class FakeGroup {
  readonly shard = 0;
  term = term(1);
  accepting = true;
  role: Role = "follower";
  isStopped = false;
  congested = false;
  writable = true;
  commandBytesMax = 1_000_000;
  readonly executed: number[] = [];
  readonly readIndexes: number[] = [];
  readonly readModes: ReadMode[] = [];
  readonly askers: number[] = [];
  readonly #unanswered: (() => void)[] = [];
  readonly #command = new CommandReader();

  fence: "none" | "underway" | "applied" = "none";

  isFenced(): boolean {
    return this.fence !== "none";
  }

  awaitsFence(): boolean {
    return this.fence === "underway";
  }

  expectFence(): void {}

  get(
    _bucket: number,
    _key: unknown,
    _metadata: boolean,
    ownWrite: number,
    asker: number,
    mode: ReadMode,
    waiter: Waiter,
    tag: number,
  ): void {
    this.readIndexes.push(ownWrite);
    this.askers.push(asker);
    this.readModes.push(mode);
    waiter.resolve(tag, NIL);
  }

  read(_read: unknown, ownWrite: number, _asker: number, mode: ReadMode, waiter: Waiter, tag: number): void {
    this.readIndexes.push(ownWrite);
    this.readModes.push(mode);
    waiter.resolve(tag, NIL);
  }

  readIndex(ownWrite: number, asker: number, waiter: Waiter, tag: number): void {
    this.readIndexes.push(ownWrite);
    this.askers.push(asker);
    waiter.resolve(tag, { kind: "integer", value: 7n });
  }

  writeEncoded(_type: CommandType, bytes: Uint8Array, waiter: Waiter, tag: number): number {
    this.#command.over(bytes).read(0, bytes.length);
    this.executed.push(Number(new TextDecoder().decode(this.#command.key())));
    this.#unanswered.push(() => waiter.resolve(tag, OK));
    return this.executed.length;
  }

  answer(count: number): void {
    for (const say of this.#unanswered.splice(0, count)) say();
  }
}

let sequence = 0;

function write(waiter: Waiter, ordering: ConnectionOrdering | null = null, deadlineMs = 1e9): Operation {
  const number = ++sequence;
  const key = utf8(String(number));
  const empty = { bytes: EMPTY_BYTES, start: 0, end: 0 };
  const range = { bytes: key, start: 0, end: key.length };
  const command = detachedCommand(CommandType.put, 0, 1, range, empty, 0);
  const work = { kind: "write", command } as const;
  return {
    sequence: number,
    shard: 0,
    work,
    bucket: null,
    ordering,
    afterOwnWrite: false,
    readMode: ordering?.readMode ?? "linearizable",
    staleMs: 0,
    waiter,
    tag: number,
    deadlineMs,
  };
}

function read(waiter: Waiter): Operation {
  const number = ++sequence;
  const get = { type: "get", bucket: 1, key: utf8("k"), metadataOnly: false } as const;
  const work = { kind: "read", read: get } as const;
  const rest = { shard: 0, bucket: null, ordering: null, afterOwnWrite: true, staleMs: 0, deadlineMs: 1e9 };
  return { sequence: number, work, waiter, tag: number, readMode: "linearizable", ...rest };
}

function setUp() {
  const outcomes = new Map<number, string>();
  const local: number[] = [];
  const waiter: Waiter = {
    resolve(tag, result) {
      expect({ tag, before: outcomes.get(tag) }).toEqual({ tag, before: undefined });
      outcomes.set(tag, result.kind === "error" ? result.code : result.kind);
    },
  };
  const there = new Line();
  const back = new Line();
  const group = new FakeGroup();
  const events = {
    congested: false,
    term: 1,
    followedTerm: () => events.term,
    mustWait: () => events.congested,
    settled: (operation: Operation, result: Result) => operation.waiter.resolve(operation.tag, result),
    local: (operation: Operation) => local.push(operation.tag),
  };
  const forwarder = new Forwarder(0, SESSION, there, events);
  const server = new ForwardServer(group, { refusalOf: () => null }, ASKER, SESSION, back, () => undefined);
  const deliver = (): void => {
    for (const frame of there.frames.splice(0)) server.onForward(frame);
    server.flush();
  };
  const reply = (): void => {
    for (const frame of back.frames.splice(0)) forwarder.onReply(LEADER, frame);
  };
  return { outcomes, local, waiter, there, back, group, events, forwarder, server, deliver, reply };
}

test("a node that becomes the leader between two frames does not reorder them", () => {
  const { waiter, group, forwarder, deliver, reply, outcomes } = setUp();
  const first = write(waiter);
  const second = write(waiter);
  group.accepting = false;
  forwarder.hold(first);
  forwarder.pump(LEADER, false);
  deliver();
  group.accepting = true;
  forwarder.hold(second);
  forwarder.pump(LEADER, false);
  deliver();
  expect(group.executed).toEqual([]);
  reply();
  forwarder.expire(0, LEADER, 300, 5000);
  forwarder.pump(LEADER, false);
  deliver();
  group.answer(2);
  deliver();
  reply();
  expect(group.executed).toEqual([first.tag, second.tag]);
  expect([...outcomes.values()]).toEqual(["ok", "ok"]);
});

test("in any order of events: one answer, one execution, the order of arrival", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    const { outcomes, waiter, there, back, group, forwarder, server, reply, deliver } = setUp();
    const submitted: number[] = [];
    const step = (): void => {
      const choice = random.below(9);
      if (choice <= 1) {
        const operation = write(waiter);
        submitted.push(operation.tag);
        forwarder.hold(operation);
      } else if (choice === 2) forwarder.pump(LEADER, false);
      else if (choice === 3) {
        const frame = there.frames.shift();
        if (frame !== undefined) server.onForward(frame);
      } else if (choice === 4) {
        const frame = back.frames.shift();
        if (frame !== undefined) forwarder.onReply(LEADER, frame);
      } else if (choice === 5) {
        group.accepting = random.chance(0.5);
        group.role = random.chance(0.5) ? "leader" : "follower";
      } else if (choice === 6) group.congested = random.chance(0.5);
      else if (choice === 7) {
        server.pump();
        group.answer(random.below(3));
        server.flush();
      } else forwarder.expire(0, LEADER, 300, 5000);
    };
    for (let i = 0; i < 400; i++) step();
    group.accepting = true;
    group.congested = false;
    for (let i = 0; i < 10; i++) {
      forwarder.expire(0, LEADER, 300, 5000);
      forwarder.pump(LEADER, false);
      server.pump();
      deliver();
      group.answer(1000);
      server.flush();
      reply();
    }
    expect({ seed, executed: group.executed }).toEqual({ seed, executed: submitted });
    expect({ seed, answered: [...outcomes.values()].filter((outcome) => outcome === "ok").length }).toEqual({
      seed,
      answered: submitted.length,
    });
  }
});

test("an operation whose client has gone before there was a leader is dropped, and said to be so", () => {
  const { outcomes, local, waiter, group, forwarder, deliver } = setUp();
  const gone = new ConnectionOrdering(1);
  const here = new ConnectionOrdering(1);
  const operations = [write(waiter, gone), write(waiter, here), write(waiter, gone)];
  for (const operation of operations) forwarder.hold(operation);
  forwarder.pump(NO_NODE, false);
  gone.hasEnded = true;
  forwarder.pump(LEADER, false);
  deliver();
  expect(group.executed).toEqual([operations[1]!.tag]);
  expect(outcomes.get(operations[0]!.tag)).toBe("UNAVAILABLE");
  expect(outcomes.get(operations[2]!.tag)).toBe("UNAVAILABLE");

  const own = setUp();
  const late = write(own.waiter, gone);
  own.forwarder.hold(late);
  own.forwarder.pump(nodeId(1), true);
  expect([own.local, own.outcomes.get(late.tag), local]).toEqual([[], "UNAVAILABLE", []]);
});

test("a damaged answer loses nobody: what it refused before the damage is sent again", () => {
  const { outcomes, waiter, group, back, forwarder, deliver, reply } = setUp();
  const operation = write(waiter);
  group.accepting = false;
  forwarder.hold(operation);
  forwarder.pump(LEADER, false);
  deliver();
  const damaged = new Uint8Array([...back.frames.pop()!, 1, 2, 3]);
  expect(() => forwarder.onReply(LEADER, damaged)).toThrow();
  group.accepting = true;
  forwarder.expire(0, LEADER, 300, 5000);
  forwarder.pump(LEADER, false);
  deliver();
  group.answer(1);
  deliver();
  reply();
  expect(outcomes.get(operation.tag)).toBe("ok");
});

test("a congested shard lets forwarded operations wait in order, and what is held here too", () => {
  const { waiter, group, events, local, forwarder, server, deliver } = setUp();
  const [first, second] = [write(waiter), write(waiter)];
  group.congested = true;
  forwarder.hold(first);
  forwarder.hold(second);
  forwarder.pump(LEADER, false);
  deliver();
  expect(group.executed).toEqual([]);
  group.congested = false;
  server.pump();
  expect(group.executed).toEqual([first.tag, second.tag]);

  group.answer(2);
  const own = setUp();
  own.events.congested = true;
  const third = write(own.waiter);
  own.forwarder.hold(third);
  own.forwarder.pump(nodeId(1), true);
  expect([own.local, own.forwarder.busy]).toEqual([[], true]);
  own.events.congested = false;
  own.forwarder.pump(nodeId(1), true);
  expect([own.local, own.forwarder.busy, local, events.congested]).toEqual([[third.tag], false, [], false]);
});

test("what has waited at the leader for so long that its asker has given it up is never executed", () => {
  const { outcomes, waiter, group, forwarder, server, deliver, reply } = setUp();
  const [late, later, inTime] = [write(waiter, null, 5000), write(waiter, null, 5000), write(waiter)];
  group.congested = true;
  for (const operation of [late, later]) forwarder.hold(operation);
  forwarder.pump(LEADER, false);
  deliver();
  server.expire(10, -4990);
  forwarder.hold(inTime);
  forwarder.pump(LEADER, false);
  deliver();
  server.expire(5009, 9);
  expect(server.isWaiting).toBe(true);
  forwarder.expire(5010, LEADER, 300, 5000);
  expect([outcomes.get(late.tag), outcomes.get(later.tag)]).toEqual(["UNKNOWN_OUTCOME", "UNKNOWN_OUTCOME"]);
  server.expire(5010, 10);
  group.congested = false;
  server.pump();
  expect(group.executed).toEqual([inTime.tag]);
  group.answer(1);
  server.flush();
  reply();
  expect([outcomes.get(inTime.tag), server.isWaiting]).toEqual(["ok", false]);
});

test("who has just been elected lets operations wait until it is ready, and refuses them if that never comes", () => {
  for (const outcome of ["ok", "refused"]) {
    const { outcomes, waiter, group, forwarder, server, deliver, reply } = setUp();
    const operation = write(waiter);
    group.accepting = false;
    group.role = "leader";
    forwarder.hold(operation);
    forwarder.pump(LEADER, false);
    deliver();
    server.pump();
    expect(group.executed).toEqual([]);
    if (outcome === "ok") group.accepting = true;
    else group.role = "follower";
    server.pump();
    group.answer(1);
    server.flush();
    reply();
    expect([outcomes.get(operation.tag), forwarder.count]).toEqual(outcome === "ok" ? ["ok", 0] : [undefined, 1]);
  }
});

test("that a bucket is fenced is said when the fence is applied; until then nobody knows, and a new leader may not", () => {
  const { outcomes, waiter, group, forwarder, server, deliver, reply } = setUp();
  const [first, second] = [write(waiter), write(waiter)];
  group.fence = "underway";
  forwarder.hold(first);
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  expect(outcomes.size).toBe(0);
  // The fence is lost with the leadership, and what comes later is not carried out before what came first.
  group.accepting = false;
  group.fence = "none";
  forwarder.hold(second);
  forwarder.pump(LEADER, false);
  deliver();
  server.pump();
  server.flush();
  reply();
  group.accepting = true;
  forwarder.expire(0, LEADER, 300, 5000);
  forwarder.pump(LEADER, false);
  deliver();
  expect(group.executed).toEqual([first.tag, second.tag]);

  const third = write(waiter);
  group.fence = "underway";
  forwarder.hold(third);
  forwarder.pump(LEADER, false);
  deliver();
  group.fence = "applied";
  server.pump();
  server.flush();
  reply();
  expect(outcomes.get(third.tag)).toBe("FENCED");
});

test("a read does not wait for a write of an earlier term, which may never stand where it stood", () => {
  const { waiter, group, forwarder, deliver, reply } = setUp();
  forwarder.hold(write(waiter));
  forwarder.hold(read(waiter));
  forwarder.pump(LEADER, false);
  deliver();
  group.answer(1);
  group.term = term(3);
  forwarder.hold(read(waiter));
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  expect(group.readIndexes).toEqual([1, 0]);
});

test("a read waits for what an earlier read of the same node has waited for, though no write of its own is under way", () => {
  const { waiter, group, forwarder, deliver, reply } = setUp();
  const waitsForWrite = (afterOwnWrite: boolean): Operation => ({ ...read(waiter), afterOwnWrite });
  forwarder.hold(write(waiter));
  forwarder.hold(waitsForWrite(false));
  forwarder.hold(waitsForWrite(true));
  forwarder.hold(write(waiter));
  forwarder.hold(waitsForWrite(false));
  forwarder.pump(LEADER, false);
  deliver();
  expect(group.readIndexes).toEqual([0, 1, 1]);
  // What an older term's log had at an index is nothing to wait for.
  group.term = term(2);
  forwarder.hold(write(waiter));
  forwarder.hold(waitsForWrite(false));
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  expect(group.readIndexes).toEqual([0, 1, 1, 0]);
});

test("a read is carried out in the mode its connection asked for", () => {
  const { waiter, group, forwarder, deliver } = setUp();
  const ordering = new ConnectionOrdering(1);
  for (const readMode of ["linearizable", "lease", "follower", "stale"] as const) {
    forwarder.hold({ ...read(waiter), ordering, readMode });
  }
  forwarder.pump(LEADER, false);
  deliver();
  // The leader is within any bound while its lease holds; a read that a follower could not answer is to be certain.
  expect(group.readModes).toEqual(["linearizable", "lease", "linearizable", "lease"]);
});

test("only who follows the leader in its term confirms it by asking", () => {
  const { waiter, group, events, forwarder, deliver } = setUp();
  for (const followed of [1, 0, 2]) {
    events.term = followed;
    forwarder.hold(read(waiter));
    forwarder.hold({ ...read(waiter), work: { kind: "index" } });
    forwarder.pump(LEADER, false);
    deliver();
  }
  expect(group.askers).toEqual([ASKER, ASKER, NO_NODE, NO_NODE, NO_NODE, NO_NODE]);
});

test("an index asked for covers the writes that an earlier read has waited for", () => {
  const { waiter, group, outcomes, forwarder, deliver, reply } = setUp();
  const question: Operation = { ...read(waiter), work: { kind: "index" }, afterOwnWrite: false };
  forwarder.hold(write(waiter));
  forwarder.hold(read(waiter));
  forwarder.hold(question);
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  expect(group.readIndexes).toEqual([1, 1]);
  expect(outcomes.get(question.tag)).toBe("integer");
});

test("large results leave in frames of bounded size", () => {
  const { waiter, back, group, forwarder, deliver } = setUp();
  const megabyte = { kind: "bytes", bytes: new Uint8Array(1024 * 1024) } as const;
  group.get = (_bucket, _key, _metadata, _own, _asker, _mode, waiter, tag) => waiter.resolve(tag, megabyte);
  for (let i = 0; i < 5; i++) forwarder.hold(read(waiter));
  forwarder.pump(LEADER, false);
  deliver();
  expect(back.frames.length).toBe(5);
});

test("operations refused at the head of the queue are not executed when time runs out", () => {
  const { outcomes, waiter, group, forwarder, deliver, reply } = setUp();
  const operation = write(waiter, null, 100);
  group.accepting = false;
  forwarder.hold(operation);
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  forwarder.expire(101, LEADER, 300, 5000);
  expect(outcomes.get(operation.tag)).toBe("UNAVAILABLE");
});

test("answers that cannot leave at once leave later", () => {
  const { outcomes, waiter, back, group, forwarder, deliver, reply, server } = setUp();
  const operation = write(waiter);
  forwarder.hold(operation);
  forwarder.pump(LEADER, false);
  deliver();
  back.up = false;
  group.answer(1);
  server.flush();
  back.up = true;
  server.flush();
  reply();
  expect(outcomes.get(operation.tag)).toBe("ok");
});

test("a write that was sent and not answered is of unknown outcome, and is never sent again; a read may be asked again", () => {
  const lost: ((forwarder: Forwarder) => void)[] = [
    (forwarder) => forwarder.onLost(LEADER),
    // Another leader is known, and the grace of the one before is over.
    (forwarder) => forwarder.expire(301, OTHER, 300, 5000),
    (forwarder) => forwarder.expire(5000, LEADER, 300, 5000),
  ];
  for (const lose of lost) {
    const { outcomes, waiter, there, group, forwarder, deliver, reply } = setUp();
    const [sent, asked, held] = [write(waiter, null, 5000), { ...read(waiter), deadlineMs: 5000 }, write(waiter)];
    forwarder.hold(sent);
    forwarder.hold(asked);
    forwarder.pump(LEADER, false);
    forwarder.hold(held);
    const frames = there.frames.splice(0);
    lose(forwarder);
    expect([outcomes.get(sent.tag), outcomes.get(asked.tag)]).toEqual(["UNKNOWN_OUTCOME", "UNAVAILABLE"]);
    forwarder.pump(LEADER, false);
    deliver();
    expect(group.executed).toEqual([held.tag]);
    // Its answer comes after all: it has been answered.
    there.frames.push(...frames);
    deliver();
    group.answer(2);
    deliver();
    reply();
    expect(outcomes.get(held.tag)).toBe("ok");
  }
});

test("nothing goes to another leader, or is carried out here, before everything sent is settled", () => {
  for (const [leader, self] of [
    [OTHER, false],
    [ASKER, true],
  ] as const) {
    const { waiter, there, group, local, forwarder, deliver, reply } = setUp();
    const [first, second] = [write(waiter), write(waiter)];
    forwarder.hold(first);
    forwarder.pump(LEADER, false);
    deliver();
    forwarder.hold(second);
    forwarder.pump(leader, self);
    expect([there.frames.length, local]).toEqual([0, []]);
    group.answer(1);
    deliver();
    reply();
    forwarder.pump(leader, self);
    expect([there.frames.length, local]).toEqual(self ? [0, [second.tag]] : [1, []]);
  }
});

test("an answer from somebody else than who was asked, or to a former process, is nobody's", () => {
  const { outcomes, waiter, back, group, forwarder, deliver, reply } = setUp();
  const operation = write(waiter);
  forwarder.hold(operation);
  forwarder.pump(LEADER, false);
  deliver();
  group.answer(1);
  deliver();
  const [answer] = back.frames;
  forwarder.onReply(OTHER, answer!);
  const toAnother = answer!.slice();
  toAnother[0]! ^= 1;
  forwarder.onReply(LEADER, toAnother);
  expect(outcomes.size).toBe(0);
  reply();
  expect(outcomes.get(operation.tag)).toBe("ok");
});

test("a full disk refuses forwarded writes before they are executed, and answers reads", () => {
  const { outcomes, waiter, group, forwarder, deliver, reply } = setUp();
  const [refused, asked] = [write(waiter), read(waiter)];
  group.writable = false;
  forwarder.hold(refused);
  forwarder.hold(asked);
  forwarder.pump(LEADER, false);
  deliver();
  reply();
  expect([outcomes.get(refused.tag), outcomes.get(asked.tag)]).toEqual(["DISKFULL", "nil"]);
  expect(group.executed).toEqual([]);
});
