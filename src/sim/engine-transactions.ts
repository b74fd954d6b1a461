/** Transactions of a simulated engine's log, drawn by chance: about few keys, so that their operations meet. */
import type { Random } from "../core/random.ts";
import { CommandType, MODIFIER_NX } from "../record/command-format.ts";
import { type Condition, encodeTransaction, type TransactionOperation } from "../record/transaction-format.ts";
import {
  bytesOfText,
  type CommandDraft,
  type CommandScope,
  randomKey,
  randomKeyCommand,
  textOf,
} from "./engine-command.ts";

const OPERATIONS_MAX = 4;
const CONDITIONS_MAX = 2;

export function randomTransaction(random: Random, scope: CommandScope, bucket: number): CommandDraft {
  const keys = [randomKey(random), randomKey(random)];
  const value = encoded(random, scope, bucket, keys, false);
  return draft(CommandType.transaction, bucket, keys[0] ?? "", textOf(value));
}

function encoded(random: Random, scope: CommandScope, bucket: number, keys: readonly string[], isInner: boolean) {
  const conditions = Array.from({ length: random.below(CONDITIONS_MAX + 1) }, () =>
    randomCondition(random, scope, bucket, oneOf(random, keys)),
  );
  const operations = Array.from({ length: random.between(1, OPERATIONS_MAX) }, () =>
    randomOperation(random, scope, bucket, keys, isInner),
  );
  return encodeTransaction({ conditions, operations });
}

/** Of versions and values those are asked for that are there, mostly. */
function randomCondition(random: Random, scope: CommandScope, bucket: number, name: string): Condition {
  const key = bytesOfText(name);
  const there = scope.newest(bucket, name);
  if (there === null) return { kind: random.chance(0.8) ? "absent" : "present", key };
  const { high, low } = there.stamp;
  const dice = random.below(10);
  if (dice < 5) return { kind: "stamp", key, high, low };
  if (dice < 8) return { kind: "value", key, value: bytesOfText(there.value ?? "") };
  return { kind: there.value === null ? "absent" : "present", key };
}

function randomOperation(
  random: Random,
  scope: CommandScope,
  bucket: number,
  keys: readonly string[],
  isInner: boolean,
): TransactionOperation {
  const key = oneOf(random, keys);
  const dice = random.below(10);
  if (dice < 3) return { kind: "read", key: bytesOfText(key), metadataOnly: random.chance(0.2) };
  const modifiers = random.chance(0.3) ? MODIFIER_NX : 0;
  if (dice === 3) return write({ ...draft(CommandType.rename, bucket, key, oneOf(random, keys)), modifiers });
  if (dice === 4) return write({ ...draft(CommandType.copy, bucket, key, oneOf(random, keys)), modifiers });
  // One too deep is refused in its place.
  if (dice === 5 && random.chance(isInner ? 0.1 : 0.4))
    return write(draft(CommandType.transaction, bucket, key, textOf(encoded(random, scope, bucket, keys, true))));
  return write(randomKeyCommand(random, scope, bucket, key));
}

function write({ type, modifiers, key, value, expiryMs }: CommandDraft): TransactionOperation {
  return { kind: "write", type, modifiers, key: bytesOfText(key), value: bytesOfText(value), expiryMs };
}

function draft(type: CommandType, bucket: number, key: string, value: string): CommandDraft {
  return { type, modifiers: 0, bucket, key, value, expiryMs: 0 };
}

function oneOf(random: Random, keys: readonly string[]): string {
  return keys[random.below(keys.length)] ?? "";
}
