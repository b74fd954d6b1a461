/** Transactions over a map: what the shard promises of them, said once more and shorter. */
import { CommandReader, CommandType, MODIFIER_NX } from "../../src/record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../../src/record/result.ts";
import { type Condition, decodeTransaction, type EncodedOperation } from "../../src/record/transaction-format.ts";

export interface FakeEntry {
  readonly value: Uint8Array;
  readonly expiryMs: number;
}

/** A bucket as a transaction uses it. */
export interface FakeKeys {
  visible(key: Uint8Array): FakeEntry | null;
  set(key: Uint8Array, entry: FakeEntry | null): void;
  stampOf(entry: FakeEntry): number;
  apply(type: CommandType, modifiers: number, key: Uint8Array, value: Uint8Array, expiryMs: number): Result;
}

export function fakeTransaction(keys: FakeKeys, bytes: Uint8Array): Result {
  const { conditions, operations } = decodeTransaction(bytes);
  if (!conditions.every((condition) => holds(keys, condition))) return errorResult("CONFLICT", "no");
  return { kind: "results", results: operations.map((operation) => carryOut(keys, operation)) };
}

function holds(keys: FakeKeys, condition: Condition): boolean {
  const entry = keys.visible(condition.key);
  if (condition.kind === "absent" || entry === null) return condition.kind === "absent" && entry === null;
  if (condition.kind === "stamp") return condition.high === 0 && keys.stampOf(entry) === condition.low;
  return condition.kind === "present" || Buffer.compare(entry.value, condition.value) === 0;
}

function carryOut(keys: FakeKeys, operation: EncodedOperation): Result {
  if (operation.kind === "read") {
    const entry = keys.visible(operation.key);
    if (entry === null) return NIL;
    const value = operation.metadataOnly ? new Uint8Array(0) : entry.value;
    return { kind: "version", valueBytes: entry.value.length, expiryMs: entry.expiryMs, value };
  }
  const command = new CommandReader().over(operation.command);
  command.read(0, operation.command.length);
  const key = command.key();
  const value = command.value().slice();
  if (command.type === CommandType.transaction) return fakeTransaction(keys, value);
  const isMove = command.type === CommandType.rename;
  if (!isMove && command.type !== CommandType.copy)
    return keys.apply(command.type, command.modifiers, key, value, command.expiryMs);
  const isGuarded = (command.modifiers & MODIFIER_NX) !== 0;
  const entry = keys.visible(key);
  if (entry === null) return isMove ? errorResult("NO_KEY", "no such key") : integerResult(0);
  if (isGuarded && keys.visible(value) !== null) return integerResult(0);
  if (isMove) keys.set(key, null);
  keys.set(value, { ...entry });
  return isMove && !isGuarded ? OK : integerResult(1);
}
