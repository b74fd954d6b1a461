/**
 * A manifest (`.manifest`): the log of edits to the set of live tables, and of the value files they point into. A file
 * begins with a snapshot of the whole state; edits follow. Little-endian; frames begin at multiples of 8.
 *
 *   frame:  0   4   CRC-32 of the frame behind it, padding included, begun with the CRC of the file number (u64)
 *           4   4   body bytes
 *           8   8   synced through: the position in this file proven durable before this frame was written
 *          16   4   kind (FrameKind)
 *          20   4   zero
 *          24       body, zeros to a multiple of 8
 *
 *   snapshot body:   4   format version (1 to 3)         edit body:   the edit
 *                    2   shard
 *                    2   zero
 *                   16   cluster id                      proof body:  empty
 *                        the edit that leads here from nothing
 *
 *   edit:   8   next file number
 *           1   whether a flushed position follows (1) or not (0)
 *          (8 sequence, 8 index, 8 term, 4 stamp high, 4 stamp low,
 *           from format version 3 on: 8 index of the configuration in force, 4 bytes of its body, the body)
 *           4   removed count, then that many file numbers (8)
 *           4   added count, then that many tables:
 *                  8  file number       2  tree (1)        2  level      8  run
 *                  8  file bytes        4  header bytes    4  footer bytes
 *                  4  footer checksum
 *          from format version 2 on furthermore:
 *           4   removed count, then that many value file ids (8)
 *           4   added count, then that many value files:
 *                  8  id                8  file bytes      4  checksum in its header
 *           4   reference count, then that many references of the added tables:
 *                  8  table number      8  value file id   8  bytes of the commands pointed to
 *
 * A *proof* says that everything before it had been synced when it was written. It is written, not synced, after every
 * edit, so that damage to the newest edit can be told from an edit that was being written at a crash. A manifest is
 * written in version 3 only; the older ones know no value files (1), and no configuration. Numbers here are persisted:
 * never reuse one. Any thread.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { equalBytes, getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { EnvelopeError } from "../core/errors.ts";
import {
  type FileNumber,
  fileNumber,
  type LogIndex,
  logIndex,
  shardId,
  type Term,
  term,
  type ValueFileId,
  valueFileId,
} from "../core/ids.ts";
import { type LoggedConfiguration, NO_CONFIGURATION } from "../record/logged-configuration.ts";
import type { TreeIdentity } from "./tree-options.ts";

/** Of a manifest without value files, of one with them, and of one that knows the configuration too. */
export const ManifestVersion = { tables: 1, values: 2, configuration: 3 } as const;
export type ManifestVersion = (typeof ManifestVersion)[keyof typeof ManifestVersion];
const FRAME_HEADER_BYTES = 24;
export const FRAME_ALIGNMENT = 8;
const TABLE_RECORD_BYTES = 40;
const CLUSTER_ID_BYTES = 16;
const VALUE_FILE_RECORD_BYTES = 20;
const REFERENCE_BYTES = 24;
const TREE = 1;

export const FrameKind = { snapshot: 1, edit: 2, proof: 3 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** How far the state of a shard is in tables; replay of the log begins behind it. */
export interface FlushedPosition {
  /** The writer's own count or position of the log; kept and given back as it is. */
  readonly sequence: number;
  readonly index: LogIndex;
  readonly term: Term;
  /** The last stamp applied. */
  readonly stampHigh: number;
  readonly stampLow: number;
  /** The one in force: of the last entry of that kind up to `index`. */
  readonly configuration: LoggedConfiguration;
}

/** A live table: where it stands, and what its file must be like. */
export interface TableRecord {
  readonly number: FileNumber;
  readonly level: number;
  /** Level 0: the number of its run, the higher the newer. 0 in deeper levels, which are one run each. */
  readonly run: number;
  readonly fileBytes: number;
  readonly headerBytes: number;
  readonly footerBytes: number;
  readonly footerChecksum: number;
  /** The files it points into; absent: it holds no pointers. */
  readonly references?: readonly ValueReference[];
}

/** How much of a value file a table points to. */
export interface ValueReference {
  readonly file: ValueFileId;
  /** Bytes of the commands, each counted whole. */
  readonly byteCount: number;
}

/** A file that live tables point into, and what it must be like. */
export interface ValueFileRecord {
  readonly id: ValueFileId;
  readonly fileBytes: number;
  /** In its header: which of all files that may ever have borne this name it is. */
  readonly checksum: number;
}

/** A change to the set of value files. */
export interface ValueFileChange {
  readonly removed: readonly ValueFileId[];
  readonly added: readonly ValueFileRecord[];
}

export const NO_VALUE_FILE_CHANGE: ValueFileChange = { removed: [], added: [] };

export interface ManifestEdit {
  readonly nextFileNumber: number;
  /** Null: unchanged. */
  readonly flushed: FlushedPosition | null;
  readonly removed: readonly FileNumber[];
  readonly added: readonly TableRecord[];
  readonly values: ValueFileChange;
}

export interface Frame {
  readonly kind: FrameKind;
  readonly syncedThrough: number;
  readonly body: Uint8Array;
  /** Offset behind the frame and its padding. */
  readonly end: number;
}

export function manifestName(number: FileNumber): string {
  return `${String(number).padStart(8, "0")}.manifest`;
}

export function encodeFrame(number: FileNumber, kind: FrameKind, syncedThrough: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + Math.ceil(body.length / FRAME_ALIGNMENT) * FRAME_ALIGNMENT);
  const view = viewOf(frame);
  view.setUint32(4, body.length, true);
  setU64(view, 8, syncedThrough);
  view.setUint32(16, kind, true);
  frame.set(body, FRAME_HEADER_BYTES);
  view.setUint32(0, crc32(frame.subarray(4), frameSeed(number)), true);
  return frame;
}

/** The frame at `offset`, or null where there is no whole one. */
export function decodeFrame(bytes: Uint8Array, offset: number, number: FileNumber): Frame | null {
  if (offset + FRAME_HEADER_BYTES > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, FRAME_HEADER_BYTES);
  const bodyBytes = view.getUint32(4, true);
  const kind = view.getUint32(16, true);
  if (kind < FrameKind.snapshot || kind > FrameKind.proof) return null;
  const end = offset + FRAME_HEADER_BYTES + Math.ceil(bodyBytes / FRAME_ALIGNMENT) * FRAME_ALIGNMENT;
  if (end > bytes.length) return null;
  if (crc32(bytes.subarray(offset + 4, end), frameSeed(number)) !== view.getUint32(0, true)) return null;
  const body = bytes.subarray(offset + FRAME_HEADER_BYTES, offset + FRAME_HEADER_BYTES + bodyBytes);
  return { kind: kind as FrameKind, syncedThrough: getU64(view, 8), body, end };
}

export function encodeSnapshot(identity: TreeIdentity, edit: ManifestEdit): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(ManifestVersion.configuration);
  writer.u16(identity.shard);
  writer.u16(0);
  writer.raw(identity.clusterId);
  writeEdit(writer, edit);
  return writer.written();
}

/**
 * Throws CORRUPTION, NEWER_FORMAT, or FOREIGN_DIRECTORY when it is of another cluster or shard; with a null identity it
 * may be anybody's.
 */
export function decodeSnapshot(
  body: Uint8Array,
  identity: TreeIdentity | null,
  file: string,
): { readonly edit: ManifestEdit; readonly version: ManifestVersion } {
  const reader = new ByteReader("CORRUPTION", file).over(body);
  const version = reader.u32();
  if (!isKnown(version)) {
    throw new EnvelopeError("NEWER_FORMAT", `${file} has manifest format ${version}: it needs a newer release`);
  }
  const shard = reader.u16();
  reader.u16();
  const clusterId = reader.raw(CLUSTER_ID_BYTES);
  if (identity !== null && (shard !== identity.shard || !equalBytes(clusterId, identity.clusterId))) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another cluster or shard`);
  }
  return { edit: readEdit(reader, version), version };
}

/** Whose manifest it is. The body has been decoded without an error. */
export function snapshotIdentity(body: Uint8Array): TreeIdentity {
  const reader = new ByteReader("CORRUPTION", "a snapshot").over(body, 4);
  const shard = shardId(reader.u16());
  reader.u16();
  return { shard, clusterId: reader.raw(CLUSTER_ID_BYTES).slice() };
}

export function encodeEdit(edit: ManifestEdit): Uint8Array {
  const writer = new ByteWriter();
  writeEdit(writer, edit);
  return writer.written();
}

/** An edit of a manifest whose snapshot has this version. Throws CORRUPTION. */
export function decodeEdit(body: Uint8Array, version: ManifestVersion, file: string): ManifestEdit {
  return readEdit(new ByteReader("CORRUPTION", file).over(body), version);
}

function isKnown(version: number): version is ManifestVersion {
  return version >= ManifestVersion.tables && version <= ManifestVersion.configuration;
}

function writeEdit(writer: ByteWriter, edit: ManifestEdit): void {
  writer.u64(edit.nextFileNumber);
  writer.u8(edit.flushed === null ? 0 : 1);
  if (edit.flushed !== null) {
    writer.u64(edit.flushed.sequence);
    writer.u64(edit.flushed.index);
    writer.u64(edit.flushed.term);
    writer.u32(edit.flushed.stampHigh);
    writer.u32(edit.flushed.stampLow);
    writer.u64(edit.flushed.configuration.index);
    writer.blob(edit.flushed.configuration.body);
  }
  writer.u32(edit.removed.length);
  for (const number of edit.removed) writer.u64(number);
  writer.u32(edit.added.length);
  for (const table of edit.added) {
    writer.u64(table.number);
    writer.u16(TREE);
    writer.u16(table.level);
    writer.u64(table.run);
    writer.u64(table.fileBytes);
    writer.u32(table.headerBytes);
    writer.u32(table.footerBytes);
    writer.u32(table.footerChecksum);
  }
  writeValues(writer, edit);
}

function writeValues(writer: ByteWriter, { added, values }: ManifestEdit): void {
  writer.u32(values.removed.length);
  for (const id of values.removed) writer.u64(id);
  writer.u32(values.added.length);
  for (const file of values.added) {
    writer.u64(file.id);
    writer.u64(file.fileBytes);
    writer.u32(file.checksum);
  }
  const references = added.flatMap(({ number, references: of = [] }) => of.map((reference) => ({ number, reference })));
  writer.u32(references.length);
  for (const { number, reference } of references) {
    writer.u64(number);
    writer.u64(reference.file);
    writer.u64(reference.byteCount);
  }
}

function readEdit(reader: ByteReader, version: ManifestVersion): ManifestEdit {
  const nextFileNumber = reader.u64();
  const flushed = reader.flag() ? readFlushed(reader, version) : null;
  const removed: FileNumber[] = [];
  for (let left = reader.count(8); left > 0; left--) removed.push(fileNumber(reader.u64()));
  const tables: TableRecord[] = [];
  for (let left = reader.count(TABLE_RECORD_BYTES); left > 0; left--) tables.push(readTable(reader));
  const hasValues = version !== ManifestVersion.tables;
  const values = hasValues ? readValueFiles(reader) : NO_VALUE_FILE_CHANGE;
  const added = hasValues ? withReferences(tables, reader) : tables;
  reader.finish();
  return { nextFileNumber, flushed, removed, added, values };
}

function readValueFiles(reader: ByteReader): ValueFileChange {
  const removed: ValueFileId[] = [];
  for (let left = reader.count(8); left > 0; left--) removed.push(valueFileId(reader.u64()));
  const added: ValueFileRecord[] = [];
  for (let left = reader.count(VALUE_FILE_RECORD_BYTES); left > 0; left--) {
    added.push({ id: valueFileId(reader.u64()), fileBytes: reader.u64(), checksum: reader.u32() });
  }
  return { removed, added };
}

function withReferences(tables: readonly TableRecord[], reader: ByteReader): TableRecord[] {
  const referencesOf = new Map<FileNumber, ValueReference[]>();
  for (let left = reader.count(REFERENCE_BYTES); left > 0; left--) {
    const table = fileNumber(reader.u64());
    const references = referencesOf.get(table) ?? [];
    referencesOf.set(table, references);
    references.push({ file: valueFileId(reader.u64()), byteCount: reader.u64() });
  }
  return tables.map((table) => {
    const references = referencesOf.get(table.number);
    return references === undefined ? table : { ...table, references };
  });
}

function readFlushed(reader: ByteReader, version: ManifestVersion): FlushedPosition {
  return {
    sequence: reader.u64(),
    index: logIndex(reader.u64()),
    term: term(reader.u64()),
    stampHigh: reader.u32(),
    stampLow: reader.u32(),
    configuration: version === ManifestVersion.configuration ? readConfiguration(reader) : NO_CONFIGURATION,
  };
}

function readConfiguration(reader: ByteReader): LoggedConfiguration {
  return { index: logIndex(reader.u64()), body: reader.blob().slice() };
}

function readTable(reader: ByteReader): TableRecord {
  const number = fileNumber(reader.u64());
  if (reader.u16() !== TREE) throw reader.invalid("a table of an unknown tree");
  return {
    number,
    level: reader.u16(),
    run: reader.u64(),
    fileBytes: reader.u64(),
    headerBytes: reader.u32(),
    footerBytes: reader.u32(),
    footerChecksum: reader.u32(),
  };
}

function frameSeed(number: FileNumber): number {
  const bytes = new Uint8Array(8);
  setU64(viewOf(bytes), 0, number);
  return crc32(bytes);
}
