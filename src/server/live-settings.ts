/**
 * The settings that clients see and, where that is possible, change while the node runs (CONFIG GET, CONFIG SET): under
 * the names that settings files have, and under Redis's where Redis has one. A change lasts until the node stops.
 */
import type { ClientPort } from "./client-port.ts";
import type { ClientPortSettings } from "./settings.ts";

/** What may change. Everything else is fixed for the life of the node. */
type LiveName =
  | "outputBytesMax"
  | "outputIdleMs"
  | "clientMemoryBytes"
  | "requestsPerSecond"
  | "rateDelayMs"
  | "requestsInflightMax"
  | "connectionsMax"
  | "frameIdleMs"
  | "bucketsCreateByUse"
  | "logLevel";

const LIVE: ReadonlySet<string> = new Set<LiveName>([
  "outputBytesMax",
  "outputIdleMs",
  "clientMemoryBytes",
  "requestsPerSecond",
  "rateDelayMs",
  "requestsInflightMax",
  "connectionsMax",
  "frameIdleMs",
  "bucketsCreateByUse",
  "logLevel",
]);

/** A name of Redis for a setting of ours, and how its values are written there. */
interface Alias {
  readonly name: LiveName;
  readonly shown: (value: string) => string;
  readonly meant: (text: string) => string | null;
}

const LEVELS: readonly (readonly [ours: string, redis: string])[] = [
  ["debug", "debug"],
  ["info", "verbose"],
  ["info", "notice"],
  ["warn", "warning"],
  ["error", "warning"],
  ["silent", "nothing"],
];

const ALIASES: Readonly<Record<string, Alias>> = {
  maxclients: {
    name: "connectionsMax",
    shown: (value) => value,
    meant: (text) => (/^-?\d+$/.test(text) ? text : null),
  },
  "maxmemory-clients": {
    name: "clientMemoryBytes",
    shown: (value) => value,
    meant: (text) => (/^\d+$/.test(text) ? text : null),
  },
  loglevel: {
    name: "logLevel",
    shown: (value) => LEVELS.findLast(([ours, redis]) => ours === value && redis !== "verbose")?.[1] ?? value,
    meant: (text) => LEVELS.find(([, redis]) => redis === text.toLowerCase())?.[0] ?? null,
  },
  "client-output-buffer-limit": {
    name: "outputBytesMax",
    shown: (value) => `normal ${value} 0 0`,
    meant: (text) => /^normal (\d+) 0 0$/.exec(text)?.[1] ?? null,
  },
};

/** Settings of Redis that have one value here. */
const FIXED: ReadonlyMap<string, string> = new Map([
  ["save", ""],
  ["appendonly", "yes"],
  ["appendfsync", "always"],
  ["databases", "16"],
  ["maxmemory", "0"],
  ["maxmemory-policy", "noeviction"],
  ["timeout", "0"],
  ["cluster-enabled", "no"],
]);

const NOT_A_NUMBER = "argument couldn't be parsed into an integer";

/** All names and values, in order. */
export function settingTexts(port: ClientPort): readonly (readonly [string, string])[] {
  const own: [string, string][] = [...port.control.settings].map(([name, text]) => [name, current(port, name) ?? text]);
  const aliases = Object.entries(ALIASES).map(([alias, { name, shown }]): [string, string] => {
    return [alias, shown(current(port, name) ?? "")];
  });
  const others: readonly [string, string][] = [["proto-max-bulk-len", String(port.settings.valueBytesMax)]];
  return [...FIXED, ...aliases, ...others, ...own];
}

/** Null: there is no such setting. */
export function settingText(port: ClientPort, name: string): string | null {
  return settingTexts(port).find(([other]) => other.toLowerCase() === name)?.[1] ?? null;
}

export type Change = { readonly name: LiveName; readonly value: unknown };

/** What setting `name` (lower case) to `text` would change, or Redis's words for what is wrong; null: nothing changes. */
export function changeOf(port: ClientPort, name: string, text: string): Change | string | null {
  const alias = ALIASES[name];
  if (alias === undefined && settingText(port, name) === text) return null;
  const own = alias?.name ?? [...LIVE].find((live) => live.toLowerCase() === name);
  if (own === undefined) return "can't set immutable config";
  const meant = alias === undefined ? text : alias.meant(text);
  if (meant === null) return name === "maxclients" ? NOT_A_NUMBER : "argument is not understood";
  const parsed = port.control.parseSetting(own, meant);
  if ("problem" in parsed) return `argument ${parsed.problem}`;
  return { name: own as LiveName, value: parsed.value };
}

export function isImmutable(port: ClientPort, name: string): boolean {
  const isLive = ALIASES[name] !== undefined || [...LIVE].some((live) => live.toLowerCase() === name);
  return !isLive && !FIXED.has(name) && settingText(port, name) !== null;
}

export function applyChange(port: ClientPort, { name, value }: Change): void {
  if (name !== "logLevel") {
    port.changeSettings({ [name]: value } as Partial<ClientPortSettings>);
    return;
  }
  port.logLevel = String(value);
  port.control.setLogLevel(port.logLevel);
}

function current(port: ClientPort, name: string): string | null {
  if (name === "logLevel") return port.logLevel;
  if (!LIVE.has(name)) return null;
  return String(port.settings[name as Exclude<LiveName, "logLevel">]);
}
