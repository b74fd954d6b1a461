/**
 * What one object of the database must behave like: the model against which histories are checked. Most objects are keys.
 * Others are what a shard has of a set of keys, told by one page of them: what `list` answers; and pairs of keys that
 * only transactions touch (pair-model.ts).
 *
 * Expiry is by clocks that may be an hour apart, so a key that expires soon may be there or not whenever it is looked at.
 * One that has expired long ago is gone, one that will expire long hence stays: whatever the clocks do.
 */
import type { Result } from "../record/result.ts";
import { unreachable } from "../core/assert.ts";
import { text } from "../core/bytes.ts";
import type { Model, Operation } from "./linearizability.ts";
import { type PairInput, pairEffect } from "./pair-model.ts";

export type KeyInput =
  | { readonly kind: "get" }
  | { readonly kind: "set"; readonly value: string }
  | { readonly kind: "setIfAbsent"; readonly value: string }
  /** Reads the version, and writes another value in its place, on condition that it is still there. */
  | { readonly kind: "swap"; readonly value: string }
  | { readonly kind: "delete" }
  | { readonly kind: "increment"; readonly by: bigint }
  | { readonly kind: "setExpiring"; readonly value: string; readonly expiry: Expiry }
  /** Of a set: a key is written or removed, or all of them are listed. */
  | { readonly kind: "add"; readonly member: string; readonly value: string }
  | { readonly kind: "remove"; readonly member: string }
  | { readonly kind: "list"; readonly prefix: string; readonly shard: number }
  | PairInput;

export type Expiry = "long ago" | "soon" | "long hence";

/** The value, null when the key is absent; of a set its members, each between two spaces. */
type KeyState = string | null;

/** Stands before a value that may have expired. */
const EXPIRING = "expiring ";

/** Stands for every value that was never shown; like them it is no number. */
const UNSHOWN = "unshown";
const INTEGER = /^-?\d+$/;

/** Outputs as `describeResult` words them. */
export const keyModel: Model<KeyState, KeyInput, string> = {
  initial: null,
  step(state, input, output) {
    const [after, ...possible] = effect(state, input);
    return output === null || possible.includes(output) ? after : undefined;
  },
  describe: (state) => (state === null ? "absent" : `=${state}`),
  isRead,
};

/** The state after it, and the outputs that it may have. */
function effect(state: KeyState, input: KeyInput): readonly [after: KeyState, ...outputs: string[]] {
  if (state?.startsWith(EXPIRING) === true) return effectOnExpiring(state, input);
  switch (input.kind) {
    case "get":
      return [state, shown(state)];
    case "set":
      return [input.value, "ok"];
    case "setIfAbsent":
      return state === null ? [input.value, "ok"] : [state, "nil"];
    case "swap":
      return [input.value, swapOutput(shown(state))];
    case "delete":
      return [null, state === null ? "0" : "1"];
    case "increment": {
      if (state !== null && !INTEGER.test(state)) return [state, "error NOT_AN_INTEGER"];
      const sum = String(BigInt(state ?? 0) + input.by);
      return [sum, sum];
    }
    case "setExpiring":
      if (input.expiry === "soon") return [EXPIRING + input.value, "ok"];
      return [input.expiry === "long hence" ? input.value : null, "ok"];
    case "add":
      return [withMember(state, input.member), "ok"];
    case "remove":
      return [withoutMember(state, input.member), hasMember(state, input.member) ? "1" : "0"];
    case "list":
      return [state, listOutput(membersOf(state))];
    case "move":
    case "look":
    case "clear":
      return pairEffect(state, input);
    default:
      return unreachable(input);
  }
}

/** As if the key were there, or as if it were not; reading it decides nothing for the next reader. */
function effectOnExpiring(state: string, input: KeyInput): readonly [after: KeyState, ...outputs: string[]] {
  const [after, there] = effect(state.slice(EXPIRING.length), input);
  const [, gone] = effect(null, input);
  return [input.kind === "get" ? state : after, there ?? "", gone ?? ""];
}

function shown(state: KeyState): string {
  return state === null ? "nil" : `=${state}`;
}

/** What a swap that was done says of the version that it took the place of: `before`, as a read of it says. */
export function swapOutput(before: string): string {
  return `swapped ${before}`;
}

function membersOf(state: KeyState): readonly string[] {
  return state === null ? [] : state.trim().split(" ");
}

function hasMember(state: KeyState, member: string): boolean {
  return membersOf(state).includes(member);
}

function withMember(state: KeyState, member: string): KeyState {
  return hasMember(state, member) ? state : stateOf([...membersOf(state), member]);
}

function withoutMember(state: KeyState, member: string): KeyState {
  return stateOf(membersOf(state).filter((one) => one !== member));
}

function stateOf(members: readonly string[]): KeyState {
  return members.length === 0 ? null : ` ${members.toSorted().join(" ")} `;
}

/** Whether it changes nothing. */
export function isRead(input: KeyInput): boolean {
  return input.kind === "get" || input.kind === "list" || input.kind === "look";
}

/** What `list` answers. */
function listOutput(members: readonly string[]): string {
  return `[${members.toSorted().join(" ")}]`;
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
    const value = input.kind === "increment" ? output : shownValue(output);
    if (value === null) continue;
    shown.set(value, Math.min(outcome.returnedAt, shown.get(value) ?? Infinity));
    if (!INTEGER.test(value)) continue;
    sums.push({ bits: BigInt(value), at: outcome.returnedAt });
    bits |= BigInt(value);
  }
  const shownAt = (input: KeyInput): number => {
    if (writesValue(input)) return shown.get(input.value) ?? Infinity;
    if (input.kind !== "increment" || (bits & input.by) === 0n) return Infinity;
    return Math.min(...sums.filter((sum) => (sum.bits & input.by) !== 0n).map(({ at }) => at));
  };
  return history.map((operation) => {
    const { input, calledAt, outcome } = operation;
    if (!writesValue(input) && input.kind !== "increment") return operation;
    const returnedAt = shownAt(input);
    if (returnedAt === Infinity) return { input: unshown(input), calledAt, outcome };
    return outcome === null ? { input, calledAt, outcome: { output: null, returnedAt } } : operation;
  });
}

/** By a read or a swap; null: none. */
function shownValue(output: string): string | null {
  return /^(?:swapped )?=(.*)$/s.exec(output)?.[1] ?? null;
}

type ValueInput = Extract<KeyInput, { kind: "set" | "setIfAbsent" | "setExpiring" | "swap" }>;

function writesValue(input: KeyInput): input is ValueInput {
  const { kind } = input;
  return kind === "set" || kind === "setIfAbsent" || kind === "setExpiring" || kind === "swap";
}

function unshown(input: ValueInput | Extract<KeyInput, { kind: "increment" }>): KeyInput {
  return input.kind === "increment" ? { kind: "increment", by: 0n } : { ...input, value: UNSHOWN };
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
    case "page":
      return listOutput(result.keys.map(text));
    case "results":
      return `[${result.results.map(describeResult).join(" ")}]`;
    case "stamped":
      return `=${text(result.value)}`;
    case "bytes":
    case "entries":
      return result.kind;
    default:
      return unreachable(result);
  }
}
