/** What each request of the binary protocol needs a right to. */
import { expect, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { needs } from "../../src/server/binary/rights.ts";
import type { BinaryRequest, KeyOperation } from "../../src/wire/binary-messages.ts";
import { SAMPLE_REQUESTS } from "../wire/binary-samples.ts";

function asked(request: BinaryRequest, refused = ""): string[] {
  const all: string[] = [];
  const isAllowed = needs(request, (right, bucket, key) => {
    all.push(`${right} ${bucket} ${key === null ? "*" : text(key)}`);
    return right !== refused;
  });
  expect(isAllowed).toBe(!all.some((one) => one.startsWith(refused) && refused !== ""));
  return all;
}

function on(operation: KeyOperation): BinaryRequest {
  const rest = { deadlineMs: 0, bucket: "b", mode: "linearizable", staleMs: 0, once: null } as const;
  return { type: "operation", ...rest, operation };
}

const key = utf8("k");
const put = { type: "put", key, value: key, expiry: { kind: "none" }, returnOld: false } as const;

test("reads need read, writes write, and those that tell what was there both", () => {
  expect(asked(on({ type: "get", key, versioned: false }))).toEqual(["read b k"]);
  expect(asked(on({ type: "metadata", key, versioned: false }))).toEqual(["read b k"]);
  expect(asked(on({ type: "getField", key, path: "a" }))).toEqual(["read b k"]);
  expect(asked(on({ ...put, condition: { kind: "always" } }))).toEqual(["write b k"]);
  expect(asked(on({ ...put, condition: { kind: "value", value: key } }))).toEqual(["write b k", "read b k"]);
  expect(asked(on({ ...put, condition: { kind: "always" }, returnOld: true }))).toEqual(["write b k", "read b k"]);
  expect(asked(on({ ...put, condition: { kind: "always" }, returnOld: true }), "write")).toEqual(["write b k"]);
  const remove = { type: "delete", key, condition: { kind: "always" } } as const;
  expect(asked(on({ ...remove, returnOld: false }))).toEqual(["write b k"]);
  expect(asked(on({ ...remove, returnOld: true }), "read")).toEqual(["write b k", "read b k"]);
});

test("every key of a batch stands for itself, and the first refusal is the last question", () => {
  const rest = { deadlineMs: 0, bucket: "b", mode: "linearizable", staleMs: 0, once: null, isAtomic: false } as const;
  const operations: KeyOperation[] = [
    { type: "get", key: utf8("1"), versioned: false },
    { type: "append", key: utf8("2"), value: key },
    { type: "get", key: utf8("3"), versioned: false },
  ];
  const batch: BinaryRequest = { type: "batch", ...rest, operations };
  expect(asked(batch)).toEqual(["read b 1", "write b 2", "read b 3"]);
  expect(asked(batch, "write")).toEqual(["read b 1", "write b 2"]);
});

test("buckets are made and unmade by those who may, and scanned under their prefix", () => {
  const wanted: Readonly<Record<string, string[]>> = {
    scan: ["read users user:"],
    createBucket: ["admin orders *"],
    dropBucket: ["admin orders *"],
    emptyBucket: ["admin orders *"],
    describeBucket: ["read orders *"],
  };
  for (const request of SAMPLE_REQUESTS) {
    const { type } = request;
    if (type === "operation" || type === "batch") continue;
    if (type === "scan" && request.prefix.length === 0) continue;
    expect([type, asked(request)]).toEqual([type, wanted[type] ?? []]);
  }
});
