/**
 * Is a history of concurrent operations on one object linearizable? The search of Wing and Gong ("Testing and Verifying
 * Concurrent Objects", 1993) with Lowe's memory of configurations already tried ("Testing for Linearizability", 2017),
 * over an undoable list of calls and returns. Histories of independent objects are checked one by one
 * (P-compositionality: Horn and Kroening, "Faster Linearizability Checking via P-Compositionality", 2015): the caller
 * splits them by key.
 *
 * An operation whose outcome is unknown has no return: it may take effect at any time after its call, or never.
 */

export interface Operation<Input, Output> {
  readonly input: Input;
  readonly calledAt: number;
  /** Null: the outcome is unknown. */
  readonly outcome: { readonly output: Output; readonly returnedAt: number } | null;
}

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the operation, or undefined when it cannot give this output. A null output is unknown: it always fits. */
  step(state: State, input: Input, output: Output | null): State | undefined;
  /** Equal texts for equal states only. */
  describe(state: State): string;
}

export type Verdict = "linearizable" | "not linearizable" | "undecided";

interface Node {
  readonly operation: number;
  readonly isCall: boolean;
  /** Of a call: its return, null when there is none. */
  readonly match: Node | null;
  previous: Node;
  next: Node | null;
}

/** `stepsMax` bounds the search, which is exponential at worst. */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  stepsMax: number,
): Verdict {
  const head = buildList(history);
  const knownCount = history.filter(({ outcome }) => outcome !== null).length;
  const done = new Uint32Array(Math.ceil(history.length / 32) + 1);
  const tried = new Set<string>();
  const path: { node: Node; state: State }[] = [];
  let state = model.initial;
  let knownDone = 0;
  let node = head.next;
  for (let steps = 0; knownDone < knownCount; steps++) {
    if (steps > stepsMax) return "undecided";
    if (node?.isCall === true) {
      const { input, outcome } = history[node.operation]!;
      const after = model.step(state, input, outcome === null ? null : outcome.output);
      if (after !== undefined && isNew(tried, done, node.operation, model.describe(after))) {
        path.push({ node, state });
        state = after;
        flip(done, node.operation);
        if (outcome !== null) knownDone += 1;
        lift(node);
        node = head.next;
      } else {
        node = node.next;
      }
      continue;
    }
    // A return whose call was not linearized, or the end: this way fails, take the last step back.
    const last = path.pop();
    if (last === undefined) return "not linearizable";
    state = last.state;
    flip(done, last.node.operation);
    if (history[last.node.operation]!.outcome !== null) knownDone -= 1;
    unlift(last.node);
    node = last.node.next;
  }
  return "linearizable";
}

function buildList<Input, Output>(history: readonly Operation<Input, Output>[]): Node {
  interface Point {
    readonly at: number;
    readonly operation: number;
    readonly isCall: boolean;
  }
  const points: Point[] = [];
  for (const [operation, { calledAt, outcome }] of history.entries()) {
    points.push({ at: calledAt, operation, isCall: true });
    if (outcome !== null) points.push({ at: outcome.returnedAt, operation, isCall: false });
  }
  // At equal times a call comes before a return: then the operations overlap, which forbids less.
  points.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  const returns = new Map<number, Node>();
  let next: Node | null = null;
  const head: Node = { operation: -1, isCall: false, match: null, previous: undefined as unknown as Node, next: null };
  for (const { operation, isCall } of points.reverse()) {
    const match: Node | null = isCall ? (returns.get(operation) ?? null) : null;
    const node: Node = { operation, isCall, match, previous: head, next };
    if (next !== null) next.previous = node;
    if (!isCall) returns.set(operation, node);
    next = node;
  }
  head.next = next;
  return head;
}

/** Takes a call and its return out of the list; they keep their own links for `unlift`. */
function lift(call: Node): void {
  call.previous.next = call.next;
  if (call.next !== null) call.next.previous = call.previous;
  const { match } = call;
  if (match === null) return;
  match.previous.next = match.next;
  if (match.next !== null) match.next.previous = match.previous;
}

function unlift(call: Node): void {
  const { match } = call;
  if (match !== null) {
    match.previous.next = match;
    if (match.next !== null) match.next.previous = match;
  }
  call.previous.next = call;
  if (call.next !== null) call.next.previous = call;
}

function flip(done: Uint32Array, operation: number): void {
  done[operation >>> 5]! ^= 1 << (operation & 31);
}

function isNew(tried: Set<string>, done: Uint32Array, operation: number, state: string): boolean {
  flip(done, operation);
  const configuration = `${done.join(",")} ${state}`;
  flip(done, operation);
  if (tried.has(configuration)) return false;
  tried.add(configuration);
  return true;
}
