/** The bytes of a ShardReply in a ring, by the rules of shard-request-codec.ts. */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { isErrorCode } from "../core/errors.ts";
import { logIndex, nodeId, type ShardId, term } from "../core/ids.ts";
import type { LoggedConfiguration } from "../record/logged-configuration.ts";
import { decodeResult, encodeResult } from "../record/result-format.ts";
import { decodeRepairReply, encodeRepairReply, REPAIR_REPLY } from "./repair-protocol.ts";
import type {
  CommandResult,
  InstallFile,
  LostEnd,
  ShardBoot,
  ShardReply,
  ShardStats,
  SystemChange,
  TermRun,
} from "./shard-protocol.ts";

const REPLY = {
  opened: 1,
  persisted: 2,
  hardStateSaved: 3,
  applied: 4,
  readResult: 5,
  entriesRead: 6,
  done: 7,
  stats: 8,
  arenaRetired: 9,
  failed: 10,
  stopped: 11,
  logReleased: 12,
  snapshotMade: 13,
  snapshotPiece: 14,
  installBegun: 15,
  arenasRecalled: 16,
  installed: 17,
  emptied: 18,
  logWhole: 19,
  ...REPAIR_REPLY,
} as const satisfies Record<ShardReply["type"], number>;

/** The least bytes an element of a list takes, against absurd counts. */
const TERM_RUN_BYTES = 16;
const CONFIGURATION_BYTES_MIN = 12;
const INSTALL_FILE_BYTES = 16;
const TABLE_COUNT_BYTES = 4;
const SYSTEM_CHANGE_BYTES_MIN = 5;
const COMMAND_RESULT_BYTES_MIN = 13;

export function encodeReply(shard: ShardId, reply: ShardReply, into: ByteWriter): void {
  into.u16(shard);
  into.u8(REPLY[reply.type]);
  switch (reply.type) {
    case "opened":
      encodeBoot(reply.boot, into);
      break;
    case "persisted":
      into.u64(reply.lastIndex);
      into.u64(reply.lastTerm);
      break;
    case "hardStateSaved":
      into.u64(reply.term);
      into.u16(reply.vote);
      break;
    case "applied":
      into.u64(reply.appliedIndex);
      into.u32(reply.stampHigh);
      into.u32(reply.stampLow);
      encodeResults(reply.results, into);
      encodeSystem(reply.system, into);
      break;
    case "readResult":
    case "done":
      into.u64(reply.requestId);
      encodeResult(reply.result, into);
      break;
    case "entriesRead":
      into.u64(reply.from);
      into.blobs(reply.entries);
      break;
    case "stats":
      into.u64(reply.requestId);
      encodeStats(reply.stats, into);
      break;
    case "arenaRetired":
      into.u32(reply.arena);
      break;
    case "logReleased":
      into.u64(reply.firstIndex);
      into.u64(reply.previousTerm);
      break;
    case "snapshotMade":
      encodeSnapshotMade(reply, into);
      break;
    case "snapshotPiece":
      into.u64(reply.requestId);
      into.blob(reply.bytes);
      break;
    case "installBegun":
      into.u64(reply.requestId);
      into.u32(reply.files.length);
      for (const { byteCount, heldBytes } of reply.files) {
        into.u64(byteCount);
        into.u64(heldBytes);
      }
      break;
    case "installed":
    case "emptied":
      into.u64(reply.requestId);
      encodeBoot(reply.boot, into);
      break;
    case "failed":
      into.text(reply.code);
      into.text(reply.message);
      break;
    case "arenasRecalled":
    case "logWhole":
    case "stopped":
      break;
    default:
      encodeRepairReply(reply, into);
  }
}

export function decodeReply(from: ByteReader): ShardReply {
  const type = from.u8();
  switch (type) {
    case REPLY.opened:
      return { type: "opened", boot: decodeBoot(from) };
    case REPLY.persisted:
      return { type: "persisted", lastIndex: logIndex(from.u64()), lastTerm: term(from.u64()) };
    case REPLY.hardStateSaved:
      return { type: "hardStateSaved", term: term(from.u64()), vote: nodeId(from.u16()) };
    case REPLY.applied:
      return {
        type: "applied",
        appliedIndex: logIndex(from.u64()),
        stampHigh: from.u32(),
        stampLow: from.u32(),
        results: decodeResults(from),
        system: decodeSystem(from),
      };
    case REPLY.readResult:
      return { type: "readResult", requestId: from.u64(), result: decodeResult(from) };
    case REPLY.entriesRead:
      return { type: "entriesRead", from: logIndex(from.u64()), entries: from.blobs() };
    case REPLY.done:
      return { type: "done", requestId: from.u64(), result: decodeResult(from) };
    case REPLY.stats:
      return { type: "stats", requestId: from.u64(), stats: decodeStats(from) };
    case REPLY.arenaRetired:
      return { type: "arenaRetired", arena: from.u32() };
    case REPLY.logReleased:
      return { type: "logReleased", firstIndex: logIndex(from.u64()), previousTerm: term(from.u64()) };
    case REPLY.snapshotMade:
      return decodeSnapshotMade(from);
    case REPLY.snapshotPiece:
      return { type: "snapshotPiece", requestId: from.u64(), bytes: from.blob() };
    case REPLY.installBegun:
      return { type: "installBegun", requestId: from.u64(), files: decodeInstallFiles(from) };
    case REPLY.arenasRecalled:
      return { type: "arenasRecalled" };
    case REPLY.installed:
      return { type: "installed", requestId: from.u64(), boot: decodeBoot(from) };
    case REPLY.emptied:
      return { type: "emptied", requestId: from.u64(), boot: decodeBoot(from) };
    case REPLY.failed:
      return decodeFailed(from);
    case REPLY.logWhole:
      return { type: "logWhole" };
    case REPLY.stopped:
      return { type: "stopped" };
    default:
      return decodeRepairReply(type, from);
  }
}

function encodeSnapshotMade(reply: Extract<ShardReply, { type: "snapshotMade" }>, into: ByteWriter): void {
  into.u64(reply.requestId);
  into.u32(reply.id);
  into.u64(reply.index);
  into.u64(reply.term);
  into.blob(reply.configuration);
  into.blob(reply.description);
}

function decodeSnapshotMade(from: ByteReader): ShardReply {
  const requestId = from.u64();
  const id = from.u32();
  const index = logIndex(from.u64());
  const last = term(from.u64());
  const configuration = from.blob();
  return { type: "snapshotMade", requestId, id, index, term: last, configuration, description: from.blob() };
}

function decodeInstallFiles(from: ByteReader): InstallFile[] {
  const files: InstallFile[] = [];
  for (let left = from.count(INSTALL_FILE_BYTES); left > 0; left--) {
    files.push({ byteCount: from.u64(), heldBytes: from.u64() });
  }
  return files;
}

function encodeBoot(boot: ShardBoot, into: ByteWriter): void {
  into.u64(boot.hardTerm);
  into.u16(boot.hardVote);
  into.u64(boot.votesFrom);
  into.u64(boot.firstIndex);
  into.u64(boot.lastIndex);
  into.u64(boot.lastTerm);
  into.u64(boot.previousTerm);
  into.u32(boot.termRuns.length);
  for (const run of boot.termRuns) {
    into.u64(run.firstIndex);
    into.u64(run.term);
  }
  into.u64(boot.commitIndex);
  into.u64(boot.appliedIndex);
  into.u32(boot.stampHigh);
  into.u32(boot.stampLow);
  into.u32(boot.configurations.length);
  for (const { index, body } of boot.configurations) {
    into.u64(index);
    into.blob(body);
  }
  into.u8(boot.lostEnd === null ? 0 : 1);
  into.u64(boot.lostEnd?.lastIndex ?? 0);
  into.u64(boot.lostEnd?.lastTerm ?? 0);
  encodeSystem(boot.system, into);
}

function decodeBoot(from: ByteReader): ShardBoot {
  return {
    hardTerm: term(from.u64()),
    hardVote: nodeId(from.u16()),
    votesFrom: logIndex(from.u64()),
    firstIndex: logIndex(from.u64()),
    lastIndex: logIndex(from.u64()),
    lastTerm: term(from.u64()),
    previousTerm: term(from.u64()),
    termRuns: decodeTermRuns(from),
    commitIndex: logIndex(from.u64()),
    appliedIndex: logIndex(from.u64()),
    stampHigh: from.u32(),
    stampLow: from.u32(),
    configurations: decodeConfigurations(from),
    lostEnd: decodeLostEnd(from),
    system: decodeSystem(from),
  };
}

function decodeLostEnd(from: ByteReader): LostEnd | null {
  const isLost = from.flag();
  const end = { lastIndex: logIndex(from.u64()), lastTerm: term(from.u64()) };
  return isLost ? end : null;
}

function decodeConfigurations(from: ByteReader): LoggedConfiguration[] {
  const configurations: LoggedConfiguration[] = [];
  for (let left = from.count(CONFIGURATION_BYTES_MIN); left > 0; left--) {
    configurations.push({ index: logIndex(from.u64()), body: from.blob() });
  }
  return configurations;
}

function decodeTermRuns(from: ByteReader): TermRun[] {
  const runs: TermRun[] = [];
  for (let left = from.count(TERM_RUN_BYTES); left > 0; left--) {
    runs.push({ firstIndex: logIndex(from.u64()), term: term(from.u64()) });
  }
  return runs;
}

function encodeResults(results: readonly CommandResult[], into: ByteWriter): void {
  into.u32(results.length);
  for (const { index, ordinal, result } of results) {
    into.u64(index);
    into.u32(ordinal);
    encodeResult(result, into);
  }
}

function decodeResults(from: ByteReader): CommandResult[] {
  const results: CommandResult[] = [];
  for (let left = from.count(COMMAND_RESULT_BYTES_MIN); left > 0; left--) {
    results.push({ index: logIndex(from.u64()), ordinal: from.u32(), result: decodeResult(from) });
  }
  return results;
}

function encodeSystem(changes: readonly SystemChange[], into: ByteWriter): void {
  into.u32(changes.length);
  for (const { key, value } of changes) {
    into.blob(key);
    into.optionalBlob(value);
  }
}

function decodeSystem(from: ByteReader): SystemChange[] {
  const changes: SystemChange[] = [];
  for (let left = from.count(SYSTEM_CHANGE_BYTES_MIN); left > 0; left--) {
    changes.push({ key: from.blob(), value: from.optionalBlob() });
  }
  return changes;
}

function encodeStats(stats: ShardStats, into: ByteWriter): void {
  for (const name of STAT_NAMES) into.u64(stats[name]);
  into.u32(stats.tablesPerLevel.length);
  for (const tableCount of stats.tablesPerLevel) into.u32(tableCount);
}

function decodeStats(from: ByteReader): ShardStats {
  const figures = {} as Record<StatName, number>;
  for (const name of STAT_NAMES) figures[name] = from.u64();
  const tablesPerLevel: number[] = [];
  for (let left = from.count(TABLE_COUNT_BYTES); left > 0; left--) tablesPerLevel.push(from.u32());
  return { ...figures, tablesPerLevel };
}

type StatName = Exclude<keyof ShardStats, "tablesPerLevel">;

/** Each figure once: a name that is missing or foreign does not compile. */
const STAT_NAMES = Object.keys({
  appliedIndex: 0,
  flushedIndex: 0,
  memtableBytes: 0,
  memtableEntries: 0,
  tableCount: 0,
  tableBytes: 0,
  runCount: 0,
  oldestRunBytes: 0,
  tableEntries: 0,
  segmentCount: 0,
  segmentBytes: 0,
  syncCount: 0,
  groupCount: 0,
  flushCount: 0,
  compactionCount: 0,
  arenasInUse: 0,
  logBytes: 0,
  flushBytes: 0,
  compactionBytes: 0,
  debtBytes: 0,
  writeDelayMicros: 0,
  stallCount: 0,
  quarantinedTables: 0,
  quarantinedSegments: 0,
  blockCacheBytes: 0,
  blockCacheHits: 0,
  blockCacheMisses: 0,
  snapshotCount: 0,
  oldestSnapshotAgeMs: 0,
  valueFileCount: 0,
  valueFileBytes: 0,
  valueBytesLive: 0,
  quarantinedValueFiles: 0,
  hotKeyCount: 0,
  hotKeyBytes: 0,
  hotKeyHits: 0,
} satisfies Record<StatName, 0>) as StatName[];

function decodeFailed(from: ByteReader): ShardReply {
  const code = from.text();
  const message = from.text();
  if (!isErrorCode(code)) throw from.invalid("an error of unknown code");
  return { type: "failed", code, message };
}
