/**
 * Redis's glob over bytes: `*`, `?`, `[a-z]`, `[^…]`, `\x`. An unclosed class reaches to the end of the pattern and a
 * last lone backslash stands for itself, as Redis has it (util.c, stringmatchlen).
 *
 * Only the last star is ever tried again: what stands between two stars is best matched as far left as possible, so
 * an earlier star never needs another look (Krauss, "Matching Wildcards: An Algorithm", 2008). The cost is at most
 * pattern × text, whatever the number of stars. Any thread.
 */
const STAR = 0x2a;
const DASH = 0x2d;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE = 0x5d;
const CARET = 0x5e;

/** Whether all of `text` matches `pattern`. */
export function globMatches(pattern: Uint8Array, text: Uint8Array): boolean {
  let at = 0;
  let position = 0;
  let starAt = -1;
  let starText = 0;
  while (position < text.length) {
    if (at < pattern.length && pattern[at] === STAR) {
      starAt = at;
      starText = position;
      at += 1;
    } else if (at < pattern.length && matchesOne(pattern, at, text[position]!)) {
      at = behindElement(pattern, at);
      position += 1;
    } else if (starAt >= 0) {
      starText += 1;
      position = starText;
      at = starAt + 1;
    } else {
      return false;
    }
  }
  while (at < pattern.length && pattern[at] === STAR) at += 1;
  return at === pattern.length;
}

/** The bytes that every match begins with: where a walk in key order may start. */
export function globPrefix(pattern: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(pattern.length);
  let byteCount = 0;
  for (let at = 0; at < pattern.length; ) {
    const byte = pattern[at]!;
    if (byte === STAR || byte === QUESTION || byte === OPEN) break;
    prefix[byteCount] = byte === BACKSLASH && at + 1 < pattern.length ? pattern[at + 1]! : byte;
    byteCount += 1;
    at = behindElement(pattern, at);
  }
  return prefix.subarray(0, byteCount);
}

function matchesOne(pattern: Uint8Array, at: number, byte: number): boolean {
  const element = pattern[at]!;
  if (element === QUESTION) return true;
  if (element === OPEN) return classHas(pattern, at + 1, byte);
  if (element === BACKSLASH && at + 1 < pattern.length) return pattern[at + 1] === byte;
  return element === byte;
}

function classHas(pattern: Uint8Array, start: number, byte: number): boolean {
  const negated = pattern[start] === CARET;
  let found = false;
  for (let at = negated ? start + 1 : start; at < pattern.length && pattern[at] !== CLOSE; ) {
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) {
      if (pattern[at + 1] === byte) found = true;
      at += 2;
    } else if (at + 2 < pattern.length && pattern[at + 1] === DASH) {
      const low = Math.min(pattern[at]!, pattern[at + 2]!);
      const high = Math.max(pattern[at]!, pattern[at + 2]!);
      if (byte >= low && byte <= high) found = true;
      at += 3;
    } else {
      if (pattern[at] === byte) found = true;
      at += 1;
    }
  }
  return found !== negated;
}

/** The offset behind the element at `at`. */
function behindElement(pattern: Uint8Array, at: number): number {
  const element = pattern[at]!;
  if (element === BACKSLASH) return Math.min(at + 2, pattern.length);
  if (element !== OPEN) return at + 1;
  let cursor = pattern[at + 1] === CARET ? at + 2 : at + 1;
  while (cursor < pattern.length && pattern[cursor] !== CLOSE) {
    if (pattern[cursor] === BACKSLASH && cursor + 1 < pattern.length) cursor += 2;
    else if (cursor + 2 < pattern.length && pattern[cursor + 1] === DASH) cursor += 3;
    else cursor += 1;
  }
  return Math.min(cursor + 1, pattern.length);
}
