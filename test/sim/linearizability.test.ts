/** The checker calls good histories good and bad ones bad. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/core/random.ts";
import {
  checkLinearizable,
  type Model,
  type Operation,
  type OrderedPair,
  type Verdict,
} from "../../src/sim/linearizability.ts";

setDefaultTimeout(60_000);

const STEPS_MAX = 5_000_000;
/** Labelled histories from elsewhere, beside the checkout unless the environment says where; without them their test is skipped. */
const VECTORS = process.env["ENVELOPEDB_TEST_VECTORS"] ?? join(import.meta.dir, "../../../shared/data/vectors");

type RegisterInput = { kind: "read" } | { kind: "write"; value: string } | { kind: "cas"; from: string; to: string };

/** Output: what a read saw, or whether a cas succeeded; a write has none. */
const register: Model<string, RegisterInput, string> = {
  initial: "nil",
  step(state, input, output) {
    switch (input.kind) {
      case "read":
        return output === null || output === state ? state : undefined;
      case "write":
        return input.value;
      case "cas":
        if (output === null) return state === input.from ? input.to : state;
        return (state === input.from) === (output === "ok") ? (output === "ok" ? input.to : state) : undefined;
    }
  },
  describe: (state) => state,
  isRead: (input) => input.kind === "read",
};

function op(
  input: RegisterInput,
  calledAt: number,
  returnedAt: number,
  output: string,
): Operation<RegisterInput, string> {
  return { input, calledAt, outcome: { output, returnedAt } };
}

const write = (value: string): RegisterInput => ({ kind: "write", value });
const read: RegisterInput = { kind: "read" };

test("overlapping operations may take effect in either order", () => {
  const history = [op(write("1"), 0, 10, ""), op(write("2"), 5, 15, ""), op(read, 16, 20, "1")];
  expect(checkLinearizable(register, history, [], STEPS_MAX)).toBe("linearizable");
});

test("a read that misses a finished write is found out", () => {
  const history = [op(write("1"), 0, 10, ""), op(write("2"), 11, 15, ""), op(read, 16, 20, "1")];
  expect(checkLinearizable(register, history, [], STEPS_MAX)).toBe("not linearizable");
});

test("reads may not go back in time, even during a write", () => {
  const history = [op(write("1"), 0, 5, ""), op(write("2"), 10, 40, ""), op(read, 11, 15, "2"), op(read, 16, 20, "1")];
  expect(checkLinearizable(register, history, [], STEPS_MAX)).toBe("not linearizable");
});

test("an operation of unknown outcome happened late, or never, but not twice", () => {
  const unknown: Operation<RegisterInput, string> = { input: write("9"), calledAt: 2, outcome: null };
  const base = [op(write("1"), 0, 1, ""), unknown];
  expect(checkLinearizable(register, [...base, op(read, 50, 60, "1")], [], STEPS_MAX)).toBe("linearizable");
  expect(checkLinearizable(register, [...base, op(read, 50, 60, "9")], [], STEPS_MAX)).toBe("linearizable");
  const thereAndGone = [...base, op(read, 3, 4, "9"), op(write("2"), 5, 6, ""), op(read, 7, 8, "9")];
  expect(checkLinearizable(register, thereAndGone, [], STEPS_MAX)).toBe("not linearizable");
});

test("a search that grows too large says so", () => {
  const writes = Array.from({ length: 30 }, (_, i) => op(write(String(i)), 0, 100, ""));
  expect(checkLinearizable(register, [...writes, op(read, 101, 102, "no such")], [], 1000)).toBe("undecided");
});

/** By trying every order of every choice of the unknown ones. */
function bruteForce(history: readonly Operation<RegisterInput, string>[], order: readonly OrderedPair[]): boolean {
  const done = new Set<number>();
  const search = (state: string): boolean => {
    if (history.every(({ outcome }, i) => outcome === null || done.has(i))) return true;
    return history.some(({ input, calledAt, outcome }, i) => {
      if (done.has(i) || order.some(([first, second]) => first === i && done.has(second))) return false;
      const isLate = history.some(
        (other, j) => !done.has(j) && other.outcome !== null && other.outcome.returnedAt < calledAt,
      );
      const after = isLate ? undefined : register.step(state, input, outcome?.output ?? null);
      if (after === undefined) return false;
      done.add(i);
      const found = search(after);
      done.delete(i);
      return found;
    });
  };
  return search(register.initial);
}

test("the verdict is that of trying every order", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const wrong: unknown[] = [];
  let goodCount = 0;
  for (let round = 0; round < 3000; round++) {
    const value = (): string => String(random.between(1, 3));
    const history = Array.from({ length: random.between(2, 7) }, (): Operation<RegisterInput, string> => {
      const kind = random.below(3);
      const input: RegisterInput =
        kind === 0 ? read : kind === 1 ? write(value()) : { kind: "cas", from: value(), to: value() };
      const calledAt = random.below(20);
      if (random.chance(0.35) && kind > 0) return { input, calledAt, outcome: null };
      const output = kind === 0 ? (random.chance(0.2) ? "nil" : value()) : random.chance(0.6) ? "ok" : "fail";
      return op(input, calledAt, calledAt + random.between(1, 12), output);
    }).sort((a, b) => a.calledAt - b.calledAt);
    const order: OrderedPair[] = [];
    for (let second = 1; second < history.length; second++) {
      if (random.chance(0.25) && history[second]?.outcome !== null) order.push([random.below(second), second]);
    }
    const expected = bruteForce(history, order);
    if (expected) goodCount += 1;
    const verdict = checkLinearizable(register, history, order, STEPS_MAX);
    if (verdict !== (expected ? "linearizable" : "not linearizable"))
      wrong.push({ seed, round, history, order, verdict });
  }
  expect(wrong).toEqual([]);
  expect(goodCount).toBeGreaterThan(300);
});

async function labelledFiles(): Promise<{ name: string; text: string; good: boolean }[]> {
  const labels = JSON.parse(readFileSync(join(VECTORS, "porcupine-labels.json"), "utf8")) as Record<string, boolean>;
  const archive = new Bun.Archive(readFileSync(join(VECTORS, "porcupine-test_data.tgz")));
  const texts = new Map<string, string>();
  for (const [path, file] of await archive.files()) texts.set(fileName(path), await file.text());
  return Object.entries(labels).map(([name, good]) => {
    const text = texts.get(fileName(name));
    if (text === undefined) throw new Error(`there is a label for ${name}, but no such history`);
    return { name, text, good };
  });
}

function fileName(path: string): string {
  return path.split("/").at(-1) ?? path;
}

/** `INFO  jepsen.util - 4 :invoke :write 2`, also :ok, :fail, :info. A failed operation did not happen. */
function parseEtcd(text: string): Operation<RegisterInput, string>[] {
  const open = new Map<string, { input: RegisterInput; calledAt: number }>();
  const history: Operation<RegisterInput, string>[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    const match = /jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$/.exec(line);
    if (match === null) continue;
    const [, process = "", type = "", action = "", rest = ""] = match;
    if (type === "invoke") {
      const [from = "", to = ""] = rest.match(/\d+/g) ?? [];
      const input: RegisterInput =
        action === "read" ? read : action === "write" ? write(from) : { kind: "cas", from, to };
      open.set(process, { input, calledAt: at });
      continue;
    }
    const call = open.get(process);
    if (call === undefined) continue;
    if (type === "ok") {
      open.delete(process);
      const output = call.input.kind === "read" ? rest.trim() : "ok";
      history.push({ ...call, outcome: { output, returnedAt: at } });
    } else if (type === "fail") {
      open.delete(process);
      if (call.input.kind === "cas") history.push({ ...call, outcome: { output: "fail", returnedAt: at } });
    }
  }
  for (const call of open.values()) if (call.input.kind !== "read") history.push({ ...call, outcome: null });
  return history;
}

type TextInput = { kind: "get" } | { kind: "put" | "append"; value: string };

const textModel: Model<string, TextInput, string> = {
  initial: "",
  step(state, input, output) {
    if (input.kind === "get") return output === null || output === state ? state : undefined;
    return input.kind === "put" ? input.value : state + input.value;
  },
  describe: (state) => state,
  isRead: (input) => input.kind === "get",
};

/** `{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}`, split by key. */
function parseKv(text: string): Operation<TextInput, string>[][] {
  const open = new Map<string, { key: string; input: TextInput; calledAt: number }>();
  const byKey = new Map<string, Operation<TextInput, string>[]>();
  for (const [at, line] of text.split("\n").entries()) {
    const match = /:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (?:"(.*)"|nil)/.exec(line);
    if (match === null) continue;
    const [, process = "", type = "", action = "", key = "", value = ""] = match;
    if (type === "invoke") {
      const input: TextInput = action === "get" ? { kind: "get" } : { kind: action as "put" | "append", value };
      open.set(process, { key, input, calledAt: at });
      continue;
    }
    const call = open.get(process);
    if (call === undefined) continue;
    open.delete(process);
    const list = byKey.get(call.key) ?? [];
    byKey.set(call.key, list);
    list.push({ input: call.input, calledAt: call.calledAt, outcome: { output: value, returnedAt: at } });
  }
  return [...byKey.values()];
}

/** A history of several keys is as good as the history of each, and one that is bad is enough. */
function verdictOfKeys(histories: readonly Operation<TextInput, string>[][]): Verdict {
  for (const history of histories) {
    const verdict = checkLinearizable(textModel, history, [], STEPS_MAX);
    if (verdict !== "linearizable") return verdict;
  }
  return "linearizable";
}

test.skipIf(!existsSync(VECTORS))("the labelled histories of the porcupine project get their verdicts", async () => {
  const wrong: string[] = [];
  const files = await labelledFiles();
  expect(files.length).toBe(108);
  expect(files.filter(({ good }) => good).length).toBe(26);
  for (const { name, text, good } of files) {
    const verdict = name.startsWith("etcd")
      ? checkLinearizable(register, parseEtcd(text), [], STEPS_MAX)
      : verdictOfKeys(parseKv(text));
    if (verdict !== (good ? "linearizable" : "not linearizable")) wrong.push(`${name}: ${verdict}`);
  }
  expect(wrong).toEqual([]);
});
