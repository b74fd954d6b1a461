import { expect, setDefaultTimeout, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import type { Log } from "../../src/log/log.ts";
import { at, contents, entryOf, openLog } from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

setDefaultTimeout(60_000);

const RUNS = Number(process.env["EDB_RUNS"] ?? 60);
const STEPS = 120;

/** The log as it should be: entries by index, from `first`; everything up to `durable` has been told to be synced. */
class Model {
  readonly entries = new Map<number, { term: number; valueBytes: number }>();
  last = 0;
  term = 1;
  /** What must survive a crash: a list of states, any of which at or behind the last one told may be found. */
  history: { last: number; lastTerm: number; entries: Map<number, { term: number; valueBytes: number }> }[] = [];

  remember(): void {
    const lastTerm = this.entries.get(this.last)?.term ?? 0;
    this.history.push({ last: this.last, lastTerm, entries: new Map(this.entries) });
  }
}

test("random writes, restarts and power cuts never lose what was told durable", () => {
  const base = Number(process.env["EDB_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  for (let run = 0; run < RUNS; run++) {
    const seed = base + run;
    try {
      runOnce(seed);
    } catch (error) {
      throw new Error(`EDB_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }
});

function runOnce(seed: number): void {
  const random = new Random(seed);
  let disk = new MemoryDisk();
  let log = openLog(disk);
  const model = new Model();
  model.remember();
  let written = 0;
  let told = 0;
  let applied = 0;
  const delayed = random.chance(0.5);
  disk.heldSyncs = delayed ? [] : null;

  const finishSyncs = (): void => {
    while ((disk.heldSyncs?.length ?? 0) > 0) {
      const held = disk.heldSyncs ?? [];
      const [one] = held.splice(random.below(held.length), 1);
      one?.finish(null);
      if (random.chance(0.3)) return;
    }
  };
  const reopen = (next: MemoryDisk): void => {
    disk = next;
    log = openLog(disk);
    const candidates = model.history.slice(told);
    const match = candidates.findLast((state) => state.last === log.lastIndex && matches(log, state.entries));
    if (match === undefined) {
      const wanted = candidates.map((state) => `${state.last}@${state.lastTerm}`).join(" ");
      throw new Error(`found ${log.firstIndex}–${log.lastIndex}@${log.lastTerm}, wanted one of ${wanted}`);
    }
    model.entries.clear();
    for (const [index, entry] of match.entries) model.entries.set(index, entry);
    model.last = match.last;
    model.history = [{ ...match, entries: new Map(match.entries) }];
    written = 0;
    told = 0;
    disk.heldSyncs = delayed ? [] : null;
  };

  for (let step = 0; step < STEPS; step++) {
    const dice = random.below(100);
    if (dice < 55) {
      stageSome(random, log, model, applied);
      model.remember();
      const ticket = ++written;
      log.write(at(Math.min(applied, log.lastIndex)), (failure) => {
        if (failure !== null) throw failure;
        told = Math.max(told, ticket);
        expect(ticket).toBe(told);
      });
    } else if (dice < 65) {
      finishSyncs();
    } else if (dice < 75) {
      const steps = random.below(4);
      for (let i = 0; i < steps; i++) log.backgroundStep(false);
    } else if (dice < 80) {
      const durable = Math.min(...model.history.slice(told).map((state) => state.last));
      applied = Math.max(applied, random.between(0, Math.max(0, durable)));
      log.noteApplied(at(applied));
      if (random.chance(0.5)) log.release(at(random.between(0, applied)));
    } else if (dice < 86) {
      log.close();
      reopen(disk.copy());
    } else if (dice < 92) {
      reopen(disk.crash(random, random.fraction()));
    } else if (log.lastIndex >= log.firstIndex && !log.hasStaged) {
      const from = random.between(log.firstIndex, log.lastIndex);
      const found = log.read(at(from), random.below(20_000));
      for (const [i, entry] of found.entries()) expect(entry).toEqual(modelEntry(model.entries, from + i));
      expect(found.length).toBeGreaterThan(0);
    }
  }
  reopen(disk.crash(random));
  expect(contents(log).length).toBe(log.lastIndex - log.firstIndex + 1);
}

/** Stages nothing, entries that follow, or entries that supersede some that are not applied. */
function stageSome(random: Random, log: Log, model: Model, applied: number): void {
  const lowest = Math.max(applied + 1, log.firstIndex);
  let index = model.last + 1;
  if (random.chance(0.15) && lowest <= model.last) {
    index = random.between(lowest, model.last);
    model.term += 1;
    for (let old = index; old <= model.last; old++) model.entries.delete(old);
    model.last = index - 1;
  } else if (random.chance(0.1)) {
    model.term += 1;
  }
  const count = random.below(5);
  // What supersedes is never nothing: the model would have lost its tail.
  const least = model.last + 1 === log.lastIndex + 1 ? 0 : 1;
  for (let i = 0; i < Math.max(count, least); i++, index++) {
    const valueBytes = random.chance(0.1) ? random.below(90_000) : random.below(3000);
    log.stage([entryOf(index, model.term, valueBytes)]);
    model.entries.set(index, { term: model.term, valueBytes });
    model.last = index;
  }
}

function modelEntry(entries: Model["entries"], index: number): Uint8Array {
  const entry = entries.get(index);
  if (entry === undefined) throw new Error(`the model has no entry ${index}`);
  return entryOf(index, entry.term, entry.valueBytes);
}

function matches(log: Log, entries: Model["entries"]): boolean {
  let same = true;
  let index: number = log.firstIndex;
  for (const found of contents(log)) {
    const wanted = entries.get(index);
    same &&= wanted !== undefined && Buffer.compare(found, entryOf(index, wanted.term, wanted.valueBytes)) === 0;
    index += 1;
  }
  return same;
}
