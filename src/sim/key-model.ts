/** What one key of the database must behave like: the model against which histories are checked. */
import type { Result } from "../record/result.ts";
import { unreachable } from "../core/assert.ts";
import { text } from "../core/bytes.ts";
import type { Model } from "./linearizability.ts";

export type KeyInput =
  | { readonly kind: "get" }
  | { readonly kind: "set"; readonly value: string }
  | { readonly kind: "setIfAbsent"; readonly value: string }
  | { readonly kind: "delete" }
  | { readonly kind: "increment"; readonly by: number };

/** The value, null when the key is absent. */
type KeyState = string | null;

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
      if (state !== null && !/^-?\d+$/.test(state)) return [state, "error NOT_AN_INTEGER"];
      const sum = String(Number(state ?? 0) + input.by);
      return [sum, sum];
    }
    default:
      return unreachable(input);
  }
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
      return result.kind;
    default:
      return unreachable(result);
  }
}
