/**
 * Who belongs to the cluster. The catalog (shard 0) keeps a record of each member under `member/<name>` and counts the
 * changes; nodes tell each other the whole list, and keep the newest they have heard of.
 *
 *   record   MessagePack map: id, name, incarnation, peerAddress, rack, state (1 member, 2 leaving), forced
 *   list     MessagePack map: version, nextId, members: records by ascending id
 *   census   12 bytes, under `members` in the catalog: u32 version, u32 nextId, u32 members that are not leaving
 *
 * An id is never given to another node, and neither is one that was: whatever a number meant in a vote or a stamp, it
 * means for ever. A newer list differs from an older one by what was committed between them, so the version alone says
 * which of two is to be believed.
 */
import { encode } from "@msgpack/msgpack";
import { isAddress } from "../core/address.ts";
import { viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { NodeId } from "../core/ids.ts";
import { decodePack } from "./decode-pack.ts";

export interface MemberRecord {
  /** Its number in votes and stamps, 1–65535. */
  readonly id: NodeId;
  readonly name: string;
  /** Of the data directory that speaks under this name; empty until it first comes. */
  readonly incarnation: string;
  /** Where others reach it; empty where nobody has said. */
  readonly peerAddress: string;
  /** What it shares with members that may fail together with it; empty: nothing. */
  readonly rack: string;
  /** One that is leaving gives its replicas to others, and is forgotten when it has none. */
  readonly state: "member" | "leaving";
  /** Leaving, whatever that costs: not even the quorum of a shard is to be spared for it. */
  readonly forced?: boolean;
}

export interface MemberList {
  /** Changes of the catalog so far; 0: the members that the cluster was born with, before the catalog has them. */
  readonly version: number;
  /** The first id that nobody has had. */
  readonly nextId: number;
  readonly members: readonly MemberRecord[];
}

/** What the catalog counts. */
export interface Census {
  readonly version: number;
  readonly nextId: number;
  /** Members that are not leaving. */
  readonly stayingCount: number;
}

/** How a member comes; also one that is known, with another address or rack. */
export interface Admission {
  /** Empty: the name is kept for whoever comes first under it. */
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly rack: string;
}

export interface Retirement {
  /** A name may have been given anew meanwhile. */
  readonly id: number;
  /** As in MemberRecord. */
  readonly forced: boolean;
}

export const MEMBER_PREFIX = "member/";
export const CENSUS_KEY = "members";
export const NODE_ID_MAX = 0xffff;
const MEMBERS_MAX = 1000;
const CENSUS_BYTES = 12;
const INCARNATION_LENGTH_MAX = 64;
const ADDRESS_LENGTH_MAX = 260;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const STATE_NUMBER = { member: 1, leaving: 2 } as const;
const STATES = ["", "member", "leaving"] as const;

export function encodeMemberRecord(record: MemberRecord): Uint8Array {
  return encode(mapOf(record));
}

/** Throws PROTOCOL. */
export function decodeMemberRecord(bytes: Uint8Array): MemberRecord {
  return memberRecordOf(decodeMap(bytes)) ?? refuse("a member without its fields");
}

export function encodeMemberList(list: MemberList): Uint8Array {
  return encode(memberListMap(list));
}

/** Throws PROTOCOL. */
export function decodeMemberList(bytes: Uint8Array): MemberList {
  return memberListOf(decodeMap(bytes)) ?? refuse("a list of members that is none");
}

export function encodeCensus({ version, nextId, stayingCount }: Census): Uint8Array {
  const bytes = new Uint8Array(CENSUS_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, version, true);
  view.setUint32(4, nextId, true);
  view.setUint32(8, stayingCount, true);
  return bytes;
}

/** Throws PROTOCOL. */
export function decodeCensus(bytes: Uint8Array): Census {
  if (bytes.length !== CENSUS_BYTES) refuse("a census of members that is none");
  const view = viewOf(bytes);
  return {
    version: view.getUint32(0, true),
    nextId: view.getUint32(4, true),
    stayingCount: view.getUint32(8, true),
  };
}

export function encodeAdmission({ incarnation, peerAddress, rack }: Admission): Uint8Array {
  return encode({ incarnation, peerAddress, rack });
}

/** Throws PROTOCOL. */
export function decodeAdmission(bytes: Uint8Array): Admission {
  const { incarnation, peerAddress, rack } = (decodeMap(bytes) ?? {}) as Record<string, unknown>;
  if (!isIncarnation(incarnation)) return refuse("no incarnation of a data directory");
  if (!isPeerAddress(peerAddress)) return refuse("the address of a member is host:port");
  if (!isRack(rack)) return refuse("a rack is named like a node");
  return { incarnation, peerAddress, rack };
}

export function encodeRetirement({ id, forced }: Retirement): Uint8Array {
  return encode({ id, forced });
}

/** Throws PROTOCOL. */
export function decodeRetirement(bytes: Uint8Array): Retirement {
  const { id, forced } = (decodeMap(bytes) ?? {}) as Record<string, unknown>;
  return isCount(id) && typeof forced === "boolean" ? { id, forced } : refuse("a retirement without its fields");
}

/** What a list is where it is a part of another map. */
export function memberListMap({ version, nextId, members }: MemberList): unknown {
  return { version, nextId, members: [...members].sort((a, b) => a.id - b.id).map(mapOf) };
}

/** Null where the value is no list. */
export function memberListOf(value: unknown): MemberList | null {
  const { version, nextId, members: items } = (value ?? {}) as Record<string, unknown>;
  if (!isCount(version) || !isCount(nextId) || !Array.isArray(items) || items.length > MEMBERS_MAX) return null;
  const members: MemberRecord[] = [];
  const names = new Set<string>();
  let lastId = 0;
  for (const item of items as unknown[]) {
    const record = memberRecordOf(item);
    if (record === null || record.id <= lastId || record.id >= nextId || names.has(record.name)) return null;
    lastId = record.id;
    names.add(record.name);
    members.push(record);
  }
  return { version, nextId, members };
}

export function isMemberName(name: unknown): name is string {
  return typeof name === "string" && NAME.test(name);
}

function isIncarnation(value: unknown): value is string {
  return typeof value === "string" && value.length <= INCARNATION_LENGTH_MAX;
}

function isPeerAddress(value: unknown): value is string {
  return typeof value === "string" && value.length <= ADDRESS_LENGTH_MAX && isAddress(value);
}

function isRack(value: unknown): value is string {
  return value === "" || isMemberName(value);
}

function mapOf({ id, name, incarnation, peerAddress, rack, state, forced }: MemberRecord) {
  return { id, name, incarnation, peerAddress, rack, state: STATE_NUMBER[state], forced: forced === true };
}

function memberRecordOf(value: unknown): MemberRecord | null {
  const { id, name, incarnation, peerAddress, rack, state, forced } = (value ?? {}) as Record<string, unknown>;
  const stateName = typeof state === "number" ? STATES[state] : undefined;
  if (!isCount(id) || id === 0 || id > NODE_ID_MAX || !isMemberName(name) || !isIncarnation(incarnation)) return null;
  if (peerAddress !== "" && !isPeerAddress(peerAddress)) return null;
  if (!isRack(rack) || stateName === undefined || stateName === "" || typeof forced !== "boolean") return null;
  const record = { id: id as NodeId, name, incarnation, peerAddress, rack, state: stateName };
  return forced ? { ...record, forced } : record;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function decodeMap(bytes: Uint8Array): unknown {
  return decodePack(bytes, "a message about members");
}

function refuse(what: string): never {
  throw new EnvelopeError("PROTOCOL", what);
}
