/**
 * Creating, dropping and emptying buckets. The catalog command commits on shard 0; then the old id is fenced in every
 * shard; then the catalog notes that the fence is everywhere, and only then is the client answered. Whoever leads
 * shard 0 finishes what a crash left half done: fences are idempotent. Main thread only.
 */
import { encode } from "@msgpack/msgpack";
import { text, utf8 } from "../core/bytes.ts";
import { CommandType } from "../record/command-format.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import { quotaFields } from "./bucket-quota.ts";
import type { BucketQuota } from "./coordinator.ts";
import { BUCKET_PREFIX, bucketKey, type Catalog, PENDING_PREFIX } from "./catalog.ts";
import { encodeFence } from "./fence-set.ts";

/** How the admin reaches shards: linearizable, wherever their leaders are. */
export interface SystemAccess {
  readonly shardCount: number;
  /** A command on the system bucket of a shard. */
  command(shard: number, type: CommandType, key: Uint8Array, value: Uint8Array, done: (result: Result) => void): void;
  /** A key of the system bucket of a shard. */
  get(shard: number, key: Uint8Array, done: (result: Result) => void): void;
  /** A page of the system bucket's keys. */
  page(shard: number, after: Uint8Array | null, pattern: Uint8Array, done: (result: Result) => void): void;
}

const CATALOG_SHARD = 0;

const UNFINISHED: Result = errorResult(
  "UNKNOWN_OUTCOME",
  "the bucket is dropped or emptied, but not every shard has confirmed it in time; it is being finished",
);

export class BucketAdmin {
  readonly #catalog: Catalog;
  readonly #access: SystemAccess;
  readonly #finishing = new Set<number>();

  constructor(catalog: Catalog, access: SystemAccess) {
    this.#catalog = catalog;
    this.#access = access;
  }

  create(name: string, durability: number | null, done: (result: Result) => void): void {
    const profile = { consistency: "raft", ...(durability === null ? {} : { durability }) };
    this.#access.command(CATALOG_SHARD, CommandType.createBucket, utf8(name), encode(profile), (result) => {
      if (result.kind === "integer") {
        this.#catalog.learnEntry(name, encode({ id: Number(result.value), profile }));
        return done(OK);
      }
      // Who created it may be another node, and the news of it not here yet.
      const isThere = result.kind === "error" && result.code === "BUCKET_EXISTS";
      if (isThere) this.lookUp(name, () => done(result));
      else done(result);
    });
  }

  alter(name: string, quota: Partial<BucketQuota>, done: (result: Result) => void): void {
    const changes = encode(quotaFields(quota));
    this.#access.command(CATALOG_SHARD, CommandType.alterBucket, utf8(name), changes, (result) => {
      if (result.kind !== "integer") return done(result);
      // What it is by now has been decided there; whoever asks here next is to see it.
      this.lookUp(name, done);
    });
  }

  drop(name: string, done: (result: Result) => void): void {
    this.#retire(CommandType.dropBucket, name, done);
  }

  renew(name: string, done: (result: Result) => void): void {
    this.#retire(CommandType.renewBucket, name, done);
  }

  /** Looks a name up in shard 0 itself and tells the catalog; ok, or NO_BUCKET, or why it could not be known. */
  lookUp(name: string, done: (result: Result) => void): void {
    const { id } = this.#catalog.ref(name);
    this.#access.get(CATALOG_SHARD, bucketKey(name), (result) => {
      if (result.kind === "error") return done(result);
      if (result.kind === "version") this.#catalog.learnEntry(name, result.value);
      else this.#catalog.forget(name, id);
      done(this.#catalog.ref(name).id === 0 ? errorResult("NO_BUCKET", `no such bucket: ${name}`) : OK);
    });
  }

  /** Brings the whole view up to date: every name that shard 0 has, and no other. */
  refresh(done: (result: Result) => void): void {
    const known = this.#catalog.list();
    this.#list(BUCKET_PREFIX, null, [], (names) => {
      if (!Array.isArray(names)) return done(names as Result);
      const found = new Set(names as readonly string[]);
      for (const { name, id } of known) if (!found.has(name)) this.#catalog.forget(name, id);
      let waiting = found.size;
      if (waiting === 0) return done(OK);
      let failure: Result | null = null;
      for (const name of found) {
        this.lookUp(name, (result) => {
          if (result.kind === "error" && result.code !== "NO_BUCKET") failure = result;
          waiting -= 1;
          if (waiting === 0) done(failure ?? OK);
        });
      }
    });
  }

  /** The keys of the catalog that begin with a prefix, without it. */
  #list(
    prefix: string,
    after: Uint8Array | null,
    found: readonly string[],
    done: (names: readonly string[] | Result) => void,
  ): void {
    this.#access.page(CATALOG_SHARD, after, utf8(`${prefix}*`), (result) => {
      if (result.kind !== "page") return done(result);
      const names = [...found, ...result.keys.map((key) => text(key).slice(prefix.length))];
      if (result.next === null) done(names);
      else this.#list(prefix, result.next.slice(), names, done);
    });
  }

  /** Called on the leader of shard 0 now and then: finishes what somebody began and did not live to end. */
  resume(): void {
    for (const id of this.#catalog.pendingFences()) {
      if (!this.#finishing.has(id)) this.#fenceEverywhere(id, () => undefined);
    }
  }

  #retire(type: CommandType, name: string, done: (result: Result) => void): void {
    this.#access.command(CATALOG_SHARD, type, utf8(name), new Uint8Array(0), (result) => {
      if (result.kind !== "integer") return done(result);
      if (type === CommandType.dropBucket) this.#catalog.forget(name, Number(result.value));
      this.#fencePending((fenced) => {
        // The catalog has changed for good: what is missing is finished later, and the caller must not be told "not done".
        if (fenced.kind === "error") return done(UNFINISHED);
        if (type === CommandType.dropBucket) return done(OK);
        this.lookUp(name, (found) => done(found.kind === "error" ? UNFINISHED : OK));
      });
    });
  }

  /**
   * Not the id that has just been retired alone: whoever retired the one before it may have died before its fence was
   * everywhere, and a node that is behind by both would still read that.
   */
  #fencePending(done: (result: Result) => void): void {
    this.#list(PENDING_PREFIX, null, [], (ids) => {
      if (!Array.isArray(ids)) return done(ids as Result);
      let waiting = ids.length;
      if (waiting === 0) return done(OK);
      let failure: Result | null = null;
      for (const id of ids as readonly string[]) {
        this.#fenceEverywhere(Number(id), (result) => {
          if (result.kind === "error") failure = result;
          waiting -= 1;
          if (waiting === 0) done(failure ?? OK);
        });
      }
    });
  }

  #fenceEverywhere(id: number, done: (result: Result) => void): void {
    this.#finishing.add(id);
    let waiting = this.#access.shardCount;
    let failure: Result | null = null;
    const finished = (result: Result): void => {
      this.#finishing.delete(id);
      if (result.kind !== "error") this.#catalog.fencedEverywhere(id);
      done(result);
    };
    const value = encodeFence(id);
    for (let shard = 0; shard < this.#access.shardCount; shard++) {
      this.#access.command(shard, CommandType.fence, utf8(`fence/${id}`), value, (result) => {
        if (result.kind === "error") failure = result;
        waiting -= 1;
        if (waiting > 0) return;
        if (failure !== null) return finished(failure);
        this.#access.command(CATALOG_SHARD, CommandType.fenceDone, utf8(`pending/${id}`), value, (noted) =>
          finished(noted.kind === "error" ? noted : OK),
        );
      });
    }
  }
}
