/** What a node process writes, line by line, as lines of the cluster's own output. */

const PINO_WARN = 40;
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "WARN",
  50: "ERROR",
  60: "FATAL",
};
/** Fields that the line shows already, or that say nothing here. */
const HIDDEN: ReadonlySet<string> = new Set(["level", "time", "pid", "hostname", "node", "msg"]);

/** The lines of a byte stream. */
export async function* streamLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** A log line for people; null when it is below a warning and `verbose` is false. What is not a log line is always shown. */
export function formatChildLine(node: string, line: string, verbose: boolean): string | null {
  if (line.trim() === "") return null;
  const entry = parseEntry(line);
  if (entry === null) return `${node} | ${line}`;
  const level = typeof entry["level"] === "number" ? entry["level"] : PINO_WARN;
  if (level < PINO_WARN && !verbose) return null;
  const fields = Object.entries(entry)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${node} | ${LEVEL_NAMES[level] ?? level} ${String(entry["msg"])}${fields.join("")}`;
}

function parseEntry(line: string): Record<string, unknown> | null {
  if (!line.startsWith("{")) return null;
  try {
    const entry: unknown = JSON.parse(line);
    return entry !== null && typeof entry === "object" ? (entry as Record<string, unknown>) : null;
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
}
