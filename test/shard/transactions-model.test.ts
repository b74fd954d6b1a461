/** Random transactions among plain commands, flushes, compactions and restarts, against a map. The seed is in the name of a failure. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { concatBytes, text, utf8, viewOf } from "../../src/core/bytes.ts";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { CommandType, MODIFIER_NX } from "../../src/record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../../src/record/result.ts";
import {
  type Condition,
  encodeTransaction,
  type Transaction,
  type TransactionOperation,
} from "../../src/record/transaction-format.ts";
import { type FakeEntry, type FakeKeys, fakeTransaction } from "../server/fake-transaction.ts";
import { BUCKET, command, i64, ShardHarness } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const KEYS = ["a", "b", "c", "d"];
const STEPS = 400;

class ModelKeys implements FakeKeys {
  readonly entries = new Map<string, FakeEntry>();

  visible(key: Uint8Array): FakeEntry | null {
    return this.entries.get(text(key)) ?? null;
  }

  set(key: Uint8Array, entry: FakeEntry | null): void {
    if (entry === null) this.entries.delete(text(key));
    else this.entries.set(text(key), entry);
  }

  /** Stamps are the shard's to give: no condition here asks for one. */
  stampOf(): number {
    return -1;
  }

  apply(type: CommandType, modifiers: number, key: Uint8Array, value: Uint8Array): Result {
    const old = this.visible(key);
    const put = (bytes: Uint8Array): void => this.set(key, { value: bytes, expiryMs: 0 });
    switch (type) {
      case CommandType.put:
        put(value);
        return OK;
      case CommandType.conditionalPut:
        if ((modifiers & MODIFIER_NX) !== 0 && old !== null) return NIL;
        put(value);
        return OK;
      case CommandType.delete:
        this.set(key, null);
        return integerResult(old === null ? 0 : 1);
      case CommandType.getDelete:
        this.set(key, null);
        return old === null ? NIL : { kind: "bytes", bytes: old.value };
      case CommandType.append:
        put(concatBytes([old?.value ?? new Uint8Array(0), value]));
        return integerResult((old?.value.length ?? 0) + value.length);
      case CommandType.increment: {
        const found = old === null ? "0" : text(old.value);
        if (!/^(0|-?[1-9]\d{0,17})$/.test(found)) return errorResult("NOT_AN_INTEGER", "");
        const sum = BigInt(found) + viewOf(value).getBigInt64(0, true);
        put(utf8(String(sum)));
        return integerResult(sum);
      }
      default:
        throw new Error(`no command of type ${type} is made here`);
    }
  }
}

function aKey(random: Random): string {
  return KEYS[random.below(KEYS.length)] ?? "a";
}

function randomCondition(random: Random): Condition {
  const key = utf8(aKey(random));
  switch (random.below(3)) {
    case 0:
      return { kind: "absent", key };
    case 1:
      return { kind: "present", key };
    default:
      return { kind: "value", key, value: utf8(String(random.below(3))) };
  }
}

function randomOperation(random: Random, depth: number): TransactionOperation {
  const key = utf8(aKey(random));
  const write = (type: CommandType, value: Uint8Array, modifiers = 0): TransactionOperation => ({
    kind: "write",
    type,
    modifiers,
    key,
    value,
    expiryMs: 0,
  });
  const nx = random.chance(0.5) ? MODIFIER_NX : 0;
  switch (random.below(depth === 0 ? 10 : 9)) {
    case 0:
      return { kind: "read", key, metadataOnly: random.chance(0.3) };
    case 1:
      return write(CommandType.put, utf8(String(random.below(3))));
    case 2:
      return write(CommandType.conditionalPut, utf8("x"), MODIFIER_NX);
    case 3:
      return write(CommandType.delete, new Uint8Array(0));
    case 4:
      return write(CommandType.getDelete, new Uint8Array(0));
    case 5:
      return write(CommandType.append, utf8("1"));
    case 6:
      return write(CommandType.increment, i64(BigInt(random.below(5)) - 2n));
    case 7:
      return write(CommandType.rename, utf8(aKey(random)), nx);
    case 8:
      return write(CommandType.copy, utf8(aKey(random)), nx);
    default:
      return write(CommandType.transaction, encodeTransaction(randomTransaction(random, 1)));
  }
}

function randomTransaction(random: Random, depth: number): Transaction {
  const some = <T>(most: number, make: () => T): T[] => Array.from({ length: random.below(most + 1) }, make);
  return {
    conditions: random.chance(0.6) ? [] : some(2, () => randomCondition(random)),
    operations: some(6, () => randomOperation(random, depth)),
  };
}

function said(result: Result | undefined): string {
  if (result === undefined) return "nothing";
  switch (result.kind) {
    case "integer":
      return String(result.value);
    case "bytes":
      return text(result.bytes);
    case "version":
      return `=${text(result.value)} (${result.valueBytes})`;
    case "error":
      return result.code;
    case "results":
      return `[${result.results.map(said).join(" ")}]`;
    default:
      return result.kind;
  }
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8])("seed %d", (seed) => {
  test("everything comes out as with a map", () => {
    using shard = new ShardHarness();
    const random = new Random(seed);
    const model = new ModelKeys();
    for (let step = 0; step < STEPS; step++) {
      const dice = random.below(40);
      if (dice === 0) shard.maintain("flush");
      else if (dice === 1) shard.maintain("compact");
      else if (dice === 2) {
        shard.stop();
        shard.reopen();
        shard.send({ type: "commit", commitIndex: logIndex(shard.lastIndex) });
        shard.shard.turn();
      } else {
        const value = encodeTransaction(randomTransaction(random, 0));
        const result = shard.run(command(CommandType.transaction, aKey(random), { value }))[0];
        expect(`${step}: ${said(result)}`).toBe(`${step}: ${said(fakeTransaction(model, value))}`);
      }
      for (const key of KEYS) {
        const found = shard.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false });
        const expected = model.visible(utf8(key));
        expect(found.kind === "version" ? text(found.value) : null).toBe(
          expected === null ? null : text(expected.value),
        );
      }
    }
  });
});
