/**
 * What nodes tell each other about themselves and about others: the body of a `report` frame, a MessagePack array of
 * NodeReport. For display and routing only: who leads by it is asked, and says so if it does not.
 */
import { encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../core/errors.ts";
import { decodePack } from "../record/decode-pack.ts";
import { NODE_ID_MAX } from "../record/member-format.ts";

/** A shard that a node leads, and who belongs to its group. */
export interface LedShard {
  readonly shard: number;
  readonly term: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
}

export interface NodeReport {
  readonly node: number;
  /** Drawn at every start of its process. */
  readonly session: number;
  /** Counts its reports. */
  readonly version: number;
  /** Of its list of members. */
  readonly membersVersion: number;
  readonly leads: readonly LedShard[];
  /** Operations that wait there. */
  readonly pending: number;
  readonly debtBytes: number;
  /** Files known to be damaged. */
  readonly quarantined: number;
  readonly isWritable: boolean;
  /** Where it serves clients, as far as others can use that; empty: it does not say. Nodes of earlier versions lack it. */
  readonly clientAddress?: string;
}

/** More members than any configuration may have. */
const REPORTS_MAX = 1000;
const ADDRESS_LENGTH_MAX = 300;

export function encodeReports(reports: readonly NodeReport[]): Uint8Array {
  return encode(reports);
}

/** Throws PROTOCOL. */
export function decodeReports(body: Uint8Array): readonly NodeReport[] {
  const value = decodePack(body, "a list of reports");
  if (!Array.isArray(value) || value.length > REPORTS_MAX || !value.every(isReport)) {
    throw new EnvelopeError("PROTOCOL", "reports without their fields");
  }
  return value;
}

function isReport(value: unknown): value is NodeReport {
  const fields = value as Partial<NodeReport> | null;
  const { node, session, version, membersVersion, leads, pending, debtBytes, quarantined } = fields ?? {};
  if (!Array.isArray(leads) || !leads.every(isLedShard)) return false;
  const areCounts = [node, session, version, membersVersion, pending, debtBytes, quarantined].every(isCount);
  const areAddresses = isAddress(fields?.clientAddress ?? "");
  return areCounts && areAddresses && (node ?? 0) <= NODE_ID_MAX && typeof fields?.isWritable === "boolean";
}

function isAddress(value: unknown): boolean {
  return typeof value === "string" && value.length <= ADDRESS_LENGTH_MAX;
}

function isLedShard(value: unknown): value is LedShard {
  const { shard, term, voters, learners } = (value ?? {}) as Partial<LedShard>;
  return isCount(shard) && isCount(term) && areIds(voters) && areIds(learners);
}

function areIds(value: unknown): boolean {
  return Array.isArray(value) && value.every((id) => isCount(id) && id > 0 && id <= NODE_ID_MAX);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
