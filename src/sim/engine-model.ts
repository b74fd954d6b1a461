/**
 * What the engine must hold, by the plainest means: for every key all versions it ever had, with their place in the log,
 * so that the state at any index can be asked for, after a crash too. It evaluates commands by itself, over strings, and
 * shares no code with the engine's own applying. Only entries that can never be superseded are shown to it, in order.
 */
import { type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import { CommandType } from "../record/command-format.ts";
import type { EngineCommand, EngineEntry } from "./engine-command.ts";
import { runAccessCommand } from "./access-model.ts";
import { runMemberCommand } from "./member-model.ts";
import { changePart } from "./part-model.ts";
import { runTransaction, type TransactionState } from "./transaction-model.ts";

/** The bits of a command's modifiers (docs/formats.md, Command). */
const NX = 1;
const XX = 2;
const GET = 4;
const KEEPTTL = 8;
const PERSIST = 16;
const GT = 32;
const LT = 64;

/** More than the commands of any entry. */
const PLACES_PER_ENTRY = 4096;
const SYSTEM = 0;

export interface ModelValue {
  readonly value: string;
  readonly expiryMs: number;
}

interface ModelVersion {
  readonly place: number;
  /** Of the command that wrote it. */
  readonly stamp: Stamp;
  /** null: removed. */
  readonly content: ModelValue | null;
}

/** A place in the log: behind a command of an entry. */
export function placeIn(index: number, ordinal: number): number {
  return index * PLACES_PER_ENTRY + ordinal;
}

/** Behind the whole entry. */
export function placeBehind(index: number): number {
  return placeIn(index, PLACES_PER_ENTRY - 1);
}

/** What a command comes to, in the words of `describeResult`; null: nothing is reported. */
export type Outcome = string | null;

export class EngineModel {
  readonly #valueBytesMax: number;
  readonly #buckets = new Map<number, Map<string, ModelVersion[]>>();
  readonly #fencedAt = new Map<number, number>();
  readonly #outcomes = new Map<number, readonly Outcome[]>();
  /** The last entry evaluated. */
  lastIndex = 0;
  #place = 0;
  #stamp: Stamp = ZERO_STAMP;

  constructor(valueBytesMax: number) {
    this.#valueBytesMax = valueBytesMax;
  }

  apply(entry: EngineEntry): void {
    if (entry.index !== this.lastIndex + 1)
      throw new Error(`the model is at ${this.lastIndex}, not below ${entry.index}`);
    this.lastIndex = entry.index;
    const outcomes = entry.commands.map((command, ordinal) => {
      this.#place = placeIn(entry.index, ordinal);
      this.#stamp = command.stamp;
      return this.#run(command);
    });
    this.#outcomes.set(entry.index, outcomes);
  }

  /** Entries behind this one are gone and others may come in their place. */
  forgetBehind(index: number): void {
    if (index >= this.lastIndex) return;
    const isKept = (place: number): boolean => place <= placeBehind(index);
    for (const keys of this.#buckets.values()) {
      for (const [key, versions] of keys) {
        keys.set(
          key,
          versions.filter(({ place }) => isKept(place)),
        );
      }
    }
    for (const [bucket, place] of this.#fencedAt) if (!isKept(place)) this.#fencedAt.delete(bucket);
    this.lastIndex = index;
  }

  /** What each command of an entry came to. */
  outcomesOf(index: number): readonly Outcome[] {
    return this.#outcomes.get(index) ?? [];
  }

  /** What a reader sees of a key at a place in the log and a time of the clock. */
  get(bucket: number, key: string, place: number, nowMs: number): ModelValue | null {
    const content = this.#contentAt(this.#buckets.get(bucket)?.get(key), place);
    return content !== null && isLive(content, nowMs) ? content : null;
  }

  /** The newest version of a key that it knows of. */
  newest(bucket: number, key: string): { readonly stamp: Stamp; readonly value: string | null } | null {
    const last = this.#buckets.get(bucket)?.get(key)?.at(-1);
    return last === undefined ? null : { stamp: last.stamp, value: last.content?.value ?? null };
  }

  /** The visible keys of a bucket, in order. */
  keys(bucket: number, place: number, nowMs: number): string[] {
    const keys: string[] = [];
    for (const [key, versions] of this.#buckets.get(bucket) ?? []) {
      const content = this.#contentAt(versions, place);
      if (content !== null && isLive(content, nowMs)) keys.push(key);
    }
    return keys.sort(byCodeUnits);
  }

  /** Whether a bucket was ever fenced: nobody may read it any more, and what is left of it is nobody's business. */
  isFenced(bucket: number): boolean {
    return this.#fencedAt.has(bucket);
  }

  /** Buckets that have ever had a key and may still be read. */
  get openBuckets(): number[] {
    return [...this.#buckets.keys()].filter((bucket) => bucket !== SYSTEM && !this.#fencedAt.has(bucket));
  }

  #contentAt(versions: readonly ModelVersion[] | undefined, place: number): ModelValue | null {
    if (versions === undefined) return null;
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i];
      if (version !== undefined && version.place <= place) return version.content;
    }
    return null;
  }

  #set(bucket: number, key: string, content: ModelValue | null): void {
    const keys = this.#buckets.get(bucket) ?? new Map<string, ModelVersion[]>();
    this.#buckets.set(bucket, keys);
    const versions = keys.get(key) ?? [];
    keys.set(key, versions);
    versions.push({ place: this.#place, stamp: this.#stamp, content });
  }

  #run(command: EngineCommand): Outcome {
    if (command.bucket === SYSTEM) return this.#runSystem(command);
    const isPut = command.type === CommandType.put;
    if (this.#fencedAt.has(command.bucket)) return isPut ? null : "error FENCED";
    if (command.type === CommandType.transaction) return runTransaction(command, this.#transactionState(command));
    const outcome = this.#runOnKey(command);
    return isPut ? null : outcome;
  }

  #runOnKey(command: EngineCommand): string {
    return this.#runOnOld(command, this.get(command.bucket, command.key, this.#place, command.atMs));
  }

  #transactionState({ bucket, atMs }: EngineCommand): TransactionState {
    const changed = new Map<string, number>();
    const versions = (key: string): readonly ModelVersion[] => this.#buckets.get(bucket)?.get(key) ?? [];
    const note = (key: string): void => {
      const last = versions(key).at(-1);
      if (last?.place === this.#place) changed.set(key, last.content?.value.length ?? 0);
    };
    return {
      bytesMax: this.#valueBytesMax,
      find: (key) => this.get(bucket, key, this.#place, atMs),
      hasStamp: (key, high, low) => {
        const last = versions(key).at(-1);
        return last?.place !== this.#place && last?.stamp.high === high && last.stamp.low === low;
      },
      set: (key, content) => {
        this.#set(bucket, key, content);
        note(key);
      },
      run: (command) => {
        const outcome = this.#runOnKey(command);
        note(command.key);
        return outcome;
      },
      changes: () => changed,
      undo: () => {
        for (const key of changed.keys()) {
          const before = versions(key).filter(({ place }) => place !== this.#place);
          this.#buckets.get(bucket)?.set(key, before);
        }
      },
    };
  }

  #runOnOld(command: EngineCommand, old: ModelValue | null): string {
    const { bucket, key, value, modifiers, expiryMs, atMs } = command;
    const put = (content: ModelValue | null): void => this.#set(bucket, key, content);
    const change = changePart(command.type, old?.value ?? null, value, this.#valueBytesMax);
    if (change !== null) {
      if (change.value !== null) put({ value: change.value, expiryMs: old?.expiryMs ?? 0 });
      return change.outcome;
    }
    switch (command.type) {
      case CommandType.put:
        put({ value, expiryMs });
        return "ok";
      case CommandType.delete:
        if (old !== null) put(null);
        return `integer ${old === null ? 0 : 1}`;
      case CommandType.getDelete:
        if (old !== null) put(null);
        return bytesOutcome(old);
      case CommandType.conditionalPut: {
        const isRefused = ((modifiers & NX) !== 0 && old !== null) || ((modifiers & XX) !== 0 && old === null);
        if (!isRefused) put({ value, expiryMs: (modifiers & KEEPTTL) !== 0 ? (old?.expiryMs ?? 0) : expiryMs });
        if ((modifiers & GET) !== 0) return bytesOutcome(old);
        return isRefused ? "nil" : "ok";
      }
      case CommandType.increment: {
        const sum = sumOf(old?.value ?? "0", value);
        if (typeof sum === "string") return sum;
        put({ value: String(sum), expiryMs: old?.expiryMs ?? 0 });
        return `integer ${sum}`;
      }
      case CommandType.persist:
        if (old === null || old.expiryMs === 0) return "integer 0";
        put({ value: old.value, expiryMs: 0 });
        return "integer 1";
      case CommandType.expire:
        if (old === null || !mayExpire(modifiers, old.expiryMs, expiryMs)) return "integer 0";
        put(expiryMs <= atMs ? null : { value: old.value, expiryMs });
        return "integer 1";
      case CommandType.getExpire:
        if (old !== null && expiryMs !== 0) put(expiryMs <= atMs ? null : { value: old.value, expiryMs });
        // Without an expiry there is nothing to remove, and no new version, which a condition on its stamp would tell.
        else if (old !== null && old.expiryMs !== 0 && (modifiers & PERSIST) !== 0)
          put({ value: old.value, expiryMs: 0 });
        return bytesOutcome(old);
      default:
        throw new Error(`the model does not know commands of type ${command.type}`);
    }
  }

  /** The system bucket: a bucket's entry is kept as its id alone. */
  #runSystem({ type, key, value }: EngineCommand): string {
    const setSystem = (name: string, content: string | null): void =>
      this.#set(SYSTEM, name, content === null ? null : { value: content, expiryMs: 0 });
    const system = (name: string): string | null => this.get(SYSTEM, name, this.#place, 0)?.value ?? null;
    const isNumbered = /^(?:\d|1[0-5])$/.test(key);
    const known = system(`bucket/${key}`) ?? (isNumbered ? String(Number(key) + 1) : null);
    const giveId = (): string => {
      const id = system("next-bucket") ?? "64";
      setSystem(`bucket/${key}`, id);
      setSystem("next-bucket", String(Number(id) + 1));
      return id;
    };
    const keys = { get: system, set: setSystem };
    const elsewhere = runMemberCommand(type, key, value, keys) ?? runAccessCommand(type, key, value, keys);
    if (elsewhere !== null) return elsewhere;
    switch (type) {
      case CommandType.fence:
        if (!this.#fencedAt.has(u32Of(value))) {
          this.#fencedAt.set(u32Of(value), this.#place);
          setSystem(`fence/${u32Of(value)}`, "");
        }
        return "ok";
      case CommandType.createBucket:
        return known !== null ? "error BUCKET_EXISTS" : `integer ${giveId()}`;
      case CommandType.dropBucket:
        if (isNumbered) return "error INVALID_ARGUMENT";
        if (known === null) return "error NO_BUCKET";
        setSystem(`bucket/${key}`, null);
        setSystem(`pending/${known}`, key);
        return `integer ${known}`;
      case CommandType.renewBucket:
        if (known === null) return "error NO_BUCKET";
        giveId();
        setSystem(`pending/${known}`, key);
        return `integer ${known}`;
      case CommandType.alterBucket:
        if (known === null) return "error NO_BUCKET";
        setSystem(`bucket/${key}`, known);
        return `integer ${known}`;
      case CommandType.fenceDone:
        if (system(`pending/${u32Of(value)}`) !== null) setSystem(`pending/${u32Of(value)}`, null);
        return "ok";
      default:
        throw new Error(`the model does not know commands of type ${type} in the system bucket`);
    }
  }
}

function isLive({ expiryMs }: ModelValue, nowMs: number): boolean {
  return expiryMs === 0 || nowMs < expiryMs;
}

function bytesOutcome(old: ModelValue | null): string {
  return old === null ? "nil" : `bytes ${old.value}`;
}

/** EXPIRE's conditions: no expiry counts as infinitely late. */
function mayExpire(modifiers: number, oldMs: number, newMs: number): boolean {
  const old = oldMs === 0 ? Number.POSITIVE_INFINITY : oldMs;
  if ((modifiers & NX) !== 0) return oldMs === 0;
  if ((modifiers & XX) !== 0) return oldMs !== 0;
  if ((modifiers & GT) !== 0) return newMs > old;
  if ((modifiers & LT) !== 0) return newMs < old;
  return true;
}

/** The sum, or the error that it is. */
function sumOf(old: string, delta: string): bigint | string {
  if (!/^(?:0|-?[1-9]\d*)$/.test(old)) return "error NOT_AN_INTEGER";
  const number = BigInt(old);
  if (BigInt.asIntN(64, number) !== number) return "error NOT_AN_INTEGER";
  const sum = number + Buffer.from(delta, "latin1").readBigInt64LE();
  return BigInt.asIntN(64, sum) === sum ? sum : "error OVERFLOW";
}

function u32Of(value: string): number {
  return Buffer.from(value, "latin1").readUInt32LE();
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
