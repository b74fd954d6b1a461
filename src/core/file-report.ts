/**
 * What the offline tools say about files: the parts of one file in reading order (`inspect`), and findings about many
 * (`verify`). Plain values only, so that they can be printed as a line of text or as JSON. Any thread.
 */
import { EnvelopeError } from "./errors.ts";

/** One part of a file: a header, a group, a block, an entry. Names of fields carry their units. */
export interface FilePart {
  readonly kind: string;
  /** 0: of the file itself; a part lies in the last one before it that is less deep. */
  readonly depth: number;
  /** Where it begins in the file. */
  readonly offset: number;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export type PartVisitor = (part: FilePart) => void;

/** `damage`: something is wrong. `note`: worth knowing, and harmless. */
export interface Finding {
  readonly severity: "damage" | "note";
  readonly file: string;
  /** Null: it is about the file as a whole. */
  readonly offset: number | null;
  readonly what: string;
}

export type FindingVisitor = (finding: Finding) => void;

/** Runs a check of a file; what it throws becomes a finding. True: it threw nothing. */
export function attempt(file: string, visit: FindingVisitor, check: () => void): boolean {
  try {
    check();
    return true;
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    const { place, message } = cause;
    if (place === null) visit({ severity: "damage", file, offset: null, what: message });
    else visit({ severity: "damage", ...place });
    return false;
  }
}

/** Of a key or value so many bytes are shown. */
const SHOWN_BYTES_MAX = 64;

const NAMED: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\" };

/** Bytes as text in quotes: printable ASCII as it is, the rest escaped; what is beyond `bytesMax` is only counted. */
export function escapeBytes(bytes: Uint8Array, bytesMax = SHOWN_BYTES_MAX): string {
  const shownBytes = Math.min(bytes.length, bytesMax);
  let shown = "";
  for (let i = 0; i < shownBytes; i++) {
    const byte = bytes[i]!;
    const isPlain = byte >= 0x20 && byte < 0x7f;
    shown += NAMED[byte] ?? (isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`);
  }
  const rest = bytes.length - shownBytes;
  return rest === 0 ? `"${shown}"` : `"${shown}"… ${rest} more bytes`;
}
