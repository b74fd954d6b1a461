/**
 * What the prompt, the one-shot command and piped commands share: a line goes in, the text of its reply comes out. It
 * remembers the bucket that USE or SELECT has chosen (so that a reconnection chooses it again) and learns the names
 * that can be completed.
 */
import { EnvelopeError } from "../core/errors.ts";
import { text as textOf } from "../core/bytes.ts";
import { splitCommandLine } from "../client/command-line.ts";
import { type Reply, replyText } from "../client/reply.ts";
import { RespClient } from "../client/resp-client.ts";
import type { Target } from "../client/target.ts";
import { formatReply, rawReply } from "./reply-text.ts";

const CONNECT_TIMEOUT_MS = 3_000;
const BUCKET_COMMANDS: ReadonlySet<string> = new Set(["USE", "SELECT", "DROP"]);

export interface Outcome {
  readonly output: string | Uint8Array;
  readonly failed: boolean;
}

export class PromptSession {
  readonly #client: RespClient;
  readonly #isRaw: boolean;
  #commandNames: readonly string[] = [];
  #bucketNames: readonly string[] = [];

  private constructor(client: RespClient, isRaw: boolean) {
    this.#client = client;
    this.#isRaw = isRaw;
  }

  /** Throws UNAVAILABLE when no target can be reached. */
  static async open(targets: readonly Target[], bucket: string | null, isRaw: boolean): Promise<PromptSession> {
    const client = await RespClient.connect({
      targets,
      bucket,
      protocol: isRaw ? 2 : 3,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      replyTimeoutMs: 0,
      onPush: (reply) => process.stdout.write(`${formatReply(reply)}\n`),
    });
    return new PromptSession(client, isRaw);
  }

  get prompt(): string {
    const { bucket, target } = this.#client;
    return `${target?.address ?? "not connected"}${bucket === null ? "" : `[${bucket}]`}> `;
  }

  /** Runs one typed line. Never throws: whatever goes wrong is an outcome. Null for a blank line. */
  async run(line: string): Promise<Outcome | null> {
    const args = splitCommandLine(line);
    if (args === null) return { output: "Invalid argument(s): the quotes are unbalanced", failed: true };
    if (args.length === 0) return null;
    try {
      const reply = await this.#client.command(...args);
      this.#notice(args, reply);
      return { output: this.#isRaw ? rawReply(reply) : formatReply(reply), failed: reply.kind === "error" };
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      return { output: `(connection) ${cause.message}`, failed: true };
    }
  }

  /** Asks the server for the names of its commands and buckets; a server that does not tell them completes nothing. */
  async learnNames(): Promise<void> {
    const [commands, buckets] = await Promise.all([this.#ask("COMMAND"), this.#ask("LIST", "BUCKETS")]);
    const found = commands.map((entry) => ("items" in entry ? firstText(entry.items) : replyText(entry)));
    this.#commandNames = found.filter((name) => name !== null).map((name) => name.toUpperCase());
    this.#bucketNames = buckets
      .map((entry) => ("items" in entry ? firstText(entry.items) : replyText(entry)))
      .filter((name) => name !== null);
  }

  /** For readline: the lines this one may become, and the part that is being completed. */
  complete(line: string): [string[], string] {
    const words = line.split(" ");
    const last = words.at(-1) ?? "";
    if (words.length === 1) {
      return [this.#commandNames.filter((name) => name.startsWith(last.toUpperCase())).map((name) => `${name} `), last];
    }
    if (words.length > 2 || !BUCKET_COMMANDS.has((words[0] ?? "").toUpperCase())) return [[], last];
    return [this.#bucketNames.filter((name) => name.startsWith(last)), last];
  }

  close(): void {
    this.#client.close();
  }

  async #ask(...args: string[]): Promise<readonly Reply[]> {
    try {
      const reply = await this.#client.command(...args);
      return "items" in reply ? reply.items : [];
    } catch (cause) {
      if (cause instanceof EnvelopeError) return [];
      throw cause;
    }
  }

  #notice(args: readonly Uint8Array[], reply: Reply): void {
    if (reply.kind === "error") return;
    const [command, name] = args;
    if (command === undefined || name === undefined) return;
    const word = textOf(command).toUpperCase();
    if (word !== "USE" && word !== "SELECT") return;
    const bucket = textOf(name);
    this.#client.bucket = bucket;
    if (!this.#bucketNames.includes(bucket)) this.#bucketNames = [...this.#bucketNames, bucket].sort();
  }
}

function firstText(items: readonly Reply[]): string | null {
  const first = items[0];
  return first === undefined ? null : replyText(first);
}
