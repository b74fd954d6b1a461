/**
 * A client of the simulated cluster. It has one connection at a time, to whichever node it likes, and up to `depthMax`
 * operations under way on it; with a depth of one it chooses its node anew for every operation. What it hears goes into
 * the history; when it hears nothing for too long, or its node is gone, it leaves the connection with everything on it,
 * and nobody knows.
 */
import { EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import type { Random } from "../core/random.ts";
import { CommandType, MODIFIER_NX } from "../record/command-format.ts";
import { EnvelopeError, isErrorCode } from "../core/errors.ts";
import type { Result } from "../record/result.ts";
import type { Coordinator, Ordering, Waiter } from "../cluster/coordinator.ts";
import type { Call, History } from "./history.ts";
import { describeResult, isRead, type KeyInput } from "./key-model.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";
import { chooseReadMode, LINEARIZABLE, OTHER_READS, type ReadChoice } from "./read-choice.ts";
import { EPOCH_MS } from "./sim-clock.ts";
import { CLOCK_DRIFT_MAX, type SimNode } from "./sim-node.ts";
import type { Wish, Workload } from "./workload.ts";

const WATCH_MS = 50;
const RETRY_MS = 20;
/** More than there ever are with one prefix, dead ones included. */
const PAGE_KEYS_MAX = 10_000;
/** Longer than all jumps of a clock together. */
const LONG_MS = 1000 * 24 * 3_600_000;
const SOON_MS: Range = { min: -500, max: 2500 };

export interface ClientOptions {
  /** Operations that may be under way on its connection. */
  readonly depthMax: number;
  readonly thinkMs: Range;
  readonly giveUpMs: number;
  /** How often a node is chosen because it believes to lead. */
  readonly leaderChance: number;
}

/** Something under way: what becomes of it when the answer comes, or none will. */
interface Pending {
  readonly sentMs: number;
  settle(result: Result): void;
  forsake(): void;
}

interface Connection {
  readonly process: SimProcess;
  readonly coordinator: Coordinator;
  readonly ordering: Ordering;
  readonly session: number;
  /** How it reads, when it does not say otherwise. */
  readonly choice: ReadChoice;
  /** What is sent later arrives later. */
  arrivalMs: number;
}

type Outcome = "returned" | "noBucket" | "notExecuted" | "unknown";

export class SimClient implements Waiter {
  readonly #name: string;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #nodes: readonly SimNode[];
  readonly #history: History;
  readonly #workload: Workload;
  readonly #options: ClientOptions;
  readonly #resolved = new Set<number>();
  /** By tag, in order. */
  readonly #pending = new Map<number, Pending>();
  /** Named buckets that this client knows to exist. */
  readonly #created: Set<string>;
  #connection: Connection | null = null;
  #lastTag = 0;
  #isThinking = false;
  #isWatching = false;
  #stopped = false;
  /** Hears of every bucket that is to be emptied, and by which node. */
  onRenewal: (process: SimProcess) => void = () => undefined;
  /** Set when a node broke its promise to this client. */
  broken: string | null = null;

  /** `created`: the named buckets that certainly exist; shared by all clients. */
  constructor(
    name: string,
    scheduler: Scheduler,
    nodes: readonly SimNode[],
    history: History,
    workload: Workload,
    created: Set<string>,
    options: ClientOptions,
  ) {
    this.#name = name;
    this.#scheduler = scheduler;
    this.#random = scheduler.random;
    this.#nodes = nodes;
    this.#history = history;
    this.#workload = workload;
    this.#created = created;
    this.#options = options;
    this.#think();
  }

  /** No new operations. */
  stop(): void {
    this.#stopped = true;
  }

  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  /** Reads an object once, for the end of a history; tries again until a node answers. */
  readFinally(bucket: string, key: string, input: KeyInput, done: () => void): void {
    const retry = (): void => {
      this.#scheduler.schedule(RETRY_MS, null, () => this.readFinally(bucket, key, input, done));
    };
    const isSent =
      this.#connect(true) &&
      this.#operate(bucket, key, input, LINEARIZABLE, (outcome) => {
        if (outcome === "returned" || outcome === "noBucket") done();
        else retry();
      });
    if (!isSent) retry();
  }

  resolve(tag: number, result: Result): void {
    if (this.#resolved.has(tag)) this.broken ??= `an operation of ${this.#name} was answered twice`;
    this.#resolved.add(tag);
    const pending = this.#pending.get(tag);
    if (pending === undefined) return;
    this.#pending.delete(tag);
    pending.settle(result);
    this.#think();
  }

  #think(): void {
    if (this.#stopped || this.#isThinking) return;
    this.#isThinking = true;
    this.#scheduler.schedule(this.#scheduler.duration(this.#options.thinkMs), null, () => {
      this.#isThinking = false;
      const room = this.#options.depthMax - this.#pending.size;
      if (this.#stopped || room <= 0) return;
      if (this.#connect(this.#options.depthMax === 1)) {
        for (const wish of this.#workload.burst(this.#random.between(1, room))) this.#grant(wish);
      }
      if (this.#pending.size < this.#options.depthMax) this.#think();
    });
  }

  // ---- connections

  /** A connection to a node that is up; `anew`: to one chosen now. False when the choice fell on one that is down. */
  #connect(anew: boolean): boolean {
    if (this.#connection?.process.alive === true && !anew) return true;
    const node = this.#pickNode();
    const { process = null, coordinator = null } = node ?? {};
    if (process === null || coordinator === null) return false;
    if (this.#connection?.process === process) return true;
    this.#leave();
    const session = this.#history.newSession();
    const ordering = coordinator.newOrdering();
    const choice = chooseReadMode(this.#random);
    this.#connection = { process, coordinator, ordering, session, choice, arrivalMs: 0 };
    return true;
  }

  /** Often one that believes to lead: it may be cut off and take writes that will not last. */
  #pickNode(): SimNode | undefined {
    const any = this.#nodes[this.#random.below(this.#nodes.length)];
    if (!this.#random.chance(this.#options.leaderChance)) return any;
    const leaders = this.#nodes.filter((node) => node.coordinator?.shards()[0]?.role === "leader");
    return leaders[this.#random.below(Math.max(1, leaders.length))] ?? any;
  }

  #leave(): void {
    const connection = this.#connection;
    this.#connection = null;
    const forsaken = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of forsaken) pending.forsake();
    if (connection?.process.alive === true) connection.coordinator.endOrdering(connection.ordering);
  }

  /** Leaves the connection when an answer takes too long or the node is gone. */
  #watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#scheduler.schedule(WATCH_MS, null, () => {
      this.#isWatching = false;
      const [oldest] = this.#pending.values();
      if (oldest === undefined) return;
      const isLate = this.#scheduler.nowMs >= oldest.sentMs + this.#options.giveUpMs;
      if (this.#connection?.process.alive === true && !isLate) return this.#watch();
      this.#leave();
      this.#think();
    });
  }

  // ---- operations

  #grant(wish: Wish): void {
    const { bucket } = wish;
    switch (wish.kind) {
      case "operation":
        this.#operate(bucket, wish.key, wish.input, null, () => undefined);
        return;
      case "renew":
        return this.#renew(bucket);
      case "create":
        return this.#create(bucket);
    }
  }

  /** `readAs` null: as its connection reads, mostly. */
  #operate(
    bucket: string,
    key: string,
    input: KeyInput,
    readAs: ReadChoice | null,
    done: (outcome: Outcome) => void,
  ): boolean {
    const connection = this.#connection;
    if (connection === null) return false;
    const usual = this.#random.chance(OTHER_READS) ? chooseReadMode(this.#random) : connection.choice;
    const choice = readAs ?? usual;
    const call = this.#called(connection, bucket, key, input, choice);
    const mustExist = this.#created.has(bucket);
    const settle = (result: Result): void => {
      const outcome = outcomeOf(result, input);
      if (outcome === "returned") this.#history.returned(call, describeResult(result));
      else if (outcome === "unknown") this.#history.forsaken(call);
      else this.#history.notExecuted(call);
      if (mustExist && outcome === "noBucket") {
        this.broken ??= `${this.#name} was told that there is no bucket ${bucket}, which there is`;
      }
      done(outcome);
    };
    const forsake = (): void => {
      this.#history.forsaken(call);
      done("unknown");
    };
    this.#send(connection, settle, forsake, (tag) => {
      const { coordinator, ordering } = connection;
      const ref = coordinator.bucket(bucket);
      if (input.kind === "list") {
        const pattern = utf8(`${input.prefix}*`);
        return coordinator.page(ref, input.shard, null, PAGE_KEYS_MAX, pattern, "keys", this, tag);
      }
      const keyRange = rangeOf(utf8("member" in input ? input.member : key));
      if (input.kind === "get") {
        coordinator.setReadMode(ordering, choice.mode, choice.staleMs);
        return coordinator.read(ordering, ref, keyRange, false, this, tag);
      }
      const [type, modifiers, value] = commandOf(input);
      const expiryMs = this.#expiryMsOf(input);
      coordinator.write(ordering, type, modifiers, ref, keyRange, rangeOf(value), expiryMs, this, tag);
    });
    return true;
  }

  #called({ session }: Connection, bucket: string, key: string, input: KeyInput, { mode, staleMs }: ReadChoice): Call {
    if (input.kind === "get" && mode === "stale") {
      return this.#history.staleRead(bucket, key, input, staleMs / (1 - CLOCK_DRIFT_MAX));
    }
    // A page has no part in the order of its connection.
    const inOrder = input.kind === "list" ? this.#history.newSession() : session;
    return this.#history.call(bucket, key, input, inOrder);
  }

  /** 0: none. */
  #expiryMsOf(input: KeyInput): number {
    if (input.kind !== "setExpiring") return 0;
    if (input.expiry === "long ago") return EPOCH_MS - LONG_MS;
    if (input.expiry === "long hence") return EPOCH_MS + LONG_MS;
    return Math.floor(EPOCH_MS + this.#scheduler.nowMs + this.#scheduler.duration(SOON_MS));
  }

  #renew(bucket: string): void {
    const connection = this.#connection;
    if (connection === null) return;
    const renewal = this.#history.renew(bucket);
    const settle = (result: Result): void => {
      if (result.kind === "ok") this.#history.renewed(renewal);
      else if (isRefused(result)) renewal.void = true;
    };
    const forsake = (): void => undefined;
    this.#send(connection, settle, forsake, (tag) => {
      connection.coordinator.renewBucket(bucket, this, tag);
      this.onRenewal(connection.process);
    });
  }

  #create(bucket: string): void {
    const connection = this.#connection;
    if (connection === null) return;
    const settle = (result: Result): void => {
      if (result.kind === "ok" || (result.kind === "error" && result.code === "BUCKET_EXISTS")) {
        this.#created.add(bucket);
      }
    };
    const forsake = (): void => undefined;
    this.#send(connection, settle, forsake, (tag) => connection.coordinator.createBucket(bucket, null, this, tag));
  }

  #send(
    connection: Connection,
    settle: (result: Result) => void,
    forsake: () => void,
    submit: (tag: number) => void,
  ): void {
    const tag = ++this.#lastTag;
    this.#pending.set(tag, { sentMs: this.#scheduler.nowMs, settle, forsake });
    // Some arrive together, some one by one.
    const delayMs = this.#random.chance(0.5) ? 0 : this.#random.fraction();
    connection.arrivalMs = Math.max(connection.arrivalMs, this.#scheduler.nowMs + delayMs);
    this.#scheduler.schedule(connection.arrivalMs - this.#scheduler.nowMs, connection.process, () => {
      // What is on its way to a node that the client has left is lost.
      if (this.#pending.has(tag)) submit(tag);
    });
    this.#watch();
  }
}

function outcomeOf(result: Result, input: KeyInput): Outcome {
  if (result.kind === "page" && result.next !== null) return "notExecuted";
  if (result.kind !== "error" || result.code === "NOT_AN_INTEGER") return "returned";
  if (result.code === "NO_BUCKET") return "noBucket";
  if (isRead(input) || isRefused(result)) return "notExecuted";
  return "unknown";
}

/** Whether nothing has been executed. */
function isRefused(result: Result): boolean {
  if (result.kind !== "error") return false;
  const retry = isErrorCode(result.code) ? new EnvelopeError(result.code, result.message).retry : "unknown";
  return retry === "safe" || result.code === "NO_BUCKET";
}

function commandOf(input: Exclude<KeyInput, { kind: "get" | "list" }>): readonly [CommandType, number, Uint8Array] {
  switch (input.kind) {
    case "set":
    case "setExpiring":
    case "add":
      return [CommandType.put, 0, utf8(input.value)];
    case "setIfAbsent":
      return [CommandType.conditionalPut, MODIFIER_NX, utf8(input.value)];
    case "delete":
    case "remove":
      return [CommandType.delete, 0, EMPTY_BYTES];
    case "increment": {
      const value = new Uint8Array(8);
      new DataView(value.buffer).setBigInt64(0, input.by, true);
      return [CommandType.increment, 0, value];
    }
  }
}

function rangeOf(bytes: Uint8Array) {
  return { bytes, start: 0, end: bytes.length };
}
