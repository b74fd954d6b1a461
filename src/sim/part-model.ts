/** What the engine's model makes of commands that change a part of a value, or the number that it spells. */
import { addExtendedFloats, formatExtendedFloat, INFINITE, parseExtendedFloat } from "../core/extended-float.ts";
import { CommandType } from "../record/command-format.ts";

/** What is said, and what the key holds from then on; null: what it held. */
interface PartChange {
  readonly outcome: string;
  readonly value: string | null;
}

/** `old` null: the key was not there. Null for commands of other types. */
export function changePart(type: CommandType, old: string | null, value: string, bytesMax: number): PartChange | null {
  const change = changeOf(type, old, value);
  if (change === null || change.value === null) return change;
  const isTooLong = change.value.length > bytesMax && (old !== null || type !== CommandType.append);
  return isTooLong ? { outcome: "error TOO_LARGE", value: null } : change;
}

function changeOf(type: CommandType, old: string | null, value: string): PartChange | null {
  switch (type) {
    case CommandType.append: {
      const whole = (old ?? "") + value;
      return { outcome: `integer ${whole.length}`, value: whole };
    }
    case CommandType.setRange:
      return writeOver(old ?? "", offsetIn(value), value.slice(4));
    case CommandType.setBit:
      return setBit(old ?? "", offsetIn(value), value.charCodeAt(4));
    case CommandType.incrementFloat:
      return addFloat(old ?? "0", value);
    default:
      return null;
  }
}

function writeOver(old: string, offset: number, more: string): PartChange {
  if (more === "") return { outcome: `integer ${old.length}`, value: null };
  const whole = old.slice(0, offset).padEnd(offset, "\0") + more + old.slice(offset + more.length);
  return { outcome: `integer ${whole.length}`, value: whole };
}

function setBit(old: string, offset: number, bit: number): PartChange {
  const place = Math.floor(offset / 8);
  const padded = old.padEnd(place + 1, "\0");
  const bits = [...padded.charCodeAt(place).toString(2).padStart(8, "0")];
  const before = bits[offset % 8] ?? "";
  bits[offset % 8] = String(bit);
  const byte = String.fromCharCode(Number.parseInt(bits.join(""), 2));
  return { outcome: `integer ${before}`, value: padded.slice(0, place) + byte + padded.slice(place + 1) };
}

/** The sums themselves are not in question here. */
function addFloat(old: string, amount: string): PartChange {
  const [a, b] = [old, amount].map((text) => parseExtendedFloat(Buffer.from(text, "latin1"), 0, text.length));
  if (a === undefined || b === undefined || a === null || b === null) {
    return { outcome: "error NOT_A_FLOAT", value: null };
  }
  const sum = addExtendedFloats(a, b);
  if (sum === INFINITE) return { outcome: "error OVERFLOW", value: null };
  const text = formatExtendedFloat(sum);
  return { outcome: `bytes ${text}`, value: text };
}

function offsetIn(value: string): number {
  return Buffer.from(value, "latin1").readUInt32LE();
}
