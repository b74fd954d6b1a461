/**
 * The pointer to a shard's data (`generation.meta`): which of the directories beside it holds them. It is replaced whole,
 * by a rename, which is the moment at which a snapshot that was installed takes the place of what was there.
 *
 *   offset  bytes
 *        0      4  magic "EVPP"
 *        4      4  CRC-32 of everything behind it
 *        8      2  format version, u16
 *       10      2  shard, u16
 *       12      4  zero
 *       16     16  cluster id
 *       32      8  generation, u64: the number in the directory's name, from 1
 *
 * Any thread.
 */
import { equalBytes, getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { shardId } from "../core/ids.ts";
import type { TreeIdentity } from "./tree-options.ts";

export const GENERATION_POINTER_NAME = "generation.meta";
const POINTER_BYTES = 40;
const MAGIC = 0x5050_5645;
const VERSION = 1;
const CLUSTER_ID_OFFSET = 16;
const CLUSTER_ID_END = 32;

export interface GenerationPointer extends TreeIdentity {
  readonly generation: number;
}

export function encodeGenerationPointer({ shard, clusterId, generation }: GenerationPointer): Uint8Array {
  const bytes = new Uint8Array(POINTER_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  view.setUint16(8, VERSION, true);
  view.setUint16(10, shard, true);
  bytes.set(clusterId, CLUSTER_ID_OFFSET);
  setU64(view, CLUSTER_ID_END, generation);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/**
 * Throws CORRUPTION when it is damaged, NEWER_FORMAT, and FOREIGN_DIRECTORY when it is of another cluster or shard; with a
 * null identity it may be anybody's.
 */
export function decodeGenerationPointer(
  bytes: Uint8Array,
  identity: TreeIdentity | null,
  path: string,
): GenerationPointer {
  if (bytes.length !== POINTER_BYTES) throw corruption(path, bytes.length, "a pointer of the wrong length");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== MAGIC) throw corruption(path, 0, "no pointer to a generation");
  if (crc32(bytes.subarray(8)) !== view.getUint32(4, true)) {
    throw corruption(path, 4, "a pointer with a wrong checksum");
  }
  const version = view.getUint16(8, true);
  if (version !== VERSION) throw new EnvelopeError("NEWER_FORMAT", `${path} has pointer format ${version}`);
  const shard = shardId(view.getUint16(10, true));
  const clusterId = bytes.slice(CLUSTER_ID_OFFSET, CLUSTER_ID_END);
  if (identity !== null && (shard !== identity.shard || !equalBytes(clusterId, identity.clusterId))) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${path} belongs to another cluster or shard`);
  }
  const generation = getU64(view, CLUSTER_ID_END);
  if (!Number.isSafeInteger(generation) || generation < 1) throw corruption(path, CLUSTER_ID_END, "an absurd pointer");
  return { shard, clusterId, generation };
}
