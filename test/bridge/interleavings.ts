/**
 * Runs the threads of a small program in every order in which their Atomics can fall, with the very code that real threads
 * run. One step is one call of Atomics. JavaScript cannot stop a function in the middle and go on with it later, so a thread
 * is carried on by running it again from its beginning: the calls it has made before get the results they had, the next one
 * takes place, and the one after that throws it out. So what a thread does must depend on nothing but those results, and
 * what it writes besides must be the same each time.
 *
 * States in which all words agree, and all that the threads have seen, are gone on from once. A state from which nobody can
 * go on, although not all threads have ended, is a wake-up that was lost.
 */

/**
 * One thread: builds what it needs and runs to its end. It sleeps by Atomics.wait, or by Atomics.waitAsync and then `idle`.
 * With `note` it may say that all it knows follows from these words: then what it has seen before tells states apart no more.
 */
export type Program = (idle: () => void, note: (known: string) => void) => void;

interface Thread {
  /** What each call has returned. */
  readonly results: readonly unknown[];
  /** What it has noted last, and after how many calls. */
  readonly noted: string;
  readonly notedAt: number;
  /** The word it sleeps on; −1: none. */
  readonly sleepsOn: number;
  /** The word that a promise of waitAsync waits on; −1: none. */
  readonly promisedOn: number;
  readonly hasEnded: boolean;
}

interface World {
  readonly words: readonly number[];
  readonly threads: readonly Thread[];
  /** How it came about: which thread made the last step, in which world. */
  readonly from: { readonly world: World; readonly thread: number } | null;
}

interface Exploration {
  /** The first state found from which nobody can go on: the number of the thread for each step that leads there. */
  readonly stuck: readonly number[] | null;
}

/** The memory that the programs share, as far as its words tell states apart. */
interface Memory {
  read(): number[];
  write(words: readonly number[]): void;
  place(words: Int32Array, index: number): number;
}

/** The thread has made its step. */
const PAUSED = Symbol("paused");
/** The thread has to be woken before it can make one. */
const BLOCKED = Symbol("blocked");
const { load, store, exchange, notify, wait, waitAsync } = Atomics;
const REAL = { load, store, exchange, notify, wait, waitAsync };

/** Of each of the memories the first words tell states apart, and what lies behind them never differs. */
export function explore(
  memories: readonly SharedArrayBuffer[],
  wordCount: number,
  programs: readonly Program[],
): Exploration {
  const memory = memoryOf(memories, wordCount);
  const unborn = { results: [], noted: "", notedAt: 0, sleepsOn: -1, promisedOn: -1, hasEnded: false };
  const pending: World[] = [{ words: memory.read(), threads: programs.map(() => unborn), from: null }];
  const seen = new Set<number | bigint>();
  for (let world = pending.pop(); world !== undefined; world = pending.pop()) {
    let canGoOn = false;
    for (const [number, program] of programs.entries()) {
      const next = stepped(memory, world, number, program);
      if (next === null) continue;
      canGoOn = true;
      const key = Bun.hash(keyOf(next));
      if (seen.has(key)) continue;
      seen.add(key);
      pending.push(next);
    }
    if (!canGoOn && world.threads.some(({ hasEnded }) => !hasEnded)) return { stuck: wayTo(world) };
  }
  return { stuck: null };
}

function memoryOf(memories: readonly SharedArrayBuffer[], wordCount: number): Memory {
  const views = memories.map((memory) => new Int32Array(memory, 0, wordCount));
  return {
    read: () => views.flatMap((view) => [...view]),
    write: (words) => {
      for (const [i, view] of views.entries()) view.set(words.slice(i * wordCount, (i + 1) * wordCount));
    },
    place: (words, index) => memories.indexOf(words.buffer as SharedArrayBuffer) * wordCount + index,
  };
}

function keyOf({ words, threads }: World): string {
  const parts = threads.map(({ results, notedAt, ...rest }) =>
    [...results.slice(notedAt), ...Object.values(rest)].join(),
  );
  return [words.join(), ...parts].join(";");
}

function wayTo(world: World): number[] {
  const way: number[] = [];
  for (let { from } = world; from !== null; { from } = from.world) way.unshift(from.thread);
  return way;
}

/** What the world is after one more step of this thread; null when it can make none. */
function stepped(memory: Memory, world: World, number: number, program: Program): World | null {
  const before = world.threads[number]!;
  if (before.hasEnded || before.sleepsOn >= 0) return null;
  const threads = [...world.threads];
  const step = new Step(memory, threads, number);
  memory.write(world.words);
  let hasEnded = false;
  Object.assign(Atomics, step.atomics);
  try {
    program(
      () => step.idle(),
      (known) => step.note(known),
    );
    hasEnded = true;
  } catch (cause) {
    if (cause === BLOCKED) return null;
    if (cause !== PAUSED) throw cause;
  } finally {
    Object.assign(Atomics, REAL);
  }
  const { results, noted, notedAt, sleepsOn, promisedOn } = step;
  threads[number] = { results, noted, notedAt, sleepsOn, promisedOn, hasEnded };
  return { words: memory.read(), threads, from: { world, thread: number } };
}

/** One thread while it is run again and one call further. */
class Step {
  readonly results: unknown[];
  noted = "";
  notedAt = 0;
  sleepsOn = -1;
  promisedOn: number;
  readonly #memory: Memory;
  readonly #threads: Thread[];
  readonly #number: number;
  readonly #callsBefore: number;
  #calls = 0;
  #continuation: (() => void) | null = null;

  constructor(memory: Memory, threads: Thread[], number: number) {
    const { results, promisedOn } = threads[number]!;
    this.results = [...results];
    this.promisedOn = promisedOn;
    this.#memory = memory;
    this.#threads = threads;
    this.#number = number;
    this.#callsBefore = results.length;
  }

  /** In the place of a promise. */
  readonly #woken = {
    // biome-ignore lint/suspicious/noThenProperty: a thread calls it as that of a promise.
    then: (run: () => void): void => {
      this.#continuation = run;
    },
  };

  readonly atomics = {
    load: (words: Int32Array, index: number) => this.#call(() => load(words, index)),
    store: (words: Int32Array, index: number, value: number) => this.#call(() => store(words, index, value)),
    exchange: (words: Int32Array, index: number, value: number) => this.#call(() => exchange(words, index, value)),
    notify: (words: Int32Array, index: number) => this.#call(() => this.#notify(this.#memory.place(words, index))),
    wait: (words: Int32Array, index: number, value: number) => this.#call(() => this.#wait(words, index, value)),
    waitAsync: (words: Int32Array, index: number, value: number) => {
      const isAsync = this.#call(() => this.#promise(words, index, value));
      return isAsync === true ? { async: true, value: this.#woken } : { async: false, value: "not-equal" };
    },
  };

  /** Where a thread of promises has nothing to do: goes on with what waits for the promise. */
  idle(): void {
    this.#call(() => {
      if (this.promisedOn >= 0) throw BLOCKED;
    });
    const run = this.#continuation;
    this.#continuation = null;
    run?.();
  }

  note(known: string): void {
    this.noted = known;
    this.notedAt = this.#calls;
  }

  #call(make: () => unknown): unknown {
    if (this.#calls < this.#callsBefore) return this.results[this.#calls++];
    if (this.#calls > this.#callsBefore) throw PAUSED;
    const result = make();
    this.#calls += 1;
    this.results.push(result);
    return result;
  }

  #wait(words: Int32Array, index: number, value: number): string {
    if (load(words, index) !== value) return "not-equal";
    this.sleepsOn = this.#memory.place(words, index);
    // What it returns is put down by whoever wakes it.
    throw PAUSED;
  }

  #promise(words: Int32Array, index: number, value: number): boolean {
    if (load(words, index) !== value) return false;
    this.promisedOn = this.#memory.place(words, index);
    return true;
  }

  #notify(word: number): void {
    if (this.promisedOn === word) this.promisedOn = -1;
    for (const [other, thread] of this.#threads.entries()) {
      if (other === this.#number) continue;
      if (thread.sleepsOn === word) {
        this.#threads[other] = { ...thread, sleepsOn: -1, results: [...thread.results, "ok"] };
      } else if (thread.promisedOn === word) this.#threads[other] = { ...thread, promisedOn: -1 };
    }
  }
}
