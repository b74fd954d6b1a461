/**
 * `node.meta`: who a data directory belongs to, and who else belongs to its cluster. Written when the directory is made;
 * replaced whole (a new file, then a rename) when the node has joined, when a member is first heard, and when members
 * come and go.
 *
 *   offset  bytes
 *        0      4  magic "EVPN"
 *        4      4  format version, u32
 *        8      4  CRC-32 of the body
 *       12      4  body bytes, u32
 *       16         MessagePack map: the fields of NodeIdentity
 *
 * Version 1, which is still read, had for `members` an array of maps of id, name and incarnation, which were the members
 * that the cluster was born with, and no `nodeId`, `founders` or `heard`.
 */
import { decode, encode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type MemberList, memberListMap, memberListOf } from "../record/member-format.ts";

const MAGIC = 0x4e505645;
const VERSION = 2;
const HEADER_BYTES = 16;

export interface NodeIdentity {
  /** Hex of a hash over the cluster's name and its first members; empty until the node has joined one. */
  readonly clusterId: string;
  readonly nodeName: string;
  /** Its number among the members; 0 until it has joined. */
  readonly nodeId: number;
  /** Hex, minted with the directory. */
  readonly incarnation: string;
  /** 0 until it has joined. */
  readonly shardCount: number;
  /** Ids of the members that the cluster was born with, where this node is one of them; else empty. */
  readonly founders: readonly number[];
  /** The newest that is known of the members, as the catalog has them. */
  readonly members: MemberList;
  /** Data directories that members were first heard from: they count where the list has none. */
  readonly heard: readonly HeardMember[];
}

export interface HeardMember {
  readonly id: number;
  readonly incarnation: string;
}

export function encodeIdentity(identity: NodeIdentity): Uint8Array {
  const body = encode({ ...identity, members: memberListMap(identity.members) });
  const file = new Uint8Array(HEADER_BYTES + body.length);
  const view = viewOf(file);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, crc32(body), true);
  view.setUint32(12, body.length, true);
  file.set(body, HEADER_BYTES);
  return file;
}

export function decodeIdentity(file: Uint8Array, path: string): NodeIdentity {
  const view = viewOf(file);
  if (file.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) throw corruption(path, 0, "no node identity");
  const version = view.getUint32(4, true);
  if (version > VERSION) {
    throw new EnvelopeError("NEWER_FORMAT", `${path} has format version ${version}; this build reads up to ${VERSION}`);
  }
  const bodyBytes = view.getUint32(12, true);
  const body = file.subarray(HEADER_BYTES);
  if (version === 0 || body.length !== bodyBytes || crc32(body) !== view.getUint32(8, true)) {
    throw corruption(path, HEADER_BYTES, "a damaged node identity");
  }
  const fields = decode(body) as Record<string, unknown> | null;
  const identity = identityOf(version === 1 ? asVersion2(fields) : fields);
  if (identity === null) throw corruption(path, HEADER_BYTES, "a node identity without its fields");
  return identity;
}

function identityOf(fields: Record<string, unknown> | null): NodeIdentity | null {
  const { clusterId, nodeName, nodeId, incarnation, shardCount, founders, heard } = fields ?? {};
  const areTexts = typeof clusterId === "string" && typeof nodeName === "string" && typeof incarnation === "string";
  const members = memberListOf(fields?.["members"]);
  if (!areTexts || typeof nodeId !== "number" || typeof shardCount !== "number" || members === null) return null;
  if (!Array.isArray(founders) || !founders.every((id): id is number => typeof id === "number")) return null;
  if (!Array.isArray(heard) || !heard.every(isHeard)) return null;
  return { clusterId, nodeName, nodeId, incarnation, shardCount, founders, members, heard };
}

function isHeard(value: unknown): value is HeardMember {
  const { id, incarnation } = (value ?? {}) as Partial<HeardMember>;
  return typeof id === "number" && typeof incarnation === "string";
}

interface MemberOfVersion1 {
  readonly id: number;
  readonly name: string;
  readonly incarnation: string;
}

function asVersion2(fields: Record<string, unknown> | null): Record<string, unknown> | null {
  if (!Array.isArray(fields?.["members"])) return null;
  const first = fields["members"] as readonly MemberOfVersion1[];
  const rest = { incarnation: "", peerAddress: "", rack: "", state: 1, forced: false };
  const members = first.map(({ id, name }) => ({ id, name, ...rest }));
  const heard = first.filter(({ incarnation }) => incarnation !== "");
  const founders = first.map(({ id }) => id);
  const nodeId = first.find(({ name }) => name === fields["nodeName"])?.id;
  return { ...fields, nodeId, founders, members: { version: 0, nextId: Math.max(0, ...founders) + 1, members }, heard };
}
