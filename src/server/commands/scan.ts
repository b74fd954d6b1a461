/** Commands that look through a bucket: SCAN, KEYS, DBSIZE, RANDOMKEY. */
import type { Waiter } from "../../cluster/coordinator.ts";
import type { PageResult, Result } from "../../record/result.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { bucketCommand, type CommandEntry } from "../command-table.ts";
import { errorReply } from "../error-reply.ts";
import { hashPage, LeastHashes } from "../hash-page.ts";
import { KeyWalk, pagedKeys } from "../key-walk.ts";
import type { ScanPosition } from "../scan-cursors.ts";
import { NOT_AN_INTEGER, SYNTAX } from "../texts.ts";

export const SCAN_COMMANDS: readonly CommandEntry[] = [
  bucketCommand("scan", -2, "Some keys and the cursor that goes on behind them", scan),
  bucketCommand("keys", 2, "All keys that match a pattern", keys),
  bucketCommand("dbsize", 1, "How many keys there are, counted", dbsize),
  bucketCommand("randomkey", 1, "Some key", (client) => new RandomKey(client).ask()),
];

const U64_RANGE = 2n ** 64n;
const SCAN_COUNT_DEFAULT = 10;
const SCAN_COUNT_MAX = 10_000;
/** What a key costs in a reply beside its bytes. */
const KEY_OVERHEAD_BYTES = 16;

interface ScanOptions {
  pattern: Uint8Array | null;
  count: number;
  type: string;
}

function scan(client: ClientConnection, request: RequestArguments): void {
  const cursor = scanCursor(request);
  if (cursor === null) {
    client.replyError("ERR invalid cursor");
    return;
  }
  const options = scanOptions(request);
  if (typeof options === "string") {
    client.replyError(options);
    return;
  }
  if (options.type !== "string") {
    const reply = client.begin();
    reply.array(2);
    reply.bulkText("0");
    reply.array(0);
    client.end();
    return;
  }
  new ScanStep(client).ask(cursor, options);
}

/** The cursor as Redis reads it (`strtoul`): nothing is 0, a sign is allowed, up to 64 bits. Rounded above 2^53. */
function scanCursor(request: RequestArguments): number | null {
  const [text = ""] = request.text(1).split("\0");
  if (text === "") return 0;
  if (!/^[+-]?\d+$/.test(text)) return null;
  const value = BigInt(text.replace(/^\+/, ""));
  if (value >= U64_RANGE || value <= -U64_RANGE) return null;
  return Number(BigInt.asUintN(64, value));
}

function scanOptions(request: RequestArguments): ScanOptions | string {
  const options: ScanOptions = { pattern: null, count: SCAN_COUNT_DEFAULT, type: "string" };
  for (let i = 2; i < request.count; i += 2) {
    if (i + 1 >= request.count) return SYNTAX;
    const word = request.word(i);
    if (word === "match") options.pattern = request.copy(i + 1);
    else if (word === "type") options.type = request.word(i + 1);
    else if (word === "count") {
      const count = request.integer(i + 1);
      if (count === null) return NOT_AN_INTEGER;
      if (count < 1n) return SYNTAX;
      options.count = Math.min(SCAN_COUNT_MAX, Number(count));
    } else return SYNTAX;
  }
  return options;
}

class ScanStep implements Waiter {
  readonly #client: ClientConnection;
  readonly #slot: number;
  #shard = 0;

  constructor(client: ClientConnection) {
    this.#client = client;
    this.#slot = client.defer();
  }

  ask(cursor: number, options: ScanOptions): void {
    const { coordinator, port, session } = this.#client;
    const found = port.cursors.position(session.bucket.name, cursor);
    const isShard = found.shard < coordinator.shardCount;
    this.#shard = isShard ? found.shard : 0;
    if (found.order === "keys") {
      const after = isShard ? found.after : null;
      const examineMax = pagedKeys(this.#client.share, options.count);
      coordinator.page(session.bucket, this.#shard, after, examineMax, options.pattern, "keys", this, 0);
      return;
    }
    const hashes = new LeastHashes(isShard ? found.from : 0, port.settings.outputBytesMax / 4);
    hashPage(coordinator, session.bucket, this.#shard, options.pattern, hashes, this.#client.share, (error) => {
      const { next } = hashes;
      const further: ScanPosition | null = next === null ? null : { order: "hashes", shard: this.#shard, from: next };
      this.#answer(error, hashes.keys(), further);
    });
  }

  resolve(_tag: number, result: Result): void {
    if (result.kind === "error") {
      this.#answer(errorReply(result.code, result.message), [], null);
      return;
    }
    const next = result.kind === "page" ? result.next : null;
    const keys = result.kind === "page" ? result.keys : [];
    this.#answer(null, keys, next === null ? null : { order: "keys", shard: this.#shard, after: next.slice() });
  }

  /** `further` null: the shard is at its end. */
  #answer(error: string | null, keys: readonly Uint8Array[], further: ScanPosition | null): void {
    this.#client.settle(this.#slot, (reply) => {
      if (error !== null) {
        reply.error(error);
        return;
      }
      reply.array(2);
      reply.bulkText(String(this.#nextCursor(further)));
      reply.array(keys.length);
      for (const key of keys) reply.bulk(key);
    });
  }

  #nextCursor(further: ScanPosition | null): number {
    const { coordinator, port, session } = this.#client;
    if (further !== null) return port.cursors.remember(session.bucket.name, further);
    const shard = this.#shard + 1;
    if (shard >= coordinator.shardCount) return 0;
    return port.cursors.remember(session.bucket.name, { order: "keys", shard, after: null });
  }
}

function keys(client: ClientConnection, request: RequestArguments): void {
  const slot = client.defer();
  const found: Uint8Array[] = [];
  const bytesMax = client.port.settings.outputBytesMax;
  let byteCount = 0;
  const visitor = {
    onPage(page: PageResult): boolean {
      for (const key of page.keys) {
        byteCount += key.length + KEY_OVERHEAD_BYTES;
        found.push(key.slice());
      }
      return byteCount <= bytesMax;
    },
    onEnd(error: string | null): void {
      const tooLarge = byteCount > bytesMax ? "ERR the keys do not fit into one reply, use SCAN" : null;
      client.settle(slot, (reply) => {
        const problem = error ?? tooLarge;
        if (problem !== null) {
          reply.error(problem);
          return;
        }
        reply.array(found.length);
        for (const key of found) reply.bulk(key);
      });
    },
  };
  new KeyWalk(client.coordinator, client.session.bucket, request.copy(1), "keys", visitor, client.share).start();
}

function dbsize(client: ClientConnection): void {
  const slot = client.defer();
  let total = 0;
  const visitor = {
    onPage(page: PageResult): boolean {
      total += page.matchCount;
      return true;
    },
    onEnd(error: string | null): void {
      client.settle(slot, (reply) => {
        if (error === null) reply.integer(total);
        else reply.error(error);
      });
    },
  };
  new KeyWalk(client.coordinator, client.session.bucket, null, "count", visitor, client.share).start();
}

/** Asks the shards in turn, from one that changes with time, until one has a key. */
class RandomKey implements Waiter {
  readonly #client: ClientConnection;
  readonly #slot: number;
  readonly #first: number;
  #asked = 0;

  constructor(client: ClientConnection) {
    this.#client = client;
    this.#slot = client.defer();
    this.#first = client.coordinator.wallMs();
  }

  ask(): void {
    const { coordinator, session } = this.#client;
    const shard = (this.#first + this.#asked) % coordinator.shardCount;
    this.#asked += 1;
    coordinator.sample(session.bucket, shard, this, 0);
  }

  resolve(_tag: number, result: Result): void {
    if (result.kind === "nil" && this.#asked < this.#client.coordinator.shardCount) {
      this.ask();
      return;
    }
    this.#client.settle(this.#slot, (reply) => {
      if (result.kind === "error") reply.error(errorReply(result.code, result.message));
      else if (result.kind === "bytes") reply.bulk(result.bytes);
      else reply.nil();
    });
  }
}
