/**
 * Runs one program to its end under a small shell, which inherits what the program has used: the processor time of all
 * its threads and what it wrote. Meanwhile its memory is looked at many times a second.
 */
import { readFileSync } from "node:fs";

export interface Watched {
  readonly exitCode: number;
  readonly output: string;
  readonly errors: string;
  readonly seconds: number;
  readonly processorMicros: number;
  readonly writtenBytes: number;
  /** The most that was seen. */
  readonly residentBytes: number;
  readonly anonymousBytes: number;
}

const LOOK_MS = 20;
const KIB = 1024;
/** Arguments are the memory group's file for process ids (or nothing), then the program and its own arguments. */
const SCRIPT = `
group="$1"; shift
[ -z "$group" ] || echo $$ > "$group"
"$@" &
echo "pid $!" >&2
wait $!; code=$?
grep '^wchar' /proc/$$/io >&2
exit $code`;

/** Settings of a load generator's compiler are not for the engine that is measured. */
function environment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith("BUN_JSC_")) kept[name] = value;
  }
  return kept;
}

export async function runWatched(command: readonly string[], groupFile: string | null): Promise<Watched> {
  const startMs = performance.now();
  const child = Bun.spawn(["sh", "-c", SCRIPT, "watched", groupFile ?? "", ...command], {
    env: environment(),
    stdout: "pipe",
    stderr: "pipe",
  });
  const peak = { residentBytes: 0, anonymousBytes: 0 };
  const looking = setInterval(() => look(child.pid, peak), LOOK_MS);
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearInterval(looking);
  const used = child.resourceUsage();
  return {
    exitCode,
    output,
    errors,
    seconds: (performance.now() - startMs) / 1000,
    processorMicros: Number(used?.cpuTime.total ?? 0),
    writtenBytes: Number(/^wchar: (\d+)$/m.exec(errors)?.[1] ?? Number.NaN),
    ...peak,
  };
}

/** Memory of the shell's only child. */
function look(shell: number, peak: { residentBytes: number; anonymousBytes: number }): void {
  try {
    const pid = readFileSync(`/proc/${shell}/task/${shell}/children`, "latin1").trim().split(" ")[0] ?? "";
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    peak.residentBytes = Math.max(peak.residentBytes, field(status, "VmRSS") * KIB);
    peak.anonymousBytes = Math.max(peak.anonymousBytes, field(status, "RssAnon") * KIB);
  } catch (cause) {
    // It has just ended, or not yet begun.
    if (!(cause instanceof Error)) throw cause;
  }
}

function field(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
}
