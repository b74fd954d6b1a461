/**
 * Promises about order, looked for where nothing hides their breach: in the logs. What reads show is soon overwritten,
 * and while a bucket is being emptied a history alone proves little. But every value is written once and every increment
 * of a key adds a bit of its own, so each committed write can be told, and where a read stands is told by what it shows.
 *
 *   - a write stands at one place only; a command of a client session, which may be sent more than once, in one shard only,
 *     and there its first place is the one that counts
 *   - an operation does not stand before one that its connection sent earlier on the same key and that was answered, or
 *     still waited for, when it was answered itself; nor does a read show what was sent after it
 *   - nothing that was sent after a bucket was emptied stands under an id that the bucket had before
 *   - what was acknowledged stands somewhere
 *   - stamps rise along the log of a shard
 *
 * A place is told by the bucket's id first: ids of a name only grow, and a later one holds what is later. A key of one id
 * is in one shard, so that entry and ordinal in the entry tell the rest.
 */
import { assert } from "../core/assert.ts";
import { text, viewOf } from "../core/bytes.ts";
import { CommandReader, CommandType, FLAG_SESSION } from "../record/command-format.ts";
import { decodeTransaction } from "../record/transaction-format.ts";
import { compareStamps, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
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
  /** Names the session and its command; null: it is part of none. */
  readonly once: string | null;
}

/** A write that is committed. */
interface Committed extends Write {
  readonly shard: number;
}

interface Contents {
  readonly writes: Write[];
  /** Of its commands, in order. */
  readonly stamps: Stamp[];
  readonly buckets: number[];
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
  readonly #wrong: string[] = [];
  /** By shard, index and term. */
  readonly #entries = new Map<string, Contents>();
  /** By name. */
  readonly #committed = new Map<string, Committed>();
  /** Of each shard, by index: the last stamp so far. */
  readonly #stamps = new Map<number, Stamp[]>();
  /** All that somebody wrote under. */
  readonly bucketIds = new Set<number>();

  /** Somebody appended an entry: it may be committed one day or not. */
  appended(shard: number, entry: Uint8Array): void {
    const id = `${shard}/${entryIndex(entry)}/${entryTerm(entry)}`;
    if (this.#entries.has(id)) return;
    const contents = contentsOf(entry);
    this.#entries.set(id, contents);
    for (const bucket of contents.buckets) this.bucketIds.add(bucket);
  }

  /** An entry is committed that was appended before. Called once for each. */
  committed(shard: number, index: number, term: number): void {
    const id = `${shard}/${index}/${term}`;
    const contents = this.#entries.get(id);
    assert(contents !== undefined, "what is committed has been appended");
    this.#noteStamps(shard, index, contents.stamps);
    for (const write of contents.writes) {
      const { name, once } = write;
      const first = this.#committed.get(name);
      if (first === undefined) this.#committed.set(name, { ...write, shard });
      else if (once === null || first.once !== once) this.#wrong.push(`${brief(name)} was written twice`);
      // What a shard remembers of a session no other one knows.
      else if (first.shard !== shard) this.#wrong.push(`${brief(name)} was sent to shards ${first.shard} and ${shard}`);
    }
  }

  /** The last stamp of everything that is committed up to an index; null: nobody has said that it is. */
  stampAt(shard: number, index: number): Stamp | null {
    return this.#stamps.get(shard)?.[index] ?? null;
  }

  /** Stamps rise along the log: a version that is newer by its stamp is newer by its place. */
  #noteStamps(shard: number, index: number, stamps: readonly Stamp[]): void {
    const ofShard = this.#stamps.get(shard) ?? [];
    this.#stamps.set(shard, ofShard);
    let last = ofShard[index - 1] ?? ZERO_STAMP;
    for (const stamp of stamps) {
      if (compareStamps(stamp.high, stamp.low, last.high, last.low) <= 0) {
        const said = `entry ${index} of shard ${shard} has a command stamped ${stamp.high}.${stamp.low}`;
        this.#wrong.push(`${said}, not above ${last.high}.${last.low} before it`);
      }
      last = stamp;
    }
    ofShard[index] = last;
  }

  /** Acknowledged writes that are in no committed entry, in words. */
  findLost(keys: readonly KeyHistory[]): string[] {
    return keys.flatMap(({ bucket, key, calls }) =>
      calls
        .filter((call) => isAcknowledgedWrite(call) && this.#find(key, call).length === 0)
        .map(
          (call) => `${bucket}/${namesOf(key, call).map(brief).join()} was acknowledged and is in no committed entry`,
        ),
    );
  }

  /** What is wrong with the places of what the clients have done, in words. */
  judge(keys: readonly KeyHistory[]): string[] {
    const found = [...this.#wrong];
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
      const place = this.#committed.get(name)?.place;
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
  // By another attempt it may have come to a node that does not know the newest id.
  if (outcome === null || earlier.call.wasSentAgain || later.call.wasSentAgain) return false;
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
    case "setExpiring":
    case "swap":
      return [valueName(key, input.value)];
    case "add":
      return [valueName(input.member, input.value)];
    case "increment":
      return [bitName(key, input.by)];
    case "delete":
    case "remove":
    case "list":
    case "move":
    case "look":
    case "clear":
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

function isAcknowledgedWrite({ input, outcome }: Call): boolean {
  if (outcome === null) return false;
  if (input.kind === "increment") return NUMBER.test(outcome.output);
  return outcome.output === "ok" || outcome.output.startsWith("swapped");
}

function contentsOf(entry: Uint8Array): Contents {
  const contents: Contents = { writes: [], stamps: [], buckets: [] };
  if (entryKind(viewOf(entry)) !== EntryKind.commands) return contents;
  const command = new CommandReader().over(entry);
  const index = entryIndex(entry);
  let offset = ENTRY_HEADER_BYTES;
  for (let ordinal = 0; offset < entry.length; ordinal++) {
    offset = command.read(offset, entry.length);
    assert(offset > 0, "what is appended parses");
    const { bucket, stampHigh, stampLow } = command;
    contents.stamps.push({ high: stampHigh, low: stampLow });
    contents.buckets.push(bucket);
    const name = nameOf(command);
    if (name !== null) contents.writes.push({ name, place: { bucket, index, ordinal }, once: onceOf(command) });
  }
  return contents;
}

function onceOf({ flags, sessionId, sequence }: CommandReader): string | null {
  return (flags & FLAG_SESSION) === 0 ? null : `${sessionId}.${sequence}`;
}

function nameOf(command: CommandReader): string | null {
  const { type } = command;
  const key = text(command.key());
  if (type === CommandType.put || type === CommandType.conditionalPut) return valueName(key, text(command.value()));
  if (type === CommandType.transaction) return swappedName(command);
  return type === CommandType.increment ? bitName(key, viewOf(command.value()).getBigInt64(0, true)) : null;
}

/** Of a swap: those of pairs write no values. */
function swappedName(command: CommandReader): string | null {
  const [first] = decodeTransaction(command.value()).operations;
  if (first?.kind !== "write") return null;
  const inner = new CommandReader().over(first.command);
  inner.read(0, first.command.length);
  return inner.type === CommandType.put ? valueName(text(inner.key()), text(inner.value())) : null;
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
