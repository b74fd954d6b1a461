/** Texts of the command line turned into values, each with a refusal that says what it takes. */
import { InvalidArgumentError } from "commander";
import { EnvelopeError } from "../core/errors.ts";
import { parseTargets, type Target } from "../client/target.ts";
import { loginFromEnvironment } from "./login.ts";
import { parseNumbers } from "../sim/shortening.ts";

const MS_OF_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A parser of whole numbers in a range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** A parser of numbers with a fraction in a range. */
export function realNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  };
}

/** "500ms", "60s", "2m", "1h" in milliseconds. */
export function duration(text: string): number {
  const match = /^(\d{1,9}(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const unit = MS_OF_UNIT[match?.[2] ?? ""];
  if (match === null || unit === undefined) throw new InvalidArgumentError("It must be a time like 500ms, 60s or 2m.");
  return Number(match[1]) * unit;
}

export function targetList(text: string): readonly Target[] {
  try {
    return parseTargets(text, loginFromEnvironment(process.env));
  } catch (cause) {
    if (cause instanceof EnvelopeError)
      throw new InvalidArgumentError(`It must be host:port[,host:port…]: ${cause.message}.`);
    throw cause;
  }
}

/** Names without slashes, separated by commas. None: an empty text. */
export function nameList(text: string): readonly string[] {
  const names = text === "" ? [] : text.split(",").map((name) => name.trim());
  if (names.every((name) => /^[A-Za-z0-9:][A-Za-z0-9:._-]{0,252}$/.test(name))) return names;
  throw new InvalidArgumentError("It must be names, separated by commas.");
}

/** Process ids, separated by commas. */
export function pidList(text: string): readonly number[] {
  return text.split(",").map(wholeNumber(1, 2 ** 31 - 1));
}

/** A parser of the numbers of misfortunes of a simulated run. */
export function misfortuneNumbers(written: string): ReadonlySet<number> {
  const numbers = parseNumbers(written);
  if (numbers === null) throw new InvalidArgumentError("It must be numbers and ranges of them, as 1-4,7.");
  return numbers;
}
