/**
 * Promises about order, looked for where nothing hides their breach: in the logs. What reads show is soon overwritten,
 * and while a bucket is being emptied a history alone proves little. But every value is written once and every increment
 * of a key adds a bit of its own, so each committed write can be told, and where a read stands is told by what it shows.
 *
 *   - a write stands at one place only
 *   - an operation does not stand before one that its connection sent earlier on the same key and that was answered, or
 *     still waited for, when it was answered itself; nor does a read show what was sent after it
 *   - nothing that was sent after a bucket was emptied stands under an id that the bucket had before
 *
 * A place is told by the bucket's id first: ids of a name only grow, and a later one holds what is later. A key of one id
 * is in one shard, so that entry and ordinal in the entry tell the rest.
 */
import { assert } from "../core/assert.ts";
import { text, viewOf } from "../core/bytes.ts";
import { CommandReader, CommandType } from "../record/command-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, entryIndex, entryKind, entryTerm } from "../record/entry-format.ts";
import type { Call, KeyHistory } from "./history.ts";

interface Place {
  readonly bucket: number;
  readonly index: number;
  readonly ordinal: number;
}

/** A write in an entry: its name is like no other's. */
interface Write {
  readonly name: string;
  readonly place: Place;
}

/** A call that stands somewhere. */
interface Standing {
  readonly call: Call;
  readonly place: Place;
  /** What stands there: the write itself, or what a read was shown. */
  readonly name: string;
}

const NUMBER = /^\d+$/;

export class CommittedWrites {
  readonly #twice: string[] = [];
  /** By shard, index and term; empty once it is committed. */
  readonly #entries = new Map<string, readonly Write[]>();
  readonly #places = new Map<string, Place>();

  /** Somebody appended an entry: it may be committed one day or not. */
  appended(shard: number, entry: Uint8Array): void {
    const id = `${shard}/${entryIndex(entry)}/${entryTerm(entry)}`;
    if (!this.#entries.has(id)) this.#entries.set(id, writesOf(entry));
  }

  /** An entry is committed that was appended before. Called once for each. */
  committed(shard: number, index: number, term: number): void {
    const id = `${shard}/${index}/${term}`;
    const writes = this.#entries.get(id);
    assert(writes !== undefined, "what is committed has been appended");
    this.#entries.set(id, []);
    for (const { name, place } of writes) {
      if (this.#places.has(name)) this.#twice.push(`${brief(name)} was written twice`);
      this.#places.set(name, place);
    }
  }

  /** What is wrong with the places of what the clients have done, in words. */
  judge(keys: readonly KeyHistory[]): string[] {
    const found = [...this.#twice];
    for (const [bucket, histories] of Map.groupBy(keys, (history) => history.bucket)) {
      const standing = histories.map(({ key, calls }) => calls.flatMap((call) => this.#find(key, call)));
      for (const ofKey of standing) found.push(...overtaken(bucket, ofKey));
      found.push(...retired(bucket, standing.flat(), histories[0]?.renewals ?? []));
    }
    return found;
  }

  /** One or none. A counter stands where its newest bit does. */
  #find(key: string, call: Call): Standing[] {
    let newest: Standing | null = null;
    for (const name of namesOf(key, call)) {
      const place = this.#places.get(name);
      if (place === undefined) continue;
      if (newest === null || distance(newest.place, place) > 0) newest = { call, place, name };
    }
    return newest === null ? [] : [newest];
  }
}

/** Calls on one key that stand before what their connection sent earlier. */
function overtaken(bucket: string, standing: readonly Standing[]): string[] {
  const found: string[] = [];
  for (const [session, ofSession] of Map.groupBy(standing, ({ call }) => call.session)) {
    for (const [i, later] of ofSession.entries()) {
      const earlier = ofSession.slice(0, i).find((one) => isOvertaken(one, later));
      if (earlier === undefined) continue;
      found.push(`${bucket}/${inWords(later)} stands before ${inWords(earlier)}, sent first in session ${session}`);
    }
  }
  return found;
}

function isOvertaken(earlier: Standing, later: Standing): boolean {
  const { outcome } = later.call;
  if (outcome === null) return false;
  if (earlier.call.outcome === null && earlier.call.forsakenAt <= outcome.returnedAt) return false;
  const behind = distance(earlier.place, later.place);
  if (later.call.input.kind !== "get") return behind <= 0;
  // What was written only if nothing was there need not be what is read.
  return behind < 0 && (earlier.call.input.kind !== "setIfAbsent" || earlier.call.outcome?.output === "ok");
}

/** Calls that were sent after a bucket was emptied and stand under an id of before. */
function retired(bucket: string, standing: readonly Standing[], renewals: KeyHistory["renewals"]): string[] {
  const found: string[] = [];
  for (const { calledAt, returnedAt } of renewals) {
    if (returnedAt === null) continue;
    let retiredId = 0;
    for (const { call, place } of standing) {
      if ((call.outcome?.returnedAt ?? Infinity) < calledAt) retiredId = Math.max(retiredId, place.bucket);
    }
    for (const one of standing) {
      if (one.call.calledAt < returnedAt || one.place.bucket > retiredId) continue;
      const when = `sent @${one.call.calledAt} though the bucket was emptied @${calledAt} to @${returnedAt}`;
      found.push(`${bucket}/${inWords(one)} stands under its former id ${one.place.bucket}, ${when}`);
    }
  }
  return found;
}

/** Positive: the second is behind the first. */
function distance(first: Place, second: Place): number {
  return second.bucket - first.bucket || second.index - first.index || second.ordinal - first.ordinal;
}

/** What a call wrote, or was shown. */
function namesOf(key: string, { input, outcome }: Call): readonly string[] {
  switch (input.kind) {
    case "set":
    case "setIfAbsent":
      return [valueName(key, input.value)];
    case "increment":
      return [bitName(key, input.by)];
    case "delete":
      return [];
    case "get": {
      const shown = outcome?.output.startsWith("=") === true ? outcome.output.slice(1) : "";
      return NUMBER.test(shown) ? bitsOf(BigInt(shown)).map((bit) => bitName(key, bit)) : [valueName(key, shown)];
    }
  }
}

function bitsOf(sum: bigint): bigint[] {
  const bits: bigint[] = [];
  for (let bit = 1n; bit <= sum; bit <<= 1n) if ((sum & bit) !== 0n) bits.push(bit);
  return bits;
}

function writesOf(entry: Uint8Array): Write[] {
  if (entryKind(viewOf(entry)) !== EntryKind.commands) return [];
  const writes: Write[] = [];
  const command = new CommandReader().over(entry);
  const index = entryIndex(entry);
  let offset = ENTRY_HEADER_BYTES;
  for (let ordinal = 0; offset < entry.length; ordinal++) {
    offset = command.read(offset, entry.length);
    assert(offset > 0, "what is appended parses");
    const name = nameOf(command);
    if (name !== null) writes.push({ name, place: { bucket: command.bucket, index, ordinal } });
  }
  return writes;
}

function nameOf(command: CommandReader): string | null {
  const { type } = command;
  const key = text(command.key());
  if (type === CommandType.put || type === CommandType.conditionalPut) return valueName(key, text(command.value()));
  return type === CommandType.increment ? bitName(key, viewOf(command.value()).getBigInt64(0, true)) : null;
}

function valueName(key: string, value: string): string {
  return `${key} = ${value}`;
}

function bitName(key: string, bit: bigint): string {
  return `${key} + ${bit}`;
}

function inWords({ call, name }: Standing): string {
  return call.input.kind === "get" ? `a read of ${brief(name)}` : brief(name);
}

/** Without the padding. */
function brief(name: string): string {
  return name.replace(/\.{3,}$/, "…");
}
