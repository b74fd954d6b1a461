/**
 * A shard as its tests drive it: entries made by hand, replies collected, a temporary directory that goes away. The
 * harness plays a single voter: what it appends may be applied as soon as it is durable.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import { SharedState, STATE_BYTES } from "../../src/bridge/shared-state.ts";
import { createShardMemory, type ShardMemory } from "../../src/bridge/shard-memory.ts";
import type { ReadRequest, ShardBoot, ShardReply, ShardRequest } from "../../src/bridge/shard-protocol.ts";
import { EMPTY_BYTES, text, utf8, viewOf } from "../../src/core/bytes.ts";
import { type LogIndex, logIndex, shardId, term } from "../../src/core/ids.ts";
import type { Clock } from "../../src/env/clock.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import type { Disk } from "../../src/env/disk.ts";
import type { Logger } from "../../src/env/environment.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import {
  CommandType,
  commandBytes,
  encodeCommand,
  FLAG_EXPIRY,
  sealCommand,
  withSession,
} from "../../src/record/command-format.ts";
import { SYNC } from "../../src/record/durability.ts";
import { ENTRY_HEADER_BYTES, EntryKind, sealEntry } from "../../src/record/entry-format.ts";
import type { Result } from "../../src/record/result.ts";
import type { Compactors } from "../../src/shard/compactors.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import { Shard } from "../../src/shard/shard.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";

export const KIB = 1024;
export const BUCKET = 1;
/** The wall clock at which tests begin. */
export const START_MS = 1_700_000_000_000;

export interface TestCommand {
  readonly type: CommandType;
  readonly key: Uint8Array;
  readonly value?: Uint8Array;
  readonly modifiers?: number;
  readonly bucket?: number;
  readonly expiryMs?: number;
  /** Of the session that the command is part of. */
  readonly once?: { readonly session: number; readonly sequence: number };
}

export function put(key: string, value: string, more: Partial<TestCommand> = {}): TestCommand {
  return { type: CommandType.put, key: utf8(key), value: utf8(value), ...more };
}

export function command(type: CommandType, key: string, more: Partial<TestCommand> = {}): TestCommand {
  return { type, key: utf8(key), ...more };
}

export function i64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigInt64(0, value, true);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

/** Stamps of one log: a millisecond each, so that expiry is easy to reason about, or as the test moves them. */
export class Stamps {
  ms = START_MS;
  #counter = 0;

  next(): { high: number; low: number } {
    this.#counter += 1;
    return {
      high: Math.floor(this.ms / 0x10000),
      low: (((this.ms % 0x10000) << 16) | (this.#counter & 0xffff)) >>> 0,
    };
  }

  /** Moves time on; stamps keep rising. */
  pass(ms: number): void {
    this.ms += ms;
    if (ms > 0) this.#counter = 0;
  }
}

export function encodeEntry(
  index: number,
  entryTerm: number,
  commands: readonly TestCommand[],
  stamps: Stamps,
  durability = SYNC,
): Uint8Array {
  const encoded = commands.map(encodeOne);
  const byteCount = encoded.reduce((sum, { length }) => sum + length, ENTRY_HEADER_BYTES);
  const entry = new Uint8Array(byteCount);
  const view = viewOf(entry);
  let offset = ENTRY_HEADER_BYTES;
  for (const one of encoded) {
    entry.set(one, offset);
    const stamp = stamps.next();
    sealCommand(entry, view, offset, offset + one.length, 1, stamp.high, stamp.low);
    offset += one.length;
  }
  sealEntry(
    entry,
    new DataView(entry.buffer),
    0,
    entry.length,
    logIndex(index),
    term(entryTerm),
    commands.length,
    EntryKind.commands,
    durability,
  );
  return entry;
}

/** Without stamp and checksum. */
function encodeOne(one: TestCommand): Uint8Array {
  const { type, modifiers = 0, bucket = BUCKET, key, value = EMPTY_BYTES, expiryMs = 0, once } = one;
  const command = new Uint8Array(commandBytes(expiryMs === 0 ? 0 : FLAG_EXPIRY, key.length, value.length));
  const keyRange = { bytes: key, start: 0, end: key.length };
  const valueRange = { bytes: value, start: 0, end: value.length };
  encodeCommand(command, viewOf(command), 0, type, modifiers, bucket, keyRange, valueRange, expiryMs);
  return once === undefined ? command : withSession(command, once.session, once.sequence);
}

export function encodeConfiguration(index: number, entryTerm: number, body: Uint8Array): Uint8Array {
  const entry = new Uint8Array(ENTRY_HEADER_BYTES + body.length);
  entry.set(body, ENTRY_HEADER_BYTES);
  sealEntry(entry, viewOf(entry), 0, entry.length, logIndex(index), term(entryTerm), 0, EntryKind.configuration);
  return entry;
}

export class TestClock implements Clock {
  nowMs = START_MS;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(): { cancel(): void } {
    throw new Error("a shard sets no timers");
  }
  soon(): void {
    throw new Error("a shard defers nothing");
  }
}

export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function testOptions(directory: string, more: Partial<ShardOptions> = {}): ShardOptions {
  const clusterId = new Uint8Array(16).fill(7);
  return {
    shard: shardId(0),
    directory,
    log: { shard: shardId(0), clusterId, segmentBytes: 256 * KIB, isDirect: false },
    tree: {
      blockBytes: 512,
      bloomBitsPerKey: 10,
      compaction: "leveled" as const,
      compression: "none" as const,
      compressionLevel: 1,
      prefixFilterBytes: 0,
      blockChecks: "first" as const,
      tableIo: "mmap" as const,
      levelBytesBase: 64 * KIB,
      level0Tables: 2,
      tableBytesMax: 16 * KIB,
    },
    memtableAgeMs: 0,
    valueBytesMax: 16 * KIB,
    replayBytesMax: 4096 * KIB,
    pendingBytesMax: 1024 * KIB,
    groupBytesMax: 1024 * KIB,
    idleProofMs: 50,
    debtBytesMax: 1024 * KIB,
    snapshotsMax: 16,
    snapshotAgeMs: 0,
    stepBytes: 4 * KIB,
    scrubBytesPerSecond: 0,
    hasPeers: false,
    scrubIntervalMs: 0,
    ...more,
  };
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), "shard-test-"));
}

export interface HarnessOptions {
  readonly directory?: string;
  readonly disk?: Disk;
  readonly options?: Partial<ShardOptions>;
  readonly memtableBytes?: number;
  readonly compactors?: Compactors;
  /** Whether retired arenas are given back at once, as main does. */
  readonly returnsArenas?: boolean;
}

export class ShardHarness implements Disposable {
  readonly directory: string;
  readonly clock = new TestClock();
  readonly stamps = new Stamps();
  replies: ShardReply[] = [];
  shard: Shard;
  memory: ShardMemory;
  boot: ShardBoot;
  lastIndex: number;
  retiredArenas: number[] = [];
  readonly #settings: HarnessOptions;
  readonly #ownsDirectory: boolean;
  #requestId = 0;
  /** What main reads, by what it was told. */
  state = new SharedState(new SharedArrayBuffer(STATE_BYTES));
  main = new MemtableSet(this.state, []);

  constructor(settings: HarnessOptions = {}) {
    this.#settings = settings;
    this.#ownsDirectory = settings.directory === undefined;
    this.directory = settings.directory ?? temporaryDirectory();
    const opened = this.#open();
    this.shard = opened.shard;
    this.memory = opened.memory;
    this.boot = opened.boot;
    this.lastIndex = opened.boot.lastIndex;
  }

  /** Another process on the same directory: nothing in memory survives. */
  reopen(): void {
    this.replies = [];
    this.retiredArenas = [];
    const opened = this.#open();
    this.shard = opened.shard;
    this.memory = opened.memory;
    this.boot = opened.boot;
    this.lastIndex = opened.boot.lastIndex;
    // A leader's first stamps lie above everything it finds in its log.
    this.stamps.pass(1);
  }

  stop(): void {
    this.shard.handle({ type: "stop" });
    this.shard.turn();
  }

  /** Sends a request without letting the shard work. */
  send(request: ShardRequest): void {
    this.shard.handle(request);
  }

  /** Appends an entry of kind configuration; it is applied unless the test says how far. */
  configure(body: string, applyThrough: number = Number.MAX_SAFE_INTEGER): number {
    this.lastIndex += 1;
    this.send({
      type: "append",
      entries: [encodeConfiguration(this.lastIndex, 1, utf8(body))],
      commitIndex: logIndex(0),
      applyThrough: logIndex(Math.min(this.lastIndex, applyThrough)),
      wantResults: true,
    });
    this.shard.turn();
    return this.lastIndex;
  }

  /** Queues one entry of commands; returns its index. */
  append(
    commands: readonly TestCommand[],
    more: { term?: number; applyThrough?: number; durability?: number } = {},
  ): number {
    this.lastIndex += 1;
    const index = this.lastIndex;
    const entry = encodeEntry(index, more.term ?? 1, commands, this.stamps, more.durability);
    this.send({
      type: "append",
      entries: [entry],
      commitIndex: logIndex(0),
      applyThrough: logIndex(more.applyThrough ?? index),
      wantResults: true,
    });
    return index;
  }

  /** Applies one entry and gives the results of its commands. */
  run(...commands: readonly TestCommand[]): Result[] {
    const index = this.append(commands);
    this.shard.turn();
    return this.resultsOf(index);
  }

  resultsOf(index: number): Result[] {
    return this.replies.flatMap((reply) =>
      reply.type === "applied" ? reply.results.filter((one) => one.index === index).map((one) => one.result) : [],
    );
  }

  /** Queues a read; its answer is found by the id. */
  sendRead(read: ReadRequest, minIndex = 0): number {
    this.#requestId += 1;
    this.send({ type: "read", requestId: this.#requestId, minIndex: minIndex as LogIndex, read });
    return this.#requestId;
  }

  answerOf(requestId: number): Result | null {
    for (const reply of this.replies) {
      if (reply.type === "readResult" && reply.requestId === requestId) return reply.result;
    }
    return null;
  }

  read(read: ReadRequest): Result {
    const id = this.sendRead(read);
    this.shard.turn();
    const result = this.answerOf(id);
    if (result === null) throw this.#noAnswer("a read of what is applied");
    return result;
  }

  /** The value of a key as text, or null. */
  get(key: string, bucket = BUCKET): string | null {
    const result = this.read({ type: "get", bucket, key: utf8(key), metadataOnly: false });
    return result.kind === "version" ? text(result.value) : null;
  }

  /** All visible keys and values of a bucket. */
  content(bucket = BUCKET): Map<string, string> {
    const content = new Map<string, string>();
    for (let after: Uint8Array | null = null; ; ) {
      const page = this.read({
        type: "page",
        bucket,
        after,
        examineMax: 7,
        bytesMax: 10_000,
        pattern: null,
        mode: "keys",
      });
      if (page.kind === "error") throw new EnvelopeError(page.code, page.message);
      if (page.kind !== "page") throw new Error(`a page came as ${page.kind}`);
      for (const key of page.keys) {
        const found = this.read({ type: "get", bucket, key, metadataOnly: false });
        if (found.kind === "error") throw new EnvelopeError(found.code, found.message);
        content.set(text(key), found.kind === "version" ? text(found.value) : "(gone)");
      }
      if (page.next === null) return content;
      after = page.next;
    }
  }

  /** Flushes or compacts and waits for the answer. */
  maintain(what: "flush" | "compact"): void {
    this.#requestId += 1;
    const requestId = this.#requestId;
    this.send({ type: what, requestId });
    this.shard.turn();
    const isDone = (): boolean => this.replies.some((reply) => reply.type === "done" && reply.requestId === requestId);
    for (let i = 0; i < 100_000 && !isDone(); i++) this.shard.backgroundStep();
    if (!isDone()) throw new Error(`${what} came to no end`);
  }

  /** Sends a request that is answered by its id, and gives the answer. Throws what the shard says it has failed of. */
  ask(request: Extract<ShardRequest, { requestId: number }>): ShardReply {
    this.#requestId += 1;
    const requestId = this.#requestId;
    this.send({ ...request, requestId });
    this.shard.turn();
    const answer = (): ShardReply | undefined =>
      this.replies.find((reply) => "requestId" in reply && reply.requestId === requestId);
    for (let i = 0; i < 100_000 && answer() === undefined; i++) {
      this.shard.backgroundStep();
      this.shard.turn();
    }
    const found = answer();
    if (found === undefined) throw this.#noAnswer(request.type);
    return found;
  }

  /** Why there is none: a shard that has failed answers nothing any more. */
  #noAnswer(to: string): Error {
    const [failed] = this.ofType("failed");
    return failed === undefined ? new Error(`${to} was not answered`) : new EnvelopeError(failed.code, failed.message);
  }

  snapshot(): ShardReply {
    return this.ask({ type: "snapshot", requestId: 0 });
  }

  /** No member needs the entries below; of the others no more are kept than so many bytes of log. */
  release(index: number, retainedBytes = Number.MAX_SAFE_INTEGER): void {
    this.send({ type: "release", index: logIndex(index), retainedBytes });
  }

  settle(): void {
    while (this.shard.backgroundStep());
  }

  stats(): Extract<ShardReply, { type: "stats" }>["stats"] {
    this.#requestId += 1;
    const requestId = this.#requestId;
    this.send({ type: "stats", requestId });
    this.shard.turn();
    for (const reply of this.replies) if (reply.type === "stats" && reply.requestId === requestId) return reply.stats;
    throw new Error("no stats came");
  }

  ofType<Type extends ShardReply["type"]>(type: Type): Extract<ShardReply, { type: Type }>[] {
    return this.replies.filter((reply): reply is Extract<ShardReply, { type: Type }> => reply.type === type);
  }

  [Symbol.dispose](): void {
    if (!this.shard.stopped) this.stop();
    if (this.#ownsDirectory) rmSync(this.directory, { recursive: true, force: true });
  }

  /** As main does when all memtables are wanted back. */
  #returnAll(): void {
    for (const arena of this.main.recall()) this.send({ type: "returnArena", arena });
  }

  #open(): { shard: Shard; memory: ShardMemory; boot: ShardBoot } {
    const { disk = new RealDisk(), options = {}, memtableBytes = 64 * KIB, returnsArenas = true } = this.#settings;
    const { compactors } = this.#settings;
    const memory = createShardMemory(memtableBytes, 3);
    this.state = new SharedState(memory.state);
    this.main = new MemtableSet(this.state, memory.arenas);
    let boot: ShardBoot | null = null;
    const shard = Shard.open(
      {
        disk,
        clock: this.clock,
        log: SILENT,
        blockCache: new BlockCache(64 * KIB),
        ...(compactors === undefined ? {} : { compactors }),
      },
      testOptions(join(this.directory, "shard-0000"), options),
      memory,
      (reply) => {
        this.replies.push(reply);
        if (reply.type === "opened") boot = reply.boot;
        if (reply.type === "arenasRecalled") this.#returnAll();
        if (reply.type !== "arenaRetired") return;
        this.retiredArenas.push(reply.arena);
        if (returnsArenas) this.main.retire(reply.arena);
        if (returnsArenas) this.send({ type: "returnArena", arena: reply.arena });
      },
    );
    if (boot === null) throw new Error("an open shard says so");
    return { shard, memory, boot };
  }
}
