/**
 * A client of the simulated cluster: one operation at a time on a random key, through whichever node it likes today.
 * What it hears goes into the history; when it hears nothing for too long it gives up, and nobody knows.
 */
import { EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import type { Random } from "../core/random.ts";
import { CommandType, MODIFIER_NX } from "../record/command-format.ts";
import { EnvelopeError, isErrorCode } from "../core/errors.ts";
import type { Result } from "../record/result.ts";
import type { Coordinator, Ordering, Waiter } from "../cluster/coordinator.ts";
import type { History } from "./history.ts";
import { describeResult, type KeyInput } from "./key-model.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";
import type { SimNode } from "./sim-node.ts";

/** The numbered database 0. */
const BUCKET_NAME = "0";
const WATCH_MS = 50;

export interface ClientOptions {
  readonly keyCount: number;
  readonly thinkMs: Range;
  /** Bytes that pad some values, to fill memtables and segments. */
  readonly paddingBytes: number;
  readonly paddingChance: number;
  readonly giveUpMs: number;
  /** How often a node is chosen because it believes to lead. */
  readonly leaderChance: number;
}

interface Pending {
  readonly call: number;
  readonly input: KeyInput;
}

interface Connection {
  readonly process: SimProcess;
  readonly coordinator: Coordinator;
  readonly ordering: Ordering;
}

export class SimClient implements Waiter {
  readonly #name: string;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #nodes: readonly SimNode[];
  readonly #history: History;
  readonly #options: ClientOptions;
  readonly #resolved = new Set<number>();
  #pending: Pending | null = null;
  #connection: Connection | null = null;
  #valueCount = 0;
  #stopped = false;
  /** Set when a node broke its promise to this client. */
  broken: string | null = null;

  constructor(name: string, scheduler: Scheduler, nodes: readonly SimNode[], history: History, options: ClientOptions) {
    this.#name = name;
    this.#scheduler = scheduler;
    this.#random = scheduler.random;
    this.#nodes = nodes;
    this.#history = history;
    this.#options = options;
    this.#nextLater();
  }

  /** No new operations. */
  stop(): void {
    this.#stopped = true;
  }

  get isIdle(): boolean {
    return this.#pending === null;
  }

  /** Reads a key once, for the end of a history; tries again until a node answers. */
  readFinally(key: string, done: () => void): void {
    const retry = (): void => {
      this.#scheduler.schedule(20, null, () => this.readFinally(key, done));
    };
    const before = this.#history.answeredCount;
    if (!this.#issue(key, { kind: "get" })) return retry();
    const wait = (): void => {
      if (this.#pending !== null) this.#scheduler.schedule(5, null, wait);
      else if (this.#history.answeredCount > before) done();
      else retry();
    };
    wait();
  }

  resolve(tag: number, result: Result): void {
    if (this.#resolved.has(tag)) this.broken ??= `an operation of ${this.#name} was answered twice`;
    this.#resolved.add(tag);
    const pending = this.#pending;
    if (pending === null || pending.call !== tag) return;
    this.#pending = null;
    this.#settle(pending, result);
    this.#nextLater();
  }

  #settle({ call, input }: Pending, result: Result): void {
    if (result.kind !== "error") return this.#history.returned(call, describeResult(result));
    const retry = isErrorCode(result.code) ? new EnvelopeError(result.code, result.message).retry : "unknown";
    if (result.code === "NOT_AN_INTEGER") this.#history.returned(call, describeResult(result));
    else if (retry === "safe" || input.kind === "get") this.#history.notExecuted(call);
  }

  #nextLater(): void {
    if (this.#stopped) return;
    this.#scheduler.schedule(this.#scheduler.duration(this.#options.thinkMs), null, () => {
      if (this.#stopped || this.#pending !== null) return;
      const key = `k${this.#random.below(this.#options.keyCount)}`;
      if (!this.#issue(key, this.#choose(key))) this.#nextLater();
    });
  }

  /** Even keys are counters, odd ones registers; both may be deleted. */
  #choose(key: string): KeyInput {
    const dice = this.#random.below(10);
    if (dice < 4) return { kind: "get" };
    if (dice === 4) return { kind: "delete" };
    if (Number(key.slice(1)) % 2 === 0) return { kind: "increment", by: this.#random.between(1, 9) };
    const value = `${this.#name}.${++this.#valueCount}`;
    if (dice === 5) return { kind: "setIfAbsent", value };
    return {
      kind: "set",
      value: this.#random.chance(this.#options.paddingChance) ? value.padEnd(this.#options.paddingBytes, ".") : value,
    };
  }

  /** Hands the operation to a node; false when it picked one that is down. */
  #issue(key: string, input: KeyInput): boolean {
    const node = this.#pickNode();
    const process = node?.process ?? null;
    if (node === undefined || process === null) return false;
    const call = this.#history.call(key, input);
    this.#pending = { call, input };
    this.#scheduler.schedule(this.#random.fraction(), process, () => {
      if (node.coordinator !== null) this.#submit(node.coordinator, process, key, input, call);
    });
    this.#watch(call, process, this.#scheduler.nowMs + this.#options.giveUpMs);
    return true;
  }

  /** Often one that believes to lead: it may be cut off and take writes that will not last. */
  #pickNode(): SimNode | undefined {
    const any = this.#nodes[this.#random.below(this.#nodes.length)];
    if (!this.#random.chance(this.#options.leaderChance)) return any;
    const leaders = this.#nodes.filter((node) => node.coordinator?.shards()[0]?.role === "leader");
    return leaders[this.#random.below(Math.max(1, leaders.length))] ?? any;
  }

  /** Gives the call up when it takes too long or its node is gone. */
  #watch(call: number, process: SimProcess, untilMs: number): void {
    this.#scheduler.schedule(WATCH_MS, null, () => {
      if (this.#pending?.call !== call) return;
      if (process.alive && this.#scheduler.nowMs < untilMs) return this.#watch(call, process, untilMs);
      this.#pending = null;
      const connection = this.#connection;
      this.#connection = null;
      if (connection?.process.alive === true) connection.coordinator.endOrdering(connection.ordering);
      this.#nextLater();
    });
  }

  #submit(coordinator: Coordinator, process: SimProcess, key: string, input: KeyInput, call: number): void {
    if (this.#connection?.process !== process) {
      this.#connection = { process, coordinator, ordering: coordinator.newOrdering() };
    }
    const { ordering } = this.#connection;
    const bucket = coordinator.bucket(BUCKET_NAME);
    const keyRange = rangeOf(utf8(key));
    if (input.kind === "get") return coordinator.read(ordering, bucket, keyRange, false, this, call);
    const [type, modifiers, value] = commandOf(input);
    coordinator.write(ordering, type, modifiers, bucket, keyRange, rangeOf(value), 0, this, call);
  }
}

function commandOf(input: Exclude<KeyInput, { kind: "get" }>): readonly [CommandType, number, Uint8Array] {
  switch (input.kind) {
    case "set":
      return [CommandType.put, 0, utf8(input.value)];
    case "setIfAbsent":
      return [CommandType.conditionalPut, MODIFIER_NX, utf8(input.value)];
    case "delete":
      return [CommandType.delete, 0, EMPTY_BYTES];
    case "increment": {
      const value = new Uint8Array(8);
      new DataView(value.buffer).setBigInt64(0, BigInt(input.by), true);
      return [CommandType.increment, 0, value];
    }
  }
}

function rangeOf(bytes: Uint8Array) {
  return { bytes, start: 0, end: bytes.length };
}
