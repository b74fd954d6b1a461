/** Random sequences of steps out of the grammar: mostly right, sometimes with an argument too many, too few or wrong. */
import { utf8 } from "../../../src/core/bytes.ts";
import type { Random } from "../../../src/core/random.ts";
import { GRAMMAR, type Production } from "./command-grammar.ts";
import { isFleeting, isOmitted } from "./intended-differences.ts";
import { nameOf, type Step, wordAt } from "./step.ts";
import { bytesOf, type Word, Words } from "./words.ts";

/** Tried even when the server does not know it: for the answer to what nobody knows. */
const UNKNOWN = "nosuchcommand";
const INLINE_SHARE = 0.1;
const WRONG_SHARE = 0.06;
const BROKEN_SHARE = 0.02;
const STEPS_OF_BATCH_MAX = 40;

/** Bytes after which a server must close, with a word about it, and some that it must pass over. */
const BROKEN = [
  ...[
    "*abc\r\n",
    "*2147483648\r\n",
    "*99999999999999999999\r\n",
    "*1.5\r\n",
    "*+1\r\n",
    "*01\r\n",
    "* 1\r\n",
    "*1048577\r\n",
  ],
  ...["*1\r\n$-10\r\n", "*1\r\n$-1\r\n", "*1\r\n$536870913\r\n", "*1\r\n$9223372036854775808\r\n", "*1\r\n$blabla\r\n"],
  ...[
    "*1\r\n$0x4\r\nPING\r\n",
    "*1\r\nPING\r\n",
    "*1\r\n:5\r\n",
    'SET "k0 1\r\n',
    "SET 'k0 1\r\n",
    'GET "k0"1\r\n',
    "QUIT\r\n",
  ],
];
const HARMLESS = ["*0\r\n", "*-10\r\n", "\r\n", "*-1\r\n", "   \r\n", "*1\r\n$0\r\n\r\n", "''\r\n"];

/**
 * What is not about keys of one shard is refused between MULTI and EXEC, on purpose; and what every server answers in its
 * own way is hard to tell apart among the replies of an EXEC.
 */
const NOT_IN_TRANSACTIONS = new Set([
  ...["dbsize", "randomkey", "scan", "keys", "flushdb", "flushall", "select", "wait", "debug", "shutdown"],
  ...["role", "auth", "lcs"],
  ...["client", "object", "memory", "command", "config", "slowlog", "latency", "time", "lastsave", "hello"],
]);

/**
 * What comes while keys are watched: nothing that may remove one, because a key that was absent, was set, and is absent again
 * has not changed here, on purpose; and no other bucket.
 */
const KEEPS_WATCHED_KEYS = new Set([
  ...[
    "get",
    "mget",
    "strlen",
    "exists",
    "getrange",
    "getbit",
    "bitcount",
    "type",
    "incr",
    "decr",
    "incrby",
    "incrbyfloat",
  ],
  ...["append", "mset", "msetnx", "setnx", "getset", "setrange", "setbit", "echo", "ping"],
  ...["watch", "unwatch", "multi", "exec", "discard", "reset"],
]);

export class Generator {
  readonly #random: Random;
  readonly #words: Words;
  readonly #productions: readonly Production[];
  readonly #weight: number;

  constructor(random: Random, known: ReadonlySet<string>) {
    this.#random = random;
    this.#words = new Words(random);
    this.#productions = GRAMMAR.filter(({ command }) => command === UNKNOWN || known.has(command));
    this.#weight = this.#productions.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Batches of steps, each for one connection: what is sent before answers are looked at. */
  round(stepCount: number): Step[][] {
    const batches: Step[][] = [];
    for (let made = 0; made < stepCount; ) {
      const batch = this.#batch(Math.min(stepCount - made, this.#random.between(1, STEPS_OF_BATCH_MAX)));
      batches.push(batch);
      made += batch.length;
    }
    return batches;
  }

  #batch(count: number): Step[] {
    const protocol = this.#random.chance(0.5) ? 2 : 3;
    let inTransaction = false;
    let isWatching = false;
    const made = Array.from({ length: count }, () => {
      const step = this.#step(protocol, inTransaction, isWatching);
      isWatching = isStillWatching(isWatching, inTransaction, step);
      inTransaction = isInTransaction(inTransaction, step);
      return step;
    });
    const isMute = made.some((step) => nameOf(step) === "client" && ["skip", "off"].includes(wordAt(step, 2)));
    const steps = isMute ? made.filter(({ form }) => form !== "raw") : made;
    // What ends a connection comes last: a server may forget what it has said to somebody who goes on talking. And a
    // Redis that may not reply keeps such a connection, and says nothing ever after.
    if (!isMute && this.#random.chance(BROKEN_SHARE)) {
      steps.push({ protocol, form: "raw", args: [utf8(this.#words.pick(BROKEN))] });
    }
    return steps;
  }

  #step(protocol: 2 | 3, inTransaction: boolean, isWatching: boolean): Step {
    if (this.#random.chance(BROKEN_SHARE / 4)) {
      return { protocol, form: "raw", args: [utf8(this.#words.pick(HARMLESS))] };
    }
    for (;;) {
      const args = this.#anyCase(this.#perhapsWrong([...this.#production().make(this.#words)]));
      const form = this.#random.chance(INLINE_SHARE) ? "inline" : "multibulk";
      const step: Step = { protocol, form, args: args.map(bytesOf) };
      if (inTransaction && NOT_IN_TRANSACTIONS.has(nameOf(step))) continue;
      if (isWatching && !KEEPS_WATCHED_KEYS.has(nameOf(step))) continue;
      if (!isHarmful(step) && !isFleeting(step) && !isOmitted(step)) return step;
    }
  }

  #production(): Production {
    let left = this.#random.below(this.#weight);
    for (const production of this.#productions) {
      left -= production.weight;
      if (left < 0) return production;
    }
    return this.#words.pick(this.#productions);
  }

  #perhapsWrong(args: Word[]): Word[] {
    if (!this.#random.chance(WRONG_SHARE)) return args;
    const place = this.#random.below(args.length);
    const kind = this.#random.below(4);
    if (kind === 0 && args.length > 1) args.pop();
    else if (kind === 1) args.push(this.#words.value());
    else if (kind === 2 && place > 0) args[place] = this.#words.value();
    else args.splice(Math.max(1, place), 0, this.#words.integer());
    return args;
  }

  #anyCase(args: Word[]): Word[] {
    const [name = "", ...rest] = args;
    const kind = this.#random.below(3);
    const text = String(name);
    return [kind === 0 ? text : kind === 1 ? text.toUpperCase() : mixed(text), ...rest];
  }
}

/** Whether keys may be watched behind a step; those of two buckets at once are refused, on purpose. */
function isStillWatching(before: boolean, inTransaction: boolean, step: Step): boolean {
  if (nameOf(step) === "watch") return true;
  const isOver = nameOf(step) === "reset" || nameOf(step) === (inTransaction ? "exec" : "unwatch");
  return before && !(isOver && step.args.length === 1);
}

/** Whether a transaction is open behind a step. */
function isInTransaction(before: boolean, step: Step): boolean {
  if (step.args.length !== 1) return before;
  if (nameOf(step) === "multi") return true;
  return before && !["exec", "discard", "reset"].includes(nameOf(step));
}

/** What would end a server, stop it for a while or change it for the rest of the campaign, or has its answer in no order. */
function isHarmful(step: Step): boolean {
  const [name, action, value] = [nameOf(step), wordAt(step, 1), wordAt(step, 2)];
  if (name === "command")
    return action === "" || ((action === "docs" || action === "list" || action === "info") && value === "");
  if (name === "shutdown") return action !== "abort";
  if (name === "config" && action === "set") return /^\d+$/.test(wordAt(step, 3)) && value === "maxclients";
  if (name === "debug") return action === "sleep" && value !== "";
  return name === "client" && action === "pause" && /^\d{2,}$/.test(value);
}

function mixed(text: string): string {
  return [...text].map((letter, i) => (i % 2 === 0 ? letter.toUpperCase() : letter.toLowerCase())).join("");
}
