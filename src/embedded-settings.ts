/**
 * What can be said to a database inside the process: which of a node's settings, and which of a client's. Their meaning, range
 * and default are those of config.ts and client/settings.ts; the defaults that differ are here. A part of the composition root.
 */
import { availableParallelism } from "node:os";
import { type ConnectOptions, type Settings, settingsOf } from "./client/settings.ts";
import { type NodeSettings, type SettingName, settingsFrom, type SettingValues } from "./config.ts";
import { EnvelopeError } from "./core/errors.ts";
import type { Logger } from "./env/environment.ts";

const OPEN_SETTINGS = [
  "shards",
  "workers",
  "compactors",
  "memoryBytes",
  "durability",
  "keyBytesMax",
  "valueBytesMax",
  "logLevel",
  "requestTimeoutMs",
  "uncommittedBytes",
  "logTailBytes",
  "memtableBytes",
  "memtableArenas",
  "memtableAgeMs",
  "replayBytes",
  "segmentBytes",
  "logIo",
  "snapshotsMax",
  "snapshotAgeMs",
  "blockBytes",
  "bloomBitsPerKey",
  "prefixFilterBytes",
  "compression",
  "compressionLevel",
  "blockCacheBytes",
  "blockChecks",
  "tableIo",
  "compaction",
  "level0Tables",
  "levelBytes",
  "tableBytes",
  "debtBytes",
  "scrubBytesPerSecond",
  "scrubIntervalHours",
  "separateValueBytes",
  "collectBelowPercent",
  "hotKeyBytes",
  "ringBytes",
] as const satisfies readonly SettingName[];

const SERVE_SETTINGS = [
  "client",
  "http",
  "initialUser",
  "initialPasswordFile",
  "insecureOpen",
  "tlsCertificate",
  "tlsKey",
  "tlsAuthority",
  "tlsClient",
  "tlsHttp",
  "connectionsMax",
  "requestsInflightMax",
  "requestsPerSecond",
  "rateDelayMs",
  "clientMemoryBytes",
  "argumentsMax",
  "lineBytesMax",
  "outputBytesMax",
  "outputIdleMs",
  "frameIdleMs",
  "loginTimeoutMs",
  "loginChecks",
  "auditFileBytes",
  "auditFilesKept",
  "bucketsCreateByUse",
  "debugCommands",
] as const satisfies readonly SettingName[];

const CLIENT_SETTINGS = [
  "timeoutMs",
  "read",
  "pendingMax",
  "pendingBytesMax",
] as const satisfies readonly (keyof Settings)[];

/** All that a new database may be told, and an open one. `shards` is fixed when a directory is made. */
export interface OpenOptions
  extends Pick<SettingValues, (typeof OPEN_SETTINGS)[number]>,
    Pick<ConnectOptions, (typeof CLIENT_SETTINGS)[number]> {
  /** The data directory; it is made where there is none. */
  readonly path: string;
  /** Gets what operators should know, instead of standard error. */
  readonly log?: Logger;
}

export interface ServeOptions extends Pick<SettingValues, Exclude<(typeof SERVE_SETTINGS)[number], "client">> {
  /** `host:port` for clients of both protocols; port 0: a free one. */
  readonly client: string;
}

/** One shard, unless the directory has others, on the caller's thread, and word of nothing but trouble. */
const DEFAULTS: SettingValues = { shards: 1, workers: 0, compactors: 0, logLevel: "warn" };
/** Nothing gets lost on the way to this process itself, so no write needs to be told from its repetition. */
const CLIENT_DEFAULTS: ConnectOptions = { nodes: ["this process"], exactlyOnce: false, clientName: "embedded" };

/** Throws CONFIG. */
export function nodeSettings({ path, log: _, ...options }: OpenOptions): NodeSettings {
  const given = chosen(options, OPEN_SETTINGS, "open", CLIENT_SETTINGS);
  const settings = settingsFrom({ ...DEFAULTS, ...given, data: path }, "open", cores());
  return { ...settings, areShardsSaid: given.shards !== undefined };
}

/** Throws INVALID_ARGUMENT. */
export function clientSettings(options: OpenOptions): Settings {
  return settingsOf({ ...CLIENT_DEFAULTS, ...only(options, CLIENT_SETTINGS) });
}

/** The settings of a node that is open, with those of its ports. Throws CONFIG. */
export function servedSettings(open: NodeSettings, options: ServeOptions): NodeSettings {
  const ports = settingsFrom(chosen(options, SERVE_SETTINGS, "serve", []), "serve", cores());
  return { ...open, ...only(ports, SERVE_SETTINGS) };
}

function cores(): number {
  return availableParallelism();
}

/** What is given of `names`; anything else but `others` is refused. */
function chosen<Name extends SettingName>(
  options: object,
  names: readonly Name[],
  origin: string,
  others: readonly string[],
): SettingValues {
  const stranger = Object.keys(options).find((key) => !others.includes(key) && !names.some((name) => name === key));
  if (stranger !== undefined) throw new EnvelopeError("CONFIG", `${stranger} is no option of ${origin}`);
  return only(options as SettingValues, names);
}

function only<Values extends object, Name extends keyof Values>(
  values: Values,
  names: readonly Name[],
): Pick<Values, Name> {
  const given = names.filter((name) => values[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, values[name]])) as Pick<Values, Name>;
}
