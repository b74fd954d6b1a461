/**
 * Who may do what: users, roles, keys of tokens and tokens called back, in the system bucket of shard 0.
 *
 *   user/<name>           UserRecord      MessagePack map: id, hash, enabled, roles, grants, revision, [rate]
 *   role/<name>           RoleRecord      MessagePack map: grants, revision
 *   token-key/<id>        TokenKeyRecord  MessagePack map: secret, createdMs, retiredMs, revision
 *   token-revoked/<id>    Revocation      MessagePack map: expiresMs, revision
 *   access                AccessCensus    20 bytes: u32 version, u32 users, u32 roles, u32 token keys, u32 revocations
 *
 *   grant                 MessagePack map: bucket (a glob), prefix (bytes), rights (bits)
 *   change (a command's)  MessagePack map: expected (the revision it replaces; 0: there is none), record
 *
 * Every change counts the version of the census up by one, and the entry that it makes carries that number as its revision;
 * a change that expects another revision is refused, so that of two made at once one is told to look again. The id of a user
 * is the revision under which the name was entered: a name given anew is another user.
 */
import { encode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { decodePack } from "./decode-pack.ts";

export const USER_PREFIX = "user/";
export const ROLE_PREFIX = "role/";
export const TOKEN_KEY_PREFIX = "token-key/";
export const REVOCATION_PREFIX = "token-revoked/";
export const ACCESS_CENSUS_KEY = "access";

/** What one may do; persisted as bits. */
export const Right = {
  /** See keys and values. */
  read: 1,
  /** Change them. */
  write: 2,
  /** Create, drop and empty buckets. */
  admin: 4,
  /** Members, users, roles, tokens, settings, other people's connections. */
  cluster: 8,
} as const;
export const ALL_RIGHTS = 15;

export interface Grant {
  /** A glob over names of buckets. */
  readonly bucket: string;
  /** Of the keys; empty: all of them, and the bucket as a whole. */
  readonly prefix: Uint8Array;
  /** Bits of `Right`. */
  readonly rights: number;
}

export interface UserRecord {
  readonly id: number;
  /** Of the password, as argon2id writes it with its parameters; empty: no password opens. */
  readonly hash: string;
  readonly enabled: boolean;
  readonly roles: readonly string[];
  readonly grants: readonly Grant[];
  /** Commands a second; absent: as of everybody without one. */
  readonly rate?: number;
  readonly revision: number;
}

export interface RoleRecord {
  readonly grants: readonly Grant[];
  readonly revision: number;
}

export interface TokenKeyRecord {
  readonly secret: Uint8Array;
  readonly createdMs: number;
  /** When it stopped signing new tokens; 0: it has not. */
  readonly retiredMs: number;
  readonly revision: number;
}

export interface Revocation {
  /** When the token would have ended by itself. */
  readonly expiresMs: number;
  readonly revision: number;
}

/** What the catalog counts. */
export interface AccessCensus {
  readonly version: number;
  readonly users: number;
  readonly roles: number;
  readonly tokenKeys: number;
  readonly revocations: number;
}

export type AccessKind = "users" | "roles" | "tokenKeys" | "revocations";

export type AccessRecord = UserRecord | RoleRecord | TokenKeyRecord | Revocation;

export const EMPTY_CENSUS: AccessCensus = { version: 0, users: 0, roles: 0, tokenKeys: 0, revocations: 0 };

/** An entry longer than this is refused: it must always find room. */
export const ACCESS_RECORD_BYTES_MAX = 8 * 1024;

const CENSUS_BYTES = 20;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const HASH_LENGTH_MAX = 256;
const GRANTS_MAX = 32;
const ROLES_MAX = 32;
const PATTERN_LENGTH_MAX = 255;
const PREFIX_BYTES_MAX = 1024;
const SECRET_BYTES_MIN = 32;
const SECRET_BYTES_MAX = 64;

/** What the name of a user, a role, a key or a token may be. */
export function isAccessName(name: string): boolean {
  return NAME.test(name);
}

/** The kind of an entry by its key in the catalog, and its name; null: it is no such entry. */
export function accessKeyOf(key: string): { readonly kind: AccessKind; readonly name: string } | null {
  for (const [prefix, kind] of KINDS) {
    if (key.startsWith(prefix)) return { kind, name: key.slice(prefix.length) };
  }
  return null;
}

const KINDS: readonly (readonly [string, AccessKind])[] = [
  [USER_PREFIX, "users"],
  [ROLE_PREFIX, "roles"],
  [TOKEN_KEY_PREFIX, "tokenKeys"],
  [REVOCATION_PREFIX, "revocations"],
];

export function encodeAccessCensus({ version, users, roles, tokenKeys, revocations }: AccessCensus): Uint8Array {
  const bytes = new Uint8Array(CENSUS_BYTES);
  const view = viewOf(bytes);
  const counts = [version, users, roles, tokenKeys, revocations];
  for (const [at, count] of counts.entries()) view.setUint32(4 * at, count, true);
  return bytes;
}

/** Throws PROTOCOL. */
export function decodeAccessCensus(bytes: Uint8Array): AccessCensus {
  if (bytes.length !== CENSUS_BYTES) return refuse("a census of users of another length");
  const view = viewOf(bytes);
  const count = (at: number): number => view.getUint32(4 * at, true);
  return { version: count(0), users: count(1), roles: count(2), tokenKeys: count(3), revocations: count(4) };
}

export function encodeAccessRecord(kind: AccessKind, record: AccessRecord): Uint8Array {
  return encode(mapOf(kind, record));
}

export function decodeUser(bytes: Uint8Array): UserRecord {
  return userOf(decodeMap(bytes));
}

export function decodeRole(bytes: Uint8Array): RoleRecord {
  return roleOf(decodeMap(bytes));
}

export function decodeTokenKey(bytes: Uint8Array): TokenKeyRecord {
  return tokenKeyOf(decodeMap(bytes));
}

export function decodeRevocation(bytes: Uint8Array): Revocation {
  return revocationOf(decodeMap(bytes));
}

/** The value of a command that changes an entry; id and revision of the record are the catalog's to give. */
export function encodeAccessChange(kind: AccessKind, expected: number, record: AccessRecord): Uint8Array {
  return encode({ expected, record: mapOf(kind, record) });
}

/** Throws PROTOCOL. */
export function decodeAccessChange(kind: AccessKind, bytes: Uint8Array): { expected: number; record: AccessRecord } {
  const { expected, record } = decodeMap(bytes);
  return isCount(expected)
    ? { expected, record: recordOf(kind, fields(record)) }
    : refuse("a change without a revision");
}

/** Id and revision as the catalog gives them. `id`: of a user that was there already. */
export function withRevision(record: AccessRecord, revision: number, id: number): AccessRecord {
  return "hash" in record ? { ...record, id, revision } : { ...record, revision };
}

/** Of an entry of any kind. Throws PROTOCOL. */
export function revisionOf(bytes: Uint8Array): { readonly revision: number; readonly id: number } {
  const { revision, id } = decodeMap(bytes);
  return isCount(revision) ? { revision, id: isCount(id) ? id : 0 } : refuse("an entry without a revision");
}

function mapOf(kind: AccessKind, record: AccessRecord): Readonly<Record<string, unknown>> {
  const grantMap = ({ bucket, prefix, rights }: Grant) => ({ bucket, prefix, rights });
  if ("hash" in record) {
    const { id, hash, enabled, roles, grants, revision, rate } = record;
    const always = { id, hash, enabled, roles: [...roles], grants: grants.map(grantMap), revision };
    return rate === undefined ? always : { ...always, rate };
  }
  if ("grants" in record) return { grants: record.grants.map(grantMap), revision: record.revision };
  if ("secret" in record) {
    const { secret, createdMs, retiredMs, revision } = record;
    return { secret, createdMs, retiredMs, revision };
  }
  return kind === "revocations" ? { expiresMs: record.expiresMs, revision: record.revision } : refuse("another kind");
}

function recordOf(kind: AccessKind, map: Fields): AccessRecord {
  if (kind === "users") return userOf(map);
  if (kind === "roles") return roleOf(map);
  return kind === "tokenKeys" ? tokenKeyOf(map) : revocationOf(map);
}

type Fields = Readonly<Record<string, unknown>>;

function userOf({ id, hash, enabled, roles, grants, revision, rate }: Fields): UserRecord {
  const isNamed = Array.isArray(roles) && roles.length <= ROLES_MAX && roles.every(isNameValue);
  const isHash = typeof hash === "string" && hash.length <= HASH_LENGTH_MAX;
  const isRate = rate === undefined || (isCount(rate) && rate > 0);
  if (!isCount(id) || !isHash || !isRate || typeof enabled !== "boolean" || !isNamed || !isCount(revision)) {
    return refuse("a user without its fields");
  }
  const user = { id, hash, enabled, roles: roles as string[], grants: grantsOf(grants), revision };
  return rate === undefined ? user : { ...user, rate };
}

function roleOf({ grants, revision }: Fields): RoleRecord {
  return isCount(revision) ? { grants: grantsOf(grants), revision } : refuse("a role without its fields");
}

function tokenKeyOf({ secret, createdMs, retiredMs, revision }: Fields): TokenKeyRecord {
  const isSecret =
    secret instanceof Uint8Array && secret.length >= SECRET_BYTES_MIN && secret.length <= SECRET_BYTES_MAX;
  if (!isSecret || !isCount(createdMs) || !isCount(retiredMs) || !isCount(revision)) {
    return refuse("a key of tokens without its fields");
  }
  return { secret: secret.slice(), createdMs, retiredMs, revision };
}

function revocationOf({ expiresMs, revision }: Fields): Revocation {
  return isCount(expiresMs) && isCount(revision) ? { expiresMs, revision } : refuse("a revocation without its fields");
}

function grantsOf(value: unknown): Grant[] {
  if (!Array.isArray(value) || value.length > GRANTS_MAX) return refuse("grants that are no list");
  return (value as unknown[]).map((item) => {
    const { bucket, prefix, rights } = fields(item);
    const isPattern = typeof bucket === "string" && bucket.length > 0 && bucket.length <= PATTERN_LENGTH_MAX;
    const isPrefix = prefix instanceof Uint8Array && prefix.length <= PREFIX_BYTES_MAX;
    const isRights = isCount(rights) && rights > 0 && rights <= ALL_RIGHTS;
    return isPattern && isPrefix && isRights
      ? { bucket, prefix: prefix.slice(), rights }
      : refuse("a grant without its fields");
  });
}

function isNameValue(value: unknown): value is string {
  return typeof value === "string" && isAccessName(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function fields(value: unknown): Fields {
  return value !== null && typeof value === "object" ? (value as Fields) : {};
}

function decodeMap(bytes: Uint8Array): Fields {
  return fields(decodePack(bytes, "an entry of users"));
}

function refuse(what: string): never {
  throw new EnvelopeError("PROTOCOL", what);
}
