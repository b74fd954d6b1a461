/**
 * The description of a snapshot (`snapshot.meta`): what another member needs to take it over whole. A snapshot is a
 * directory of second names for a shard's tables and for the files they point into, under a manifest of its own, so that
 * a tree can be opened there as it is; where the log goes on behind it is said here.
 *
 *   offset  bytes
 *        0      4  magic "EVPD"
 *        4      4  CRC-32 of everything behind it
 *        8      2  format version, u16
 *       10      2  shard, u16
 *       12      4  file count, u32
 *       16     16  cluster id
 *       32      8  index of the last entry in it, u64: the flushed position
 *       40      8  term of that entry, u64
 *       48      4  stamp high, u32      the commands of the next entry up to this stamp are in it too
 *       52      4  stamp low, u32
 *       56      8  sequence, u64        counts flushes
 *       64      8  index of the configuration in force, u64
 *       72         bytes of its body, u32, and the body
 *                  files: bytes of the name, u32, and the name; file bytes, u64; CRC-32 of the whole file, u32
 *
 * Names are those of tables, of one manifest, and of value files outside the log: any other is refused, for the receiver
 * makes files of these names. Any thread.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { equalBytes, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { logIndex, shardId, term } from "../core/ids.ts";
import type { FlushedPosition } from "./manifest-format.ts";
import type { TreeIdentity } from "./tree-options.ts";

export const SNAPSHOT_DESCRIPTION_NAME = "snapshot.meta";
const MAGIC = 0x4450_5645;
const VERSION = 1;
const CHECKSUM_OFFSET = 4;
const CHECKED_OFFSET = 8;
const CLUSTER_ID_BYTES = 16;
const FILE_BYTES_MIN = 16;
const FILE_NAME = /^\d{8,16}\.(sst|manifest|kept\.evp|values\.evp)$/;

export interface SnapshotFile {
  readonly name: string;
  readonly byteCount: number;
  /** CRC-32 of the whole file. */
  readonly checksum: number;
}

export interface SnapshotDescription extends TreeIdentity {
  readonly position: FlushedPosition;
  readonly files: readonly SnapshotFile[];
}

export function encodeSnapshotDescription({ shard, clusterId, position, files }: SnapshotDescription): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(MAGIC);
  writer.u32(0);
  writer.u16(VERSION);
  writer.u16(shard);
  writer.u32(files.length);
  writer.raw(clusterId);
  writer.u64(position.index);
  writer.u64(position.term);
  writer.u32(position.stampHigh);
  writer.u32(position.stampLow);
  writer.u64(position.sequence);
  writer.u64(position.configuration.index);
  writer.blob(position.configuration.body);
  for (const { name, byteCount, checksum } of files) {
    writer.text(name);
    writer.u64(byteCount);
    writer.u32(checksum);
  }
  writer.patchU32(CHECKSUM_OFFSET, crc32(writer.written().subarray(CHECKED_OFFSET)));
  return writer.copy();
}

/**
 * Throws CORRUPTION when it is damaged, NEWER_FORMAT, and FOREIGN_DIRECTORY when it is of another cluster or shard; with a
 * null identity it may be anybody's.
 */
export function decodeSnapshotDescription(
  bytes: Uint8Array,
  identity: TreeIdentity | null,
  source: string,
): SnapshotDescription {
  if (bytes.length < CHECKED_OFFSET || viewOf(bytes).getUint32(0, true) !== MAGIC) {
    throw corruption(source, 0, "no description of a snapshot");
  }
  if (crc32(bytes.subarray(CHECKED_OFFSET)) !== viewOf(bytes).getUint32(CHECKSUM_OFFSET, true)) {
    throw corruption(source, CHECKSUM_OFFSET, "a description of a snapshot with a wrong checksum");
  }
  const reader = new ByteReader("CORRUPTION", source).over(bytes, CHECKED_OFFSET);
  const version = reader.u16();
  if (version !== VERSION) throw new EnvelopeError("NEWER_FORMAT", `${source} has snapshot format ${version}`);
  const shard = shardId(reader.u16());
  const fileCount = reader.count(FILE_BYTES_MIN);
  const clusterId = reader.raw(CLUSTER_ID_BYTES).slice();
  if (identity !== null && (shard !== identity.shard || !equalBytes(clusterId, identity.clusterId))) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${source} is a snapshot of another cluster or shard`);
  }
  const position = readPosition(reader);
  const files = Array.from({ length: fileCount }, () => readFile(reader));
  reader.finish();
  const manifestCount = files.filter(({ name }) => name.endsWith(".manifest")).length;
  if (manifestCount !== 1 || new Set(files.map(({ name }) => name)).size !== fileCount) {
    throw reader.invalid("files that make no snapshot");
  }
  return { shard, clusterId, position, files };
}

function readPosition(reader: ByteReader): FlushedPosition {
  const index = logIndex(reader.u64());
  const lastTerm = term(reader.u64());
  const stampHigh = reader.u32();
  const stampLow = reader.u32();
  const sequence = reader.u64();
  const configuration = { index: logIndex(reader.u64()), body: reader.blob().slice() };
  return { sequence, index, term: lastTerm, stampHigh, stampLow, configuration };
}

function readFile(reader: ByteReader): SnapshotFile {
  const name = reader.text();
  if (!FILE_NAME.test(name)) throw reader.invalid("a file of no name that a snapshot has");
  return { name, byteCount: reader.u64(), checksum: reader.u32() };
}
