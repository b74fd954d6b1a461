/**
 * What the binary protocol can say: a closed union of requests and one of replies. How they lie in bytes is in
 * `binary-format.ts` (frames) and `binary-request-format.ts`, `binary-reply-format.ts` (bodies); what they mean to whoever
 * writes a client is in docs/protocol.md. No part of Bun is used here: clients on other runtimes share these files.
 *
 * Every request but `credit` and `cancel` gets exactly one reply with its id, or, for a scan, pages up to the one marked as
 * the last, or an error. Replies come in any order; requests of one connection take effect in the order sent, shard by shard.
 */
import type { ErrorCode, Retry } from "../core/errors.ts";

/** How a read is kept from seeing the past; `staleMs` means something in the mode `stale` alone. */
export type BinaryReadMode = "linearizable" | "lease" | "follower" | "stale";

export type Credentials =
  | { readonly kind: "password"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string };

export type CompressionName = "zstd" | "deflate";

/** When a key is to end. Times in milliseconds; `at` counts from 1970, `ttl` from the arrival of the request. */
export type Expiry =
  | { readonly kind: "none" }
  /** As the key had it before. */
  | { readonly kind: "keep" }
  | { readonly kind: "ttl"; readonly ms: number }
  | { readonly kind: "at"; readonly ms: number };

/** What must hold for a write to be carried out; otherwise it comes to CONFLICT. */
export type Condition =
  | { readonly kind: "always" }
  | { readonly kind: "absent" }
  | { readonly kind: "present" }
  /** The newest version of the key is this one, as a versioned read has told it. */
  | { readonly kind: "version"; readonly version: bigint }
  | { readonly kind: "value"; readonly value: Uint8Array };

/** Which keys an `expire` is for: all, those without an expiry, those with one, those that would live longer, or shorter. */
export type ExpireOnly = "all" | "withoutExpiry" | "withExpiry" | "later" | "earlier";

/** What may be done to one key, alone or in a batch. */
export type KeyOperation =
  /** `value` or `absent`. Only with `versioned` does the reply tell the version; that costs a visit to the shard. */
  | { readonly type: "get"; readonly key: Uint8Array; readonly versioned: boolean }
  /** `metadata` or `absent`; its version only with `versioned`. */
  | { readonly type: "metadata"; readonly key: Uint8Array; readonly versioned: boolean }
  /**
   * One field of a JSON value, by a path as of GET: `value` as JSON text, `absent`, or
   * NOT_JSON. Never in an atomic batch.
   */
  | { readonly type: "getField"; readonly key: Uint8Array; readonly path: string }
  /** `done`; with `returnOld` the old value: `value` or `absent`. */
  | {
      readonly type: "put";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly expiry: Expiry;
      readonly condition: Condition;
      readonly returnOld: boolean;
    }
  /** `flag`: whether it was there; with `returnOld` the old value: `value` or `absent`. */
  | {
      readonly type: "delete";
      readonly key: Uint8Array;
      readonly condition: Condition;
      readonly returnOld: boolean;
    }
  /** `integer`: the new number; NOT_AN_INTEGER, OVERFLOW. */
  | { readonly type: "increment"; readonly key: Uint8Array; readonly by: bigint }
  /** `value`: the new number as text; NOT_A_FLOAT, OVERFLOW. */
  | { readonly type: "incrementFloat"; readonly key: Uint8Array; readonly by: number }
  /** `integer`: the new length. */
  | { readonly type: "append"; readonly key: Uint8Array; readonly value: Uint8Array }
  /** `flag`: whether it was set. `expiry` is `ttl` or `at`; a time that has passed removes the key. */
  | { readonly type: "expire"; readonly key: Uint8Array; readonly expiry: Expiry; readonly only: ExpireOnly }
  /** Takes the expiry away. `flag`: whether there was one. */
  | { readonly type: "persist"; readonly key: Uint8Array };

/** A write that is carried out once however often it is sent: its session, and its number there, counted from 1. */
export interface Once {
  readonly session: number;
  readonly sequence: number;
}

/** An end of a range of keys. */
export interface ScanBound {
  readonly key: Uint8Array;
  readonly isInclusive: boolean;
}

export interface HelloRequest {
  readonly type: "hello";
  /** The versions of the protocol that the client speaks, both included. */
  readonly versionMin: number;
  readonly versionMax: number;
  readonly clientName: string;
  readonly clientVersion: string;
  readonly credentials: Credentials | null;
  /** What the client can compress and expand, the one it likes best first. */
  readonly compression: readonly CompressionName[];
  /** Whether `topology` is to be sent, with request id 0, whenever it has changed. */
  readonly watchesTopology: boolean;
}

/** One operation on a key. `deadlineMs`: how long after its arrival the request is of use, 0: as long as the node has it. */
export interface OperationRequest {
  readonly type: "operation";
  readonly deadlineMs: number;
  readonly bucket: string;
  /** Of reads. */
  readonly mode: BinaryReadMode;
  readonly staleMs: number;
  /** Of writes; null: it is not known after a lost connection whether the write was carried out. */
  readonly once: Once | null;
  readonly operation: KeyOperation;
}

/**
 * Several operations on keys of one bucket. Atomic: all of them or none, and all keys in one shard (otherwise CROSS_SHARD).
 * Otherwise each is for itself. `results`: a reply for each, in order. A batch that is to be carried out once is atomic.
 */
export interface BatchRequest {
  readonly type: "batch";
  readonly deadlineMs: number;
  readonly bucket: string;
  readonly mode: BinaryReadMode;
  readonly staleMs: number;
  readonly once: Once | null;
  readonly isAtomic: boolean;
  readonly operations: readonly KeyOperation[];
}

/**
 * All keys of a bucket that begin with `prefix` and lie within both bounds, in key order or against it, over all shards:
 * pages, as long as the client has granted credits for them.
 */
export interface ScanRequest {
  readonly type: "scan";
  readonly deadlineMs: number;
  readonly bucket: string;
  readonly prefix: Uint8Array;
  readonly lower: ScanBound | null;
  readonly upper: ScanBound | null;
  readonly isReverse: boolean;
  readonly keysOnly: boolean;
  /** No more entries than this in all; 0: all there are. */
  readonly limit: number;
  /** Entries of a page at most; 0: the node's own choice. A page may have fewer. */
  readonly pageEntries: number;
  /** Pages that may be sent before more is granted by `credit`. */
  readonly credits: number;
}

export type BinaryRequest =
  /** The first request of a connection: `welcome`. */
  | HelloRequest
  /** `pong`. */
  | { readonly type: "ping"; readonly deadlineMs: number }
  | OperationRequest
  | BatchRequest
  | ScanRequest
  /** So many pages more of the scan with this id. No reply. */
  | { readonly type: "credit"; readonly target: number; readonly credits: number }
  /** The request with this id is of no more use. It is answered CANCELLED, unless its reply is already on its way. No reply of its own. */
  | { readonly type: "cancel"; readonly target: number }
  /** `done`. `durability` as in `sync`, `interval:<ms>`, `os`; empty: as the node has it. */
  | { readonly type: "createBucket"; readonly deadlineMs: number; readonly bucket: string; readonly durability: string }
  | { readonly type: "dropBucket"; readonly deadlineMs: number; readonly bucket: string }
  | { readonly type: "emptyBucket"; readonly deadlineMs: number; readonly bucket: string }
  /** `buckets`. */
  | { readonly type: "listBuckets"; readonly deadlineMs: number }
  /** `buckets` with the one; `countKeys` walks over all of them. NO_BUCKET. */
  | {
      readonly type: "describeBucket";
      readonly deadlineMs: number;
      readonly bucket: string;
      readonly countKeys: boolean;
    }
  /** `session`: a session that ends when it has not been used for `ttlMs`. */
  | { readonly type: "openSession"; readonly deadlineMs: number; readonly ttlMs: number }
  /** `done`. */
  | { readonly type: "closeSession"; readonly deadlineMs: number; readonly session: number }
  /** `topology`. */
  | { readonly type: "topology"; readonly deadlineMs: number }
  /** `status`. */
  | { readonly type: "status"; readonly deadlineMs: number };

export interface BinaryLimits {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  /** The largest frame that the node takes, and the largest body that it lets one expand to. */
  readonly frameBytesMax: number;
  readonly requestsInflightMax: number;
  readonly operationsMax: number;
}

export interface TopologyMember {
  readonly name: string;
  /** `host:port` for clients; empty where it is not known. */
  readonly clientAddress: string;
  readonly rack: string;
  readonly isLeaving: boolean;
  readonly isConnected: boolean;
}

/**
 * Who leads which shard, as the node that answers knows it. A client finds the shard of a key by the murmur3-32 of the key,
 * or of its {tag}, with the seed of the bucket, on a ring of `pointsPerShard` points for each shard.
 */
export interface Topology {
  /** Grows with each change that the answering node has seen. Versions of different nodes cannot be compared. */
  readonly version: number;
  readonly shardCount: number;
  readonly pointsPerShard: number;
  readonly members: readonly TopologyMember[];
  /** For each shard the place of its leader in `members`; −1: none is known. */
  readonly leaders: readonly number[];
}

export interface BucketDescription {
  readonly name: string;
  readonly id: number;
  /** For the tokens of its keys. */
  readonly seed: number;
  readonly durability: string;
  /** −1: not counted. */
  readonly keyCount: number;
}

export interface ScanReplyEntry {
  readonly key: Uint8Array;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
}

export interface ErrorReply {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
  /** What the client may do now; more exact than the code alone would say. */
  readonly retry: Retry;
}

/** What one operation on a key comes to. */
export type OperationReply =
  /** `durability`: whether the disk had it when this was said, will within the bucket's interval, or whenever the system likes. */
  | { readonly type: "done"; readonly durability: "sync" | "interval" | "os" }
  | { readonly type: "absent" }
  /** `expiryMs` since 1970, 0: never. `version` 0: it was not asked for. */
  | { readonly type: "value"; readonly value: Uint8Array; readonly expiryMs: number; readonly version: bigint }
  | { readonly type: "metadata"; readonly valueBytes: number; readonly expiryMs: number; readonly version: bigint }
  | { readonly type: "integer"; readonly value: bigint }
  | { readonly type: "flag"; readonly value: boolean }
  | ErrorReply;

export type BinaryReply =
  | {
      readonly type: "welcome";
      /** The version of the protocol that both speak from now on. */
      readonly version: number;
      readonly serverVersion: string;
      readonly node: string;
      readonly compression: CompressionName | null;
      readonly limits: BinaryLimits;
      readonly topology: Topology;
    }
  | { readonly type: "pong" }
  | OperationReply
  | { readonly type: "results"; readonly results: readonly OperationReply[] }
  | { readonly type: "page"; readonly entries: readonly ScanReplyEntry[]; readonly isLast: boolean }
  | { readonly type: "buckets"; readonly buckets: readonly BucketDescription[] }
  | { readonly type: "session"; readonly session: number }
  | { readonly type: "topology"; readonly topology: Topology }
  /** Plain figures of the node: name → number. */
  | { readonly type: "status"; readonly node: string; readonly figures: readonly (readonly [string, number])[] };
