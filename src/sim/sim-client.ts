/**
 * A client of the simulated cluster. It has one connection at a time, to whichever node it likes, and up to `depthMax`
 * operations under way on it; with a depth of one it chooses its node anew for every operation. What it hears goes into
 * the history; when it hears nothing for too long, or its node is gone, it leaves the connection with everything on it,
 * and nobody knows. What belongs to a session it sends again (client-session.ts).
 */
import { utf8 } from "../core/bytes.ts";
import type { Random } from "../core/random.ts";
import type { Result } from "../record/result.ts";
import type { Coordinator, Ordering } from "../cluster/coordinator.ts";
import {
  commandOf,
  detached,
  expiryMsOf,
  isError,
  isRefused,
  keyRangeOf,
  type Outcome,
  outcomeOf,
  swapTransaction,
} from "./client-commands.ts";
import { ClientSession, type Expectation, type SessionHost } from "./client-session.ts";
import type { Call, History } from "./history.ts";
import { describeResult, type KeyInput, swapOutput } from "./key-model.ts";
import { isPairInput, pairTransaction } from "./pair-model.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";
import { chooseReadMode, LEASE, LINEARIZABLE, OTHER_READS, type ReadChoice } from "./read-choice.ts";
import { CLOCK_DRIFT_MAX, type SimNode } from "./sim-node.ts";
import type { Wish, Workload } from "./workload.ts";

const WATCH_MS = 50;
const RETRY_MS = 20;
/** More than there ever are with one prefix, dead ones included. */
const PAGE_KEYS_MAX = 10_000;

export interface ClientOptions {
  /** Operations that may be under way on its connection. */
  readonly depthMax: number;
  readonly thinkMs: Range;
  readonly giveUpMs: number;
  /** How often a node is chosen because it believes to lead. */
  readonly leaderChance: number;
  /** How often a connection reads on the leader's lease, beside those that choose to. */
  readonly leaseChance: number;
  /** How long its sessions live from each use; 0: it opens none. */
  readonly sessionTtlMs: number;
}

/** Something under way. */
interface Pending {
  readonly sentMs: number;
  readonly expectation: Expectation;
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

export class SimClient implements SessionHost<Connection> {
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
  /** Of what was left: who hears of it all the same. */
  readonly #forsaken = new Map<number, Expectation>();
  readonly #session: ClientSession<Connection>;
  /** Named buckets that this client knows to exist. */
  readonly #created: Set<string>;
  /** Calls on buckets that were known to exist. */
  readonly #inExisting = new WeakSet<Call>();
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
    this.#session = new ClientSession(scheduler, options.sessionTtlMs, this);
    this.#think();
  }

  /** No new operations. */
  stop(): void {
    this.#stopped = true;
  }

  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#session.unsettledCount === 0;
  }

  /** Reads an object once, for the end of a history; tries again until a node answers. */
  readFinally(bucket: string, key: string, input: KeyInput, done: () => void): void {
    const retry = (): void => {
      this.#scheduler.schedule(RETRY_MS, null, () => this.readFinally(bucket, key, input, done));
    };
    const connection = this.connect(true);
    if (connection === null) return retry();
    this.#operate(connection, bucket, key, input, LINEARIZABLE, (outcome) => {
      if (outcome === "returned" || outcome === "noBucket") done();
      else retry();
    });
  }

  resolve(tag: number, result: Result): void {
    if (!this.#scheduler.isAhead) return this.#resolve(tag, result);
    const kept = detached(result);
    this.#scheduler.schedule(0, this.#scheduler.running, () => this.#resolve(tag, kept));
  }

  #resolve(tag: number, result: Result): void {
    if (this.#resolved.has(tag)) this.complain(`an operation of ${this.#name} was answered twice`);
    this.#resolved.add(tag);
    this.#forsaken.get(tag)?.late(result);
    this.#forsaken.delete(tag);
    const pending = this.#pending.get(tag);
    if (pending === undefined) return;
    this.#pending.delete(tag);
    pending.expectation.settle(result);
    this.#think();
  }

  #think(): void {
    if (this.#stopped || this.#isThinking) return;
    this.#isThinking = true;
    this.#scheduler.schedule(this.#scheduler.duration(this.#options.thinkMs), null, () => {
      this.#isThinking = false;
      const room = this.#options.depthMax - this.#pending.size - this.#session.unsettledCount;
      if (this.#stopped || room <= 0) return;
      const connection = this.connect(this.#options.depthMax === 1);
      if (connection !== null) {
        this.#session.visit(connection);
        for (const wish of this.#workload.burst(this.#random.between(1, room))) this.#grant(connection, wish);
      }
      if (this.#pending.size < this.#options.depthMax) this.#think();
    });
  }

  // ---- connections

  connect(anew: boolean): Connection | null {
    if (this.#connection?.process.alive === true && !anew) return this.#connection;
    const node = this.#pickNode();
    const { process = null, coordinator = null } = node ?? {};
    if (process === null || coordinator === null) return null;
    if (this.#connection?.process === process) return this.#connection;
    this.#leave();
    const session = this.#history.newSession();
    const ordering = coordinator.newOrdering();
    const choice = this.#random.chance(this.#options.leaseChance) ? LEASE : chooseReadMode(this.#random);
    this.#connection = { process, coordinator, ordering, session, choice, arrivalMs: 0 };
    return this.#connection;
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
    const forsaken = [...this.#pending];
    this.#pending.clear();
    for (const [tag, { expectation }] of forsaken) {
      this.#forsaken.set(tag, expectation);
      expectation.forsake();
    }
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

  #grant(connection: Connection, wish: Wish): void {
    const { bucket } = wish;
    switch (wish.kind) {
      case "operation":
        return this.#operate(connection, bucket, wish.key, wish.input, null, ignore);
      case "renew":
        return this.#renew(connection, bucket);
      case "create":
        return this.#create(connection, bucket);
    }
  }

  /** `readAs` null: as its connection reads, mostly. */
  #operate(
    connection: Connection,
    bucket: string,
    key: string,
    input: KeyInput,
    readAs: ReadChoice | null,
    done: (outcome: Outcome) => void,
  ): void {
    const usual = this.#random.chance(OTHER_READS) ? chooseReadMode(this.#random) : connection.choice;
    const choice = readAs ?? usual;
    const call = this.#called(connection, bucket, key, input, choice);
    if (this.#created.has(bucket)) this.#inExisting.add(call);
    const expiryMs = expiryMsOf(input, this.#scheduler.nowMs, this.#random);
    if (input.kind === "swap") return this.#swap(connection, call, input.value, done);
    if (
      input.kind !== "get" &&
      input.kind !== "list" &&
      input.kind !== "look" &&
      this.#session.write(connection, call, input, expiryMs)
    )
      return;
    const settle = (result: Result): void => {
      const outcome = outcomeOf(result, input);
      this.note(call, outcome, result);
      done(outcome);
    };
    const forsake = (): void => {
      this.#history.forsaken(call);
      done("unknown");
    };
    this.send(connection, { settle, forsake, late: ignore }, (tag) => {
      const { coordinator, ordering } = connection;
      const ref = coordinator.bucket(bucket);
      if (input.kind === "list") {
        const pattern = utf8(`${input.prefix}*`);
        return coordinator.page(ref, input.shard, null, PAGE_KEYS_MAX, pattern, "keys", this, tag);
      }
      if (input.kind === "get") {
        coordinator.setReadMode(ordering, choice.mode, choice.staleMs);
        return coordinator.read(ordering, ref, keyRangeOf(call), false, this, tag);
      }
      if (isPairInput(input)) return coordinator.transact(ordering, ref, pairTransaction(key, input), this, tag);
      const [type, modifiers, value] = commandOf(call, input);
      coordinator.write(ordering, type, modifiers, ref, keyRangeOf(call), value, expiryMs, this, tag);
    });
  }

  #called({ session }: Connection, bucket: string, key: string, input: KeyInput, { mode, staleMs }: ReadChoice): Call {
    if (input.kind === "get" && mode === "stale") {
      return this.#history.staleRead(bucket, key, input, staleMs / (1 - CLOCK_DRIFT_MAX));
    }
    // A page has no part in the order of its connection, and a swap is sent in two parts.
    const inOrder = input.kind === "list" || input.kind === "swap" ? this.#history.newSession() : session;
    return this.#history.call(bucket, key, input, inOrder);
  }

  /** What was read, and as its own act what is written in its place: the whole is one operation, where the second part stands. */
  #swap(connection: Connection, call: Call, value: string, done: (outcome: Outcome) => void): void {
    const { coordinator, ordering } = connection;
    const ref = coordinator.bucket(call.bucket);
    const settle = (outcome: Outcome, result: Result): void => {
      this.note(call, outcome, result);
      done(outcome);
    };
    const forsake = (): void => {
      this.#history.forsaken(call);
      done("unknown");
    };
    const write = (read: Result): void => {
      const before = describeResult(read);
      const written = (result: Result): void => {
        if (result.kind !== "results") {
          const isConflict = isError(result, "CONFLICT");
          return settle(isConflict ? "notExecuted" : outcomeOf(result, call.input), result);
        }
        this.#history.returned(call, swapOutput(before));
        done("returned");
      };
      const transaction = swapTransaction(call.key, value, read);
      this.send(connection, { settle: written, forsake, late: ignore }, (tag) =>
        coordinator.transact(ordering, ref, transaction, this, tag),
      );
    };
    const read = (result: Result): void => {
      if (result.kind === "stamped" || result.kind === "nil") return write(detached(result));
      settle(isError(result, "NO_BUCKET") ? "noBucket" : "notExecuted", result);
    };
    const unread = (): void => {
      this.#history.notExecuted(call);
      done("notExecuted");
    };
    this.send(connection, { settle: read, forsake: unread, late: ignore }, (tag) =>
      coordinator.readStamped(ordering, ref, keyRangeOf(call), false, this, tag),
    );
  }

  #renew(connection: Connection, bucket: string): void {
    const renewal = this.#history.renew(bucket);
    const settle = (result: Result): void => {
      if (result.kind === "ok") this.#history.renewed(renewal);
      else if (isRefused(result)) renewal.void = true;
    };
    this.send(connection, { settle, forsake: ignore, late: ignore }, (tag) => {
      connection.coordinator.renewBucket(bucket, this, tag);
      this.onRenewal(connection.process);
    });
  }

  #create(connection: Connection, bucket: string): void {
    const settle = (result: Result): void => {
      if (result.kind === "ok" || isError(result, "BUCKET_EXISTS")) this.#created.add(bucket);
    };
    this.send(connection, { settle, forsake: ignore, late: ignore }, (tag) =>
      connection.coordinator.createBucket(bucket, null, this, tag),
    );
  }

  send(connection: Connection, expectation: Expectation, submit: (tag: number) => void): void {
    const tag = ++this.#lastTag;
    this.#pending.set(tag, { sentMs: this.#scheduler.nowMs, expectation });
    // Some arrive together, some one by one.
    const delayMs = this.#random.chance(0.5) ? 0 : this.#random.fraction();
    connection.arrivalMs = Math.max(connection.arrivalMs, this.#scheduler.nowMs + delayMs);
    this.#scheduler.schedule(connection.arrivalMs - this.#scheduler.nowMs, connection.process, () => {
      // What is on its way to a node that the client has left is lost.
      if (this.#pending.has(tag)) submit(tag);
    });
    this.#watch();
  }

  // ---- what is known of calls

  note(call: Call, outcome: Outcome, result: Result): void {
    if (outcome === "returned") this.#history.returned(call, describeResult(result));
    else if (outcome === "unknown") this.#history.forsaken(call);
    else if (outcome === "gone") this.#history.gone(call);
    else this.#history.notExecuted(call);
    if (outcome === "noBucket" && this.#inExisting.has(call)) {
      this.complain(`${this.#name} was told that there is no bucket ${call.bucket}, which there is`);
    }
  }

  sentAgain(call: Call): void {
    this.#history.sentAgain(call);
  }

  complain(what: string): void {
    this.broken ??= what;
  }
}

function ignore(): void {}
