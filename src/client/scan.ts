/**
 * A walk over a bucket: pages come as long as there are credits, and one more is granted for each that was consumed. When the
 * way to the node is lost, another node goes on behind the last entry that was given out.
 */
import type { EnvelopeError } from "../core/errors.ts";
import type { BinaryReply, ScanBound, ScanReplyEntry, ScanRequest } from "../wire/binary-messages.ts";
import type { Caller } from "./caller.ts";
import type { Channel } from "./channel.ts";
import type { ScanOptions } from "./database.ts";
import { InvalidArgumentError, ProtocolError } from "./errors.ts";
import { keyBytes, optionalKey } from "./keys.ts";
import type { Patience } from "./patience.ts";
import { impatienceError, judge, type Outcome } from "./retry-policy.ts";

/** Pages on their way or waiting to be consumed. */
const PAGES_AHEAD = 2;

type Page = Extract<BinaryReply, { type: "page" }>;

export async function* scanEntries(
  caller: Caller,
  bucket: string,
  options: ScanOptions,
): AsyncGenerator<ScanReplyEntry, void, undefined> {
  const walk = new Walk(caller, wireScan(bucket, options), options);
  try {
    for (let page = await walk.next(); page !== null; page = await walk.next()) yield* page.entries;
  } finally {
    walk.end();
  }
}

class Walk {
  readonly #caller: Caller;
  readonly #options: ScanOptions;
  #request: ScanRequest;
  #stream: PageStream | null = null;
  #isOver = false;

  constructor(caller: Caller, request: ScanRequest, options: ScanOptions) {
    this.#caller = caller;
    this.#request = request;
    this.#options = options;
  }

  /** The next page; null: that was all. The page before has been consumed. */
  async next(): Promise<Page | null> {
    if (this.#isOver) return null;
    const patience = this.#caller.patience(this.#options);
    try {
      const page = await this.#page(patience);
      this.#passed(page);
      return page;
    } finally {
      patience.release();
    }
  }

  end(): void {
    this.#isOver = true;
    this.#stream?.end();
    this.#stream = null;
  }

  async #page(patience: Patience): Promise<Page> {
    let avoided: Channel | null = null;
    let last: EnvelopeError | null = null;
    for (let attempt = 0; ; attempt++) {
      const stream: PageStream = this.#stream ?? (await this.#open(avoided, patience));
      const outcome = await stream.next(patience);
      if (outcome === null) throw impatienceError(patience, false, last);
      const verdict = judge(outcome, true);
      if (verdict.kind === "done") return pageOf(verdict.reply);
      this.#stream = null;
      if (verdict.kind === "failed") throw verdict.error;
      last = verdict.error;
      avoided = stream.channel;
      await patience.sleep(this.#caller.nodes.pauseMs(attempt));
    }
  }

  async #open(avoided: Channel | null, patience: Patience): Promise<PageStream> {
    const channel = await this.#caller.channel(null, avoided, patience);
    this.#stream = new PageStream(channel, this.#request);
    return this.#stream;
  }

  /** From here another node would have to go on. */
  #passed({ entries, isLast }: Page): void {
    const { limit, isReverse } = this.#request;
    const key = entries.at(-1)?.key.slice();
    this.#isOver = isLast || (limit > 0 && entries.length >= limit);
    if (this.#isOver && !isLast) this.#stream?.end();
    if (this.#isOver) this.#stream = null;
    if (key === undefined) return;
    const behind: ScanBound = { key, isInclusive: false };
    const rest = limit === 0 ? 0 : limit - entries.length;
    this.#request = { ...this.#request, limit: rest, ...(isReverse ? { upper: behind } : { lower: behind }) };
  }
}

/** The pages of one scan on one channel, in the order they come. */
class PageStream {
  readonly channel: Channel;
  readonly #id: number;
  readonly #outcomes: Outcome[] = [];
  #settle: ((outcome: Outcome) => void) | null = null;
  /** The page that was given out last stands for a credit until the next one is asked for. */
  #isOwed = false;

  constructor(channel: Channel, request: ScanRequest) {
    this.channel = channel;
    this.#id = channel.send(request, {
      replied: (reply) => this.#take({ kind: "reply", reply }),
      lost: (reason, wasSent) => this.#take({ kind: "lost", reason, wasSent }),
    });
  }

  /** Null: patience was over. */
  async next(patience: Patience): Promise<Outcome | null> {
    if (patience.over !== null) return null;
    if (this.#isOwed) this.channel.grant(this.#id, 1);
    this.#isOwed = true;
    const ready = this.#outcomes.shift();
    if (ready !== undefined) return ready;
    const outcome = await patience.until<Outcome>((settle) => {
      this.#settle = settle;
    });
    this.#settle = null;
    return outcome;
  }

  end(): void {
    this.channel.drop(this.#id);
  }

  #take(outcome: Outcome): void {
    if (this.#settle === null) this.#outcomes.push(outcome);
    else {
      this.#settle(outcome);
      this.#settle = null;
    }
  }
}

function pageOf(reply: BinaryReply): Page {
  if (reply.type === "page") return reply;
  throw new ProtocolError(`the node answers a scan with ${reply.type}`);
}

function wireScan(bucket: string, options: ScanOptions): ScanRequest {
  const { prefix, start, end, reverse, limit, keysOnly } = options;
  if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 1)) {
    throw new InvalidArgumentError("limit is a whole number from 1");
  }
  return {
    type: "scan",
    deadlineMs: 0,
    bucket,
    prefix: optionalKey(prefix),
    lower: start === undefined ? null : { key: keyBytes(start), isInclusive: true },
    upper: end === undefined ? null : { key: keyBytes(end), isInclusive: false },
    isReverse: reverse ?? false,
    keysOnly: keysOnly ?? false,
    limit: limit ?? 0,
    pageEntries: 0,
    credits: PAGES_AHEAD,
  };
}
