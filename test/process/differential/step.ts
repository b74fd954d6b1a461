/** One thing sent to both servers: a command with its arguments, or bytes as they are, on one of two connections. */
import { utf8 } from "../../../src/core/bytes.ts";

/** How a command travels; `raw`: the one argument is sent as it is, and the connection is not expected to survive. */
type Form = "multibulk" | "inline" | "raw";

export interface Step {
  /** The connection that began with HELLO 3, or the one that did not. */
  readonly protocol: 2 | 3;
  readonly form: Form;
  readonly args: readonly Uint8Array[];
}

const BARE = /^[\w:.*?+-]+$/;
const DECODER = new TextDecoder("latin1");

/** The name of the command, lower case; empty for raw bytes. */
export function nameOf(step: Step): string {
  return step.form === "raw" ? "" : wordAt(step, 0);
}

/** An argument as lower-case text; empty when there is none. */
export function wordAt(step: Step, index: number): string {
  return textAt(step, index).toLowerCase();
}

export function textAt(step: Step, index: number): string {
  const bytes = step.args[index];
  return bytes === undefined ? "" : DECODER.decode(bytes);
}

export function encodeStep(step: Step): Uint8Array {
  if (step.form === "raw") return step.args[0] ?? new Uint8Array(0);
  if (step.form === "inline") return utf8(`${step.args.map(quoted).join(" ")}\r\n`);
  const pieces: Uint8Array[] = [utf8(`*${step.args.length}\r\n`)];
  for (const argument of step.args) pieces.push(utf8(`$${argument.length}\r\n`), argument, utf8("\r\n"));
  return Buffer.concat(pieces);
}

/** For people: as one would type it. */
export function showStep(step: Step): string {
  const shown =
    step.form === "raw" ? `raw ${quoted(step.args[0] ?? new Uint8Array(0))}` : step.args.map(quoted).join(" ");
  return `[RESP${step.protocol}${step.form === "inline" ? ", inline" : ""}] ${shown}`;
}

/** An argument in the form that inline commands have for any bytes. */
export function quoted(bytes: Uint8Array): string {
  const plain = DECODER.decode(bytes);
  if (BARE.test(plain)) return plain;
  let escaped = "";
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    escaped += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${escaped}"`;
}
