/** The description of a snapshot, and the pointer to a generation, as parts to be printed. Any thread. */
import type { PartVisitor } from "../core/file-report.ts";
import { decodeGenerationPointer } from "./generation-format.ts";
import { decodeSnapshotDescription } from "./snapshot-format.ts";

/** Throws CORRUPTION. */
export function describeSnapshot(bytes: Uint8Array, path: string, visit: PartVisitor): void {
  const { shard, clusterId, position, files } = decodeSnapshotDescription(bytes, null, path);
  const { sequence, index, term, stampHigh, stampLow, configuration } = position;
  const place = { flushedSequence: sequence, flushedIndex: index, flushedTerm: term, stampHigh, stampLow };
  const members = { configurationIndex: configuration.index, configurationBytes: configuration.body.length };
  const owner = { shard, clusterId: clusterId.toHex(), fileCount: files.length };
  visit({ kind: "snapshot", depth: 0, offset: 0, fields: { ...owner, ...place, ...members } });
  for (const file of files) visit({ kind: "file", depth: 1, offset: 0, fields: { ...file } });
}

/** Throws CORRUPTION. */
export function describePointer(bytes: Uint8Array, path: string, visit: PartVisitor): void {
  const { shard, clusterId, generation } = decodeGenerationPointer(bytes, null, path);
  visit({ kind: "pointer", depth: 0, offset: 0, fields: { shard, clusterId: clusterId.toHex(), generation } });
}
