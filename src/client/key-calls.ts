/** Calls on single keys of one bucket, in the words of the protocol: what bucket.ts and batch.ts are made of. */
import type { BinaryReply, KeyOperation, OperationReply, OperationRequest } from "../wire/binary-messages.ts";
import type { Call, Caller } from "./caller.ts";
import type { CallOptions, ReadMode, ReadOptions } from "./database.ts";
import { wireMode } from "./keys.ts";

type ReplyOf<Type extends BinaryReply["type"]> = Extract<BinaryReply, { type: Type }>;

export class KeyCalls {
  readonly bucket: string;
  readonly #caller: Caller;
  readonly #readMode: ReadMode;

  constructor(caller: Caller, bucket: string, readMode: ReadMode) {
    this.#caller = caller;
    this.bucket = bucket;
    this.#readMode = readMode;
  }

  get caller(): Caller {
    return this.#caller;
  }

  read<Type extends OperationReply["type"]>(
    operation: KeyOperation,
    { read, ...options }: ReadOptions,
    ...types: readonly Type[]
  ): Promise<ReplyOf<Type>> {
    const { mode, staleMs } = wireMode(read ?? this.#readMode);
    const isAnywhere = mode === "stale" || mode === "follower";
    const call: Call = {
      kind: "read",
      byteCount: operation.key.length,
      leader: () => (isAnywhere ? null : this.leaderOf(operation.key)),
      request: (deadlineMs) => ({ ...this.#request(operation), deadlineMs, mode, staleMs }),
    };
    return this.#caller.perform(call, options, ...types);
  }

  write<Type extends OperationReply["type"]>(
    operation: KeyOperation,
    options: CallOptions,
    ...types: readonly Type[]
  ): Promise<ReplyOf<Type>> {
    const call: Call = {
      kind: "write",
      byteCount: bytesOf(operation),
      leader: () => this.leaderOf(operation.key),
      request: (deadlineMs, once) => ({ ...this.#request(operation), deadlineMs, once }),
    };
    return this.#caller.perform(call, options, ...types);
  }

  /** Several operations at the leader of the first one's key; atomic: all or none. A reply for each. */
  async batch(
    operations: readonly KeyOperation[],
    isAtomic: boolean,
    { read, ...options }: ReadOptions,
  ): Promise<readonly OperationReply[]> {
    const { mode, staleMs } = wireMode(read ?? this.#readMode);
    const [first] = operations;
    if (first === undefined) return [];
    let byteCount = 0;
    for (const operation of operations) byteCount += bytesOf(operation);
    const { bucket } = this;
    const call: Call = {
      kind: isAtomic ? "write" : "read",
      byteCount,
      leader: () => this.leaderOf(first.key),
      request: (deadlineMs, once) => ({ type: "batch", deadlineMs, bucket, mode, staleMs, once, isAtomic, operations }),
    };
    return (await this.#caller.perform(call, options, "results")).results;
  }

  leaderOf(key: Uint8Array): string | null {
    return this.#caller.routes.leaderOf(this.bucket, key);
  }

  #request(operation: KeyOperation): OperationRequest {
    const { bucket } = this;
    return { type: "operation", deadlineMs: 0, bucket, mode: "linearizable", staleMs: 0, once: null, operation };
  }
}

function bytesOf(operation: KeyOperation): number {
  const isLong = operation.type === "put" || operation.type === "append";
  return operation.key.length + (isLong ? operation.value.length : 0);
}
