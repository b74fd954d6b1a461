/**
 * `npx bun run …` is a chain of processes (npm, a shell, `bun run`, this one), and a signal that ends npm alone does not
 * travel down it. So a command started that way looks up the chain now and then, and stops when a link is gone. Started
 * in any other way it may well outlive its parent (nohup, a supervisor), and is left alone. Linux only (/proc).
 */
import { readFileSync } from "node:fs";

const LOOK_MS = 500;
const CHAIN_MAX = 3;
const FIELD_PARENT = 1;

/** Aborts when the npm (or npx) that started this process has gone; never, if none has. */
export function launcherGone(): AbortSignal {
  const gone = new AbortController();
  if (process.env["npm_config_user_agent"]?.startsWith("npm/") !== true) return gone.signal;
  const before = ancestors();
  const timer = setInterval(() => {
    const now = ancestors();
    if (before.every((pid, i) => now[i] === pid)) return;
    clearInterval(timer);
    gone.abort("the npx that started it has gone");
  }, LOOK_MS);
  timer.unref();
  return gone.signal;
}

/** `bun run`, the shell and npm, as far as there are any. */
function ancestors(): readonly number[] {
  const chain: number[] = [];
  let pid = process.pid;
  while (chain.length < CHAIN_MAX) {
    const parent = parentOf(pid);
    if (parent === null || parent <= 1) break;
    chain.push(parent);
    pid = parent;
  }
  return chain;
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[FIELD_PARENT]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== undefined) return null;
    throw cause;
  }
}
