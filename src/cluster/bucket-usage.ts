/**
 * What buckets with a quota hold in one shard, as far as its leader knows, and which writes it refuses for that: before they
 * are proposed, so that applying stays the same everywhere.
 *
 *   counted   what a walk over the bucket has found, a page at a time, with pauses
 *   since     what has been written behind its beginning, each write taken for growth (write-growth.ts), deletions not subtracted
 *
 * Their sum is never less than what is there but for values that a transaction copies, whose size nobody knows here. When
 * half of the way from what was counted to the limit may have been written, each copy taken for the longest value, it is
 * counted anew; at the limit writes are refused until a count has found less. So a key that is overwritten for ever uses up
 * nothing, and a bucket may exceed its quota by what is written while it is counted, and by one value. A new leader knows
 * nothing and refuses nothing until it has counted.
 *
 * The quota is for the whole bucket; each of several shards may hold an equal part of it and a quarter more, because
 * keys do not spread evenly. Main thread only.
 */
import type { Clock } from "../env/clock.ts";
import { type ByteRange, CommandReader, type CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import type { BucketQuota } from "./coordinator.ts";
import type { ShardGroup } from "./shard-group.ts";
import { WriteGrowth } from "./write-growth.ts";

const PAGE_KEYS = 512;
const PAGE_BYTES_MAX = 256 * 1024;
const PAGE_PAUSE_MS = 1;
/** From one count of a bucket to the next, and at least so many times as long as the last one took. */
const PAUSE_MS = 1_000;
const PAUSE_FACTOR = 4;
const SLACK = 1.25;
const FULL: Result = errorResult("QUOTA_EXCEEDED", "the bucket has used up its quota; delete something, or raise it");

/** What is asked of the catalog. */
export interface QuotaSource {
  /** Any bucket has a quota of bytes or keys. */
  readonly hasQuotas: boolean;
  /** Of the bucket that has this id. */
  quotaOf(bucket: number): BucketQuota | null;
}

interface Usage {
  /** The term that it was counted in: whoever leads again later counts again. */
  readonly term: number;
  /** −1: nothing is known. */
  countedBytes: number;
  countedKeys: number;
  /** Written since the last whole count began. */
  sinceBytes: number;
  sinceKeys: number;
  sinceCopies: number;
  /** Written since the count underway began. */
  underwayBytes: number;
  underwayKeys: number;
  underwayCopies: number;
  isCounting: boolean;
  /** Not counted again before that. */
  pauseUntilMs: number;
}

/** Parts of the quota; 1: all of it. */
interface Fullness {
  readonly counted: number;
  readonly now: number;
  readonly most: number;
}

/** What is asked of the group. */
export type UsageGroup = Pick<ShardGroup, "accepting" | "term" | "openIndex" | "self" | "read">;

export class BucketUsage {
  readonly #group: UsageGroup;
  readonly #quotas: QuotaSource;
  readonly #clock: Clock;
  readonly #partOfShard: number;
  readonly #valueBytesMax: number;
  readonly #growth = new WriteGrowth();
  readonly #command = new CommandReader();
  readonly #usages = new Map<number, Usage>();

  constructor(group: UsageGroup, quotas: QuotaSource, clock: Clock, shardCount: number, valueBytesMax: number) {
    this.#group = group;
    this.#quotas = quotas;
    this.#clock = clock;
    this.#partOfShard = shardCount === 1 ? 1 : SLACK / shardCount;
    this.#valueBytesMax = valueBytesMax;
  }

  /** Why a write on the bucket is refused; null: it goes on, and is counted. */
  refusal(type: CommandType, bucket: number, keyBytes: number, { bytes, start, end }: ByteRange): Result | null {
    if (!this.#quotas.hasQuotas) return null;
    const quota = this.#quotas.quotaOf(bucket);
    if (quota === null) return null;
    const growth = this.#growth.of(type, keyBytes, bytes, start, end);
    if (!growth.isAny) return null;
    const usage = this.#usageOf(bucket);
    const fullness = this.#fullness(usage, quota);
    if (usage.countedBytes < 0 || fullness.most >= (1 + fullness.counted) / 2) this.#count(bucket, usage);
    if (usage.countedBytes >= 0 && fullness.now >= 1) return FULL;
    usage.sinceBytes += growth.byteCount;
    usage.sinceKeys += growth.keyCount;
    usage.sinceCopies += growth.copyCount;
    usage.underwayBytes += growth.byteCount;
    usage.underwayKeys += growth.keyCount;
    usage.underwayCopies += growth.copyCount;
    return null;
  }

  /** The same of a command that is encoded already. */
  refusalOf(command: Uint8Array): Result | null {
    if (!this.#quotas.hasQuotas) return null;
    const reader = this.#command.over(command);
    reader.read(0, command.length);
    const { type, bucket, keyStart, keyEnd, valueStart, valueEnd } = reader;
    return this.refusal(type, bucket, keyEnd - keyStart, { bytes: command, start: valueStart, end: valueEnd });
  }

  /** How much of this shard's part is used, by the scarcer of bytes and keys: what was counted, now, and at most. */
  #fullness(usage: Usage, { bytes, keys }: BucketQuota): Fullness {
    const part = this.#partOfShard;
    const share = (used: number, limit: number): number => (limit === 0 ? 0 : used / Math.max(1, limit * part));
    const counted = Math.max(share(usage.countedBytes, bytes), share(usage.countedKeys, keys));
    const nowBytes = usage.countedBytes + usage.sinceBytes;
    const now = Math.max(share(nowBytes, bytes), share(usage.countedKeys + usage.sinceKeys, keys));
    return { counted, now, most: Math.max(now, share(nowBytes + usage.sinceCopies * this.#valueBytesMax, bytes)) };
  }

  #usageOf(bucket: number): Usage {
    const { term } = this.#group;
    let usage = this.#usages.get(bucket);
    if (usage === undefined || usage.term !== term) {
      usage = {
        ...{ term, countedBytes: -1, countedKeys: -1, sinceBytes: 0, sinceKeys: 0, sinceCopies: 0 },
        ...{ underwayBytes: 0, underwayKeys: 0, underwayCopies: 0, isCounting: false, pauseUntilMs: 0 },
      };
      // Ids of buckets that are gone, or have another by now, do not stay.
      for (const id of this.#usages.keys()) if (this.#quotas.quotaOf(id) === null) this.#usages.delete(id);
      this.#usages.set(bucket, usage);
    }
    return usage;
  }

  #count(bucket: number, usage: Usage): void {
    const startedMs = this.#clock.monotonicMs();
    if (usage.isCounting || startedMs < usage.pauseUntilMs) return;
    usage.isCounting = true;
    const found = { bytes: 0, keys: 0 };
    const end = (): void => {
      usage.isCounting = false;
      const nowMs = this.#clock.monotonicMs();
      usage.pauseUntilMs = nowMs + Math.max(PAUSE_MS, PAUSE_FACTOR * (nowMs - startedMs));
    };
    const take = (result: Result): void => {
      if (result.kind === "error") return end();
      if (result.kind === "page") {
        found.bytes += result.byteCount;
        found.keys += result.matchCount;
        const { next } = result;
        if (next !== null) {
          const after = next.slice();
          this.#clock.after(PAGE_PAUSE_MS, () => this.#readPage(bucket, usage.term, after, take, end));
          return;
        }
      }
      usage.countedBytes = found.bytes;
      usage.countedKeys = found.keys;
      usage.sinceBytes = usage.underwayBytes;
      usage.sinceKeys = usage.underwayKeys;
      usage.sinceCopies = usage.underwayCopies;
      end();
    };
    // Not within the call that writes. The first page waits for everything that has been written until then.
    this.#clock.soon(() => {
      usage.underwayBytes = 0;
      usage.underwayKeys = 0;
      usage.underwayCopies = 0;
      this.#readPage(bucket, usage.term, null, take, end);
    });
  }

  #readPage(
    bucket: number,
    term: number,
    after: Uint8Array | null,
    take: (result: Result) => void,
    giveUp: () => void,
  ): void {
    const group = this.#group;
    if (!group.accepting || group.term !== term) return giveUp();
    const walk = { type: "page", bucket, after, examineMax: PAGE_KEYS, bytesMax: PAGE_BYTES_MAX } as const;
    const waiter = { resolve: (_tag: number, result: Result) => take(result) };
    group.read({ ...walk, pattern: null, mode: "count" }, group.openIndex, group.self, "linearizable", waiter, 0);
  }
}
