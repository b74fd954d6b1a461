/**
 * Lines typed by hand. Splitting follows Redis (`sdssplitargs`): blanks separate, "…" knows \n \r \t \b \a \xHH and
 * \anything, '…' knows only \', and a closing quote must end its argument.
 *
 * One addition: a last argument that begins with `{` or `[` is taken byte for byte to the end of the line, so that
 * JSON can be typed as it is. It is the last one when its bracket closes at the end of the line or never; a bracket
 * that closes earlier (`SET {tag}key value`) leaves Redis's rules in force.
 */
import type { RequestArguments } from "./request-arguments.ts";

const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const LOWER_X = 0x78;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
  [0x62, 0x08],
  [0x61, 0x07],
]);

/** The two positions a quoted piece moves: where it reads and where it writes. */
interface Split {
  readonly line: Uint8Array;
  readonly end: number;
  readonly into: Uint8Array;
  cursor: number;
  written: number;
}

/**
 * Splits `line[start, end)` (without its line end) into `request`, whose bytes become a new array. Returns false when
 * quotes are unbalanced. No arguments at all is an empty line.
 */
export function splitInline(line: Uint8Array, start: number, end: number, request: RequestArguments): boolean {
  const split: Split = { line, end, into: new Uint8Array(end - start), cursor: start, written: 0 };
  request.count = 0;
  request.bytes = split.into;
  for (;;) {
    while (split.cursor < end && isBlank(line[split.cursor]!)) split.cursor += 1;
    if (split.cursor >= end) return true;
    const from = split.written;
    if (request.count > 0 && isRawTail(line, split.cursor, end)) takeRest(split);
    else if (!takeArgument(split)) return false;
    request.push(from, split.written);
  }
}

function takeRest(split: Split): void {
  split.into.set(split.line.subarray(split.cursor, split.end), split.written);
  split.written += split.end - split.cursor;
  split.cursor = split.end;
}

function takeArgument(split: Split): boolean {
  while (split.cursor < split.end) {
    const byte = split.line[split.cursor]!;
    if (isBlank(byte)) return true;
    split.cursor += 1;
    if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) return takeQuoted(split, byte);
    put(split, byte);
  }
  return true;
}

function takeQuoted(split: Split, quote: number): boolean {
  while (split.cursor < split.end) {
    const byte = split.line[split.cursor]!;
    split.cursor += 1;
    if (byte === quote) return split.cursor === split.end || isBlank(split.line[split.cursor]!);
    if (byte === BACKSLASH && split.cursor < split.end) takeEscape(split, quote);
    else put(split, byte);
  }
  return false;
}

function takeEscape(split: Split, quote: number): void {
  const byte = split.line[split.cursor]!;
  if (quote === SINGLE_QUOTE) {
    if (byte === SINGLE_QUOTE) split.cursor += 1;
    put(split, byte === SINGLE_QUOTE ? SINGLE_QUOTE : BACKSLASH);
    return;
  }
  if (byte === LOWER_X && split.cursor + 2 < split.end) {
    const high = hexDigit(split.line[split.cursor + 1]!);
    const low = hexDigit(split.line[split.cursor + 2]!);
    if (high >= 0 && low >= 0) {
      split.cursor += 3;
      put(split, high * 16 + low);
      return;
    }
  }
  split.cursor += 1;
  put(split, ESCAPES.get(byte) ?? byte);
}

function put(split: Split, byte: number): void {
  split.into[split.written] = byte;
  split.written += 1;
}

/** Whether the argument at `cursor` opens a bracket that reaches the end of the line. */
function isRawTail(line: Uint8Array, cursor: number, end: number): boolean {
  const first = line[cursor];
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return false;
  let depth = 0;
  let quoted = false;
  for (let i = cursor; i < end; i++) {
    const byte = line[i]!;
    if (byte === BACKSLASH && quoted) i += 1;
    else if (byte === DOUBLE_QUOTE) quoted = !quoted;
    else if (quoted) continue;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
    if (depth === 0) return onlyBlanks(line, i + 1, end);
  }
  return true;
}

function onlyBlanks(line: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (!isBlank(line[i]!)) return false;
  return true;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
