/** The channel inside the process over a coordinator that is a Map: when it speaks, what it copies, and what it holds back. */
import { beforeEach, expect, test } from "bun:test";
import type { BucketRef, Ordering, Waiter } from "../../src/cluster/coordinator.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { EmbeddedChannel } from "../../src/embedded-channel.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import type { ByteRange } from "../../src/record/command-format.ts";
import { binaryServices } from "../../src/server/binary/binary-services.ts";
import type { BinaryReply, BinaryRequest, KeyOperation } from "../../src/wire/binary-messages.ts";
import { FakeCoordinator } from "../server/fake-coordinator.ts";
import { SETTINGS } from "../server/started-port.ts";

/** What a read has found is overwritten as soon as it has been told. */
class ForgetfulCoordinator extends FakeCoordinator {
  settleCount = 0;

  override read(
    ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const forgetful: Waiter = {
      resolve: (_, result) => {
        if (result.kind !== "version") return waiter.resolve(tag, result);
        const value = result.value.slice();
        waiter.resolve(tag, { ...result, value });
        value.fill(0);
      },
    };
    super.read(ordering, bucket, key, metadataOnly, forgetful, tag);
  }

  override settleReads(): void {
    this.settleCount += 1;
  }
}

let coordinator: ForgetfulCoordinator;
let channel: EmbeddedChannel;
let heard: string[];

beforeEach(() => {
  coordinator = new ForgetfulCoordinator();
  heard = [];
  channel = new EmbeddedChannel(binaryServices(coordinator, new RealClock(), SETTINGS), {
    learned: () => undefined,
    closed: (reason) => heard.push(`closed: ${reason}`),
  });
});

function request(operation: KeyOperation): BinaryRequest {
  const rest = { deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null } as const;
  return { type: "operation", ...rest, operation };
}

function put(key: string, value: string): BinaryRequest {
  const rest = { expiry: { kind: "none" }, condition: { kind: "always" }, returnOld: false } as const;
  return request({ type: "put", key: utf8(key), value: utf8(value), ...rest });
}

function get(key: string): BinaryRequest {
  return request({ type: "get", key: utf8(key), versioned: false });
}

function send(name: string, sent: BinaryRequest): number {
  return channel.send(sent, {
    replied: (reply) => heard.push(`${name}: ${worded(reply)}`),
    lost: (reason, wasSent) => heard.push(`${name} lost${wasSent ? "" : " unsent"}: ${reason}`),
  });
}

function worded(reply: BinaryReply): string {
  if (reply.type === "value") return new TextDecoder().decode(reply.value);
  if (reply.type === "results") return reply.results.map(worded).join("+");
  return reply.type === "error" ? reply.code : reply.type;
}

test("nobody is told anything while a request is being sent, and what was told may be kept", async () => {
  send("put", put("k", "v"));
  const found: BinaryReply[] = [];
  channel.send(get("k"), { replied: (reply) => found.push(reply), lost: () => undefined });
  expect([heard, found]).toEqual([[], []]);
  await Promise.resolve();
  expect(heard).toEqual(["put: done"]);
  expect(found.map(worded)).toEqual(["v"]);
  const batch = { deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null, isAtomic: false } as const;
  const operations = ["k", "k"].map((key) => ({ type: "get", key: utf8(key), versioned: false }) as const);
  send("batch", { type: "batch", ...batch, operations });
  await Promise.resolve();
  expect(heard.at(-1)).toBe("batch: v+v");
});

test("reads that are begun together are looked up together", async () => {
  for (let i = 0; i < 10; i++) send("get", get("k"));
  expect(coordinator.settleCount).toBe(0);
  await Promise.resolve();
  expect(coordinator.settleCount).toBe(1);
  expect(heard).toEqual(Array.from({ length: 10 }, () => "get: absent"));
});

test("while the node cannot keep up nothing is begun; then it is, in order", async () => {
  coordinator.congested = true;
  send("a", put("k", "1"));
  const dropped = send("b", put("k", "2"));
  send("c", get("k"));
  expect(channel.underway).toBe(3);
  expect(channel.drop(dropped)).toBe(false);
  await Bun.sleep(1);
  expect(heard).toEqual([]);
  coordinator.relieve();
  await Promise.resolve();
  expect(heard).toEqual(["a: done", "c: 1"]);
  expect(channel.underway).toBe(0);
});

test("a request that is dropped is heard of no more", async () => {
  coordinator.holding = true;
  const id = send("put", put("k", "1"));
  expect(channel.drop(id)).toBe(true);
  coordinator.deliverAll();
  await Bun.sleep(1);
  expect(heard).toEqual([]);
});

test("what is under way at the end is lost, and what comes afterwards was never sent", async () => {
  coordinator.holding = true;
  send("put", put("k", "1"));
  coordinator.congested = true;
  send("held", put("k", "2"));
  channel.close("it is over");
  channel.close("again");
  send("late", get("k"));
  coordinator.deliverAll();
  await Promise.resolve();
  expect(heard).toEqual([
    "put lost: it is over",
    "held lost unsent: it is over",
    "closed: it is over",
    "late lost unsent: the database is closed",
  ]);
});
