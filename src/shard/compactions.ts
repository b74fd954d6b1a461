/**
 * The compactions of a shard under way: begun as they come due, several at once where the tree allows it. With compactors
 * each of them has one; without, at most two are worked on here, and the later of them first: it was begun although another
 * was running, so it is the more urgent one. Collections of value files come last. A request for everything waits until it
 * has the tree for itself. Shard thread.
 */
import { dropRule, type FrozenRule } from "../storage/job.ts";
import type { RewriteJob } from "../storage/rewrite-job.ts";
import type { Tree } from "../storage/tree.ts";
import type { Compactors } from "./compactors.ts";
import { runHere, type RunningJob } from "./running-job.ts";

/** One that takes its time, and one that cannot wait for it. */
const HERE_MAX = 2;

export class Compactions {
  readonly #tree: Tree;
  readonly #compactors: Compactors | null;
  /** In the order of their beginnings. */
  readonly #running: RunningJob[] = [];
  /** The running one is for everything. */
  #isForAll = false;
  /** What is begun next is done here: a compactor could not. */
  #staysHere = false;

  constructor(tree: Tree, compactors: Compactors | null) {
    this.#tree = tree;
    this.#compactors = compactors;
  }

  get isElsewhere(): boolean {
    return this.#running.some((job) => job.isElsewhere);
  }

  /**
   * Begins what is due, or what is for everything, and works. `rule` freezes what may be dropped. Returns whether there is
   * more to do now; "all": everything has just been compacted.
   */
  step(budgetBytes: number, rule: () => FrozenRule, wantsAll: boolean): boolean | "all" {
    if (!this.#isForAll) this.#begin(rule, wantsAll);
    const finished = this.#stepElsewhere();
    const here = this.#running.findLastIndex((job) => !job.isElsewhere);
    if (here >= 0) this.#stepAt(here, budgetBytes);
    if (this.#isForAll && this.#running.length === 0) {
      this.#isForAll = false;
      return "all";
    }
    return finished || here >= 0;
  }

  /** Gives up what is running. Nothing of it is visible. */
  abort(): void {
    this.#isForAll = false;
    for (const job of this.#running.splice(0)) job.abort();
  }

  /** Values are moved on this thread, which alone knows their files, and only when it has no other such work. */
  #beginCollection(rule: () => FrozenRule): void {
    if (this.#running.some((job) => !job.isElsewhere)) return;
    const job = this.#tree.nextCollection(() => dropRule(rule()));
    if (job !== null) this.#running.push(runHere(job));
  }

  #begin(rule: () => FrozenRule, wantsAll: boolean): void {
    if (wantsAll) {
      if (this.#running.length > 0) return;
      const frozen = rule();
      this.#isForAll = true;
      this.#start(this.#tree.compactAll(dropRule(frozen)), frozen);
      return;
    }
    while (this.#tree.mayBeDue && this.#hasRoom) {
      const frozen = rule();
      const job = this.#tree.nextCompaction(dropRule(frozen));
      if (job === null) break;
      this.#start(job, frozen);
    }
    this.#beginCollection(rule);
  }

  /** Without a compactor that lives, the work is done here. */
  get #hasRoom(): boolean {
    if (this.#compactors === null || this.#compactors.aliveCount === 0) return this.#running.length < HERE_MAX;
    return this.#compactors.hasIdle && this.#running.length < this.#compactors.aliveCount;
  }

  #start(job: RewriteJob, rule: FrozenRule): void {
    const { inputs } = job.work;
    let inputBytes = 0;
    for (const table of inputs.flat()) inputBytes += table.fileBytes;
    const source = { kind: "tables", runs: inputs } as const;
    const isOffered = inputBytes > 0 && !this.#staysHere;
    this.#staysHere = false;
    const elsewhere = isOffered ? this.#compactors?.offer(job, source, inputBytes, rule) : null;
    this.#running.push(elsewhere ?? runHere(job));
  }

  /** True: one has ended. */
  #stepElsewhere(): boolean {
    let hasEnded = false;
    for (let i = this.#running.length - 1; i >= 0; i--) {
      if (this.#running[i]?.isElsewhere === true && this.#stepAt(i, 0)) hasEnded = true;
    }
    return hasEnded;
  }

  /** True: it has ended. One that was lost, or outgrown, comes due again by itself. */
  #stepAt(place: number, budgetBytes: number): boolean {
    const job = this.#running[place];
    const progress = job?.step(budgetBytes);
    if (progress === "working" || progress === "waiting") return false;
    this.#running.splice(place, 1);
    if (progress !== "lost" && progress !== "outgrown") return true;
    if (progress === "outgrown") this.#staysHere = true;
    job?.abort();
    this.#isForAll = false;
    return true;
  }
}
