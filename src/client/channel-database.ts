/** The database of a program, over channels of any kind: sockets to a cluster, or calls inside the process. */
import type { BinaryReply, BinaryRequest } from "../wire/binary-messages.ts";
import { TypedBucket } from "./bucket.ts";
import { Caller, type CallKind } from "./caller.ts";
import type { OpenChannel } from "./channel.ts";
import { type Codec, json } from "./codec.ts";
import type {
  Bucket,
  BucketInfo,
  BucketOptions,
  Buckets,
  CallOptions,
  CreateOptions,
  Database,
  DatabaseStatus,
} from "./database.ts";
import { KeyCalls } from "./key-calls.ts";
import type { Settings } from "./settings.ts";
import { Values } from "./values.ts";

/** Rejects when no node could be reached, or all refuse the client. */
export async function openDatabase(settings: Settings, open: OpenChannel): Promise<Database> {
  const caller = new Caller(settings, open);
  try {
    await caller.connect();
  } catch (cause) {
    await caller.close();
    throw cause;
  }
  return new ChannelDatabase(caller);
}

class ChannelDatabase implements Database {
  readonly buckets: Buckets;
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
    this.buckets = new ChannelBuckets(caller);
  }

  bucket<T = unknown>(name: string, options: BucketOptions<T> = {}): Bucket<T> {
    const codec: Codec<T> = options.codec ?? json<T>();
    const calls = new KeyCalls(this.#caller, name, options.read ?? this.#caller.settings.read);
    return new TypedBucket(calls, new Values(codec, options.schema ?? null));
  }

  async status(options: CallOptions = {}): Promise<DatabaseStatus> {
    const [status, known] = await Promise.all([
      ask(this.#caller, "read", (deadlineMs) => ({ type: "status", deadlineMs }), options, "status"),
      ask(this.#caller, "read", (deadlineMs) => ({ type: "topology", deadlineMs }), options, "topology"),
    ]);
    const { members, leaders } = known.topology;
    return {
      node: status.node,
      members: members.map(({ name, clientAddress, isConnected }) => ({
        name,
        clientAddress: clientAddress === "" ? null : clientAddress,
        isConnected,
      })),
      leaders: leaders.map((place) => members[place]?.name ?? null),
      figures: new Map(status.figures),
    };
  }

  close(): Promise<void> {
    return this.#caller.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class ChannelBuckets implements Buckets {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async create(bucket: string, { durability, ...options }: CreateOptions = {}): Promise<void> {
    const request = (deadlineMs: number): BinaryRequest => ({
      type: "createBucket",
      deadlineMs,
      bucket,
      durability: durability ?? "",
    });
    await ask(this.#caller, "admin", request, options, "done");
  }

  async drop(bucket: string, options: CallOptions = {}): Promise<void> {
    await ask(this.#caller, "admin", (deadlineMs) => ({ type: "dropBucket", deadlineMs, bucket }), options, "done");
  }

  async empty(bucket: string, options: CallOptions = {}): Promise<void> {
    await ask(this.#caller, "admin", (deadlineMs) => ({ type: "emptyBucket", deadlineMs, bucket }), options, "done");
  }

  async list(options: CallOptions = {}): Promise<readonly BucketInfo[]> {
    const request = (deadlineMs: number): BinaryRequest => ({ type: "listBuckets", deadlineMs });
    const { buckets } = await ask(this.#caller, "read", request, options, "buckets");
    return buckets.map(({ name, durability }) => ({ name, durability }));
  }

  async count(bucket: string, options: CallOptions = {}): Promise<number> {
    const request = (deadlineMs: number): BinaryRequest => ({
      type: "describeBucket",
      deadlineMs,
      bucket,
      countKeys: true,
    });
    const { buckets } = await ask(this.#caller, "read", request, options, "buckets");
    return buckets[0]?.keyCount ?? 0;
  }
}

/** A call that any node answers. */
function ask<Type extends BinaryReply["type"]>(
  caller: Caller,
  kind: CallKind,
  request: (deadlineMs: number) => BinaryRequest,
  options: CallOptions,
  type: Type,
): Promise<Extract<BinaryReply, { type: Type }>> {
  return caller.perform({ kind, byteCount: 0, leader: () => null, request }, options, type);
}
