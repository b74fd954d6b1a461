/**
 * The commands of a simulated engine's log: drawn by chance, as the model reads them, and encoded into entries as the
 * engine gets them. Keys and values are strings of one character a byte, so that they can be keys of a `Map` and sort as
 * bytes do.
 */
import { encode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { logIndex, nodeId, SYSTEM_BUCKET, term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import type { HybridClock, Stamp } from "../core/stamp.ts";
import {
  CommandType,
  commandBytes,
  encodeCommand,
  FLAG_EXPIRY,
  MODIFIER_GET,
  MODIFIER_GT,
  MODIFIER_KEEPTTL,
  MODIFIER_LT,
  MODIFIER_NX,
  MODIFIER_PERSIST,
  MODIFIER_XX,
  sealCommand,
} from "../record/command-format.ts";
import { encodeAccessChange } from "../record/access-format.ts";
import { encodeAdmission, encodeMemberList, encodeRetirement } from "../record/member-format.ts";
import { encodeBit, encodeRange } from "../record/part-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, emptyEntry, sealEntry } from "../record/entry-format.ts";
import { randomTransaction } from "./engine-transactions.ts";

export interface EngineCommand {
  readonly type: CommandType;
  readonly modifiers: number;
  readonly bucket: number;
  readonly key: string;
  readonly value: string;
  /** 0: none. */
  readonly expiryMs: number;
  readonly stamp: Stamp;
  /** Milliseconds of its stamp. */
  readonly atMs: number;
}

/** An entry as it was sent. */
export interface EngineEntry {
  readonly index: number;
  readonly term: number;
  readonly commands: readonly EngineCommand[];
  /** The body of an entry of kind configuration; null: it is of another kind. */
  readonly configuration: string | null;
  readonly bytes: Uint8Array;
  /** The largest stamp in it; zero when it has no commands. */
  readonly stampHigh: number;
  readonly stampLow: number;
}

/** A command that is not stamped yet. */
export type CommandDraft = Omit<EngineCommand, "atMs" | "stamp">;

const ORIGIN = 1;
/** Names that are created, dropped and renewed; the numbered ones cannot be dropped. */
const BUCKET_NAMES = ["alpha", "beta", "2", "15"];
const MEMBER_NAMES = ["m1", "m2", "m3"];
const ACCESS_KEYS = ["user/u1", "user/u2", "role/r1"] as const;
const INCARNATIONS = ["", "aa", "bb"];
const NUMBER_TEXTS = [
  "0",
  "41",
  "-7",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
  "07",
  "-0",
];
const KEY_COUNT = 48;
const HOT_KEY = 20;
const HOT_KEY_COUNT = 7;

/** One entry of commands, stamped by the leader's clock. */
export function makeEntry(
  index: number,
  entryTerm: number,
  drafts: readonly CommandDraft[],
  clock: HybridClock,
  wallMs: number,
  durability: number,
): EngineEntry {
  if (drafts.length === 0) {
    const bytes = emptyEntry(logIndex(index), term(entryTerm));
    return { index, term: entryTerm, commands: [], configuration: null, bytes, stampHigh: 0, stampLow: 0 };
  }
  let byteCount = ENTRY_HEADER_BYTES;
  for (const { key, value, expiryMs } of drafts) {
    byteCount += commandBytes(expiryMs === 0 ? 0 : FLAG_EXPIRY, key.length, value.length);
  }
  const bytes = new Uint8Array(byteCount);
  const view = viewOf(bytes);
  const commands: EngineCommand[] = [];
  let offset = ENTRY_HEADER_BYTES;
  for (const draft of drafts) {
    const { type, modifiers, bucket, expiryMs } = draft;
    const end = encodeCommand(
      bytes,
      view,
      offset,
      type,
      modifiers,
      bucket,
      rangeOf(draft.key),
      rangeOf(draft.value),
      expiryMs,
    );
    clock.next(wallMs);
    sealCommand(bytes, view, offset, end, ORIGIN, clock.high, clock.low);
    const stamp = { high: clock.high, low: clock.low };
    commands.push({ ...draft, stamp, atMs: clock.high * 0x10000 + (clock.low >>> 16) });
    offset = end;
  }
  const commandCount = commands.length;
  sealEntry(bytes, view, 0, offset, logIndex(index), term(entryTerm), commandCount, EntryKind.commands, durability);
  const { high: stampHigh, low: stampLow } = clock;
  return { index, term: entryTerm, commands, configuration: null, bytes, stampHigh, stampLow };
}

/** An entry of kind configuration. */
export function makeConfiguration(index: number, entryTerm: number, configuration: string): EngineEntry {
  const bytes = new Uint8Array(ENTRY_HEADER_BYTES + configuration.length);
  bytes.set(bytesOfText(configuration), ENTRY_HEADER_BYTES);
  const view = viewOf(bytes);
  sealEntry(bytes, view, 0, bytes.length, logIndex(index), term(entryTerm), 0, EntryKind.configuration);
  return { index, term: entryTerm, commands: [], configuration, bytes, stampHigh: 0, stampLow: 0 };
}

/** What the next command may be about. */
export interface CommandScope {
  /** Buckets in use; some of them are fenced already. */
  readonly buckets: readonly number[];
  readonly valueBytesMax: number;
  readonly nowMs: number;
  /** The newest version of a key that is known so far, null: none; its value is null where the key was removed. */
  newest(bucket: number, key: string): { readonly stamp: Stamp; readonly value: string | null } | null;
}

export function randomCommand(random: Random, scope: CommandScope): CommandDraft {
  if (random.chance(0.02)) return catalogCommand(random);
  if (random.chance(0.012)) return fence(scope.buckets[random.below(scope.buckets.length)] ?? 1);
  const bucket = scope.buckets[random.below(scope.buckets.length)] ?? 1;
  if (random.chance(0.06)) return randomTransaction(random, scope, bucket);
  return randomKeyCommand(random, scope, bucket, randomKey(random));
}

export function randomKeyCommand(random: Random, scope: CommandScope, bucket: number, key: string): CommandDraft {
  const dice = random.below(100);
  if (dice < 44)
    return draft(CommandType.put, bucket, key, randomValue(random, scope.valueBytesMax), {}, random, scope);
  if (dice < 58) return draft(CommandType.delete, bucket, key, "");
  if (dice < 68) {
    const modifiers = oneOf(random, [0, MODIFIER_NX, MODIFIER_XX, MODIFIER_KEEPTTL, MODIFIER_XX | MODIFIER_KEEPTTL]);
    const more = modifiers | (random.chance(0.4) ? MODIFIER_GET : 0);
    const value = randomValue(random, scope.valueBytesMax);
    const mayExpire = (modifiers & MODIFIER_KEEPTTL) === 0;
    return mayExpire
      ? draft(CommandType.conditionalPut, bucket, key, value, { modifiers: more }, random, scope)
      : draft(CommandType.conditionalPut, bucket, key, value, { modifiers: more });
  }
  if (dice < 78) return draft(CommandType.increment, bucket, key, i64Text(randomDelta(random)));
  if (dice < 84) return partDraft(bucket, key, random.between(0, 60));
  if (dice < 90) {
    const modifiers = oneOf(random, [0, 0, MODIFIER_NX, MODIFIER_XX, MODIFIER_GT, MODIFIER_LT]);
    return draft(CommandType.expire, bucket, key, "", { modifiers, expiryMs: randomExpiry(random, scope.nowMs) });
  }
  if (dice < 93) return draft(CommandType.persist, bucket, key, "");
  if (dice < 96) return draft(CommandType.getDelete, bucket, key, "");
  const kind = random.below(3);
  if (kind === 0) return draft(CommandType.getExpire, bucket, key, "");
  if (kind === 1) return draft(CommandType.getExpire, bucket, key, "", { modifiers: MODIFIER_PERSIST });
  return draft(CommandType.getExpire, bucket, key, "", { expiryMs: randomExpiry(random, scope.nowMs) });
}

/** A change of a part of a value; which one, and where, follows from one number. */
function partDraft(bucket: number, key: string, place: number): CommandDraft {
  switch (place % 4) {
    case 0:
      return draft(CommandType.append, bucket, key, "+".repeat(place));
    case 1:
      return draft(CommandType.setRange, bucket, key, textOf(encodeRange(place, rangeOf("-".repeat(place % 24)))));
    case 2:
      return draft(CommandType.setBit, bucket, key, textOf(encodeBit(place * 7, 1)));
    default:
      return draft(CommandType.incrementFloat, bucket, key, String(place / 4));
  }
}

export function putDraft(bucket: number, key: string, expiryMs: number): CommandDraft {
  return draft(CommandType.put, bucket, key, "expiring", { expiryMs });
}

export function appendDraft(bucket: number, key: string): CommandDraft {
  return draft(CommandType.append, bucket, key, "more");
}

/** Keys share prefixes, hold any byte, and one of them is empty. Few are used as often as all others together. */
export function randomKey(random: Random): string {
  return keyAt(random.chance(0.5) ? HOT_KEY + random.below(HOT_KEY_COUNT) : random.below(KEY_COUNT));
}

/** Every key that `randomKey` can give. */
export function allKeys(): string[] {
  return Array.from({ length: KEY_COUNT }, (_, i) => keyAt(i));
}

function keyAt(number: number): string {
  if (number === 0) return "";
  if (number < 12) return `n${number}`;
  if (number < 24) return `user:${number}`;
  if (number < 36) return `user:${"é".repeat(number)}\x00${number}`;
  return `\xff${String.fromCharCode(number * 5)}${number % 2 === 0 ? "" : "\x00"}`;
}

function draft(
  type: CommandType,
  bucket: number,
  key: string,
  value: string,
  more: Partial<CommandDraft> = {},
  random: Random | null = null,
  scope: CommandScope | null = null,
): CommandDraft {
  const expires = random?.chance(0.15) === true && scope !== null;
  const expiryMs = expires ? randomExpiry(random, scope.nowMs) : 0;
  return { type, modifiers: 0, bucket, key, value, expiryMs, ...more };
}

function fence(id: number): CommandDraft {
  return draft(CommandType.fence, SYSTEM_BUCKET, `fence/${id}`, u32Text(id));
}

function catalogCommand(random: Random): CommandDraft {
  const name = BUCKET_NAMES[random.below(BUCKET_NAMES.length)] ?? "";
  const dice = random.below(7);
  if (dice === 6) {
    const changes = encode({ quotaKeys: random.below(3) });
    return draft(CommandType.alterBucket, SYSTEM_BUCKET, name, textOf(changes));
  }
  if (dice === 4) return memberCommand(random);
  if (dice === 5) return accessCommand(random);
  if (dice === 0) return draft(CommandType.createBucket, SYSTEM_BUCKET, name, textOf(encode({ consistency: "raft" })));
  if (dice === 1) return draft(CommandType.dropBucket, SYSTEM_BUCKET, name, "");
  if (dice === 2) return draft(CommandType.renewBucket, SYSTEM_BUCKET, name, "");
  return draft(CommandType.fenceDone, SYSTEM_BUCKET, "", u32Text(random.between(1, 70)));
}

function memberCommand(random: Random): CommandDraft {
  const name = MEMBER_NAMES[random.below(MEMBER_NAMES.length)] ?? "";
  const member = (type: CommandType, value: Uint8Array): CommandDraft =>
    draft(type, SYSTEM_BUCKET, name, textOf(value));
  const id = random.between(1, 6);
  const dice = random.below(5);
  if (dice === 0) {
    const rest = { incarnation: "", peerAddress: "", rack: "", state: "member" } as const;
    const members = MEMBER_NAMES.slice(0, 2).map((one, at) => ({ id: nodeId(at + 1), name: one, ...rest }));
    return member(CommandType.foundCluster, encodeMemberList({ version: 0, nextId: 3, members }));
  }
  if (dice === 1) return member(CommandType.retireMember, encodeRetirement({ id, forced: random.chance(0.3) }));
  if (dice === 2) return draft(CommandType.forgetMember, SYSTEM_BUCKET, name, u32Text(id));
  const incarnation = INCARNATIONS[random.below(INCARNATIONS.length)] ?? "";
  const peerAddress = `host:${random.between(1, 2)}`;
  return member(CommandType.admitMember, encodeAdmission({ incarnation, peerAddress, rack: "" }));
}

function accessCommand(random: Random): CommandDraft {
  const key = ACCESS_KEYS[random.below(ACCESS_KEYS.length)] ?? "";
  const revision = random.below(6);
  const dice = random.below(5);
  if (dice === 0) return draft(CommandType.removeAccess, SYSTEM_BUCKET, key, u32Text(revision));
  const user = { id: 0, hash: "", enabled: random.chance(0.5), roles: [], grants: [], revision: 0 };
  if (dice === 1) {
    const value = textOf(encodeAccessChange("users", random.chance(0.8) ? 0 : revision, user));
    return draft(CommandType.foundAccess, SYSTEM_BUCKET, ACCESS_KEYS[0], value);
  }
  const isUser = key !== ACCESS_KEYS[2];
  const change = isUser
    ? encodeAccessChange("users", revision, user)
    : encodeAccessChange("roles", revision, { grants: [], revision: 0 });
  return draft(CommandType.changeAccess, SYSTEM_BUCKET, key, textOf(change));
}

function randomValue(random: Random, bytesMax: number): string {
  const dice = random.below(10);
  if (dice < 2) return NUMBER_TEXTS[random.below(NUMBER_TEXTS.length)] ?? "";
  if (dice < 8) return `${random.u32().toString(36)}${"v".repeat(random.below(80))}`;
  if (dice === 8) return String.fromCharCode(random.below(256)).repeat(random.below(12));
  return `${random.u32()}`.repeat(bytesMax).slice(0, random.between(1, bytesMax));
}

/** Some have come already. */
function randomExpiry(random: Random, nowMs: number): number {
  return nowMs + random.between(-20, random.chance(0.7) ? 60 : 2000);
}

function randomDelta(random: Random): bigint {
  return random.chance(0.1) ? 2n ** 63n - 1n : BigInt(random.between(-50, 50));
}

function i64Text(value: bigint): string {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigInt64(0, value, true);
  return textOf(bytes);
}

function u32Text(value: number): string {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return textOf(bytes);
}

function rangeOf(value: string): { bytes: Uint8Array; start: number; end: number } {
  return { bytes: bytesOfText(value), start: 0, end: value.length };
}

/** One character a byte, both ways. */
export function bytesOfText(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value, "latin1"));
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function oneOf(random: Random, choices: readonly number[]): number {
  return choices[random.below(choices.length)] ?? 0;
}
