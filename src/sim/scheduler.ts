/**
 * Virtual time. Everything that happens in a simulation is an event in this one queue, ordered by time and then by the
 * order of scheduling, and all chance comes from one seeded generator, so a seed replays a run exactly.
 *
 * A process is one life of a node: when it ends, by a crash or a stop, every event that it still had waiting is void.
 *
 * A process may be stopped in the middle of an event. Nobody can reach into it meanwhile, so the rest of the event is run at
 * once, but in its own later time: `nowMs` says so, and what it schedules comes after that. What reaches others without
 * being scheduled has to be held back by whoever passes it on, as long as `isAhead`.
 */
import { Random } from "../core/random.ts";
import type { Timer } from "../env/clock.ts";

interface Event {
  atMs: number;
  readonly sequence: number;
  readonly process: SimProcess | null;
  run: (() => void) | null;
}

export class SimProcess {
  readonly name: string;
  alive = true;
  #pausedUntilMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Until then the process is stopped (SIGSTOP): its events wait. */
  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  /** Never shortens a pause: events that wait for its end would be overtaken by new ones. */
  pauseUntil(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, ms);
  }

  end(): void {
    this.alive = false;
  }
}

export class Scheduler {
  readonly random: Random;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  /** For so long the event that runs has been stopped. */
  #stalledMs = 0;
  #sequence = 0;
  #running: SimProcess | null = null;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get nowMs(): number {
    return this.#nowMs + this.#stalledMs;
  }

  /** It is later for the process that runs than for everybody else. */
  get isAhead(): boolean {
    return this.#stalledMs > 0;
  }

  /** The process that runs is stopped here and now for so long. */
  stall(ms: number): void {
    this.#stalledMs += ms;
    this.#running?.pauseUntil(this.nowMs);
  }

  /** The process whose event runs, or has just run: whom an exception belongs to. Null: nobody's, or the event was void. */
  get running(): SimProcess | null {
    return this.#running;
  }

  /** Runs `run` after `delayMs` of virtual time, unless it is cancelled or its process has ended by then. */
  schedule(delayMs: number, process: SimProcess | null, run: () => void): Timer {
    const event: Event = { atMs: this.nowMs + Math.max(0, delayMs), sequence: this.#sequence++, process, run };
    push(this.#heap, event);
    return {
      cancel: () => {
        event.run = null;
      },
    };
  }

  /** Runs the next event; false when there is none at or before `limitMs`. */
  step(limitMs: number): boolean {
    const next = this.#heap[0];
    if (next === undefined || next.atMs > limitMs) return false;
    pop(this.#heap);
    this.#nowMs = next.atMs;
    const { run, process } = next;
    this.#running = null;
    if (run === null || process?.alive === false) return true;
    if (process !== null && process.pausedUntilMs > this.#nowMs) {
      next.atMs = process.pausedUntilMs;
      push(this.#heap, next);
      return true;
    }
    this.#running = process;
    try {
      run();
    } finally {
      this.#stalledMs = 0;
    }
    return true;
  }

  /** Runs everything due up to `limitMs`, or until `done` says so after an event. */
  runUntil(limitMs: number, done: () => boolean): void {
    while (!done() && this.step(limitMs));
    if (!done()) this.#nowMs = Math.max(this.#nowMs, limitMs);
  }

  /** A uniform virtual duration. */
  duration(range: Range): number {
    return range.min + this.random.fraction() * (range.max - range.min);
  }
}

/** Milliseconds. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

function before(a: Event, b: Event): boolean {
  return a.atMs === b.atMs ? a.sequence < b.sequence : a.atMs < b.atMs;
}

/** A binary heap, the earliest event first. */
function push(heap: Event[], event: Event): void {
  let hole = heap.length;
  heap.push(event);
  while (hole > 0) {
    const parent = (hole - 1) >>> 1;
    const above = heap[parent]!;
    if (!before(event, above)) break;
    heap[hole] = above;
    hole = parent;
  }
  heap[hole] = event;
}

function pop(heap: Event[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let hole = 0;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
    if (!before(heap[child]!, last)) break;
    heap[hole] = heap[child]!;
    hole = child;
  }
  heap[hole] = last;
}
