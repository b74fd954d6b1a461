/**
 * A batch: atomic, one request that is carried out as one command; otherwise a request for each step, all under way
 * together, but those on the same key one behind the other.
 */
import type { KeyOperation, OperationReply } from "../wire/binary-messages.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Batch, CommitOptions, Condition, Expiry, Key, StepResult } from "./database.ts";
import { InvalidArgumentError, ProtocolError } from "./errors.ts";
import { inParallel } from "./in-parallel.ts";
import type { KeyCalls } from "./key-calls.ts";
import { integer, keyBytes, wireCondition, wireExpiry } from "./keys.ts";
import { errorFrom } from "./retry-policy.ts";
import type { Values } from "./values.ts";

const PARALLEL_MAX = 256;

/** Values go through the schema when the batch is committed, because a schema may take its time. */
type Step = () => Promise<KeyOperation>;

export class WriteBatch<T> implements Batch<T> {
  readonly #calls: KeyCalls;
  readonly #values: Values<T>;
  readonly #steps: Step[] = [];
  #isCommitted = false;

  constructor(calls: KeyCalls, values: Values<T>) {
    this.#calls = calls;
    this.#values = values;
  }

  get size(): number {
    return this.#steps.length;
  }

  put(key: Key, value: T, options: Condition<T> & Expiry = {}): this {
    const condition = wireCondition(options, (other) => this.#values.encodeUnchecked(other));
    const known = {
      type: "put",
      key: keyBytes(key),
      expiry: wireExpiry(options),
      condition,
      returnOld: false,
    } as const;
    return this.#add(async () => ({ ...known, value: await this.#values.encode(value) }));
  }

  delete(key: Key, options: Condition<T> = {}): this {
    const condition = wireCondition(options, (other) => this.#values.encodeUnchecked(other));
    const operation = { type: "delete", key: keyBytes(key), condition, returnOld: false } as const;
    return this.#add(async () => operation);
  }

  increment(key: Key, by: number | bigint = 1): this {
    const operation = { type: "increment", key: keyBytes(key), by: integer(by) } as const;
    return this.#add(async () => operation);
  }

  append(key: Key, piece: string | Uint8Array): this {
    const value = keyBytes(piece);
    const operation = { type: "append", key: keyBytes(key), value } as const;
    return this.#add(async () => operation);
  }

  async commit({ atomic, ...options }: CommitOptions = {}): Promise<readonly StepResult[]> {
    if (this.#isCommitted) throw new InvalidArgumentError("the batch has been committed");
    this.#isCommitted = true;
    const operations = await Promise.all(this.#steps.map((step) => step()));
    if (atomic === true) return (await this.#calls.batch(operations, true, options)).map(stepResult);
    const results: StepResult[] = [];
    await inParallel(byKey(operations), PARALLEL_MAX, async (steps) => {
      for (const { operation, place } of steps) results[place] = await this.#alone(operation, options);
    });
    return results;
  }

  #add(step: Step): this {
    if (this.#isCommitted) throw new InvalidArgumentError("the batch has been committed");
    this.#steps.push(step);
    return this;
  }

  async #alone(operation: KeyOperation, options: CommitOptions): Promise<StepResult> {
    try {
      return stepResult(await this.#calls.write(operation, options, "done", "flag", "integer"));
    } catch (cause) {
      if (cause instanceof EnvelopeError) return { kind: "failed", error: cause };
      throw cause;
    }
  }
}

interface PlacedOperation {
  readonly operation: KeyOperation;
  readonly place: number;
}

/** The operations on each key, in order. */
function byKey(operations: readonly KeyOperation[]): Iterable<readonly PlacedOperation[]> {
  const keys = new Map<string, PlacedOperation[]>();
  for (const [place, operation] of operations.entries()) {
    const name = operation.key.join();
    const known = keys.get(name);
    if (known === undefined) keys.set(name, [{ operation, place }]);
    else known.push({ operation, place });
  }
  return keys.values();
}

function stepResult(reply: OperationReply): StepResult {
  switch (reply.type) {
    case "done":
      return { kind: "done" };
    case "flag":
      return { kind: "deleted", existed: reply.value };
    case "integer":
      return { kind: "number", value: reply.value };
    case "error":
      return { kind: "failed", error: errorFrom(reply) };
    default:
      throw new ProtocolError(`the node answers a write with ${reply.type}`);
  }
}
