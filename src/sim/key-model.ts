/** What one key of the database must behave like: the model against which histories are checked. */
import type { Result } from "../record/result.ts";
import { unreachable } from "../core/assert.ts";
import { text } from "../core/bytes.ts";
import type { Model, Operation } from "./linearizability.ts";

export type KeyInput =
  | { readonly kind: "get" }
  | { readonly kind: "set"; readonly value: string }
  | { readonly kind: "setIfAbsent"; readonly value: string }
  | { readonly kind: "delete" }
  | { readonly kind: "increment"; readonly by: bigint };

/** The value, null when the key is absent. */
type KeyState = string | null;

/** Stands for every value that was never shown; like them it is no number. */
const UNSHOWN = "unshown";
const INTEGER = /^-?\d+$/;

/** Outputs as `describeResult` words them. */
export const keyModel: Model<KeyState, KeyInput, string> = {
  initial: null,
  step(state, input, output) {
    const [after, expected] = effect(state, input);
    return output === null || output === expected ? after : undefined;
  },
  describe: (state) => (state === null ? "absent" : `=${state}`),
};

function effect(state: KeyState, input: KeyInput): readonly [after: KeyState, output: string] {
  switch (input.kind) {
    case "get":
      return [state, state === null ? "nil" : `=${state}`];
    case "set":
      return [input.value, "ok"];
    case "setIfAbsent":
      return state === null ? [input.value, "ok"] : [state, "nil"];
    case "delete":
      return [null, state === null ? "0" : "1"];
    case "increment": {
      if (state !== null && !INTEGER.test(state)) return [state, "error NOT_AN_INTEGER"];
      const sum = String(BigInt(state ?? 0) + input.by);
      return [sum, sum];
    }
    default:
      return unreachable(input);
  }
}

/**
 * The same history, easier to search. Every value is written once and every increment adds a bit of its own, so what
 * was shown tells what took effect:
 *
 *   - a write of unknown outcome whose value or bit somebody was shown did happen, before the first such answer returned
 *   - those whose value or bit nobody was shown can be no more than the reason why a key was there: they are all alike
 */
export function sharpened(history: readonly Operation<KeyInput, string>[]): Operation<KeyInput, string>[] {
  const shown = new Map<string, number>();
  let bits = 0n;
  const sums: { readonly bits: bigint; readonly at: number }[] = [];
  for (const { input, outcome } of history) {
    if (outcome === null || outcome.output === null) continue;
    const { output } = outcome;
    if (input.kind !== "increment" && !output.startsWith("=")) continue;
    const value = input.kind === "increment" ? output : output.slice(1);
    shown.set(value, Math.min(outcome.returnedAt, shown.get(value) ?? Infinity));
    if (!INTEGER.test(value)) continue;
    sums.push({ bits: BigInt(value), at: outcome.returnedAt });
    bits |= BigInt(value);
  }
  const shownAt = (input: KeyInput): number => {
    if (input.kind === "set" || input.kind === "setIfAbsent") return shown.get(input.value) ?? Infinity;
    if (input.kind !== "increment" || (bits & input.by) === 0n) return Infinity;
    return Math.min(...sums.filter((sum) => (sum.bits & input.by) !== 0n).map(({ at }) => at));
  };
  return history.map((operation) => {
    const { input, calledAt, outcome } = operation;
    if (input.kind === "get" || input.kind === "delete") return operation;
    const returnedAt = shownAt(input);
    if (returnedAt === Infinity) return { input: unshown(input), calledAt, outcome };
    return outcome === null ? { input, calledAt, outcome: { output: null, returnedAt } } : operation;
  });
}

function unshown(input: Exclude<KeyInput, { kind: "get" | "delete" }>): KeyInput {
  return input.kind === "increment" ? { kind: "increment", by: 0n } : { kind: input.kind, value: UNSHOWN };
}

/** A result in the words of the model; results the model does not know get words it never expects. */
export function describeResult(result: Result): string {
  switch (result.kind) {
    case "ok":
    case "nil":
      return result.kind;
    case "integer":
      return String(result.value);
    case "version":
      return `=${text(result.value)}`;
    case "error":
      return `error ${result.code}`;
    case "bytes":
    case "page":
    case "entries":
      return result.kind;
    default:
      return unreachable(result);
  }
}
