/**
 * Is a history of concurrent operations on one object linearizable? The search of Wing and Gong ("Testing and Verifying
 * Concurrent Objects", 1993) with Lowe's memory of configurations already tried ("Testing for Linearizability", 2017),
 * over an undoable list of calls and returns. Histories of independent objects are checked one by one
 * (P-compositionality: Horn and Kroening, "Faster Linearizability Checking via P-Compositionality", 2015): the caller
 * splits them by key.
 *
 * An operation whose outcome is unknown has no return: it may take effect at any time after its call, or never. These
 * are what makes a search long, so they are treated with care, and none of it changes a verdict:
 *
 *   - they are tried last, when nothing that has returned can come next
 *   - one that would change nothing is not tried, nor one before its twin: the same operation, called earlier
 *   - a configuration is not worth a try if one with the same state and returned operations, and no unknown operation
 *     used that this one has not used too, has been tried: whatever follows from this one follows from that one
 *
 * Nor does this: a read that has returned and can come next is taken now and never later, unless one of unknown outcome
 * may come before it only. Whatever order there is with it further on, there is with it here.
 *
 * Beyond real time the caller may demand an order, such as that of the operations of one connection: pairs (a, b) of
 * which a may not take effect after b.
 */

/** It did take effect before `returnedAt`. */
export interface Outcome<Output> {
  /** Null: whatever the model says. */
  readonly output: Output | null;
  readonly returnedAt: number;
}

export interface Operation<Input, Output> {
  readonly input: Input;
  readonly calledAt: number;
  /** Null: the outcome is unknown. */
  readonly outcome: Outcome<Output> | null;
}

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the operation, or undefined when it cannot give this output. A null output is unknown: it always fits. */
  step(state: State, input: Input, output: Output | null): State | undefined;
  /** Equal texts for equal states only. */
  describe(state: State): string;
  /** Whether it never changes a state. */
  isRead(input: Input): boolean;
}

/** Positions in the history: the first may not take effect after the second. */
export type OrderedPair = readonly [first: number, second: number];

export type Verdict = "linearizable" | "not linearizable" | "undecided";

/** `stepsMax` bounds the search, which is exponential at worst. */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  order: readonly OrderedPair[],
  stepsMax: number,
): Verdict {
  return new Search(model, history, order).run(stepsMax);
}

/** A call or a return of an operation that has returned. */
interface Point {
  readonly operation: number;
  readonly isCall: boolean;
  readonly at: number;
  /** Of a call: its return. */
  readonly match: Point | null;
  previous: Point;
  next: Point | null;
}

/** A step of the search, and what is needed to take it back and go on behind it. */
interface Step<State> {
  readonly stateBefore: State;
  /** Of an operation that has returned: its call. Otherwise the return at which the unknown ones were tried. */
  readonly point: Point;
  /** Which of the unknown ones; -1: one that has returned. */
  readonly unknown: number;
  /** A read: where there is no order with it, there is none without it. */
  readonly isForced: boolean;
}

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #history: readonly Operation<Input, Output>[];
  readonly #head: Point;
  /** Operations without a return, in order of their calls. */
  readonly #unknown: readonly number[];
  /** For each of those the one before it that is the same and free to come at any time, or -1. */
  readonly #twins: readonly number[];
  /** Those of the unknown ones that have been used, a bit each. */
  #used = 0n;
  readonly #done: Uint8Array;
  readonly #before: readonly number[][];
  readonly #behind: readonly number[][];
  /** Whether there is an unknown one that may not come after it. */
  readonly #followsUnknown: Uint8Array;
  /** By state and returned operations: the sets of unknown operations that were used when it was tried. */
  readonly #tried = new Map<string, bigint[]>();
  readonly #path: Step<State>[] = [];
  #state: State;

  constructor(
    model: Model<State, Input, Output>,
    history: readonly Operation<Input, Output>[],
    order: readonly OrderedPair[],
  ) {
    this.#model = model;
    this.#history = history;
    this.#state = model.initial;
    this.#done = new Uint8Array(history.length);
    this.#head = buildList(history);
    this.#before = history.map(() => []);
    this.#behind = history.map(() => []);
    this.#followsUnknown = new Uint8Array(history.length);
    for (const [first, second] of order) {
      if (history[first]!.outcome === null) this.#followsUnknown[second] = 1;
      this.#behind[first]!.push(second);
      if (history[first]!.outcome !== null) this.#before[second]!.push(first);
    }
    this.#unknown = [...history.keys()]
      .filter((operation) => history[operation]!.outcome === null)
      .sort((a, b) => history[a]!.calledAt - history[b]!.calledAt);
    this.#twins = this.#findTwins();
  }

  run(stepsMax: number): Verdict {
    let point = this.#head.next;
    let unknown = 0;
    for (let steps = 0; point !== null; steps++) {
      if (steps > stepsMax) return "undecided";
      if (point.isCall) {
        if (this.#take(point)) point = this.#head.next;
        else point = point.next;
        unknown = 0;
        continue;
      }
      // A return whose operation has not taken effect: only an unknown one can come before it now.
      if (unknown < this.#unknown.length && this.#history[this.#unknown[unknown]!]!.calledAt <= point.at) {
        if (this.#takeUnknown(unknown, point)) {
          point = this.#head.next;
          unknown = 0;
        } else unknown += 1;
        continue;
      }
      const last = this.#lastChoice();
      if (last === undefined) return "not linearizable";
      point = last.unknown < 0 ? last.point.next : last.point;
      unknown = last.unknown + 1;
    }
    return "linearizable";
  }

  /** Takes back what was done from the last step on for which there was another choice; undefined: there was none. */
  #lastChoice(): Step<State> | undefined {
    for (;;) {
      const last = this.#path.pop();
      if (last !== undefined) this.#takeBack(last);
      if (last?.isForced !== true) return last;
    }
  }

  /** Lets an operation that has returned take effect now; false if it cannot, or that was tried before. */
  #take(call: Point): boolean {
    const { input, outcome } = this.#history[call.operation]!;
    if (!this.#isInOrder(call.operation)) return false;
    const after = this.#model.step(this.#state, input, outcome === null ? null : outcome.output);
    if (after === undefined) return false;
    const isForced = this.#model.isRead(input) && this.#followsUnknown[call.operation] === 0;
    const step = { stateBefore: this.#state, point: call, unknown: -1, isForced };
    this.#done[call.operation] = 1;
    lift(call);
    return this.#enter(after, step);
  }

  #takeUnknown(unknown: number, blockedAt: Point): boolean {
    const operation = this.#unknown[unknown]!;
    const twin = this.#twins[unknown]!;
    if (this.#done[operation] === 1 || (twin >= 0 && this.#done[twin] === 0)) return false;
    if (!this.#isInOrder(operation)) return false;
    const after = this.#model.step(this.#state, this.#history[operation]!.input, null);
    if (after === undefined || this.#model.describe(after) === this.#model.describe(this.#state)) return false;
    const step = { stateBefore: this.#state, point: blockedAt, unknown, isForced: false };
    this.#done[operation] = 1;
    this.#used |= 1n << BigInt(unknown);
    return this.#enter(after, step);
  }

  #enter(after: State, step: Step<State>): boolean {
    this.#state = after;
    if (this.#isNew()) {
      this.#path.push(step);
      return true;
    }
    this.#takeBack(step);
    return false;
  }

  #takeBack({ stateBefore, point, unknown }: Step<State>): void {
    this.#state = stateBefore;
    if (unknown < 0) {
      this.#done[point.operation] = 0;
      unlift(point);
    } else {
      this.#done[this.#unknown[unknown]!] = 0;
      this.#used &= ~(1n << BigInt(unknown));
    }
  }

  #isInOrder(operation: number): boolean {
    for (const first of this.#before[operation]!) if (this.#done[first] === 0) return false;
    for (const second of this.#behind[operation]!) if (this.#done[second] === 1) return false;
    return true;
  }

  #isNew(): boolean {
    const configuration = `${this.#remaining()} ${this.#model.describe(this.#state)}`;
    const tried = this.#tried.get(configuration);
    if (tried === undefined) {
      this.#tried.set(configuration, [this.#used]);
      return true;
    }
    for (const used of tried) if ((used & this.#used) === used) return false;
    tried.push(this.#used);
    return true;
  }

  /**
   * Names the operations with a return that are still to come: the first return in the list and the calls before it.
   * Everything called later is still to come, and everything else is done.
   */
  #remaining(): string {
    let names = "";
    let point = this.#head.next;
    for (; point?.isCall === true; point = point.next) names += `${point.operation},`;
    return `${names}${point?.operation ?? ""}`;
  }

  #findTwins(): number[] {
    const latest = new Map<string, number>();
    return this.#unknown.map((operation) => {
      const input = Object.values(this.#history[operation]!.input as object).join(" ");
      const twin = latest.get(input) ?? -1;
      if (this.#behind[operation]!.length === 0) latest.set(input, operation);
      return twin;
    });
  }
}

function buildList<Input, Output>(history: readonly Operation<Input, Output>[]): Point {
  const ends: { readonly at: number; readonly operation: number; readonly isCall: boolean }[] = [];
  for (const [operation, { calledAt, outcome }] of history.entries()) {
    if (outcome === null) continue;
    ends.push({ at: calledAt, operation, isCall: true }, { at: outcome.returnedAt, operation, isCall: false });
  }
  // At equal times a call comes before a return: then the operations overlap, which forbids less.
  ends.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  const returns = new Map<number, Point>();
  let next: Point | null = null;
  const nowhere = undefined as unknown as Point;
  const head: Point = { operation: -1, isCall: false, at: 0, match: null, previous: nowhere, next: null };
  for (const end of ends.reverse()) {
    const match: Point | null = end.isCall ? (returns.get(end.operation) ?? null) : null;
    const point: Point = { ...end, match, previous: head, next };
    if (next !== null) next.previous = point;
    if (!end.isCall) returns.set(end.operation, point);
    next = point;
  }
  head.next = next;
  return head;
}

/** Takes a call and its return out of the list; they keep their own links for `unlift`. */
function lift(call: Point): void {
  call.previous.next = call.next;
  if (call.next !== null) call.next.previous = call.previous;
  const { match } = call;
  if (match === null) return;
  match.previous.next = match.next;
  if (match.next !== null) match.next.previous = match.previous;
}

function unlift(call: Point): void {
  const { match } = call;
  if (match !== null) {
    match.previous.next = match;
    if (match.next !== null) match.next.previous = match;
  }
  call.previous.next = call;
  if (call.next !== null) call.next.previous = call;
}
