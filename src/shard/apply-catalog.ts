/**
 * Fences, on every shard, and the catalog, on shard 0: names of buckets and their ids, in the system bucket.
 *
 *   fence/<id>       empty                          the bucket with this id is gone
 *   bucket/<name>    MessagePack {id, seed, profile, revision}  a bucket that was created, renewed or altered; without a seed
 *                                                  it is the id; the revision counts alterations, absent: none
 *   next-bucket      u32                            the first id never given out; 64 when absent
 *   pending/<id>     name                           dropped or renewed, and not yet fenced in every shard
 *
 * The seed decides in which shard a key is (core/token-table.ts). A bucket that is renewed keeps it: a command of a session
 * that comes again afterwards must come to the shard that remembers it.
 *
 * The numbered databases "0" to "15" are buckets 1 to 16 from the start, without an entry until they are renewed.
 * Every command asks for the room of all its writes first, because it may not stop half-way. Shard thread.
 */
import { decode, encode } from "@msgpack/msgpack";
import { EMPTY_BYTES, text, utf8, viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import { decodePack } from "../record/decode-pack.ts";
import { errorResult, integerResult, OK, type Result } from "../record/result.ts";
import type { CommandContext } from "./command-context.ts";

export const FENCE_PREFIX = "fence/";
const BUCKET_PREFIX = "bucket/";
const PENDING_PREFIX = "pending/";
const NEXT_BUCKET = utf8("next-bucket");
const FIRST_FREE_BUCKET = 64;
const NUMBERED_BUCKETS = 16;

/** Room for the fixed parts of what one catalog command writes. */
const FIXED_BYTES = 256;
const WRITES_MAX = 3;
/** An entry of a bucket that is altered again and again stays small. */
const PROFILE_BYTES_MAX = 4 * 1024;

export function applyFence(context: CommandContext): Result | null {
  const id = commandId(context);
  if (id === null || id === SYSTEM_BUCKET) return errorResult("INVALID_ARGUMENT", "a fence names a bucket");
  if (context.fences.has(id)) return OK;
  if (!hasRoomFor(context)) return null;
  context.setSystem(utf8(`${FENCE_PREFIX}${id}`), EMPTY_BYTES);
  context.fences.add(id);
  return OK;
}

export function applyFenceDone(context: CommandContext): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const id = commandId(context);
  if (id === null) return errorResult("INVALID_ARGUMENT", "the id of a bucket is missing");
  if (!hasRoomFor(context)) return null;
  const key = utf8(`${PENDING_PREFIX}${id}`);
  if (context.systemValue(key) !== null) context.setSystem(key, null);
  return OK;
}

export function applyCreateBucket(context: CommandContext): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const name = text(context.command.key());
  if (knownBucket(context, name) !== null) return errorResult("BUCKET_EXISTS", `bucket ${name} exists already`);
  const profile = decodeProfile(context.command.value());
  if (profile === null) return errorResult("INVALID_ARGUMENT", "the profile is not MessagePack");
  if (!hasRoomFor(context)) return null;
  return integerResult(giveId(context, name, null, profile.value, 0));
}

export function applyDropBucket(context: CommandContext): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const name = text(context.command.key());
  if (numberedId(name) !== null)
    return errorResult("INVALID_ARGUMENT", `the numbered bucket ${name} cannot be dropped`);
  const known = knownBucket(context, name);
  if (known === null) return noBucket(name);
  if (!hasRoomFor(context)) return null;
  context.setSystem(utf8(`${BUCKET_PREFIX}${name}`), null);
  context.setSystem(utf8(`${PENDING_PREFIX}${known.id}`), utf8(name));
  return integerResult(known.id);
}

export function applyRenewBucket(context: CommandContext): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const name = text(context.command.key());
  const known = knownBucket(context, name);
  if (known === null) return noBucket(name);
  if (!context.hasRoom(FIXED_BYTES + known.entryBytes + 2 * name.length * 3, WRITES_MAX)) return null;
  giveId(context, name, known.seed, known.profile, known.revision);
  context.setSystem(utf8(`${PENDING_PREFIX}${known.id}`), utf8(name));
  return integerResult(known.id);
}

/** Fields of the profile that are there already keep their places, so that all replicas write the same bytes. */
export function applyAlterBucket(context: CommandContext): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const name = text(context.command.key());
  const known = knownBucket(context, name);
  if (known === null) return noBucket(name);
  const changes = decodeProfile(context.command.value());
  if (changes === null || !isMap(changes.value)) return errorResult("INVALID_ARGUMENT", "the changes are no map");
  const { id, seed, revision } = known;
  const profile = { ...(isMap(known.profile) ? known.profile : {}), ...changes.value };
  const entry = encode({ id, seed, profile, revision: revision + 1 });
  if (entry.length > PROFILE_BYTES_MAX) return errorResult("TOO_LARGE", "what is chosen for the bucket is too much");
  if (!context.hasRoom(FIXED_BYTES + entry.length + 3 * name.length, WRITES_MAX)) return null;
  context.setSystem(utf8(`${BUCKET_PREFIX}${name}`), entry);
  return integerResult(id);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array);
}

interface KnownBucket {
  readonly id: number;
  readonly seed: number;
  readonly profile: unknown;
  /** Counts alterations. */
  readonly revision: number;
  readonly entryBytes: number;
}

function knownBucket(context: CommandContext, name: string): KnownBucket | null {
  const entry = context.systemValue(utf8(`${BUCKET_PREFIX}${name}`));
  if (entry === null) {
    const id = numberedId(name);
    return id === null ? null : { id, seed: id, profile: {}, revision: 0, entryBytes: 0 };
  }
  const {
    id,
    seed = id,
    profile,
    revision = 0,
  } = decode(entry) as {
    id: number;
    seed?: number;
    profile: unknown;
    revision?: number;
  };
  return { id, seed, profile, revision, entryBytes: entry.length };
}

/** Gives the name the next free id, which no bucket has had before. `seed`: of the bucket that had the name; null: none had. */
function giveId(
  context: CommandContext,
  name: string,
  seed: number | null,
  profile: unknown,
  revision: number,
): number {
  const stored = context.systemValue(NEXT_BUCKET);
  const id = stored === null ? FIRST_FREE_BUCKET : viewOf(stored).getUint32(0, true);
  const next = new Uint8Array(4);
  viewOf(next).setUint32(0, id + 1, true);
  context.setSystem(utf8(`${BUCKET_PREFIX}${name}`), bucketEntry(id, seed, profile, revision));
  context.setSystem(NEXT_BUCKET, next);
  return id;
}

function bucketEntry(id: number, seed: number | null, profile: unknown, revision: number): Uint8Array {
  if (revision > 0) return encode({ id, seed, profile, revision });
  return encode(seed === null ? { id, profile } : { id, seed, profile });
}

function numberedId(name: string): number | null {
  if (!/^(?:[0-9]|1[0-5])$/.test(name)) return null;
  const id = Number(name) + 1;
  return id <= NUMBERED_BUCKETS ? id : null;
}

/** The profile as a value; null when the bytes are none. No bytes stand for the default profile. */
function decodeProfile(bytes: Uint8Array): { value: unknown } | null {
  if (bytes.length === 0) return { value: {} };
  try {
    return { value: decodePack(bytes, "a profile") };
  } catch (cause) {
    if (cause instanceof EnvelopeError) return null;
    throw cause;
  }
}

function commandId(context: CommandContext): number | null {
  const { command } = context;
  return command.valueEnd - command.valueStart === 4 ? command.view.getUint32(command.valueStart, true) : null;
}

function hasRoomFor(context: CommandContext): boolean {
  const { keyStart, keyEnd, valueStart, valueEnd } = context.command;
  // Encoding a profile anew may make a float32 a float64: three times the bytes is more than it ever takes.
  return context.hasRoom(FIXED_BYTES + 3 * (keyEnd - keyStart) + 3 * (valueEnd - valueStart), WRITES_MAX);
}

export function noCatalog(): Result {
  return errorResult("INVALID_ARGUMENT", "the catalog is kept by shard 0 alone");
}

function noBucket(name: string): Result {
  return errorResult("NO_BUCKET", `there is no bucket ${name}`);
}
