/**
 * `cli`: commands by hand. On a terminal a prompt with history and completion; with `-c` one command; with a pipe one
 * command a line. Replies are formatted on a terminal and raw elsewhere, unless asked otherwise.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Target } from "../client/target.ts";
import { type Outcome, PromptSession } from "./prompt-session.ts";

const HISTORY_LINES_MAX = 1_000;
/** Lines with passwords or tokens in them are not kept. */
const HOLDS_SECRETS = /^\s*(auth|hello|user|acl|token)\b/i;
const HISTORY_NAME = ".envelopedb_history";
/** Lines that may hold a secret are not kept. */
const SECRET = /^\s*(auth|hello)\b/i;

export interface PromptOptions {
  readonly targets: readonly Target[];
  readonly bucket: string | null;
  /** One command to run instead of the prompt. */
  readonly command: string | null;
  /** Null: raw unless standard output is a terminal. */
  readonly raw: boolean | null;
  /** Null: in the home directory. */
  readonly historyFile: string | null;
}

/** Returns the exit code: 1 when a command of `-c` or of a pipe failed. Throws UNAVAILABLE. */
export async function runPrompt(options: PromptOptions): Promise<number> {
  const isRaw = options.raw ?? !process.stdout.isTTY;
  const session = await PromptSession.open(options.targets, options.bucket, isRaw);
  try {
    if (options.command !== null) return show(await session.run(options.command));
    return process.stdin.isTTY ? await converse(session, options.historyFile) : await runPiped(session);
  } finally {
    session.close();
  }
}

async function runPiped(session: PromptSession): Promise<number> {
  let code = 0;
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (show(await session.run(line)) !== 0) code = 1;
  }
  return code;
}

async function converse(session: PromptSession, historyFile: string | null): Promise<number> {
  const historyPath = historyFile ?? join(homedir(), HISTORY_NAME);
  await session.learnNames();
  const input = createInterface({
    input: process.stdin,
    output: process.stdout,
    history: readHistory(historyPath),
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
    completer: (line: string) => session.complete(line),
  });
  const ask = (): void => {
    input.setPrompt(session.prompt);
    input.prompt();
  };
  return new Promise((resolve) => {
    input.on("SIGINT", () => {
      if (input.line.length === 0) {
        input.close();
        return;
      }
      process.stdout.write("^C\n");
      input.write(null, { ctrl: true, name: "e" });
      input.write(null, { ctrl: true, name: "u" });
      ask();
    });
    input.on("close", () => {
      process.stdout.write("\n");
      resolve(0);
    });
    input.on("line", (line) => {
      if (/^\s*(exit|quit)\s*$/i.test(line)) {
        input.close();
        return;
      }
      input.pause();
      if (!HOLDS_SECRETS.test(line)) keepHistory(historyPath, line);
      void session.run(line).then((outcome) => {
        show(outcome);
        input.resume();
        ask();
      });
    });
    ask();
  });
}

function show(outcome: Outcome | null): number {
  if (outcome === null) return 0;
  process.stdout.write(outcome.output);
  process.stdout.write("\n");
  return outcome.failed ? 1 : 0;
}

/** Newest first, as readline wants it; no file is an empty history. */
function readHistory(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .slice(-HISTORY_LINES_MAX)
      .reverse();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== undefined) return [];
    throw cause;
  }
}

function keepHistory(path: string, line: string): void {
  if (line.trim() === "" || SECRET.test(line)) return;
  try {
    appendFileSync(path, `${line}\n`, { mode: 0o600 });
  } catch (cause) {
    // A history that cannot be written must not stop the conversation; the lines stay in memory.
    if ((cause as NodeJS.ErrnoException).code === undefined) throw cause;
  }
}
