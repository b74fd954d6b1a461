/**
 * Clients that write down what they ask and what they are told, for the linearizability checker of the simulator: each
 * sets and gets registers, and counts up and gets counters, through whichever node it likes, one request at a time. It
 * reads in every mode there is.
 *
 * Every value is written once, and every increment adds a bit of its own to a counter, so the checker can tell what took
 * effect (sim/key-model.ts). All clients run in this thread, so the order in which calls and returns are noted is the
 * order in which they happened.
 *
 * What an error means is what the manual says (docs/operations.md, "Errors"): UNKNOWN, IOERR and a connection that ends
 * leave a write's fate open; every other word is a promise that nothing happened.
 */
import { Random } from "../../src/core/random.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { type Reply, replyText } from "../../src/client/reply.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { type Call, History } from "../../src/sim/history.ts";
import type { KeyInput } from "../../src/sim/key-model.ts";
import { judge, type Verdict } from "../../src/sim/verdict.ts";
import type { TestCluster } from "./test-cluster.ts";

/** Bits of a counter: it must stay a positive 64-bit integer. */
const INCREMENTS_MAX = 60;
const BUCKET = "0";
const OPEN_WORDS: ReadonlySet<string> = new Set(["UNKNOWN", "IOERR"]);
const PAUSE_MS_AFTER_ERROR = 20;
/** What may stand before a GET, and how old what it shows may be then. */
const READ_MODES: readonly { readonly words: readonly string[]; readonly staleMs: number }[] = [
  { words: [], staleMs: 0 },
  { words: ["READ", "AT", "lease"], staleMs: 0 },
  { words: ["READ", "AT", "follower"], staleMs: 0 },
  { words: ["READ", "AT", "stale", "100"], staleMs: 100 },
  { words: ["READ", "AT", "stale", "2000"], staleMs: 2000 },
];

export interface RecordedOptions {
  readonly clients: number;
  /** Of the names of all keys: no others write to them. */
  readonly keyPrefix: string;
  readonly registers: number;
  readonly counters: number;
  readonly seed: number;
  /** A client thinks for up to so long before each request. */
  readonly thinkMsMax: number;
  /** Longest silence of a node while an answer is due, before a client goes to the next one. */
  readonly replyTimeoutMs: number;
  /** Called at each acknowledged write. */
  readonly onWritten: () => void;
}

export class RecordedClients {
  readonly #cluster: TestCluster;
  readonly #options: RecordedOptions;
  readonly #history = new History(() => performance.now());
  readonly #running: readonly Promise<void>[];
  readonly #keys = new Set<string>();
  /** Increments begun on each counter; a full one is followed by another of the next generation. */
  readonly #increments: number[];
  #valueCount = 0;
  #writtenCount = 0;
  #stopping = false;

  /** They begin at once; client i starts at node i, in turns. */
  constructor(cluster: TestCluster, options: RecordedOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#increments = Array.from({ length: options.counters }, () => 0);
    this.#running = Array.from({ length: options.clients }, (_, i) => this.#run(i));
  }

  /** Acknowledged writes. */
  get writtenCount(): number {
    return this.#writtenCount;
  }

  /** Waits for so many more acknowledged writes. */
  async written(count: number): Promise<void> {
    const wanted = this.#writtenCount + count;
    while (this.#writtenCount < wanted) await Bun.sleep(10);
  }

  /** Lets every client finish its request. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /**
   * Reads every key through every node that is there, and judges all that was recorded: those reads show all that was
   * acknowledged.
   */
  async verdict(nodes: readonly number[] = this.#cluster.nodes): Promise<Verdict> {
    await this.stop();
    for (const node of nodes) {
      const session = this.#history.newSession();
      const client = await this.#cluster.client([node], this.#options.replyTimeoutMs);
      for (const key of this.#keys) {
        while (!(await this.#ask(client, key, { kind: "get" }, session))) await Bun.sleep(PAUSE_MS_AFTER_ERROR);
      }
      client.close();
    }
    return judge(this.#history.keys());
  }

  async #run(i: number): Promise<void> {
    const { seed, thinkMsMax, replyTimeoutMs } = this.#options;
    const { nodes } = this.#cluster;
    const random = new Random(seed * 1000 + i);
    const session = this.#history.newSession();
    const inTurn = nodes.map((_, next) => nodes[(i + next) % nodes.length]!);
    let client: RespClient | null = null;
    while (!this.#stopping) {
      await Bun.sleep(random.below(thinkMsMax + 1));
      client ??= await this.#cluster.client(inTurn, replyTimeoutMs).catch(unavailable);
      const isAnswered = client !== null && (await this.#askSomething(client, random, session));
      if (!isAnswered) await Bun.sleep(PAUSE_MS_AFTER_ERROR);
    }
    client?.close();
  }

  #askSomething(client: RespClient, random: Random, session: number): Promise<boolean> {
    const { registers, counters, keyPrefix } = this.#options;
    const which = random.below(registers + counters);
    const isRegister = which < registers;
    const counter = which - registers;
    const generation = isRegister ? 0 : Math.floor(this.#increments[counter]! / INCREMENTS_MAX);
    const key = `${keyPrefix}${isRegister ? `register:${which}` : `counter:${counter}:${generation}`}`;
    if (random.chance(0.5)) return this.#read(client, key, session, random.below(READ_MODES.length));
    if (isRegister) {
      this.#valueCount += 1;
      return this.#ask(client, key, { kind: "set", value: `v${this.#valueCount}` }, session);
    }
    const bit = this.#increments[counter]! % INCREMENTS_MAX;
    this.#increments[counter]! += 1;
    return this.#ask(client, key, { kind: "increment", by: 1n << BigInt(bit) }, session);
  }

  #read(client: RespClient, key: string, session: number, mode: number): Promise<boolean> {
    const { words, staleMs } = READ_MODES[mode]!;
    const input: KeyInput = { kind: "get" };
    const isStale = staleMs > 0;
    const call = isStale
      ? this.#history.staleRead(BUCKET, key, input, staleMs)
      : this.#history.call(BUCKET, key, input, session);
    return this.#send(client, key, input, call, words);
  }

  #ask(client: RespClient, key: string, input: KeyInput, session: number): Promise<boolean> {
    return this.#send(client, key, input, this.#history.call(BUCKET, key, input, session), []);
  }

  /** Whether there was an answer that is no error. */
  async #send(
    client: RespClient,
    key: string,
    input: KeyInput,
    call: Call,
    before: readonly string[],
  ): Promise<boolean> {
    this.#keys.add(key);
    let reply: Reply;
    try {
      const [first, ...rest] = [...before, ...commandOf(key, input)];
      reply = await client.command(first ?? "", ...rest);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#failed(call, cause.retry === "unknown");
      return false;
    }
    if (reply.kind === "error") {
      this.#failed(call, OPEN_WORDS.has(reply.code));
      return false;
    }
    this.#history.returned(call, describeReply(input, reply));
    if (input.kind !== "get") {
      this.#writtenCount += 1;
      this.#options.onWritten();
    }
    return true;
  }

  #failed(call: Call, isUnknown: boolean): void {
    if (isUnknown) this.#history.forsaken(call);
    else this.#history.notExecuted(call);
  }
}

/** No node could be reached: the client tries again. */
function unavailable(cause: unknown): null {
  if (cause instanceof EnvelopeError && cause.code === "UNAVAILABLE") return null;
  throw cause;
}

function commandOf(key: string, input: KeyInput): [string, ...string[]] {
  switch (input.kind) {
    case "get":
      return ["GET", key];
    case "set":
      return ["SET", key, input.value];
    case "increment":
      return ["INCRBY", key, String(input.by)];
    default:
      throw new Error(`nobody asks for ${input.kind} here`);
  }
}

/** In the words of the model; a reply that it does not know gets words that it never expects. */
function describeReply(input: KeyInput, reply: Reply): string {
  const text = replyText(reply);
  if (input.kind === "get" && reply.kind === "bytes") return `=${text}`;
  if (input.kind === "get" && reply.kind === "null") return "nil";
  if (input.kind === "set" && text === "OK") return "ok";
  return input.kind === "increment" && reply.kind === "integer" ? String(reply.value) : `${reply.kind} ${text}`;
}
