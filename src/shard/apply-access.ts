/**
 * Users, roles, keys of tokens and revocations: a part of the catalog (record/access-format.ts), in the system bucket of
 * shard 0. A change names the revision that it replaces and is refused where there is another, so of two at once one is
 * told to look again. The last user is never removed: with nobody in the list the doors would stand open again.
 *
 * Every command asks for the room of all its writes first, because it may not stop half-way. Shard thread.
 */
import { text, utf8, viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import {
  ACCESS_CENSUS_KEY,
  ACCESS_RECORD_BYTES_MAX,
  type AccessCensus,
  type AccessKind,
  accessKeyOf,
  decodeAccessCensus,
  decodeAccessChange,
  EMPTY_CENSUS,
  encodeAccessCensus,
  encodeAccessRecord,
  isAccessName,
  revisionOf,
  withRevision,
} from "../record/access-format.ts";
import { errorResult, integerResult, OK, type Result } from "../record/result.ts";
import { noCatalog } from "./apply-catalog.ts";
import type { CommandContext } from "./command-context.ts";

const CENSUS = utf8(ACCESS_CENSUS_KEY);
/** The longest key, and a census with its key. */
const FIXED_BYTES = 512;
const WRITES_MAX = 2;

const COUNT_MAX: Readonly<Record<AccessKind, number>> = {
  users: 10_000,
  roles: 1_000,
  tokenKeys: 16,
  revocations: 100_000,
};

const NO_USER = errorResult("INVALID_ARGUMENT", "the first entry is a user: without one nobody could be let in");
const STALE = errorResult("CONFLICT", "it has been changed meanwhile; look at it again");

/** Enters or changes an entry. */
export function applyChangeAccess(context: CommandContext): Result | null {
  return whereCatalogIs(context, (key, kind) => change(context, key, kind, censusOf(context) ?? EMPTY_CENSUS));
}

/** Enters the first user, if nobody has been entered before. */
export function applyFoundAccess(context: CommandContext): Result | null {
  return whereCatalogIs(context, (key, kind) => {
    if (kind !== "users") return NO_USER;
    if (censusOf(context) !== null) return errorResult("CONFLICT", "there are users already");
    return change(context, key, kind, EMPTY_CENSUS);
  });
}

export function applyRemoveAccess(context: CommandContext): Result | null {
  return whereCatalogIs(context, (key, kind) => {
    const { command } = context;
    const known = context.systemValue(key);
    const census = censusOf(context);
    const isNamed = command.valueEnd - command.valueStart === 4;
    if (known === null || census === null || !isNamed) return errorResult("CONFLICT", "there is no such entry");
    if (revisionOf(known).revision !== viewOf(command.value()).getUint32(0, true)) return STALE;
    if (kind === "users" && census.users === 1) {
      return errorResult("INVALID_ARGUMENT", "the last user stays: without one nobody could be let in");
    }
    if (!context.hasRoom(FIXED_BYTES, WRITES_MAX)) return null;
    context.setSystem(key, null);
    setCensus(context, { ...census, version: census.version + 1, [kind]: census[kind] - 1 });
    return OK;
  });
}

/** Result: integer, the revision that the entry has now. */
function change(context: CommandContext, key: Uint8Array, kind: AccessKind, census: AccessCensus): Result | null {
  const { expected, record } = decodeAccessChange(kind, context.command.value());
  const known = context.systemValue(key);
  const before = known === null ? null : revisionOf(known);
  if ((before?.revision ?? 0) !== expected) return STALE;
  if (kind !== "users" && census.users === 0) return NO_USER;
  const version = census.version + 1;
  const bytes = encodeAccessRecord(kind, withRevision(record, version, before?.id ?? version));
  if (bytes.length > ACCESS_RECORD_BYTES_MAX)
    return errorResult("TOO_LARGE", "so many grants do not fit into an entry");
  const count = census[kind] + (before === null ? 1 : 0);
  if (count > COUNT_MAX[kind]) return errorResult("OVERLOADED", `there are ${census[kind]} of them already`);
  if (!context.hasRoom(FIXED_BYTES + bytes.length, WRITES_MAX)) return null;
  context.setSystem(key, bytes);
  setCensus(context, { ...census, version, [kind]: count });
  return integerResult(version);
}

/** What cannot be read is refused by every replica alike. */
function whereCatalogIs(
  context: CommandContext,
  decide: (key: Uint8Array, kind: AccessKind) => Result | null,
): Result | null {
  if (!context.hasCatalog) return noCatalog();
  const key = context.command.key().slice();
  const entry = accessKeyOf(text(key));
  if (entry === null || !isAccessName(entry.name)) {
    return errorResult("INVALID_ARGUMENT", "a name has 1 to 64 letters, digits, '.', '_', '@' or '-'");
  }
  try {
    return decide(key, entry.kind);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.code !== "PROTOCOL") throw cause;
    return errorResult("INVALID_ARGUMENT", cause.message);
  }
}

function setCensus(context: CommandContext, census: AccessCensus): void {
  context.setSystem(CENSUS, encodeAccessCensus(census));
}

/** Null: nobody has been entered. */
function censusOf(context: CommandContext): AccessCensus | null {
  const value = context.systemValue(CENSUS);
  return value === null ? null : decodeAccessCensus(value);
}
