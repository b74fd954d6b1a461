/**
 * Judges the history of a run, key by key. A key whose bucket is never emptied has to be linearizable, with the order
 * of every connection kept (see history.ts).
 *
 * Emptying a bucket (FLUSHDB) gives its name a new id and then fences the old one in every shard. While that is under
 * way some nodes know the new id and some do not, so a key is not one object then. Promised, and checked, is this:
 *
 *   - a read sent after a bucket was emptied never shows a value that was there before that began
 *   - between two such times the key is linearizable again, empty at first; what was written while the bucket was being
 *     emptied may be in it or not
 *
 * The second is checked only up to the first emptying whose end nobody knows: it may come at any time.
 */
import { checkLinearizable, type Operation } from "./linearizability.ts";
import { type Call, type KeyHistory, type Renewal, sessionOrder } from "./history.ts";
import { type KeyInput, keyModel, sharpened } from "./key-model.ts";

/** Searches that need more steps are left undecided; they are counted, not failed. */
const STEPS_MAX = 300_000;

export interface Verdict {
  /** The keys whose histories are wrong, each with its history in words. */
  readonly wrong: readonly string[];
  readonly undecidedCount: number;
}

export function judge(keys: readonly KeyHistory[]): Verdict {
  const wrong: string[] = [];
  let undecidedCount = 0;
  for (const { bucket, key, calls, renewals } of keys) {
    const revived = findRevived(calls, renewals);
    if (revived !== null) wrong.push(`${bucket}/${key}: ${revived}\n${describe(calls, renewals)}`);
    for (const epoch of epochsOf(calls, renewals)) {
      const order = sessionOrder(epoch);
      const verdict = checkLinearizable(keyModel, sharpened(epoch), order, STEPS_MAX);
      if (verdict === "undecided") undecidedCount += 1;
      if (verdict !== "not linearizable") continue;
      const isPlain = checkLinearizable(keyModel, sharpened(epoch), [], STEPS_MAX) === "not linearizable";
      const what = isPlain ? "is not linearizable" : "does not keep the order of a connection";
      wrong.push(`${bucket}/${key} ${what}:\n${describe(epoch, renewals)}`);
    }
  }
  return { wrong, undecidedCount };
}

/** A value that was in the bucket before it was emptied and was read afterwards, in words; null: there is none. */
function findRevived(calls: readonly Call[], renewals: readonly Renewal[]): string | null {
  if (renewals.length === 0) return null;
  /** When a value was certainly there: when its write had returned, or somebody had read it. */
  const thereAt = new Map<string, number>();
  const note = (value: string, at: number): void => {
    thereAt.set(value, Math.min(at, thereAt.get(value) ?? Infinity));
  };
  for (const { input, outcome } of calls) {
    if (outcome === null) continue;
    const { output, returnedAt } = outcome;
    if (input.kind === "get" && output.startsWith("=")) note(output.slice(1), returnedAt);
    if ((input.kind === "set" || input.kind === "setIfAbsent") && output === "ok") note(input.value, returnedAt);
  }
  for (const { input, calledAt, outcome } of calls) {
    if (input.kind !== "get" || outcome === null || !outcome.output.startsWith("=")) continue;
    const at = thereAt.get(outcome.output.slice(1)) ?? Infinity;
    const between = renewals.find((one) => one.returnedAt !== null && at < one.calledAt && one.returnedAt < calledAt);
    if (between !== undefined) {
      return `the read @${calledAt} shows what was there @${at}, before the bucket was emptied @${between.calledAt} to @${between.returnedAt}`;
    }
  }
  return null;
}

/** The times in which nobody empties the bucket, each with what may have happened to the key in it. */
function epochsOf(calls: readonly Call[], renewals: readonly Renewal[]): Call[][] {
  const epochs: Call[][] = [];
  let wipedAt = 0;
  let from = 0;
  for (const { calledAt, returnedAt } of [...renewals].sort((a, b) => a.calledAt - b.calledAt)) {
    // Emptied twice at once: one long time of trouble.
    if (calledAt > from) {
      epochs.push(epochOf(calls, wipedAt, from, calledAt));
      wipedAt = calledAt;
    }
    from = Math.max(from, returnedAt ?? Infinity);
  }
  if (from < Infinity) epochs.push(epochOf(calls, wipedAt, from, Infinity));
  return epochs;
}

/** `wipedAt`: what was there by then is gone. What reaches over an end of the epoch may have happened in it or not. */
function epochOf(calls: readonly Call[], wipedAt: number, from: number, until: number): Call[] {
  return calls.flatMap((call) => {
    const { calledAt, outcome, input } = call;
    if (calledAt >= until || (outcome !== null && outcome.returnedAt <= wipedAt)) return [];
    if (outcome === null || (calledAt >= from && outcome.returnedAt <= until)) return [call];
    return input.kind === "get" ? [] : [{ ...call, outcome: null, forsakenAt: 0 }];
  });
}

function describe(operations: readonly Operation<KeyInput, string>[], renewals: readonly Renewal[]): string {
  const lines = operations.map((operation) => {
    const { input, calledAt, outcome } = operation;
    const { kind, ...rest } = input;
    const end = outcome === null ? "unknown" : `${brief(outcome.output ?? "took effect")} @${outcome.returnedAt}`;
    const session = "session" in operation ? `session ${String(operation.session)} ` : "";
    return `  @${calledAt} ${session}${kind} ${Object.values(rest).map(brief).join(" ")} → ${end}`;
  });
  const emptied = renewals.map(({ calledAt, returnedAt }) => `  @${calledAt} emptied → @${returnedAt ?? "unknown"}`);
  return [...lines, ...emptied].join("\n");
}

/** Without the padding. */
function brief(value: unknown): string {
  return String(value).replace(/\.{3,}$/, "…");
}
