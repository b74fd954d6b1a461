/**
 * Checks the log of a shard that nobody uses: every byte of it that counts. Unlike a start it goes on behind damage, so
 * that one run shows all of it, and it changes nothing. Memory: one group, twelve bytes an entry, one hint.
 *
 * A break in a segment is damage if anything says that its place had been durable (a group, a segment header, a hint);
 * else it is the torn tail that a start drops. `resolveChain`, which a start believes, has the last word on the rest.
 */
import { at } from "../core/assert.ts";
import { equalBytes } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { attempt, type FindingVisitor } from "../core/file-report.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader, segmentChecksum } from "../record/segment-format.ts";
import { HintBuilder } from "./hint-builder.ts";
import { readHintSummary } from "./hint-reader.ts";
import { resolveChain, type SegmentEvidence, voidOffsets } from "./log-chain.ts";
import { LogEntries } from "./log-entries.ts";
import { hintPath, segmentPath, sortLogFiles } from "./log-files.ts";
import type { LogIdentity } from "./log-options.ts";
import { addEntry, checkHeader, readHeaderBlock } from "./recovery.ts";
import { Segment } from "./segment.ts";
import { SegmentEntries } from "./segment-entries.ts";
import { SegmentReader } from "./segment-reader.ts";
import type { ScannedGroup } from "./segment-scan.ts";
import { type SegmentPart, walkSegment } from "./segment-walk.ts";

/** What the log holds; null: it could not be found out, because of damage or because only headers were looked at. */
export interface VerifiedLog {
  readonly entries: { readonly firstIndex: number; readonly lastIndex: number } | null;
}

/** A segment whose header is sound. */
interface Candidate {
  readonly header: SegmentHeader;
  readonly checksum: number;
  readonly path: string;
}

/** A place where no whole group is, and its log position. */
interface Break {
  readonly path: string;
  readonly part: Gap;
  readonly position: number;
}

/** The entries of a segment, and the last word on its bytes. */
interface Walked {
  readonly evidence: SegmentEvidence;
  readonly segment: Segment;
}

export function verifyLog(
  disk: Disk,
  directory: string,
  identity: LogIdentity,
  isShallow: boolean,
  report: FindingVisitor,
): VerifiedLog {
  const files = sortLogFiles(disk.list(directory));
  let damageCount = 0;
  const visit: FindingVisitor = (finding) => {
    if (finding.severity === "damage") damageCount += 1;
    report(finding);
  };
  const candidates = readHeaders(disk, directory, files.segments, identity, visit);
  const newestHint = files.hints.at(-1) ?? 0;
  if (newestHint > 0 && newestHint >= (files.segments.at(-1) ?? 0)) {
    visit(missing(segmentPath(directory, newestHint + 1), "the segment before it was sealed"));
  }
  for (const id of files.hints) {
    if (files.segments.includes(id)) continue;
    visit({ severity: "note", file: hintPath(directory, id), offset: null, what: "a hint without its segment" });
  }
  if (isShallow || damageCount > 0 || candidates.length === 0) {
    if (!isShallow && damageCount > 0) for (const one of candidates) verifyAlone(disk, one, visit);
    return { entries: null };
  }
  const { originIndex, originTerm } = at(candidates, 0).header;
  const log = new LogEntries(originIndex, originTerm);
  const walked = walkAll(disk, directory, candidates, log, visit);
  if (damageCount === 0) askChain(walked, visit);
  if (damageCount > 0) return { entries: null };
  const reader = new SegmentReader(disk);
  for (const { segment } of walked) {
    if (files.hints.includes(segment.id)) verifyHint(disk, directory, segment, log, reader, visit);
  }
  reader.release(null);
  return { entries: { firstIndex: log.firstIndex, lastIndex: log.lastIndex } };
}

function readHeaders(
  disk: Disk,
  directory: string,
  ids: readonly number[],
  identity: LogIdentity,
  visit: FindingVisitor,
): Candidate[] {
  const found: Candidate[] = [];
  for (const [i, id] of ids.entries()) {
    const path = segmentPath(directory, id);
    const before = ids[i - 1];
    if (before !== undefined && before + 1 !== id) {
      visit(missing(segmentPath(directory, before + 1), "there are segments on both sides of it"));
    }
    const previous = found.at(-1)?.header ?? null;
    attempt(path, visit, () => {
      const block = readHeaderBlock(disk, path);
      const isNext = previous?.segmentId === id - 1;
      const header = checkHeader(block, path, id, isNext ? previous : null, identity, disk);
      found.push({ header, checksum: segmentChecksum(block), path });
    });
  }
  return found;
}

/** Where segments are missing, each of the others is still checked by itself. */
function verifyAlone(disk: Disk, { header, checksum, path }: Candidate, visit: FindingVisitor): void {
  attempt(path, visit, () => {
    const file = disk.open(path, "read");
    try {
      for (const part of walkSegment(file, header, checksum)) {
        if (part.kind !== "break") continue;
        visit({ severity: "damage", file: path, offset: part.offset, what: `${part.why}; whole groups follow it` });
      }
    } finally {
      file.close();
    }
  });
}

/** What has been heard so far while the segments are walked. */
interface Hearing {
  readonly log: LogEntries;
  readonly breaks: Break[];
  /** The group before; null: there is none, or it is known that something is missing behind it. */
  last: { readonly candidate: Candidate; readonly number: number; readonly endOffset: number } | null;
  /** Whether every entry so far is in `log`. */
  isWhole: boolean;
  /** The largest log position that anything calls durable. */
  proven: number;
}

/** Walks all segments in order; judges the breaks once everything has been heard that calls something durable. */
function walkAll(
  disk: Disk,
  directory: string,
  candidates: readonly Candidate[],
  log: LogEntries,
  visit: FindingVisitor,
): Walked[] {
  const cuts = voidOffsets(candidates);
  const walked: Walked[] = [];
  const hearing: Hearing = { log, breaks: [], last: null, isWhole: true, proven: 0 };
  for (const [i, candidate] of candidates.entries()) {
    const { header, path } = candidate;
    const heard = Math.max(header.cutPosition, provenByHeader(header), provenByHint(disk, directory, candidate));
    hearing.proven = Math.max(hearing.proven, heard);
    attempt(path, visit, () => {
      const file = disk.open(path, "read");
      try {
        walked.push(walkOne(file, directory, candidate, at(cuts, i), hearing, visit));
      } finally {
        file.close();
      }
    });
  }
  for (const broken of hearing.breaks) judge(broken, hearing.proven, visit);
  return walked;
}

/** `cut`: the offset from which the segment's bytes are void. */
function walkOne(
  file: DiskFile,
  directory: string,
  candidate: Candidate,
  cut: number,
  hearing: Hearing,
  visit: FindingVisitor,
): Walked {
  const { header, path, checksum } = candidate;
  const entries = new SegmentEntries();
  const groups: ScannedGroup[] = [];
  let provenByLater = 0;
  let end: Gap | null = null;
  for (const part of walkSegment(file, header, checksum)) {
    if (part.kind === "group") {
      const { group } = part;
      if (end === null) groups.push({ ...group, entries: [] });
      else provenByLater = Math.max(provenByLater, group.syncedThrough);
      if (group.offset >= cut) continue;
      hearing.proven = Math.max(hearing.proven, group.syncedThrough);
      noteMissing(group.number, hearing);
      hearing.last = { candidate, number: group.number, endOffset: group.offset + group.byteCount };
      if (hearing.isWhole) hearing.isWhole = attempt(path, visit, () => addGroup(hearing.log, entries, group, path));
      continue;
    }
    end ??= part;
    if (part.offset < cut && isSuspect(part, header)) {
      hearing.isWhole = false;
      hearing.last = null;
      hearing.breaks.push({ path, part, position: header.basePosition + part.offset });
    }
  }
  const endOffset = end?.offset ?? SEGMENT_HEADER_BYTES;
  const dirtyEnd = end === null ? endOffset : endOf(end);
  const scan = { groups, endOffset, provenByLater, dirtyEnd };
  const evidence: SegmentEvidence = { header, checksum, path, content: { kind: "scan", scan } };
  return { evidence, segment: segmentOf(directory, candidate, groups, cut, entries) };
}

/** Groups whose numbers are missing left no trace where they should be: behind the last one. */
function noteMissing(number: number, hearing: Hearing): void {
  const { last } = hearing;
  if (last === null || number === last.number + 1) return;
  const { header, path } = last.candidate;
  const offset = last.endOffset;
  const why = `group ${number} follows group ${last.number}`;
  hearing.isWhole = false;
  hearing.breaks.push({
    path,
    part: { kind: "break", offset, end: offset, why },
    position: header.basePosition + offset,
  });
}

type Gap = Exclude<SegmentPart, { kind: "group" }>;

/** Whether there are bytes behind the place that might have been a group: not zeros, not what a former life has left. */
function isSuspect(part: Gap, { isRecycled }: SegmentHeader): boolean {
  if (part.kind === "break") return true;
  return part.dirtyEnd > part.offset && !(isRecycled && part.why === "no group header");
}

function endOf(part: Gap): number {
  return part.kind === "end" ? part.dirtyEnd : part.end;
}

function addGroup(log: LogEntries, entries: SegmentEntries, group: ScannedGroup, path: string): void {
  for (const [i, entry] of group.entries.entries()) {
    addEntry(log, entries, entry, entry.offset, i === 0 ? group.previousTerm : null, path);
  }
}

function judge({ path, part, position }: Break, proven: number, visit: FindingVisitor): void {
  const { offset, why } = part;
  const isDamage = position < proven;
  const what = isDamage
    ? `${why}, where bytes were durable`
    : `${why}: a torn tail of ${endOf(part) - offset} bytes, never proven durable; the next start drops it`;
  visit({ severity: isDamage ? "damage" : "note", file: path, offset, what });
}

function provenByHeader({ basePosition, provenBytes }: SegmentHeader): number {
  return provenBytes > SEGMENT_HEADER_BYTES ? basePosition + provenBytes : 0;
}

function provenByHint(disk: Disk, directory: string, { header, checksum }: Candidate): number {
  const path = hintPath(directory, header.segmentId);
  if (!disk.exists(path)) return 0;
  const hint = readHintSummary(disk, path, header, checksum);
  if (hint instanceof EnvelopeError || hint.header.groupCount === 0) return 0;
  return header.basePosition + hint.header.endOffset;
}

function segmentOf(
  directory: string,
  { header, checksum }: Candidate,
  groups: readonly ScannedGroup[],
  cut: number,
  entries: SegmentEntries,
): Segment {
  const counted = groups.filter((group) => group.offset < cut);
  const last = counted.at(-1);
  const summary = {
    firstGroup: counted[0]?.number ?? 0,
    groupCount: counted.length,
    endOffset: last === undefined ? SEGMENT_HEADER_BYTES : last.offset + last.byteCount,
    commitIndex: counted.reduce((largest, group) => Math.max(largest, group.commitIndex), 0),
  };
  return new Segment(directory, header, checksum, summary, entries, true);
}

/** The numbers of the groups over all segments: what a start would say of them. */
function askChain(walked: readonly Walked[], visit: FindingVisitor): void {
  const [first] = walked;
  if (first === undefined) return;
  attempt(first.evidence.path, visit, () => {
    resolveChain(walked.map(({ evidence }) => evidence));
  });
}

/** A hint has to be, byte for byte, what would be written of its segment now. */
function verifyHint(
  disk: Disk,
  directory: string,
  segment: Segment,
  log: LogEntries,
  reader: SegmentReader,
  visit: FindingVisitor,
): void {
  const path = hintPath(directory, segment.id);
  attempt(path, visit, () => {
    const { entries } = segment;
    const previousTerm = entries.count === 0 ? 0 : (log.termAt(entries.firstIndex - 1) ?? 0);
    const builder = new HintBuilder(reader, segment, previousTerm);
    while (builder.step());
    const expected = builder.encode();
    const found = disk.readWhole(path);
    if (equalBytes(expected, found)) return;
    let offset = 0;
    while (offset < found.length && found[offset] === expected[offset]) offset++;
    const what = "a hint that does not say what is in its segment; the next start makes it again";
    visit({ severity: "damage", file: path, offset, what });
  });
}

function missing(path: string, why: string) {
  return { severity: "damage", file: path, offset: null, what: `the segment is missing: ${why}` } as const;
}
