/**
 * A scan over all shards in one order of keys: pages of the shards, each in order, merged as they are wanted. There is one
 * question to a shard at a time, and a page of each in memory, so a scan holds no more than that however large the bucket is
 * and however slowly its client reads. Pages leave while the client has granted credits and takes what was sent.
 *
 * The pages of a shard are read one after the other, not at one moment: a key that is there throughout is seen, once; one that
 * comes or goes meanwhile may be seen or not. Main thread only.
 */
import type { BucketRef, Coordinator, ShardScan, Waiter } from "../../cluster/coordinator.ts";
import { compareBytes } from "../../core/bytes.ts";
import type { EntriesResult, Result } from "../../record/result.ts";
import type { ScanReplyEntry, ScanRequest } from "../../wire/binary-messages.ts";

const PAGE_ENTRIES = 512;
const PAGE_ENTRIES_MAX = 10_000;
const PAGE_BYTES = 256 * 1024;
const SHARD_PAGE_BYTES = 64 * 1024;

type Failure = Extract<Result, { readonly kind: "error" }>;

interface ScanEvents {
  /** Whether a page may leave now; `resume` is called when it may again. */
  mayLeave(): boolean;
  page(entries: readonly ScanReplyEntry[], isLast: boolean): void;
  failed(error: Failure): void;
  /** Called once: the scan is over or stopped, and no shard owes it an answer. */
  ended(): void;
}

/** What a shard has told and nobody has taken yet. */
interface Source {
  entries: readonly ScanReplyEntry[];
  place: number;
  /** Of keys and values, those taken included. */
  byteCount: number;
  /** There is more behind these. */
  isCut: boolean;
  isAsked: boolean;
}

export class ScanStream implements Waiter {
  readonly #coordinator: Coordinator;
  readonly #bucket: BucketRef;
  readonly #scan: ScanRequest;
  readonly #events: ScanEvents;
  readonly #sources: Source[] = [];
  readonly #pageEntries: number;
  #page: ScanReplyEntry[] = [];
  #pageBytes = 0;
  #left: number;
  #credits: number;
  #askedCount = 0;
  #pumping = false;
  #ended = false;

  constructor(coordinator: Coordinator, bucket: BucketRef, scan: ScanRequest, events: ScanEvents) {
    this.#coordinator = coordinator;
    this.#bucket = bucket;
    this.#scan = scan;
    this.#events = events;
    this.#pageEntries = Math.min(scan.pageEntries === 0 ? PAGE_ENTRIES : scan.pageEntries, PAGE_ENTRIES_MAX);
    this.#left = scan.limit === 0 ? Number.POSITIVE_INFINITY : scan.limit;
    this.#credits = scan.credits;
  }

  start(): void {
    for (let shard = 0; shard < this.#coordinator.shardCount; shard++) {
      this.#sources.push({ entries: [], place: 0, byteCount: 0, isCut: true, isAsked: false });
    }
    this.#pump();
  }

  /** Bytes of memory that entries take which have not left. */
  get heldBytes(): number {
    return this.#sources.reduce((sum, { byteCount }) => sum + byteCount, this.#pageBytes);
  }

  grant(credits: number): void {
    this.#credits += credits;
    this.#pump();
  }

  /** Goes on, after the way out was full. */
  resume(): void {
    this.#pump();
  }

  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sources.length = 0;
    this.#page = [];
    this.#pageBytes = 0;
    if (this.#askedCount === 0) this.#events.ended();
  }

  /** The answer of a shard, which is the tag. */
  resolve(shard: number, result: Result): void {
    this.#askedCount -= 1;
    const source = this.#sources[shard];
    if (source === undefined) {
      if (this.#askedCount === 0) this.#events.ended();
      return;
    }
    source.isAsked = false;
    if (result.kind === "error") {
      this.#events.failed(result);
      this.stop();
      return;
    }
    const { entries, isCut } = result.kind === "entries" ? result : NOTHING;
    source.entries = entries.map(detached);
    source.place = 0;
    source.byteCount = source.entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    source.isCut = isCut;
    this.#pump();
  }

  /** An answer may come within the question: it is taken in the loop here, not by recursion. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#ended && this.#credits > 0 && this.#events.mayLeave()) {
      this.#askThoseEmpty();
      if (this.#ended || this.#askedCount > 0) break;
      this.#merge();
      if (this.#isPageFull || this.#isOver) this.#send();
    }
    this.#pumping = false;
  }

  #askThoseEmpty(): void {
    for (let shard = 0; shard < this.#sources.length; shard++) {
      const source = this.#sources[shard]!;
      if (source.isAsked || !source.isCut || source.place < source.entries.length) continue;
      source.isAsked = true;
      this.#askedCount += 1;
      const question = this.#question(source.entries.at(-1)?.key ?? null);
      this.#coordinator.scan(this.#bucket, shard, question, this, shard);
      if (this.#ended) return;
    }
  }

  #question(last: Uint8Array | null): ShardScan {
    const { prefix, lower, upper, isReverse, keysOnly } = this.#scan;
    const bound = last === null ? null : { key: last, isInclusive: false };
    return {
      prefix,
      lower: bound !== null && !isReverse ? bound : lower,
      upper: bound !== null && isReverse ? bound : upper,
      isReverse,
      keysOnly,
      entriesMax: Math.min(this.#pageEntries, this.#left),
      bytesMax: SHARD_PAGE_BYTES,
    };
  }

  /** Takes entries in order until the page is full, or a shard has to be asked before it is known which is next. */
  #merge(): void {
    while (!this.#isPageFull) {
      const source = this.#nextSource();
      if (source === null) return;
      const entry = source.entries[source.place]!;
      source.place += 1;
      this.#page.push(entry);
      this.#pageBytes += entry.key.length + entry.value.length;
      this.#left -= 1;
      if (source.place === source.entries.length && source.isCut) return;
    }
  }

  #nextSource(): Source | null {
    const sign = this.#scan.isReverse ? -1 : 1;
    let next: Source | null = null;
    for (const source of this.#sources) {
      const entry = source.entries[source.place];
      if (entry === undefined) continue;
      if (next === null || sign * compareBytes(entry.key, next.entries[next.place]!.key) < 0) next = source;
    }
    return next;
  }

  get #isPageFull(): boolean {
    return this.#left === 0 || this.#page.length >= this.#pageEntries || this.#pageBytes >= PAGE_BYTES;
  }

  get #isOver(): boolean {
    return this.#left === 0 || this.#sources.every(({ entries, place, isCut }) => place === entries.length && !isCut);
  }

  #send(): void {
    const page = this.#page;
    const isLast = this.#isOver;
    this.#page = [];
    this.#pageBytes = 0;
    this.#credits -= 1;
    this.#events.page(page, isLast);
    if (isLast) this.stop();
  }
}

const NOTHING: EntriesResult = { kind: "entries", entries: [], isCut: false };

/** The result is good only while it is told. */
function detached({ key, expiryMs, value }: ScanReplyEntry): ScanReplyEntry {
  return { key: key.slice(), expiryMs, value: value.slice() };
}
