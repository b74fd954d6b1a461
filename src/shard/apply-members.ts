/**
 * Who belongs to the cluster: a part of the catalog, in the system bucket of shard 0.
 *
 *   member/<name>    MemberRecord        one for each member
 *   members          Census              changes so far, the first id never given out, how many are to stay
 *
 * Every change counts the version up by one, so two lists of the same version are the same. An id is given once. A name
 * may be given anew after its member is forgotten; that is why whoever retires or forgets one says its id.
 * Every command asks for the room of all its writes first, because it may not stop half-way. Shard thread.
 */
import { text, utf8, viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { nodeId } from "../core/ids.ts";
import {
  type Census,
  CENSUS_KEY,
  decodeAdmission,
  decodeCensus,
  decodeMemberList,
  decodeMemberRecord,
  decodeRetirement,
  encodeCensus,
  encodeMemberRecord,
  isMemberName,
  MEMBER_PREFIX,
  type MemberRecord,
  NODE_ID_MAX,
} from "../record/member-format.ts";
import { errorResult, integerResult, OK, type Result } from "../record/result.ts";
import { noCatalog } from "./apply-catalog.ts";
import type { CommandContext } from "./command-context.ts";

const CENSUS = utf8(CENSUS_KEY);
/** A record with the longest of everything, its key, and the census. */
const RECORD_BYTES_MAX = 1024;
const WRITES_MAX = 2;

/** Enters the members that the cluster was born with, all at once: whoever comes later finds their ids taken. */
export function applyFoundCluster(context: CommandContext): Result | null {
  return whereCatalogIs(context, () => {
    const { nextId, members } = decodeMemberList(context.command.value());
    if (censusOf(context) !== null) return OK;
    if (!context.hasRoom((members.length + 1) * RECORD_BYTES_MAX, members.length + 1)) return null;
    for (const record of members) setRecord(context, record);
    context.setSystem(CENSUS, encodeCensus({ version: 1, nextId, stayingCount: members.length }));
    return OK;
  });
}

export function applyAdmitMember(context: CommandContext): Result | null {
  return whereCatalogIs(context, () => {
    const name = text(context.command.key());
    const admission = decodeAdmission(context.command.value());
    const census = censusOf(context);
    if (!isMemberName(name))
      return errorResult("INVALID_ARGUMENT", "a node's name has 1 to 64 letters, digits, '.', '_' or '-'");
    if (census === null)
      return errorResult("UNAVAILABLE", "the first members are not entered yet; it is safe to retry");
    const known = recordOf(context, name);
    const { incarnation, peerAddress, rack } = admission;
    if (known === null) {
      if (census.nextId > NODE_ID_MAX) return errorResult("OVERFLOW", "every node id has been given out");
      const record: MemberRecord = { id: nodeId(census.nextId), name, ...admission, state: "member" };
      const counts = { nextId: census.nextId + 1, stayingCount: census.stayingCount + 1 };
      return change(context, record, { ...census, ...counts }, integerResult(record.id));
    }
    if (known.incarnation !== "" && known.incarnation !== incarnation) return taken(name);
    const isSame = known.incarnation === incarnation && known.peerAddress === peerAddress && known.rack === rack;
    if (isSame) return integerResult(known.id);
    return change(context, { ...known, incarnation, peerAddress, rack }, census, integerResult(known.id));
  });
}

export function applyRetireMember(context: CommandContext): Result | null {
  return whereCatalogIs(context, () => {
    const name = text(context.command.key());
    const { id, forced } = decodeRetirement(context.command.value());
    const known = recordOf(context, name);
    const census = censusOf(context);
    if (census === null || known?.id !== id) return noMember(name);
    const isForced = forced || known.forced === true;
    if (known.state === "leaving" && isForced === (known.forced === true)) return OK;
    const isStaying = known.state === "member";
    if (isStaying && census.stayingCount === 1)
      return errorResult("INVALID_ARGUMENT", `${name} is the last member that is to stay`);
    const { forced: _forced, ...rest } = known;
    const retired: MemberRecord = { ...rest, state: "leaving", ...(isForced ? { forced: true } : {}) };
    return change(context, retired, { ...census, stayingCount: census.stayingCount - (isStaying ? 1 : 0) }, OK);
  });
}

export function applyForgetMember(context: CommandContext): Result | null {
  return whereCatalogIs(context, () => {
    const { command } = context;
    const name = text(command.key());
    const known = recordOf(context, name);
    const census = censusOf(context);
    const isNamed = command.valueEnd - command.valueStart === 4;
    const id = isNamed ? viewOf(command.value()).getUint32(0, true) : 0;
    if (census === null || known === null || known.id !== id) return noMember(name);
    if (known.state !== "leaving") return errorResult("INVALID_ARGUMENT", `${name} is not leaving`);
    if (!context.hasRoom(RECORD_BYTES_MAX, WRITES_MAX)) return null;
    context.setSystem(recordKey(name), null);
    context.setSystem(CENSUS, encodeCensus({ ...census, version: census.version + 1 }));
    return OK;
  });
}

/** What cannot be read is refused by every replica alike. */
function whereCatalogIs(context: CommandContext, decide: () => Result | null): Result | null {
  if (!context.hasCatalog) return noCatalog();
  try {
    return decide();
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.code !== "PROTOCOL") throw cause;
    return errorResult("INVALID_ARGUMENT", cause.message);
  }
}

function change(context: CommandContext, record: MemberRecord, census: Census, result: Result): Result | null {
  if (!context.hasRoom(RECORD_BYTES_MAX, WRITES_MAX)) return null;
  setRecord(context, record);
  context.setSystem(CENSUS, encodeCensus({ ...census, version: census.version + 1 }));
  return result;
}

function setRecord(context: CommandContext, record: MemberRecord): void {
  context.setSystem(recordKey(record.name), encodeMemberRecord(record));
}

/** Null: the first members are not entered yet. */
function censusOf(context: CommandContext): Census | null {
  const value = context.systemValue(CENSUS);
  return value === null ? null : decodeCensus(value);
}

function recordOf(context: CommandContext, name: string): MemberRecord | null {
  const value = context.systemValue(recordKey(name));
  return value === null ? null : decodeMemberRecord(value);
}

function recordKey(name: string): Uint8Array {
  return utf8(`${MEMBER_PREFIX}${name}`);
}

function noMember(name: string): Result {
  return errorResult("NO_MEMBER", `there is no member ${name}`);
}

function taken(name: string): Result {
  const advice = "a node whose data directory is lost comes back under a new name";
  return errorResult("MEMBER_EXISTS", `the name ${name} belongs to another data directory; ${advice}`);
}
