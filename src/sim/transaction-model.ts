/**
 * What transactions come to, by the plainest means: their operations are carried out one by one on the model's own state,
 * and taken back if they turn out to be too large. Shares no code with the shard's own applying (engine-model.ts).
 */
import { CommandReader, CommandType } from "../record/command-format.ts";
import { type Condition, decodeTransaction, type EncodedOperation } from "../record/transaction-format.ts";
import { bytesOfText, type EngineCommand, textOf } from "./engine-command.ts";
import type { ModelValue } from "./engine-model.ts";

const NX = 1;
const KEY_OVERHEAD_BYTES = 256;
const RESULT_VALUES_MAX = 4;

/** The state that a transaction works on: keys of its bucket, at its moment. */
export interface TransactionState {
  readonly bytesMax: number;
  find(key: string): ModelValue | null;
  /** Whether the version that is there was there before and has this stamp. */
  hasStamp(key: string, high: number, low: number): boolean;
  set(key: string, content: ModelValue | null): void;
  /** Any other command. */
  run(command: EngineCommand): string;
  /** What it has set so far: keys, and the bytes of their values. */
  changes(): ReadonlyMap<string, number>;
  undo(): void;
}

export function runTransaction(command: EngineCommand, state: TransactionState): string {
  const { conditions, operations } = decodeTransaction(bytesOfText(command.value));
  if (!conditions.every((condition) => holds(condition, state))) return "error CONFLICT";
  const run = { resultBytes: 0 };
  const outcomes: string[] = [];
  for (const operation of operations) {
    outcomes.push(carryOut(operation, command, state, run, false));
    if (isTooLarge(state, run)) {
      state.undo();
      return "error TOO_LARGE";
    }
  }
  return `[${outcomes.join(", ")}]`;
}

interface Run {
  resultBytes: number;
}

function isTooLarge(state: TransactionState, { resultBytes }: Run): boolean {
  let byteCount = 0;
  for (const [key, valueBytes] of state.changes()) byteCount += key.length + valueBytes + KEY_OVERHEAD_BYTES;
  return byteCount > state.bytesMax || resultBytes > RESULT_VALUES_MAX * state.bytesMax;
}

function holds(condition: Condition, state: TransactionState): boolean {
  const key = textOf(condition.key);
  const found = state.find(key);
  if (condition.kind === "absent") return found === null;
  if (found === null) return false;
  if (condition.kind === "stamp") return state.hasStamp(key, condition.high, condition.low);
  return condition.kind === "present" || found.value === textOf(condition.value);
}

function carryOut(
  operation: EncodedOperation,
  outer: EngineCommand,
  state: TransactionState,
  run: Run,
  isInner: boolean,
): string {
  if (operation.kind === "read") return counted(read(operation, state), run);
  const reader = new CommandReader().over(operation.command);
  reader.read(0, operation.command.length);
  const { type, modifiers, expiryMs } = reader;
  const command = { ...outer, type, modifiers, expiryMs, key: textOf(reader.key()), value: textOf(reader.value()) };
  if (type === CommandType.rename) return rename(command, state);
  if (type === CommandType.copy) return copy(command, state);
  if (type !== CommandType.transaction) return counted(state.run(command), run);
  return isInner ? "error INVALID_ARGUMENT" : runInner(command, state, run);
}

function runInner(command: EngineCommand, state: TransactionState, run: Run): string {
  const { conditions, operations } = decodeTransaction(bytesOfText(command.value));
  if (!conditions.every((condition) => holds(condition, state))) return "error CONFLICT";
  const outcomes: string[] = [];
  for (const operation of operations) {
    outcomes.push(carryOut(operation, command, state, run, true));
    if (isTooLarge(state, run)) break;
  }
  return `[${outcomes.join(", ")}]`;
}

function read({ key, metadataOnly }: Extract<EncodedOperation, { kind: "read" }>, state: TransactionState): string {
  const found = state.find(textOf(key));
  return found === null ? "nil" : `version ${metadataOnly ? "" : found.value}`;
}

function rename({ key, value: to, modifiers }: EngineCommand, state: TransactionState): string {
  const found = state.find(key);
  if (found === null) return "error NO_KEY";
  const isGuarded = (modifiers & NX) !== 0;
  if (isGuarded && state.find(to) !== null) return "integer 0";
  if (key !== to) {
    state.set(to, found);
    state.set(key, null);
  }
  return isGuarded ? "integer 1" : "ok";
}

function copy({ key, value: to, modifiers }: EngineCommand, state: TransactionState): string {
  const found = state.find(key);
  if (found === null || ((modifiers & NX) !== 0 && state.find(to) !== null)) return "integer 0";
  state.set(to, found);
  return "integer 1";
}

function counted(outcome: string, run: Run): string {
  const value = /^(?:version|bytes) (.*)$/s.exec(outcome);
  run.resultBytes += value?.[1]?.length ?? 0;
  return outcome;
}
