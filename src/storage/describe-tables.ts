/**
 * Tables and manifests as parts to be printed. Each function visits what is sound and throws CORRUPTION at the first
 * place where the file stops being so. A table is read block by block. Any thread.
 */
import { escapeBytes, type FilePart, type PartVisitor } from "../core/file-report.ts";
import { corruption } from "../core/errors.ts";
import { fileNumber } from "../core/ids.ts";
import { type Stamp, stampMilliseconds } from "../core/stamp.ts";
import type { DiskFile } from "../env/disk.ts";
import { VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import { BUCKET_BYTES, restartCount, tableKeyBucket } from "./block-format.ts";
import {
  decodeEdit,
  decodeSnapshot,
  FrameKind,
  type ManifestEdit,
  snapshotIdentity,
  type TableRecord,
} from "./manifest-format.ts";
import { isProven, walkManifest } from "./manifest-walk.ts";
import { readTableBlock, readTableFile, type TableFile } from "./table-file.ts";

type Position = Pick<ManifestEdit, "nextFileNumber" | "flushed">;

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
    kind: kind === VersionKind.value ? "value" : "tombstone",
    bucket,
    key: escapeBytes(key),
    valueBytes: value.length,
    value: escapeBytes(value),
    stamp: shownStamp({ high: stampHigh, low: stampLow }),
    origin,
    ...(expiryMs === 0 ? {} : { expiryMs }),
  };
}

/** `number` is the one in the file's name: the frames' checksums begin with it. */
export function describeManifest(bytes: Uint8Array, number: number, path: string, visit: PartVisitor): void {
  const parts = walkManifest(bytes, fileNumber(number));
  const live = new Map<number, TableRecord>();
  const state: { nextFileNumber: number; flushed: ManifestEdit["flushed"] } = { nextFileNumber: 0, flushed: null };
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
    const edit = isSnapshot
      ? decodeSnapshot(body, null, path)
      : kind === FrameKind.edit
        ? decodeEdit(body, path)
        : null;
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
      visit({ kind: "added", depth: 1, offset, fields: { ...record } });
    }
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
  for (const record of ordered) visit({ kind: "live", depth: 1, offset, fields: { ...record } });
}

function ownerFields(body: Uint8Array): FilePart["fields"] {
  const { shard, clusterId } = snapshotIdentity(body);
  return { shard, clusterId: clusterId.toHex() };
}

function editFields({ nextFileNumber, flushed }: Position): FilePart["fields"] {
  if (flushed === null) return { nextFileNumber };
  const { sequence, index, term, stampHigh, stampLow } = flushed;
  const stamp = shownStamp({ high: stampHigh, low: stampLow });
  return { nextFileNumber, flushedSequence: sequence, flushedIndex: index, flushedTerm: term, flushedStamp: stamp };
}

function shownTableKey(key: Uint8Array): string {
  if (key.length < BUCKET_BYTES) return escapeBytes(key);
  return `${tableKeyBucket(key, 0)}:${escapeBytes(key.subarray(BUCKET_BYTES))}`;
}

/** Milliseconds since 1970, a point, the counter. */
function shownStamp({ high, low }: Stamp): string {
  return `${stampMilliseconds(high, low)}.${low & 0xffff}`;
}
