/**
 * The session of a simulated client (record/session-format.ts), and those of its commands that have no answer yet. A command
 * stays the same from attempt to attempt, so that whoever gets it can tell it again. It is sent, often by another node, until
 * an answer says what it came to or that its session has ended; and all its attempts that are told what it came to, also
 * those that nobody waits for any more, must be told the same. A session is closed now and then, whatever is under way.
 */
import type { Coordinator, Ordering, Waiter } from "../cluster/coordinator.ts";
import type { Result } from "../record/result.ts";
import { SESSION_WINDOW } from "../core/session-window.ts";
import {
  commandOf,
  isDefinite,
  isError,
  keyRangeOf,
  onceOutcomeOf,
  type Outcome,
  type WriteInput,
} from "./client-commands.ts";
import type { Call } from "./history.ts";
import { describeResult } from "./key-model.ts";
import type { Range, Scheduler } from "./scheduler.ts";

const SEND_AGAIN_MS: Range = { min: 0, max: 60 };
/** How often commands are sent again by a node that is chosen anew. */
const OTHER_NODE_CHANCE = 0.5;
/** How often a session is closed when its client has something to do. */
const CLOSE_CHANCE = 0.01;

/** What a session needs of its client's connection. */
export interface SessionConnection {
  readonly coordinator: Coordinator;
  readonly ordering: Ordering;
}

/** What becomes of something under way. */
export interface Expectation {
  /** The answer. */
  settle(result: Result): void;
  /** Nobody waits any more. */
  forsake(): void;
  /** An answer that comes after that. */
  late(result: Result): void;
}

/** What a session needs of its client. */
export interface SessionHost<C extends SessionConnection> extends Waiter {
  /** A connection to a node that is up; `anew`: to one chosen now. Null: the choice fell on one that is down. */
  connect(anew: boolean): C | null;
  send(connection: C, expectation: Expectation, submit: (tag: number) => void): void;
  /** What is known of a call by now. */
  note(call: Call, outcome: Outcome, result: Result): void;
  /** There will be another attempt at it. */
  sentAgain(call: Call): void;
  complain(what: string): void;
}

/** A command of a session. */
interface Command {
  readonly session: number;
  readonly sequence: number;
  readonly call: Call;
  readonly input: WriteInput;
  /** 0: none. */
  readonly expiryMs: number;
  attemptCount: number;
  /** What it came to, by the first answer that said so. */
  output: string | null;
}

export class ClientSession<C extends SessionConnection> {
  readonly #scheduler: Scheduler;
  readonly #ttlMs: number;
  readonly #host: SessionHost<C>;
  /** Null: none is open. */
  #number: number | null = null;
  #isOpening = false;
  #lastSequence = 0;
  /** Of this session, without an answer, the oldest first. */
  readonly #unanswered = new Set<number>();
  /** Nobody waits for these at the time: they are to be sent again. */
  #unsettled: Command[] = [];
  #isDue = false;

  /** `ttlMs`: how long its sessions live from each use; 0: it opens none. */
  constructor(scheduler: Scheduler, ttlMs: number, host: SessionHost<C>) {
    this.#scheduler = scheduler;
    this.#ttlMs = ttlMs;
    this.#host = host;
  }

  /** Commands that are to be sent again. */
  get unsettledCount(): number {
    return this.#unsettled.length;
  }

  /** Opens a session if there is none, or closes it once in a while. */
  visit(connection: C): void {
    if (this.#ttlMs === 0 || this.#isOpening) return;
    if (this.#number === null) this.#open(connection);
    else if (this.#scheduler.random.chance(CLOSE_CHANCE)) this.#close(connection, this.#number);
  }

  /** Sends a write as a command of the session; false: none is open, or too many of its commands have no answer. */
  write(connection: C, call: Call, input: WriteInput, expiryMs: number): boolean {
    const session = this.#number;
    const sequence = this.#lastSequence + 1;
    const [oldest = sequence] = this.#unanswered;
    if (session === null || sequence >= oldest + SESSION_WINDOW) return false;
    this.#lastSequence = sequence;
    this.#unanswered.add(sequence);
    this.#send(connection, { session, sequence, call, input, expiryMs, attemptCount: 0, output: null });
    return true;
  }

  #open(connection: C): void {
    this.#isOpening = true;
    const settle = (result: Result): void => {
      this.#isOpening = false;
      if (result.kind !== "integer") return;
      this.#number = Number(result.value);
      this.#lastSequence = 0;
      this.#unanswered.clear();
    };
    const forsake = (): void => {
      this.#isOpening = false;
    };
    this.#host.send(connection, { settle, forsake, late: ignore }, (tag) =>
      connection.coordinator.openSession("", this.#ttlMs, this.#host, tag),
    );
  }

  #close(connection: C, number: number): void {
    this.#number = null;
    this.#host.send(connection, { settle: ignore, forsake: ignore, late: ignore }, (tag) =>
      connection.coordinator.closeSession(number, this.#host, tag),
    );
  }

  /** One attempt. */
  #send(connection: C, command: Command): void {
    const { session, sequence, call, input, expiryMs } = command;
    command.attemptCount += 1;
    const isFirst = command.attemptCount === 1;
    const settle = (result: Result): void => {
      this.#hear(command, result);
      const outcome = onceOutcomeOf(result, isFirst);
      if (outcome === "unknown") return this.#sendAgain(command);
      if (session === this.#number) this.#unanswered.delete(sequence);
      if (session === this.#number && isError(result, "SESSION_GONE")) this.#number = null;
      this.#host.note(call, outcome, result);
    };
    const forsake = (): void => this.#sendAgain(command);
    const late = (result: Result): void => this.#hear(command, result);
    this.#host.send(connection, { settle, forsake, late }, (tag) => {
      const { coordinator, ordering } = connection;
      const [type, modifiers, value] = commandOf(call, input);
      const once = [session, sequence, type, modifiers] as const;
      const bucket = coordinator.bucket(call.bucket);
      coordinator.writeOnce(ordering, ...once, bucket, keyRangeOf(call), value, expiryMs, this.#host, tag);
    });
  }

  #hear(command: Command, result: Result): void {
    if (!isDefinite(result)) return;
    const output = describeResult(result);
    command.output ??= output;
    if (command.output === output) return;
    const which = `command ${command.sequence} of session ${command.session} on ${command.call.key}`;
    this.#host.complain(`${which} came to ${command.output}, and to ${output}`);
  }

  #sendAgain(command: Command): void {
    this.#host.sentAgain(command.call);
    this.#unsettled.push(command);
    this.#sendAgainLater();
  }

  #sendAgainLater(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#scheduler.schedule(this.#scheduler.duration(SEND_AGAIN_MS), null, () => {
      this.#isDue = false;
      const connection = this.#host.connect(this.#scheduler.random.chance(OTHER_NODE_CHANCE));
      if (connection === null) return this.#sendAgainLater();
      const commands = this.#unsettled.sort((a, b) => a.call.calledAt - b.call.calledAt);
      this.#unsettled = [];
      for (const command of commands) this.#send(connection, command);
    });
  }
}

function ignore(): void {}
