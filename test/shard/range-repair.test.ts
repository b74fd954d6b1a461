/** What a damaged table or value file held comes back from another replica, and everything is as if nothing had happened. */
import { expect, test } from "bun:test";
import { logIndex, SESSION_BUCKET } from "../../src/core/ids.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { encodeTransaction } from "../../src/record/transaction-format.ts";
import { encodeSessionTtl } from "../../src/record/session-format.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { BUCKET, command, i64, KIB, put, testOptions } from "./shard-harness.ts";
import { repair, Replicas, ROOT } from "./replicas.ts";

const TABLE = /\.sst$/;
const KEYS = Array.from({ length: 60 }, (_, i) => `k${i}`);
const { tree } = testOptions("");
const SEPARATED = {
  ...tree,
  values: { thresholdBytes: 100, collectBelow: 0.9, segmentBytes: 64 * KIB, hotKeyBytes: 0 },
};

function increment(key: string) {
  return command(CommandType.increment, key, { value: i64(1n) });
}

/** Values, counters and deleted keys in tables of several levels. */
function filled(count: number, options = {}): Replicas {
  const replicas = new Replicas(count, options);
  for (let i = 0; i < 400; i++) {
    const key = `k${(i * 7) % 60}`;
    if (i % 11 === 0) replicas.write(command(CommandType.delete, key));
    else replicas.write(put(key, `${i} `.repeat(i % 3 === 0 ? 2 : 50)));
    if (i % 90 === 89) for (const replica of replicas.all) replica.maintain("flush");
  }
  for (const key of ["n1", "n2", "n3"]) replicas.write(increment(key));
  for (const replica of replicas.all) replica.maintain("flush");
  return replicas;
}

test("a damaged table comes back, with what was refused for its sake, over a restart too", () => {
  using replicas = filled(2);
  const [whole, broken] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  for (let table = 0; broken.quarantined === 0; table++) {
    broken.damage(TABLE, table, 0.5);
    broken.reopen();
    broken.shown(KEYS);
  }
  for (const key of KEYS.slice(0, 20)) replicas.write(command(CommandType.delete, key));
  for (const key of ["n1", "n2", "n3"]) replicas.write(increment(key));
  expect(broken.shown(KEYS)).toContain("CORRUPTION");
  replicas.reopen(broken);
  expect(broken.shown(KEYS)).toContain("CORRUPTION");
  while (broken.quarantined > 0) expect(repair(whole, broken)).toBe("repaired");
  expect(broken.shown([...KEYS, "n1", "n2", "n3"])).toBe(whole.shown([...KEYS, "n1", "n2", "n3"]));
  expect(broken.disk.files().filter((path) => path.endsWith(".quarantine"))).toEqual([]);
  replicas.reopen(broken);
  for (const key of ["n1", "n2", "n3"]) replicas.write(increment(key));
  broken.maintain("compact");
  expect(broken.content()).toEqual(whole.content());
  expect(repair(whole, broken)).toBeNull();
});

test("nothing behind the index of the repair is applied before its end, and everything after it", () => {
  using replicas = filled(2);
  const [whole, broken] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  for (let table = 0; broken.quarantined === 0; table++) {
    broken.damage(TABLE, table, 0.5);
    broken.reopen();
    broken.shown(KEYS);
  }
  const index = replicas.lastIndex;
  let count = 0;
  const outcome = repair(whole, broken, 0, () => {
    count += 1;
    for (const key of KEYS.slice(0, 10)) replicas.write(increment(`${key}-${count}`));
    for (const key of KEYS) replicas.write(put(key, `new ${count}`));
    expect(broken.stats().appliedIndex).toBeLessThanOrEqual(index + 70);
  });
  expect(outcome).toBe("repaired");
  replicas.feed(broken);
  broken.settle();
  expect(broken.stats().appliedIndex).toBe(replicas.lastIndex);
  expect(broken.content()).toEqual(whole.content());
});

test("a damaged value file comes back as values in tables", () => {
  using replicas = filled(2, { tree: SEPARATED, log: { ...testOptions("").log, segmentBytes: 16 * KIB } });
  const [whole, broken] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  for (const replica of replicas.all) {
    replica.release(replicas.lastIndex);
    replica.shard.turn();
    replica.settle();
  }
  for (let file = 0; broken.quarantined === 0; file++) {
    expect(broken.damage(/\.(kept|values)\.evp$/, file, 0.5)).not.toBeNull();
    broken.reopen();
    broken.shown(KEYS);
  }
  for (const key of KEYS) replicas.write(command(CommandType.append, key, { value: i64(7n) }));
  expect(broken.shown(KEYS)).toContain("CORRUPTION");
  while (broken.quarantined > 0) expect(repair(whole, broken)).toBe("repaired");
  expect(broken.shown(KEYS)).toBe(whole.shown(KEYS));
  replicas.reopen(broken);
  expect(broken.shown(KEYS)).toBe(whole.shown(KEYS));
  expect(broken.disk.files().filter((path) => path.endsWith(".quarantine"))).toEqual([]);
});

test("whoever is damaged in the range, or behind, gives nothing", () => {
  using replicas = filled(2);
  const [one, other] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  for (const replica of replicas.all) {
    for (const path of replica.disk.files().filter((name) => TABLE.test(name))) {
      replica.disk.flipBit(path, Math.floor(replica.disk.byteCount(path) / 2), 0);
    }
    replica.reopen();
    replica.shown(KEYS);
  }
  expect(repair(one, other)).toBe("CORRUPTION");
  expect(
    one.ask({ type: "rangeOpen", requestId: 0, minIndex: logIndex(replicas.lastIndex + 1), ranges: [] }),
  ).toMatchObject({
    type: "done",
    result: { kind: "error", code: "UNAVAILABLE" },
  });
  // The wait is over.
  replicas.write(put("later", "x"));
  expect(other.get("later")).toBe("x");
  expect(other.disk.exists(ROOT)).toBe(true);
});

test("a command of a session that was refused here is not carried out again after the repair", () => {
  using replicas = new Replicas(2);
  const [whole, broken] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  const session = 9;
  const value = encodeSessionTtl(100_000);
  const once = (sequence: number) => ({ session, sequence });
  replicas.write(command(CommandType.openSession, "", { bucket: SESSION_BUCKET, value, once: once(0) }));
  for (const replica of replicas.all) replica.maintain("flush");
  const counters = Array.from({ length: 100 }, (_, i) => `c${i}`);
  for (const key of counters) {
    replicas.write(increment(key));
    replicas.write(put(`${key}-beside`, "x".repeat(300)));
  }
  for (const replica of replicas.all) replica.maintain("flush");
  for (let table = 1; broken.quarantined === 0; table++) {
    broken.damage(TABLE, table, 0.5);
    broken.reopen();
    broken.shown(counters);
  }
  const all = counters.map((key, i) => ({ ...increment(key), once: once(i + 1) }));
  for (const one of all) replicas.write(one);
  expect(broken.disk.files().some((path) => path.endsWith("sessions.quarantine"))).toBe(true);
  while (broken.quarantined > 0) expect(repair(whole, broken)).toBe("repaired");
  for (const one of all) replicas.write(one);
  expect(broken.shown(counters)).toBe(whole.shown(counters));
  expect(broken.disk.files().filter((path) => path.endsWith(".quarantine"))).toEqual([]);
});

/** One counter gains what the other one loses. */
function move(from: string, to: string) {
  const add = (key: string, by: bigint) =>
    ({
      kind: "write",
      type: CommandType.increment,
      modifiers: 0,
      key: utf8(key),
      value: i64(by),
      expiryMs: 0,
    }) as const;
  const value = encodeTransaction({ conditions: [], operations: [add(to, 1n), add(from, -1n)] });
  return command(CommandType.transaction, to, { value });
}

test("a transaction that is refused for damage leaves no key behind that says what it did not do", () => {
  using replicas = new Replicas(2, { hasPeers: true });
  const [whole, broken] = replicas.all as [Replicas["all"][0], Replicas["all"][0]];
  const counters = Array.from({ length: 100 }, (_, i) => `c${i}`);
  for (const key of counters) {
    replicas.write(put(key, "0"));
    replicas.write(put(`${key}-beside`, "x".repeat(300)));
  }
  for (const replica of replicas.all) replica.maintain("flush");
  for (let table = 0; broken.quarantined === 0; table++) {
    broken.damage(TABLE, table, 0.5);
    broken.reopen();
    broken.shown(counters);
  }
  const others = counters.map((key) => `other-${key}`);
  for (const key of others) replicas.write(put(key, "10"));
  for (const key of counters) replicas.write(move(`other-${key}`, key));
  const refused = broken.shown(counters).split("\n");
  expect(refused.some((line) => line.endsWith("CORRUPTION"))).toBe(true);
  const agreesOrRefuses = (): void => {
    const told = whole.shown(others).split("\n");
    for (const [i, line] of broken.shown(others).split("\n").entries()) {
      if (!line.endsWith("CORRUPTION")) expect(line).toBe(told[i] ?? "");
    }
  };
  agreesOrRefuses();
  expect(broken.shown(others)).toContain("CORRUPTION");
  const page = { type: "page", bucket: BUCKET, after: null, examineMax: 10, bytesMax: KIB, pattern: null } as const;
  expect(broken.read({ ...page, mode: "keys" })).toMatchObject({ kind: "error", code: "CORRUPTION" });
  replicas.reopen(broken);
  agreesOrRefuses();
  for (const key of others) replicas.write(increment(key));
  agreesOrRefuses();
  expect(broken.disk.files().some((path) => path.endsWith(`keys-${BUCKET}.quarantine`))).toBe(true);
  while (broken.quarantined > 0) expect(repair(whole, broken)).toBe("repaired");
  expect(broken.shown([...counters, ...others])).toBe(whole.shown([...counters, ...others]));
  expect(broken.disk.files().filter((path) => path.endsWith(".quarantine"))).toEqual([]);
  expect(broken.content()).toEqual(whole.content());
});
