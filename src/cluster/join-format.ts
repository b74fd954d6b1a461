/**
 * How a node becomes a member: the bodies of `join` and `joined`, each a MessagePack map. Whoever joins says who it is and
 * what has to be the same on every node; it is told everything that it has to write into its own directory, or why not.
 *
 *   join     name, incarnation, peerAddress, rack, valueBytesMax, electionMs, replicationFactor
 *   joined   clusterId, nodeId, shardCount, members: the newest list, with the new one in it
 *            or code, message: it was refused
 */
import { encode } from "@msgpack/msgpack";
import { EnvelopeError, type ErrorCode, isErrorCode } from "../core/errors.ts";
import { decodePack } from "../record/decode-pack.ts";
import { type MemberList, memberListMap, memberListOf, NODE_ID_MAX } from "../record/member-format.ts";

export interface JoinRequest {
  readonly name: string;
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly rack: string;
  /** As in a hello. */
  readonly valueBytesMax: number;
  /** A lease rests on it that nobody elects earlier. */
  readonly electionMs: number;
  /** Placement is computed by every leader for itself. */
  readonly replicationFactor: number;
}

export interface Membership {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly shardCount: number;
  readonly members: MemberList;
}

export type JoinAnswer =
  | { readonly kind: "joined"; readonly membership: Membership }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string };

const SHARDS_MAX = 0xffff;
const TEXT_LENGTH_MAX = 300;

export function encodeJoin(request: JoinRequest): Uint8Array {
  return encode(request);
}

/** Throws PROTOCOL. What the catalog decides on is its business. */
export function decodeJoin(body: Uint8Array): JoinRequest {
  const fields = decodeMap(body) as Partial<JoinRequest>;
  const { name, incarnation, peerAddress, rack, valueBytesMax, electionMs, replicationFactor } = fields;
  const areTexts = [name, incarnation, peerAddress, rack].every(isShortText);
  const areNumbers = [valueBytesMax, electionMs, replicationFactor].every((field) => typeof field === "number");
  if (!areTexts || !areNumbers || incarnation === "") {
    throw new EnvelopeError("PROTOCOL", "a request to join without its fields");
  }
  return fields as JoinRequest;
}

export function encodeJoinAnswer(answer: JoinAnswer): Uint8Array {
  if (answer.kind === "refused") return encode({ code: answer.code, message: answer.message });
  const { members, ...rest } = answer.membership;
  return encode({ ...rest, members: memberListMap(members) });
}

/** Throws PROTOCOL. */
export function decodeJoinAnswer(body: Uint8Array): JoinAnswer {
  const { code, message, clusterId, nodeId, shardCount, members: list } = decodeMap(body);
  if (typeof code === "string" && typeof message === "string") {
    return { kind: "refused", code: isErrorCode(code) ? code : "PROTOCOL", message };
  }
  const members = memberListOf(list);
  const isWhole = typeof clusterId === "string" && isNumber(nodeId, NODE_ID_MAX) && isNumber(shardCount, SHARDS_MAX);
  if (!isWhole || members === null) throw new EnvelopeError("PROTOCOL", "an answer to a join without its fields");
  return { kind: "joined", membership: { clusterId, nodeId, shardCount, members } };
}

/** What strangers call themselves ends up in logs. */
function isShortText(value: unknown): boolean {
  return typeof value === "string" && value.length <= TEXT_LENGTH_MAX;
}

function isNumber(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max;
}

function decodeMap(body: Uint8Array): Record<string, unknown> {
  return (decodePack(body, "a message about joining") ?? {}) as Record<string, unknown>;
}
