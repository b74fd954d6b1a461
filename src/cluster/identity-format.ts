/**
 * `node.meta`: who a data directory belongs to. Written when the directory is made, rewritten (a new file, then a
 * rename) when a peer's incarnation is bound for the first time.
 *
 *   offset  bytes
 *        0      4  magic "EVPN"
 *        4      4  format version, u32
 *        8      4  CRC-32 of the body
 *       12      4  body bytes, u32
 *       16         MessagePack map: the fields of NodeIdentity
 */
import { decode, encode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";

const MAGIC = 0x4e505645;
const VERSION = 1;
const HEADER_BYTES = 16;

export interface Member {
  /** Its number in votes and stamps, 1–65535. */
  readonly id: number;
  readonly name: string;
  /** The incarnation of the data directory that speaks under this name; empty until first heard. */
  readonly incarnation: string;
}

export interface NodeIdentity {
  /** Hex of a hash over the cluster's name and its first members. */
  readonly clusterId: string;
  readonly nodeName: string;
  /** Hex, minted with the directory. */
  readonly incarnation: string;
  readonly shardCount: number;
  readonly members: readonly Member[];
}

export function encodeIdentity(identity: NodeIdentity): Uint8Array {
  const body = encode(identity);
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
  return checkShape(decode(body), path);
}

function checkShape(value: unknown, path: string): NodeIdentity {
  const fields = value as Partial<NodeIdentity> | null;
  const whole =
    typeof fields?.clusterId === "string" &&
    typeof fields.nodeName === "string" &&
    typeof fields.incarnation === "string" &&
    typeof fields.shardCount === "number" &&
    Array.isArray(fields.members);
  if (!whole) throw corruption(path, HEADER_BYTES, "a node identity without its fields");
  return fields as NodeIdentity;
}
