/**
 * The bugs that the engine's simulation must find, as changes of a few lines of production text (see `plant-bug.ts`).
 */
import type { EngineProfile } from "../../src/sim/engine-profiles.ts";
import type { Change } from "./planted-bugs.ts";

export interface PlantedEngineBug {
  readonly changes: readonly Change[];
  /** Seeds from 1 on within which a violation must show. */
  readonly seedCount: number;
  readonly profile: EngineProfile;
}

export const PLANTED_ENGINE_BUGS: Readonly<Record<string, PlantedEngineBug>> = {
  "the directory is not synced before the manifest names its tables": {
    changes: [
      {
        file: "src/storage/manifest.ts",
        text: "if (change.added.length > 0) this.#guarded(() => this.#disk.syncDirectory(this.#directory));",
        replacement: "",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "the directory is not synced when a segment gets its name": {
    changes: [
      {
        file: "src/log/segment-preparation.ts",
        text: 'this.#disk.syncDirectory(this.#directory);\n      return { header, block, file: this.#disk.open(this.#path, isDirect ? "writeDirect" : "write") };',
        replacement: 'return { header, block, file: this.#disk.open(this.#path, isDirect ? "writeDirect" : "write") };',
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "records of a recycled segment's former life are read": {
    changes: [
      {
        file: "src/record/group-format.ts",
        text: "const checksum = crc32Range(bytes, offset + 8, offset + GROUP_HEADER_BYTES, seed);",
        replacement: "const checksum = crc32Range(bytes, offset + 8, offset + GROUP_HEADER_BYTES, 0 * seed);",
      },
      {
        file: "src/record/group-format.ts",
        text: "crc32Range(target, offset + 8, offset + GROUP_HEADER_BYTES, seed)",
        replacement: "crc32Range(target, offset + 8, offset + GROUP_HEADER_BYTES, 0 * seed)",
      },
      { file: "src/record/group-format.ts", text: "into.segmentId === segmentId &&", replacement: "segmentId > 0 &&" },
      {
        file: "src/log/segment-scan.ts",
        text: "if (expected !== 0 && into.groupNumber !== expected) return false;",
        replacement: "if (expected !== 0) into.groupNumber = expected;",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a tombstone is dropped while an older version lies deeper": {
    changes: [
      {
        file: "src/storage/survivors.ts",
        text: 'return this.#olderElsewhere(tableKey, stampHigh, stampLow) ? "bury" : "drop";',
        replacement: 'return this.#olderElsewhere(tableKey, 0, 0) ? "bury" : "drop";',
      },
    ],
    seedCount: 50,
    profile: "mixed",
  },
  "a segment that tables point into is let go": {
    changes: [
      {
        file: "src/storage/value-files.ts",
        text: "const file = this.known(valueFileOfSegment(segmentId));\n    if (file === null)",
        replacement: "const file = null as ValueFile | null;\n    if (file === null)",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a flush leaves the places of older values in memory": {
    changes: [
      {
        file: "src/storage/tree-values.ts",
        text: "if (written !== null) this.#hot?.forget(written);",
        replacement: "if (written !== null) return;",
      },
    ],
    seedCount: 300,
    profile: "crash",
  },
  "blocks of different tables are kept under one number": {
    changes: [
      {
        file: "src/storage/direct-blocks.ts",
        text: "this.#cacheId = reading.cache?.takeTable() ?? 0;",
        replacement: "this.#cacheId = 0;",
      },
    ],
    seedCount: 50,
    profile: "mixed",
  },
  "the checksum of a block is not looked at": {
    changes: [
      {
        file: "src/storage/stored-block.ts",
        text: "if (blockChecksum(bytes, start, end, blockSeed(seed, block)) !== readU32(bytes, end - CHECKSUM_BYTES)) {",
        replacement: "if (blockChecksum(bytes, start, end, blockSeed(seed, block)) === -1) {",
      },
    ],
    seedCount: 200,
    profile: "bitrot",
  },
  "a table is published before it is synced": {
    changes: [
      { file: "src/storage/table-writer.ts", text: "file.sync();\n    this.#unsynced = 0;", replacement: "void file;" },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "durability is told before the sync": {
    changes: [
      {
        file: "src/log/log.ts",
        text: "this.#file.beginSync((failure) => this.#syncEnded(ticket, failure));",
        replacement: "{ this.#syncEnded(ticket, null); this.#file.beginSync(() => undefined); }",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a flush trusts a sync that is still under way": {
    changes: [
      {
        file: "src/log/log.ts",
        text: "if (this.#weakPosition <= this.#syncedPosition) return;",
        replacement: "if (!this.#isInsecure) return;",
      },
    ],
    seedCount: 900,
    profile: "crash",
  },
  // Small last segments are copied whole, which hides it, so that goes too.
  "what the page cache shows after a failed sync is believed": {
    changes: [
      {
        file: "src/log/recovery-plan.ts",
        text: "return Math.min(small, firstUnproven(segments, chain));",
        replacement: "return Number.POSITIVE_INFINITY; void small; void firstUnproven;",
      },
    ],
    seedCount: 100,
    profile: "faults",
  },
  "an entry split by a flush is applied again from its start": {
    changes: [
      {
        file: "src/shard/apply.ts",
        text: "this.#isSplit = this.#index === this.#flushedInside;",
        replacement: "this.#isSplit = false;",
      },
    ],
    seedCount: 1000,
    profile: "crash",
  },
  "a compaction drops what has expired by the last applied stamp": {
    changes: [
      {
        file: "src/shard/maintenance.ts",
        text: "return this.#frozenRule(this.#tree.flushed, this.#fences.inTables);",
        replacement: "return this.#frozenRule(this.#events.position(), this.#fences.inTables);",
      },
    ],
    seedCount: 300,
    profile: "faults",
  },
  "segments are released that no table covers yet": {
    changes: [
      {
        file: "src/shard/shard.ts",
        text: "const inTables = (tree.flushed.index + 1) as LogIndex;",
        replacement: "const inTables = (this.#machine.appliedIndex + 1) as LogIndex; void tree;",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a snapshot is installed before its files are synced": {
    changes: [
      {
        file: "src/shard/installer.ts",
        text: "opened.sync();\n    file.unsyncedBytes = 0;",
        replacement: "file.unsyncedBytes = 0;",
      },
    ],
    seedCount: 100,
    profile: "crash",
  },
  "a snapshot leaves out the files that tables point into": {
    changes: [
      {
        file: "src/storage/tree.ts",
        text: "for (const id of this.#manifest.valueFiles.keys()) link(this.#values.files.of(id).path, nameOutsideLog(id));",
        replacement: "void nameOutsideLog;",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a flush forgets the configuration in force": {
    changes: [
      {
        file: "src/shard/apply.ts",
        text: "if (kind === EntryKind.configuration) this.configuration = loggedConfiguration(entry) ?? this.configuration;",
        replacement: "void loggedConfiguration;",
      },
    ],
    seedCount: 50,
    profile: "crash",
  },
  "a hint is believed whatever its checksum": {
    changes: [
      {
        file: "src/log/hint-reader.ts",
        text: "return crc32(bytes) === checksum ? bytes : corruption(",
        replacement: "return checksum >= 0 ? bytes : corruption(",
      },
      {
        file: "src/log/hint-format.ts",
        text: "if (crc32(bytes.subarray(8, HINT_HEADER_BYTES)) !== view.getUint32(4, true)) {",
        replacement: "if (view.getUint32(4, true) < 0) {",
      },
    ],
    seedCount: 300,
    profile: "bitrot",
  },
};
