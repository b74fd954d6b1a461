/**
 * The same commands to a real Redis and to a node, and the first difference between their replies, made as short as it
 * gets. A round begins on two empty servers with new connections, so that it can be run again.
 */
import { utf8 } from "../../../src/core/bytes.ts";
import { Random } from "../../../src/core/random.ts";
import { isSame } from "./comparison.ts";
import { Generator } from "./generator.ts";
import { splitReplies } from "./reply-frames.ts";
import { encodeStep, nameOf, showStep, type Step, wordAt } from "./step.ts";
import { WireClient } from "./wire-client.ts";

const STEPS_OF_ROUND = 200;
const REPLY_SHOWN_MAX = 600;
const MARKER = "the-end-of-the-batch";
const MARKED = `$${MARKER.length}\r\n${MARKER}\r\n`;

export interface Difference {
  /** The shortest sequence found that shows it; the last step is the one. */
  readonly steps: readonly Step[];
  readonly redis: string;
  readonly ours: string;
}

interface Campaign {
  readonly redisPort: number;
  readonly ourPort: number;
  readonly seed: number;
  readonly commands: number;
  /** Looks for so many differences that are not alike. */
  readonly differencesMax: number;
  readonly onProgress?: (done: number) => void;
}

/** Sends random commands to both and returns the differences, each shrunk. */
export async function findDifferences(campaign: Campaign): Promise<Difference[]> {
  const { redisPort, ourPort, seed } = campaign;
  const known = await commandsOf(ourPort);
  const found = new Map<string, Difference>();
  for (let done = 0, round = 0; done < campaign.commands; round++) {
    const random = new Random(seed + round);
    const batches = new Generator(random, known).round(Math.min(STEPS_OF_ROUND, campaign.commands - done));
    done += batches.reduce((sum, batch) => sum + batch.length, 0);
    const difference = await firstDifference(redisPort, ourPort, batches);
    if (difference !== null && !found.has(signature(difference))) {
      found.set(signature(difference), await shrink(redisPort, ourPort, difference));
      if (found.size >= campaign.differencesMax) break;
    }
    campaign.onProgress?.(done);
  }
  return [...found.values()];
}

export function showDifference({ steps, redis, ours }: Difference): string {
  const shown = (reply: string): string => JSON.stringify(reply).slice(0, REPLY_SHOWN_MAX);
  const lines = [...steps.map((step) => `  ${showStep(step)}`), `  redis: ${shown(redis)}`];
  return [...lines, `  ours:  ${shown(ours)}`].join("\n");
}

/** What tells two findings apart: the command, and the form of both answers. */
function signature({ steps, redis, ours }: Difference): string {
  const last = steps.at(-1);
  const name =
    last === undefined
      ? ""
      : `${nameOf(last)} ${["client", "config", "object", "command", "memory"].includes(nameOf(last)) ? wordAt(last, 1) : ""}`;
  const form = (reply: string): string => (reply.startsWith("-") ? reply.replace(/'.*'/s, "") : reply.slice(0, 1));
  return `${name} ${form(redis)} ${form(ours)}`;
}

/** One server during one round. */
class Side {
  readonly #port: number;
  readonly #connections = new Map<2 | 3, WireClient>();
  readonly #hasTransactions: boolean;

  constructor(port: number, hasTransactions: boolean) {
    this.#port = port;
    this.#hasTransactions = hasTransactions;
  }

  async replies(batch: readonly Step[]): Promise<Uint8Array> {
    const protocol = batch[0]?.protocol ?? 2;
    const client = await this.#connection(protocol);
    // A batch may leave a transaction open, keys watched or replies switched off.
    const end = [...(this.#hasTransactions ? ["DISCARD", "UNWATCH"] : []), "CLIENT REPLY ON", `ECHO ${MARKER}`];
    const bytes = Buffer.concat([...batch.map(encodeStep), utf8(end.map((line) => `${line}\r\n`).join(""))]);
    return client.exchange(bytes, MARKED);
  }

  close(): void {
    for (const client of this.#connections.values()) client.close();
  }

  async #connection(protocol: 2 | 3): Promise<WireClient> {
    const open = this.#connections.get(protocol);
    if (open !== undefined && !open.closed) return open;
    const client = await WireClient.open(this.#port);
    this.#connections.set(protocol, client);
    await client.exchange(utf8(`${protocol === 3 ? "HELLO 3\r\n" : ""}ECHO ${MARKER}\r\n`), MARKED);
    return client;
  }
}

async function firstDifference(
  redisPort: number,
  ourPort: number,
  batches: readonly (readonly Step[])[],
): Promise<Difference | null> {
  await Promise.all([empty(redisPort), empty(ourPort)]);
  const hasTransactions = (await commandsOf(ourPort)).has("discard");
  const redis = new Side(redisPort, hasTransactions);
  const ours = new Side(ourPort, hasTransactions);
  const before: Step[] = [];
  try {
    for (const batch of batches) {
      const [theirs, mine] = await Promise.all([redis.replies(batch), ours.replies(batch)]);
      const difference = compareBatch(before, batch, theirs, mine);
      if (difference !== null) return difference;
      before.push(...batch);
    }
    return null;
  } finally {
    redis.close();
    ours.close();
  }
}

function compareBatch(
  before: readonly Step[],
  batch: readonly Step[],
  redisBytes: Uint8Array,
  ourBytes: Uint8Array,
): Difference | null {
  const redis = splitReplies(redisBytes).replies;
  const ours = splitReplies(ourBytes).replies;
  const speaking = answered(batch);
  for (let i = 0; i < Math.max(redis.length, ours.length); i++) {
    const [theirs, mine] = [redis[i] ?? new Uint8Array(0), ours[i] ?? new Uint8Array(0)];
    const step = speaking[i];
    const isEqual = step === undefined ? Buffer.compare(theirs, mine) === 0 : isSame(step, theirs, mine);
    if (isEqual) continue;
    const last = step === undefined ? batch.length : batch.indexOf(step) + 1;
    return { steps: [...before, ...batch.slice(0, last)], redis: latin1(theirs), ours: latin1(mine) };
  }
  return null;
}

/** The steps of a batch that are answered: CLIENT REPLY takes the answers of some away. */
function answered(batch: readonly Step[]): Step[] {
  let mode: "on" | "off" | "skip" = "on";
  return batch.filter((step) => {
    if (isNothing(step)) return false;
    const before = mode;
    if (before === "skip") mode = "on";
    const asked =
      nameOf(step) === "client" && wordAt(step, 1) === "reply" && step.args.length === 3 ? wordAt(step, 2) : "";
    const isReset = nameOf(step) === "reset" && step.args.length === 1;
    if (asked === "on" || (isReset && before === "off")) {
      mode = "on";
      return true;
    }
    if (asked === "off") mode = "off";
    else if (asked === "skip" && before !== "off") mode = "skip";
    return before === "on" && asked !== "off" && asked !== "skip";
  });
}

/** An empty line or an empty array: no command, no answer. */
function isNothing(step: Step): boolean {
  if (step.form !== "raw") return false;
  const text = latin1(step.args[0] ?? new Uint8Array(0)).trim();
  return text === "" || /^\*(0|-\d+)$/.test(text);
}

/** Leaves out whatever the difference does not need: halves, quarters, single steps. */
async function shrink(redisPort: number, ourPort: number, found: Difference): Promise<Difference> {
  let best = found;
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < best.steps.length - 1; ) {
      const fewer = best.steps.filter((_, i) => i < start || i >= start + size || i === best.steps.length - 1);
      const again = fewer.length < best.steps.length ? await firstDifference(redisPort, ourPort, batched(fewer)) : null;
      if (again === null) start += size;
      else best = again;
    }
  }
  return best;
}

/** Neighbours on the same connection go out together. */
function batched(steps: readonly Step[]): Step[][] {
  const batches: Step[][] = [];
  let current: Step[] = [];
  for (const step of steps) {
    if (current.length > 0 && (current[0]?.protocol !== step.protocol || current.at(-1)?.form === "raw")) {
      batches.push(current);
      current = [];
    }
    current.push(step);
  }
  return current.length > 0 ? [...batches, current] : batches;
}

async function empty(port: number): Promise<void> {
  await ask(port, "FLUSHALL");
}

const knownByPort = new Map<number, ReadonlySet<string>>();

async function commandsOf(port: number): Promise<ReadonlySet<string>> {
  const cached = knownByPort.get(port);
  if (cached !== undefined) return cached;
  const names = new Set(latin1(await ask(port, "COMMAND LIST")).match(/^[a-z][a-z0-9|:-]*$/gm) ?? []);
  knownByPort.set(port, names);
  return names;
}

async function ask(port: number, line: string): Promise<Uint8Array> {
  const client = await WireClient.open(port);
  const said = await client.exchange(utf8(`${line}\r\nECHO ${MARKER}\r\n`), MARKED);
  client.close();
  return said;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
