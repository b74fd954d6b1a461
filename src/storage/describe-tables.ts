/**
 * Tables and manifests as parts to be printed. Each function visits what is sound and throws CORRUPTION at the first
 * place where the file stops being so. A table is read block by block. Any thread.
 */
import { escapeBytes, type FilePart, type PartVisitor } from "../core/file-report.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption } from "../core/errors.ts";
import { fileNumber } from "../core/ids.ts";
import { type Stamp, stampMilliseconds } from "../core/stamp.ts";
import type { DiskFile } from "../env/disk.ts";
import { CommandReader } from "../record/command-format.ts";
import { VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import { BUCKET_BYTES, readU32, restartCount, tableKeyBucket } from "./block-format.ts";
import {
  decodeEdit,
  decodeSnapshot,
  FrameKind,
  type ManifestEdit,
  ManifestVersion,
  snapshotIdentity,
  type TableRecord,
  type ValueFileChange,
} from "./manifest-format.ts";
import { isProven, walkManifest } from "./manifest-walk.ts";
import { readTableBlock, readTableFile, type TableFile } from "./table-file.ts";
import { valueFileName } from "./value-file-names.ts";
import { ValuePointer } from "./value-pointer-format.ts";
import { readValueSegmentHeader, VALUE_SEGMENT_HEADER_BYTES } from "./value-segment-format.ts";

type Position = Pick<ManifestEdit, "nextFileNumber" | "flushed">;

const KIND_NAMES = {
  [VersionKind.value]: "value",
  [VersionKind.tombstone]: "tombstone",
  [VersionKind.pointer]: "pointer",
};
const FRAME_NAMES = ["", "snapshot", "edit", "proof"] as const;

/** With `withEntries` the versions in its blocks too. */
export function describeTable(file: DiskFile, withEntries: boolean, visit: PartVisitor): void {
  const table = readTableFile(file, null);
  const { header, footer, identity, footerOffset, footerChecksum } = table;
  const { smallest, largest, minStamp, maxStamp, ...figures } = footer;
  visit({
    kind: "table",
    depth: 0,
    offset: footerOffset,
    fields: {
      shard: identity.shard,
      clusterId: identity.clusterId.toHex(),
      smallest: shownTableKey(smallest),
      largest: shownTableKey(largest),
      minStamp: shownStamp(minStamp),
      maxStamp: shownStamp(maxStamp),
      ...figures,
      footerChecksum,
    },
  });
  const { filterLines, filterProbes, blockCount } = header;
  visit({ kind: "header", depth: 1, offset: 0, fields: { filterLines, filterProbes, blockCount } });
  const cursor = new BlockCursor();
  let damage: unknown = null;
  for (let block = 0; block < blockCount; block++) {
    try {
      describeBlock(table, block, cursor, withEntries, visit);
    } catch (cause) {
      damage ??= cause;
    }
  }
  if (damage !== null) throw damage;
}

function describeBlock(
  table: TableFile,
  block: number,
  cursor: BlockCursor,
  withEntries: boolean,
  visit: PartVisitor,
): void {
  const { region, anchorOffsets, blockOffsets } = table.header;
  const offset = blockOffsets[block]!;
  const { place, storedBytes, packing } = readTableBlock(table, block);
  let entryCount = 0;
  for (cursor.first(place); cursor.valid; cursor.next()) entryCount += 1;
  const anchor = shownTableKey(region.subarray(anchorOffsets[block]!, anchorOffsets[block + 1]!));
  visit({
    kind: "block",
    depth: 1,
    offset,
    fields: {
      number: block,
      byteCount: storedBytes,
      packing,
      entryCount,
      restartCount: restartCount(place.bytes, place.end),
      anchor,
    },
  });
  if (!withEntries) return;
  // Of an entry in a packed block: its place in the body.
  for (cursor.first(place); cursor.valid; cursor.next()) {
    visit({ kind: "entry", depth: 2, offset: offset + cursor.entryOffset, fields: versionFields(cursor) });
  }
}

function versionFields(cursor: BlockCursor): FilePart["fields"] {
  const { kind, stampHigh, stampLow, origin, expiryMs } = cursor.entry;
  const { bucket, key, value } = cursor;
  return {
    kind: KIND_NAMES[kind],
    bucket,
    key: escapeBytes(key),
    ...(kind === VersionKind.pointer ? pointerFields(value) : { valueBytes: value.length, value: escapeBytes(value) }),
    stamp: shownStamp({ high: stampHigh, low: stampLow }),
    origin,
    ...(expiryMs === 0 ? {} : { expiryMs }),
  };
}

function pointerFields(value: Uint8Array): FilePart["fields"] {
  const { file, commandOffset, commandBytes, valueBytes, checksum } = new ValuePointer().read(value, 0);
  return { valueBytes, file: valueFileName(file), commandOffset, commandBytes, checksum };
}

/** A value segment; with `withEntries` the commands in it too. Read whole. */
export function describeValueSegment(bytes: Uint8Array, path: string, withEntries: boolean, visit: PartVisitor): void {
  const { identity, number } = readValueSegmentHeader(bytes, path);
  const { shard, clusterId } = identity;
  visit({ kind: "values", depth: 0, offset: 0, fields: { number, shard, clusterId: clusterId.toHex() } });
  const command = new CommandReader().over(bytes);
  for (let offset = VALUE_SEGMENT_HEADER_BYTES; offset < bytes.length; ) {
    const next = command.read(offset, bytes.length);
    const isWhole = next > offset && crc32(bytes.subarray(offset + 4, next)) === readU32(bytes, offset);
    if (!isWhole) throw corruption(path, offset, "a command with a wrong checksum");
    const fields = { bucket: command.bucket, key: escapeBytes(command.key()), byteCount: next - offset };
    if (withEntries) visit({ kind: "command", depth: 1, offset, fields });
    offset = next;
  }
}

/** `number` is the one in the file's name: the frames' checksums begin with it. */
export function describeManifest(bytes: Uint8Array, number: number, path: string, visit: PartVisitor): void {
  const parts = walkManifest(bytes, fileNumber(number));
  const live = new Map<number, TableRecord>();
  const state: { nextFileNumber: number; flushed: ManifestEdit["flushed"] } = { nextFileNumber: 0, flushed: null };
  let version: ManifestVersion = ManifestVersion.tables;
  let damage: unknown = null;
  for (const part of parts) {
    if (part.kind === "break") {
      const why = isProven(parts, part.offset) || part.offset === 0 ? "damaged" : "a torn tail";
      visit({ kind: "break", depth: 0, offset: part.offset, fields: { endOffset: part.end, why } });
      if (why === "damaged") damage ??= corruption(path, part.offset, "a frame with a wrong checksum");
      continue;
    }
    const { frame, offset } = part;
    const { syncedThrough, kind, body } = frame;
    const isSnapshot = kind === FrameKind.snapshot;
    const fields = { syncedThrough, bodyBytes: body.length };
    const snapshot = isSnapshot ? decodeSnapshot(body, null, path) : null;
    version = snapshot?.version ?? version;
    const edit = snapshot?.edit ?? (kind === FrameKind.edit ? decodeEdit(body, version, path) : null);
    visit({
      kind: FRAME_NAMES[kind],
      depth: 0,
      offset,
      fields: { ...fields, ...(isSnapshot ? ownerFields(body) : {}), ...(edit === null ? {} : editFields(edit)) },
    });
    if (edit === null) continue;
    for (const removed of edit.removed) {
      live.delete(removed);
      visit({ kind: "removed", depth: 1, offset, fields: { number: removed } });
    }
    for (const record of edit.added) {
      live.set(record.number, record);
      describeRecord("added", record, offset, visit);
    }
    describeValueFiles(edit.values, offset, visit);
    state.nextFileNumber = edit.nextFileNumber;
    state.flushed = edit.flushed ?? state.flushed;
  }
  if (state.nextFileNumber > 0) describeState(live, state, bytes.length, visit);
  if (damage !== null) throw damage;
}

function describeState(
  live: ReadonlyMap<number, TableRecord>,
  last: Position,
  offset: number,
  visit: PartVisitor,
): void {
  visit({ kind: "state", depth: 0, offset, fields: { tableCount: live.size, ...editFields(last) } });
  const ordered = [...live.values()].sort((a, b) => a.level - b.level || b.run - a.run || a.number - b.number);
  for (const record of ordered) describeRecord("live", record, offset, visit);
}

function describeRecord(kind: string, record: TableRecord, offset: number, visit: PartVisitor): void {
  const { references = [], ...fields } = record;
  visit({ kind, depth: 1, offset, fields });
  for (const { file, byteCount } of references) {
    visit({ kind: "reference", depth: 2, offset, fields: { file: valueFileName(file), byteCount } });
  }
}

function describeValueFiles({ removed, added }: ValueFileChange, offset: number, visit: PartVisitor): void {
  for (const id of removed) visit({ kind: "valuesRemoved", depth: 1, offset, fields: { file: valueFileName(id) } });
  for (const { id, fileBytes, checksum } of added) {
    visit({ kind: "valuesAdded", depth: 1, offset, fields: { file: valueFileName(id), fileBytes, checksum } });
  }
}

function ownerFields(body: Uint8Array): FilePart["fields"] {
  const { shard, clusterId } = snapshotIdentity(body);
  return { shard, clusterId: clusterId.toHex() };
}

function editFields({ nextFileNumber, flushed }: Position): FilePart["fields"] {
  if (flushed === null) return { nextFileNumber };
  const { sequence, index, term, stampHigh, stampLow, configuration } = flushed;
  const stamp = shownStamp({ high: stampHigh, low: stampLow });
  return {
    nextFileNumber,
    flushedSequence: sequence,
    flushedIndex: index,
    flushedTerm: term,
    flushedStamp: stamp,
    configurationIndex: configuration.index,
    configurationBytes: configuration.body.length,
  };
}

function shownTableKey(key: Uint8Array): string {
  if (key.length < BUCKET_BYTES) return escapeBytes(key);
  return `${tableKeyBucket(key, 0)}:${escapeBytes(key.subarray(BUCKET_BYTES))}`;
}

/** Milliseconds since 1970, a point, the counter. */
function shownStamp({ high, low }: Stamp): string {
  return `${stampMilliseconds(high, low)}.${low & 0xffff}`;
}
