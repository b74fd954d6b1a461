/**
 * What the clients of a run asked and were told. Calls and returns are numbered in the order in which they happened,
 * which in one thread is the real-time order that linearizability speaks of.
 */
import { checkLinearizable, type Operation } from "./linearizability.ts";
import { type KeyInput, keyModel } from "./key-model.ts";

/** Searches that need more steps are left undecided; they are counted, not failed. */
const STEPS_MAX = 300_000;

interface Call {
  readonly key: string;
  readonly input: KeyInput;
  readonly calledAt: number;
  outcome: { readonly output: string; readonly returnedAt: number } | null;
  /** It certainly did not happen, or it was a read that told nothing. */
  void: boolean;
}

export class History {
  readonly #calls: Call[] = [];
  #clock = 0;

  get callCount(): number {
    return this.#calls.length;
  }

  /** Calls with a known outcome. */
  get answeredCount(): number {
    return this.#calls.filter((call) => call.outcome !== null).length;
  }

  /** Returns the call's number. Until it is settled its outcome is unknown. */
  call(key: string, input: KeyInput): number {
    this.#calls.push({ key, input, calledAt: ++this.#clock, outcome: null, void: false });
    return this.#calls.length - 1;
  }

  returned(call: number, output: string): void {
    this.#at(call).outcome = { output, returnedAt: ++this.#clock };
  }

  notExecuted(call: number): void {
    this.#at(call).void = true;
  }

  #at(call: number): Call {
    const found = this.#calls[call];
    if (found === undefined) throw new Error(`no call ${call}`);
    return found;
  }

  /** The keys whose histories are wrong, each with its history in words, and how many could not be decided. */
  check(): { readonly wrong: readonly string[]; readonly undecidedCount: number } {
    const wrong: string[] = [];
    let undecidedCount = 0;
    for (const [key, operations] of this.#byKey()) {
      const verdict = checkLinearizable(keyModel, operations, STEPS_MAX);
      if (verdict === "not linearizable") wrong.push(`key ${key} is not linearizable:\n${describe(operations)}`);
      if (verdict === "undecided") undecidedCount += 1;
    }
    return { wrong, undecidedCount };
  }

  #byKey(): Map<string, Operation<KeyInput, string>[]> {
    const byKey = new Map<string, Operation<KeyInput, string>[]>();
    for (const call of this.#calls) {
      if (call.void || (call.outcome === null && call.input.kind === "get")) continue;
      const operations = byKey.get(call.key) ?? [];
      byKey.set(call.key, operations);
      operations.push(call);
    }
    return byKey;
  }
}

function describe(operations: readonly Operation<KeyInput, string>[]): string {
  return operations
    .map(({ input, calledAt, outcome }) => {
      const { kind, ...rest } = input;
      const end = outcome === null ? "unknown" : `${outcome.output} @${outcome.returnedAt}`;
      return `  @${calledAt} ${kind} ${Object.values(rest).join(" ")} → ${end}`;
    })
    .join("\n");
}
