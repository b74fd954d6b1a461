/**
 * Checks a data directory, or one shard's, that no process uses: every checksum, every order, every claim that one file
 * makes about another. It goes on after each finding, so that one run shows all damage, and changes nothing. The caller
 * keeps others out of the directory. Composition: the parts know their own files, here they are held together. Any thread.
 */
import { decodeIdentity, type NodeIdentity } from "./cluster/identity-format.ts";
import { EnvelopeError } from "./core/errors.ts";
import { attempt, type Finding, type FindingVisitor } from "./core/file-report.ts";
import { shardId } from "./core/ids.ts";
import type { Disk } from "./env/disk.ts";
import { decodeHardState, hardStateIdentity } from "./log/hard-state-format.ts";
import { hardStatePaths } from "./log/hard-state-file.ts";
import { sortLogFiles } from "./log/log-files.ts";
import type { LogIdentity } from "./log/log-options.ts";
import { decodeQuarantine, quarantinedName } from "./log/quarantine-format.ts";
import { verifyLog } from "./log/verify-log.ts";
import { currentGeneration, dataDirectory, isDirectoryName, rootDataFiles } from "./storage/shard-directories.ts";
import { SNAPSHOT_DESCRIPTION_NAME } from "./storage/snapshot-format.ts";
import { verifyTables } from "./storage/verify-tables.ts";

export interface VerifySummary {
  readonly shardCount: number;
  readonly fileCount: number;
  readonly byteCount: number;
  readonly damageCount: number;
  readonly noteCount: number;
}

const IDENTITY_NAME = "node.meta";
const SHARD_NAME = /^shard-(\d{4,})$/;
const SHARD_FILE =
  /^(\d{8,}\.(((values\.)?evp|sst)(\.quarantine)?|kept\.evp|hint|manifest)|(sessions|keys-\d+)\.quarantine|(hard-state\.[01]|generation|snapshot)\.meta)$/;
/** Still being made when a process ended, or kept to be used again. */
const UNFINISHED = /\.(next|new)$/;
const NODE_FILE = /^(node\.meta|LOCK|LOCK\.pid|audit\.log(\.\d+)?)$/;

/** Whether a directory is that of one shard, rather than that of a node. */
export function isShardDirectory(disk: Disk, directory: string): boolean {
  return !disk.exists(`${directory}/${IDENTITY_NAME}`) && disk.list(directory).some((name) => SHARD_FILE.test(name));
}

/**
 * `isShallow`: headers, footers and manifests only. Throws INVALID_ARGUMENT when the directory holds nothing of ours,
 * MISSING_FILE when it is not there, IO when it cannot be listed.
 */
export function verifyDirectory(
  disk: Disk,
  directory: string,
  isShallow: boolean,
  report: FindingVisitor,
): VerifySummary {
  let damageCount = 0;
  let noteCount = 0;
  const visit = (finding: Finding): void => {
    if (finding.severity === "damage") damageCount += 1;
    else noteCount += 1;
    report(finding);
  };
  const directories = isShardDirectory(disk, directory)
    ? [verifyShard(disk, directory, null, isShallow, visit)]
    : verifyNode(disk, directory, isShallow, visit);
  let fileCount = 0;
  let byteCount = 0;
  for (const one of directories) {
    fileCount += one.fileCount;
    byteCount += one.byteCount;
  }
  return {
    shardCount: directories.filter(({ isShard }) => isShard).length,
    fileCount,
    byteCount,
    damageCount,
    noteCount,
  };
}

interface Counted {
  readonly isShard: boolean;
  readonly fileCount: number;
  readonly byteCount: number;
}

function verifyNode(disk: Disk, directory: string, isShallow: boolean, visit: FindingVisitor): Counted[] {
  const names = disk.list(directory);
  const shardNames = names.filter((name) => SHARD_NAME.test(name));
  const path = `${directory}/${IDENTITY_NAME}`;
  const hasIdentity = names.includes(IDENTITY_NAME);
  if (!hasIdentity && shardNames.length === 0) {
    throw new EnvelopeError("INVALID_ARGUMENT", `${directory} holds neither a node's data nor a shard's`);
  }
  let identity: NodeIdentity | null = null;
  if (hasIdentity) {
    attempt(path, visit, () => {
      identity = decodeIdentity(disk.readWhole(path), path);
    });
  } else {
    visit({ severity: "damage", file: path, offset: null, what: "missing, although the directory holds shards" });
  }
  const own = names.filter((name) => !SHARD_NAME.test(name));
  noteStrays(directory, own, NODE_FILE, visit);
  const known = identity as NodeIdentity | null;
  const wanted = known === null ? shardNames : shardNamesOf(known.shardCount);
  for (const name of wanted) {
    if (shardNames.includes(name)) continue;
    visit({ severity: "damage", file: `${directory}/${name}`, offset: null, what: "the shard's directory is missing" });
  }
  const counted: Counted[] = [count(disk, directory, own, false)];
  for (const name of shardNames) {
    const shard = `${directory}/${name}`;
    if (!wanted.includes(name))
      visit({ severity: "note", file: shard, offset: null, what: "a shard the node has not" });
    counted.push(verifyShard(disk, shard, known === null ? null : ownerOf(known, name), isShallow, visit));
  }
  return counted;
}

function shardNamesOf(shardCount: number): string[] {
  return Array.from({ length: shardCount }, (_, shard) => `shard-${String(shard).padStart(4, "0")}`);
}

function ownerOf(identity: NodeIdentity, name: string): LogIdentity {
  const shard = shardId(Number(SHARD_NAME.exec(name)?.[1]));
  return { shard, clusterId: Uint8Array.fromHex(identity.clusterId) };
}

/** `owner` null: whose shard it is, is taken from its hard state. */
function verifyShard(
  disk: Disk,
  directory: string,
  owner: LogIdentity | null,
  isShallow: boolean,
  visit: FindingVisitor,
): Counted {
  const all = disk.list(directory);
  const names = all.filter((name) => !isDirectoryName(name));
  noteStrays(directory, names, SHARD_FILE, visit);
  const identity = verifyHardState(disk, directory, owner, visit);
  const counted = count(disk, directory, names, true);
  if (identity === null) {
    const what = "whose shard it is cannot be found out: nothing else in it was checked";
    visit({ severity: "damage", file: directory, offset: null, what });
    return counted;
  }
  const generation = verifyPointer(disk, directory, identity, visit);
  if (generation === null) return counted;
  noteUnused(disk, directory, all, generation, visit);
  const data = dataDirectory(directory, generation);
  verifyData(disk, data, identity, isShallow, visit);
  if (generation === 0) return counted;
  const inGeneration = disk.list(data);
  noteStrays(data, inGeneration, SHARD_FILE, visit);
  const { fileCount, byteCount } = count(disk, data, inGeneration, true);
  return { isShard: true, fileCount: counted.fileCount + fileCount, byteCount: counted.byteCount + byteCount };
}

/** Which generation holds the data; null: that cannot be found out, or it is not there, and the visitor has heard of it. */
function verifyPointer(disk: Disk, directory: string, identity: LogIdentity, visit: FindingVisitor): number | null {
  let generation: number | null = null;
  attempt(directory, visit, () => {
    generation = currentGeneration(disk, directory, identity);
  });
  return generation;
}

/** What is no part of the shard's data: snapshots, other generations, and what an installation has replaced. */
function noteUnused(
  disk: Disk,
  directory: string,
  names: readonly string[],
  generation: number,
  visit: FindingVisitor,
): void {
  const current = dataDirectory(directory, generation);
  for (const name of names.filter(isDirectoryName)) {
    const file = `${directory}/${name}`;
    if (file === current) continue;
    const isComing = disk.exists(`${file}/${SNAPSHOT_DESCRIPTION_NAME}`) && name.startsWith("generation");
    const what = isComing
      ? "a snapshot of another member that was being installed; a start goes on with it or removes it"
      : "a snapshot for another member, or a former generation; the next start removes it";
    visit({ severity: "note", file, offset: null, what });
  }
  if (generation === 0) return;
  for (const name of rootDataFiles(disk, directory)) {
    const what = "a file of a former generation; the next start removes it";
    visit({ severity: "note", file: `${directory}/${name}`, offset: null, what });
  }
}

function verifyData(
  disk: Disk,
  directory: string,
  identity: LogIdentity,
  isShallow: boolean,
  visit: FindingVisitor,
): void {
  for (const name of disk.list(directory)) noteQuarantine(disk, directory, name, identity, visit);
  const tables = verifyTables(disk, directory, identity, isShallow, visit);
  const log = verifyLog(disk, directory, identity, isShallow, visit);
  if (tables.flushed !== null && sortLogFiles(disk.list(directory)).segments.length === 0) {
    visit({ severity: "damage", file: directory, offset: null, what: "there is a manifest, and the log is gone" });
  }
  const index = tables.flushed?.index ?? null;
  if (index !== null && log.entries !== null) verifyContinuity(directory, index, log.entries, visit);
}

/** Both copies; returns whose they are. A shard whose hard state was never saved holds nothing else either. */
function verifyHardState(
  disk: Disk,
  directory: string,
  owner: LogIdentity | null,
  visit: FindingVisitor,
): LogIdentity | null {
  let identity = owner;
  const generations: number[] = [];
  for (const path of hardStatePaths(directory)) {
    attempt(path, visit, () => {
      const bytes = disk.readWhole(path);
      const state = decodeHardState(bytes, identity, path);
      if (state instanceof EnvelopeError) throw state;
      identity ??= hardStateIdentity(bytes);
      generations.push(state.generation);
    });
  }
  const [first, second] = generations;
  if (first !== undefined && second !== undefined && first !== second) {
    const what = `two copies of different generations, ${first} and ${second}; the newer one counts`;
    visit({ severity: "note", file: directory, offset: null, what });
  }
  return identity;
}

/** A record of damage that the shard has found itself. Whether the file is still damaged is said when it is checked. */
function noteQuarantine(
  disk: Disk,
  directory: string,
  name: string,
  identity: LogIdentity,
  visit: FindingVisitor,
): void {
  const path = `${directory}/${name}`;
  const damagedName = quarantinedName(name);
  if (damagedName === null) return;
  attempt(path, visit, () => {
    const record = decodeQuarantine(disk.readWhole(path), identity, path);
    if (record instanceof EnvelopeError) throw record;
    const file = `${directory}/${damagedName}`;
    visit({ severity: "note", file, offset: record.offset, what: `quarantined: ${record.reason}` });
  });
}

/** Tables and log must be of one history, without a gap between them. */
function verifyContinuity(
  directory: string,
  flushedIndex: number,
  { firstIndex, lastIndex }: { readonly firstIndex: number; readonly lastIndex: number },
  visit: FindingVisitor,
): void {
  const damaged = (what: string): void => visit({ severity: "damage", file: directory, offset: null, what });
  if (lastIndex < flushedIndex)
    damaged(`the log ends at entry ${lastIndex}, its tables hold all up to ${flushedIndex}`);
  if (firstIndex > flushedIndex + 1) {
    damaged(`the log begins at entry ${firstIndex}, its tables end at ${flushedIndex}: entries are missing`);
  }
}

function noteStrays(directory: string, names: readonly string[], known: RegExp, visit: FindingVisitor): void {
  for (const name of names) {
    if (known.test(name)) continue;
    const what = UNFINISHED.test(name) ? "unfinished or spare; the next start removes it" : "not a file of EnvelopeDB";
    visit({ severity: "note", file: `${directory}/${name}`, offset: null, what });
  }
}

/** What is there, read or not; directories in it are not counted. */
function count(disk: Disk, directory: string, names: readonly string[], isShard: boolean): Counted {
  let byteCount = 0;
  for (const name of names) {
    const file = disk.open(`${directory}/${name}`, "read");
    byteCount += file.size();
    file.close();
  }
  return { isShard, fileCount: names.length, byteCount };
}
