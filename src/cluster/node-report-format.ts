/**
 * What nodes tell each other about themselves and about others: the body of a `report` frame, a MessagePack array of
 * NodeReport. For display and routing only.
 */
import { decode, encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../core/errors.ts";
import { NODE_ID_MAX } from "../record/member-format.ts";

export interface NodeReport {
  readonly node: number;
  /** Drawn at every start of its process. */
  readonly session: number;
  /** Counts its reports. */
  readonly version: number;
  /** Of its list of members. */
  readonly membersVersion: number;
  /** Shards that it leads. */
  readonly leading: number;
  /** Operations that wait there. */
  readonly pending: number;
  readonly debtBytes: number;
  /** Files known to be damaged. */
  readonly quarantined: number;
  readonly isWritable: boolean;
}

/** More members than any configuration may have. */
const REPORTS_MAX = 1000;

export function encodeReports(reports: readonly NodeReport[]): Uint8Array {
  return encode(reports);
}

/** Throws PROTOCOL. */
export function decodeReports(body: Uint8Array): readonly NodeReport[] {
  let value: unknown;
  try {
    value = decode(body);
  } catch (cause) {
    throw new EnvelopeError("PROTOCOL", `reports that are not MessagePack: ${String(cause)}`);
  }
  if (!Array.isArray(value) || value.length > REPORTS_MAX || !value.every(isReport)) {
    throw new EnvelopeError("PROTOCOL", "reports without their fields");
  }
  return value;
}

function isReport(value: unknown): value is NodeReport {
  const fields = value as Partial<NodeReport> | null;
  const { node, session, version, membersVersion, leading, pending, debtBytes, quarantined } = fields ?? {};
  const areCounts = [node, session, version, membersVersion, leading, pending, debtBytes, quarantined].every(
    (count) => Number.isSafeInteger(count) && (count ?? -1) >= 0,
  );
  return areCounts && (node ?? 0) <= NODE_ID_MAX && typeof fields?.isWritable === "boolean";
}
