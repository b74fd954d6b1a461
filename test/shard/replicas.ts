/** Several replicas of one shard on simulated disks, fed the same entries, and repaired from each other as the cluster does it. */
import type { ShardReply } from "../../src/bridge/shard-protocol.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { logIndex } from "../../src/core/ids.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import { BUCKET, encodeEntry, ShardHarness, Stamps, type TestCommand } from "./shard-harness.ts";

const DIRECTORY = "/d";
export const ROOT = `${DIRECTORY}/shard-0000`;

export class Replica extends ShardHarness {
  readonly disk: SimDisk;

  constructor(options: Partial<ShardOptions> = {}, seed = 1) {
    const disk = new SimDisk(seed, { capacityBytes: 1 << 28, sync: null });
    super({ disk, directory: DIRECTORY, options });
    this.disk = disk;
  }

  /** Turns over a bit in the blocks of the `choice`-th table (modulo their number), or of a value file; its name, or null. */
  damage(pattern: RegExp, choice: number, share: number): string | null {
    const paths = this.disk.files().filter((path) => pattern.test(path));
    const path = paths[choice % Math.max(1, paths.length)];
    if (path === undefined) return null;
    this.disk.flipBit(path, Math.floor(this.disk.byteCount(path) * share), choice % 8);
    return path;
  }

  /** Every key of these with its value, null where there is none, or the code of the error. */
  shown(keys: readonly string[]): string {
    const shown = keys.map((key) => {
      const result = this.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false });
      if (result.kind === "error") return `${key} ${result.code}`;
      return result.kind === "version"
        ? `${key} = ${text(result.value)} until ${result.expiryMs}`
        : `${key} is not there`;
    });
    return shown.join("\n");
  }

  get quarantined(): number {
    const { quarantinedTables, quarantinedValueFiles } = this.stats();
    return quarantinedTables + quarantinedValueFiles;
  }
}

export class Replicas {
  readonly all: readonly Replica[];
  readonly stamps = new Stamps();
  lastIndex = 0;
  readonly #entries: Uint8Array[] = [];

  constructor(count: number, options: Partial<ShardOptions> = {}) {
    this.all = Array.from({ length: count }, (_, i) => new Replica(options, i + 1));
  }

  /** One entry for everybody, applied by all that are not held back. */
  write(...commands: readonly TestCommand[]): void {
    this.lastIndex += 1;
    this.#entries.push(encodeEntry(this.lastIndex, 1, commands, this.stamps));
    for (const replica of this.all) this.feed(replica);
  }

  /** What the replica does not have yet. */
  feed(replica: Replica): void {
    if (replica.lastIndex >= this.lastIndex) return;
    const entries = this.#entries.slice(replica.lastIndex);
    replica.lastIndex = this.lastIndex;
    const through = logIndex(this.lastIndex);
    replica.send({ type: "append", entries, commitIndex: through, applyThrough: through, wantResults: true });
    replica.shard.turn();
  }

  reopen(replica: Replica): void {
    replica.reopen();
    this.feed(replica);
    replica.send({ type: "commit", commitIndex: logIndex(this.lastIndex) });
    replica.shard.turn();
  }

  [Symbol.dispose](): void {
    for (const replica of this.all) replica[Symbol.dispose]();
  }
}

/** Called before each thing that is asked in the course of a repair. */
export type BeforeEach = () => void;

/**
 * Repairs one damage of `to` from `from`: "repaired", or the code with which it came to nothing; null: there is nothing to
 * repair.
 */
export function repair(from: Replica, to: Replica, attempt = 0, before: BeforeEach = () => undefined): string | null {
  const wanted = to.ask({ type: "repairBegin", requestId: 0, attempt, holds: true });
  if (wanted.type !== "repairWanted") return outcome(wanted);
  const { minIndex, ranges } = wanted;
  if (ranges.length === 0) return null;
  before();
  const opened = from.ask({ type: "rangeOpen", requestId: 0, minIndex, ranges });
  if (opened.type !== "rangeOpened") return giveUp(to, opened);
  try {
    return fetched(from, to, opened, before);
  } finally {
    from.send({ type: "rangeClose", id: opened.id });
    from.shard.turn();
  }
}

function fetched(
  from: Replica,
  to: Replica,
  { id, index }: Extract<ShardReply, { type: "rangeOpened" }>,
  before: BeforeEach,
): string {
  before();
  const held = to.ask({ type: "repairAt", requestId: 0, index });
  if (outcome(held) !== "OK") return giveUp(to, held);
  for (let ordinal = 0, isLast = false; !isLast; ordinal++) {
    before();
    const piece = from.ask({ type: "rangeRead", requestId: 0, id, ordinal });
    if (piece.type !== "rangePiece") return giveUp(to, piece);
    const taken = to.ask({ type: "repairPiece", requestId: 0, bytes: piece.bytes });
    if (taken.type !== "repairTaken") return giveUp(to, taken);
    isLast = taken.isLast;
  }
  before();
  const ended = outcome(to.ask({ type: "repairEnd", requestId: 0 }));
  return ended === "OK" ? "repaired" : ended;
}

function giveUp(to: Replica, reply: ShardReply): string {
  to.send({ type: "repairAbandon" });
  to.shard.turn();
  return outcome(reply);
}

function outcome(reply: ShardReply): string {
  if (reply.type !== "done") return reply.type;
  return reply.result.kind === "error" ? reply.result.code : "OK";
}
