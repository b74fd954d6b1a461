/**
 * What is in one file of a data directory: recognises it by its content, then by its name, and has it described part
 * by part by whoever owns its format. Reads only. Composition: it knows every format there is. Any thread.
 */
import { decodeIdentity } from "./cluster/identity-format.ts";
import { viewOf } from "./core/bytes.ts";
import { EnvelopeError } from "./core/errors.ts";
import type { PartVisitor } from "./core/file-report.ts";
import type { Disk, DiskFile } from "./env/disk.ts";
import { describeHardState, describeHint, describeQuarantine, describeSegment } from "./log/describe-log.ts";
import { describePointer, describeSnapshot } from "./storage/describe-snapshot.ts";
import { describeManifest, describeTable, describeValueSegment } from "./storage/describe-tables.ts";

type FileKind =
  | "segment"
  | "values"
  | "hint"
  | "hardState"
  | "identity"
  | "table"
  | "manifest"
  | "quarantine"
  | "snapshot"
  | "pointer";

export interface InspectOptions {
  /** The entries of tables and hints too. */
  readonly withEntries: boolean;
}

/** Null: everything is sound. */
export type Damage = { readonly message: string } | null;

const MAGIC_KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0x5350_5645, "segment"],
  [0x5650_5645, "values"],
  [0x4850_5645, "hint"],
  [0x4d50_5645, "hardState"],
  [0x4e50_5645, "identity"],
  [0x5150_5645, "quarantine"],
  [0x4450_5645, "snapshot"],
  [0x5050_5645, "pointer"],
]);
const TABLE_MAGIC = "EDB.sst\x01";
const TABLE_END_MAGIC = "EDB.end\x01";
/** From the end of a table. */
const TABLE_END_MAGIC_OFFSET = 12;

const NAMES: readonly (readonly [RegExp, FileKind])[] = [
  [/^\d{8,}(\.kept)?\.evp(\.next)?$/, "segment"],
  [/^\d{8,}\.values\.evp$/, "values"],
  [/^\d{8,}\.hint(\.next)?$/, "hint"],
  [/^hard-state\.[01]\.meta(\.next)?$/, "hardState"],
  [/^node\.meta(\.new)?$/, "identity"],
  [/^\d{8,}\.sst$/, "table"],
  [/^\d{8,}\.manifest(\.new)?$/, "manifest"],
  [/\.quarantine(\.next)?$/, "quarantine"],
  [/^snapshot\.meta(\.next)?$/, "snapshot"],
  [/^generation\.meta(\.next)?$/, "pointer"],
];

/**
 * Visits the parts of a file that are sound; returns where and why the rest is not. Throws INVALID_ARGUMENT when the
 * file is none of ours, MISSING_FILE, and IO or NEWER_FORMAT when it cannot be read.
 */
export function inspectFile(disk: Disk, path: string, options: InspectOptions, visit: PartVisitor): Damage {
  const file = disk.open(path, "read");
  try {
    const kind = kindByContent(file) ?? kindByName(path);
    if (kind === null) throw new EnvelopeError("INVALID_ARGUMENT", `${path} is not a file of EnvelopeDB`);
    return damageOf(() => describe(disk, file, kind, options, visit));
  } finally {
    file.close();
  }
}

/** A place that cannot be read is as good as damaged. */
function damageOf(run: () => void): Damage {
  try {
    run();
    return null;
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || (cause.code !== "CORRUPTION" && cause.code !== "IO")) throw cause;
    return { message: cause.message };
  }
}

function describe(disk: Disk, file: DiskFile, kind: FileKind, options: InspectOptions, visit: PartVisitor): void {
  const { path } = file;
  switch (kind) {
    case "segment":
      return describeSegment(file, visit);
    case "values":
      return describeValueSegment(disk.readWhole(path), path, options.withEntries, visit);
    case "hint":
      return describeHint(file, options.withEntries, visit);
    case "hardState":
      return describeHardState(disk.readWhole(path), path, visit);
    case "identity":
      return describeIdentity(disk.readWhole(path), path, visit);
    case "table":
      return describeTable(file, options.withEntries, visit);
    case "quarantine":
      return describeQuarantine(disk.readWhole(path), path, visit);
    case "snapshot":
      return describeSnapshot(disk.readWhole(path), path, visit);
    case "pointer":
      return describePointer(disk.readWhole(path), path, visit);
    case "manifest":
      return describeManifest(disk.readWhole(path), Number.parseInt(nameOf(path), 10), path, visit);
  }
}

function describeIdentity(bytes: Uint8Array, path: string, visit: PartVisitor): void {
  const { members, founders, heard, ...fields } = decodeIdentity(bytes, path);
  const { version, nextId } = members;
  const lists = { founders: founders.join(" "), membersVersion: version, nextId };
  visit({ kind: "identity", depth: 0, offset: 0, fields: { ...fields, ...lists } });
  for (const member of members.members) visit({ kind: "member", depth: 1, offset: 0, fields: { ...member } });
  for (const first of heard) visit({ kind: "heard", depth: 1, offset: 0, fields: { ...first } });
}

function kindByContent(file: DiskFile): FileKind | null {
  const head = new Uint8Array(TABLE_MAGIC.length);
  const headBytes = file.read(head, 0);
  if (headBytes < 4) return null;
  const byMagic = MAGIC_KINDS.get(viewOf(head).getUint32(0, true));
  if (byMagic !== undefined) return byMagic;
  if (isText(head, TABLE_MAGIC)) return "table";
  const tail = new Uint8Array(TABLE_END_MAGIC.length);
  const place = file.size() - TABLE_END_MAGIC_OFFSET;
  if (place > 0) file.read(tail, place);
  return isText(tail, TABLE_END_MAGIC) ? "table" : null;
}

function kindByName(path: string): FileKind | null {
  const name = nameOf(path);
  return NAMES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function isText(bytes: Uint8Array, wanted: string): boolean {
  return String.fromCharCode(...bytes) === wanted;
}
