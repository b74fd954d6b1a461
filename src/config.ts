/**
 * Every setting of a node in one place: its name (with the unit in it), its range, its default and what it means. The
 * one name serves all sources; a stronger source hides a weaker one, setting by setting:
 *
 *   1  flag              --heartbeat-ms 150
 *   2  environment       ENVELOPEDB_HEARTBEAT_MS=150
 *   3  TOML file         heartbeatMs = 150
 *   4  default
 *
 * Byte settings also take a suffix in text: 64KiB, 64MiB, 1GiB. A value that is refused, or a name that does not exist,
 * is an EnvelopeError of code CONFIG that names the setting and the source it came from. This file reads nothing
 * itself: the caller hands in flags, environment, the text of the file and the number of cores.
 *
 * Length: the settings are one table, and the rules between them stand beside it.
 */
import { z } from "zod";
import { isAddress } from "./core/address.ts";
import { parseByteSize } from "./core/byte-size.ts";
import { EnvelopeError } from "./core/errors.ts";
import { TLS_SHAPE, tlsFault } from "./config-tls.ts";
import { type MemoryPlan, planMemory } from "./memory-plan.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/**
 * A memtable arena holds its hash directory, at most a sixteenth of it, and beside the longest key and value what is kept of a
 * command of a session, and nodes. A command that no empty arena can take would stop its shard, at each start.
 */
const ARENA_OVERHEAD_BYTES = 8 * KIB;
const ARENA_SHARE_OF_ENTRY = 16 / 15;
/** The longest key the record format can express: 24 bits of length. */
const KEY_BYTES_FORMAT_MAX = 0xff_ffff;

const COMPACTORS_DEFAULT_MAX = 4;

const PLANNED: readonly (SettingName & keyof MemoryPlan)[] = ["memtableBytes", "blockCacheBytes", "logTailBytes"];

const name = z
  .string({ error: "must be text" })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: "must be 1 to 64 letters, digits, '.', '_' or '-'" });

const address = z
  .string({ error: "must be host:port" })
  .refine(isAddress, { error: "must be host:port with a port from 0 to 65535" });

const count = (min: number, max: number) =>
  z.preprocess(numberFromText, z.int(`must be a whole number from ${min} to ${max}`)).pipe(bounded(min, max));

const bytes = (min: number, max: number) =>
  z
    .preprocess(bytesFromText, z.int("must be a whole number of bytes, or one with KiB, MiB or GiB"))
    .pipe(bounded(min, max));

const flag = z.preprocess(booleanFromText, z.boolean("must be true or false"));

const DURABILITY_FORM = /^(?:sync|os|interval:(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|60000))$/;
const durability = z
  .string({ error: "must be text" })
  .regex(DURABILITY_FORM, { error: "must be sync, os or interval:<ms> with 1 to 60000 ms" });

const PEERS_FORM = { error: "must be a list like n1=127.0.0.1:9101,n2=127.0.0.1:9102" };
const peers = z.preprocess(
  peersFromText,
  z.array(z.object({ name, address }, PEERS_FORM), PEERS_FORM).max(99, { error: "must name at most 99 nodes" }),
);

const SHAPE = {
  id: name.default("n1").describe("name of this node, unique in the cluster"),
  cluster: name.default("envelopedb").describe("name of the cluster"),
  client: address.default("127.0.0.1:9001").describe("address for clients"),
  peer: address.optional().describe("address for other nodes (default: this node's in --peers, else 127.0.0.1:9101)"),
  http: address.default("127.0.0.1:9201").describe("address for health and status"),
  data: z.string("must be a path").min(1, { error: "must not be empty" }).default("./data").describe("data directory"),
  peers: peers
    .default([])
    .describe("the nodes that the cluster is born with, this one too: n1=host:port,n2=host:port (default: alone)"),
  join: address
    .optional()
    .describe("peer port of a member of the cluster that this node is to join, while its data directory is empty"),
  joinTimeoutMs: count(100, 3_600_000)
    .default(60_000)
    .describe("how long a node that joins waits for a member that takes it in"),
  rack: z
    .string("must be text")
    .regex(/^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$/, { error: "must be up to 64 letters, digits, '.', '_' or '-'" })
    .default("")
    .describe("what this node shares with nodes that may fail together with it (default: nothing)"),
  replicationFactor: count(1, 9).default(3).describe("replicas of each shard, the same on all nodes of a cluster"),
  cores: count(1, 1024).optional().describe("cores that shards and workers are planned for (default: the machine's)"),
  shards: count(1, 1024).optional().describe("shards the cluster is born with (default: cores - 1, 1 to 16)"),
  workers: count(0, 256)
    .optional()
    .describe("threads that host shards; 0: on the main thread (default: shards, but below the cores)"),
  compactors: count(0, 64)
    .optional()
    .describe(
      "threads that flush and compact for the shards; 0: they do it themselves (default: none on two cores, else a quarter of them, 1 to 4)",
    ),

  heartbeatMs: count(1, 60_000).default(150).describe("a leader's heartbeat"),
  electionMs: count(10, 600_000).default(300).describe("least election timeout; the actual one is up to twice it"),
  appendBytes: bytes(4 * KIB, 16 * MIB)
    .default(256 * KIB)
    .describe("largest append message to a follower"),
  inflightBytes: bytes(64 * KIB, GIB)
    .default(8 * MIB)
    .describe("unacknowledged bytes on the way to one follower"),
  inflightCount: count(1, 65_536).default(256).describe("unacknowledged appends on the way to one follower"),
  uncommittedBytes: bytes(MIB, 4 * GIB)
    .default(64 * MIB)
    .describe("uncommitted log of a leader, per shard"),
  logTailBytes: bytes(64 * KIB, GIB)
    .default(8 * MIB)
    .describe("newest log entries kept in memory, per shard"),
  requestTimeoutMs: count(1, 600_000).default(5_000).describe("longest wait of a request before it is answered"),

  memoryBytes: bytes(128 * MIB, 1024 * GIB)
    .optional()
    .describe(
      "memory that this node plans for: memtableBytes, blockCacheBytes and logTailBytes follow from it where they are not set (default: they are as below)",
    ),
  memtableBytes: bytes(64 * KIB, 2 * GIB)
    .default(64 * MIB)
    .describe("one memtable arena"),
  memtableArenas: count(3, 16).default(3).describe("memtable arenas of a shard: active, frozen, being read"),
  memtableAgeMs: count(0, 2 ** 31 - 1)
    .default(600_000)
    .describe("a memtable older than this is flushed; 0: never"),
  replayBytes: bytes(MIB, 64 * GIB)
    .default(256 * MIB)
    .describe(
      "log a restart may have to replay, per shard, with its padding; a memtable is flushed when it would be more",
    ),
  segmentBytes: bytes(64 * KIB, GIB)
    .default(32 * MIB)
    .describe("one segment of the log"),
  logRetainBytes: bytes(0, 1024 * GIB)
    .default(512 * MIB)
    .describe("log that a shard keeps for members that are behind, once it is in tables; what all have goes before"),
  logIo: z
    .enum(["buffered", "direct"], { error: "must be buffered or direct" })
    .default("buffered")
    .describe("how the log is written: through the page cache, or past it where the file system can"),
  snapshotsMax: count(1, 65_536)
    .default(1024)
    .describe("snapshots of a shard at once; each keeps overwritten versions"),
  snapshotAgeMs: count(0, 2 ** 31 - 1)
    .default(600_000)
    .describe("a snapshot older than this is ended; 0: never"),
  blockBytes: bytes(512, MIB)
    .default(4 * KIB)
    .describe("one block of a table, before compression"),
  bloomBitsPerKey: count(0, 32).default(10).describe("bloom filter of a table; 0: none"),
  prefixFilterBytes: count(0, 255)
    .default(0)
    .describe("first bytes of keys for which tables get a filter of their own; 0: none"),
  compression: z
    .enum(["none", "zstd"], { error: "must be none or zstd" })
    .default("none")
    .describe("how blocks of new tables are packed"),
  compressionLevel: count(1, 22).default(1).describe("level of zstd"),
  blockCacheBytes: bytes(0, 64 * GIB)
    .default(64 * MIB)
    .describe("blocks kept in memory, per worker: those that were unpacked, all with tableIo = direct; 0: none"),
  blockChecks: z
    .enum(["always", "first", "never"], { error: "must be always, first or never" })
    .default("first")
    .describe("when the checksum of a block is verified"),
  tableIo: z
    .enum(["mmap", "direct"], { error: "must be mmap or direct" })
    .default("mmap")
    .describe("how tables are read: mapped, or past the page cache where the file system can"),
  compaction: z
    .enum(["leveled", "tiered"], { error: "must be leveled or tiered" })
    .default("leveled")
    .describe("leveled: least space, quickest reads; tiered: fewest bytes written"),
  level0Tables: count(1, 64)
    .default(4)
    .describe("runs in level 0 that start a compaction; tiered: twice as many in all"),
  levelBytes: bytes(MIB, 1024 * GIB)
    .default(256 * MIB)
    .describe("most that the uppermost level in use may hold; each further one holds ten times more"),
  tableBytes: bytes(64 * KIB, GIB)
    .default(16 * MIB)
    .describe("largest table a compaction writes"),
  debtBytes: bytes(MIB, 1024 * GIB)
    .default(GIB)
    .describe("bytes that compaction of a shard is behind from which its writers are slowed"),
  scrubBytesPerSecond: bytes(0, 16 * GIB)
    .default(8 * MIB)
    .describe("pace at which files that nobody reads are checked for damage, per shard; 0: never"),
  scrubIntervalHours: count(1, 8_760).default(24).describe("all files are checked at most once in so many hours"),
  separateValueBytes: bytes(0, GIB)
    .default(GIB)
    .describe("values of this length stay in the log, and tables point to them; above valueBytesMax: none"),
  collectBelowPercent: count(0, 100)
    .default(50)
    .describe("a file of separated values of which less is alive is collected; 0: never"),
  hotKeyBytes: bytes(0, 64 * GIB)
    .default(0)
    .describe("memory for the places of separated values read last, per shard; 0: none"),
  ringBytes: bytes(64 * KIB, 256 * MIB)
    .default(4 * MIB)
    .describe("each ring between the main thread and a worker"),

  keyBytesMax: bytes(1, KEY_BYTES_FORMAT_MAX)
    .default(64 * KIB)
    .describe("longest key"),
  valueBytesMax: bytes(1, 48 * MIB)
    .default(16 * MIB)
    .describe("longest value"),
  argumentsMax: count(4, 1_048_576).default(1024).describe("arguments of one command"),
  lineBytesMax: bytes(64, MIB)
    .default(64 * KIB)
    .describe("a command typed as a line"),
  outputBytesMax: bytes(64 * KIB, 4 * GIB)
    .default(64 * MIB)
    .describe("replies a connection has not read yet"),
  requestsInflightMax: count(1, 65_536).default(1024).describe("unanswered requests of one connection"),
  connectionsMax: count(1, 1_000_000).default(10_000).describe("client connections"),
  frameIdleMs: count(100, 3_600_000).default(30_000).describe("a half-sent request may stand still this long"),
  durability: durability
    .default("sync")
    .describe("of answered writes on a node without others, in buckets that were not created with their own"),
  bucketsCreateByUse: flag.default(true).describe("USE of an unknown bucket creates it"),
  logLevel: z
    .enum(["debug", "info", "warn", "error", "silent"], { error: "must be debug, info, warn, error or silent" })
    .default("info")
    .describe("least severity that is logged"),

  // Commands of Redis that are for tests.
  debugCommands: flag.default(false).describe("DEBUG does something, instead of refusing"),
  // Who comes in, and what is kept of it.
  initialUser: z
    .string("must be text")
    .regex(/^(?:[A-Za-z0-9][A-Za-z0-9._@-]{0,63})?$/, {
      error: "must be up to 64 letters, digits, '.', '_', '@' or '-'",
    })
    .default("")
    .describe("user with all rights that is entered when there is no user yet (default: none)"),
  initialPasswordFile: z
    .string("must be a path")
    .min(1, { error: "must not be empty" })
    .optional()
    .describe("file whose first line is the password of initialUser"),
  insecureOpen: flag
    .default(false)
    .describe("serve everybody who can reach the ports, from other machines too, while there are no users"),
  loginTimeoutMs: count(100, 3_600_000).default(10_000).describe("whoever has to log in has done so within this time"),
  loginChecks: count(1, 64).default(2).describe("passwords checked at once; each takes a core and 19 MiB for a while"),
  auditFileBytes: bytes(64 * KIB, GIB)
    .default(16 * MIB)
    .describe("the audit log goes on in a new file beyond this"),
  auditFilesKept: count(1, 10_000).default(16).describe("files of the audit log that are kept beside the current one"),
  // TLS
  ...TLS_SHAPE,
  // What clients may take of the node.
  outputIdleMs: count(0, 3_600_000)
    .default(60_000)
    .describe("replies that a client does not read may stand still this long; 0: for ever"),
  clientMemoryBytes: bytes(MIB, 1024 * GIB)
    .default(512 * MIB)
    .describe("requests and unread replies of all connections together; beyond it those that hold most are closed"),
  requestsPerSecond: count(0, 10_000_000)
    .default(0)
    .describe("commands a second of a user, or of a bucket where nobody logs in, that has no rate of its own; 0: any"),
  rateDelayMs: count(0, 60_000)
    .default(1_000)
    .describe("commands beyond the rate wait this long at most, in the mean; more are refused"),
} as const;

const SCHEMA = z.object(SHAPE);
type Parsed = z.infer<typeof SCHEMA>;

export type SettingName = keyof typeof SHAPE;

/** Some settings, as a program gives them. */
export type SettingValues = { readonly [Name in SettingName]?: Parsed[Name] };

/** All settings of one node, checked, none missing. `peers` always holds this node itself. */
export type NodeSettings = Readonly<
  Omit<Parsed, "peer" | "cores" | "memoryBytes" | "shards" | "workers" | "compactors"> & {
    peer: string;
    shards: number;
    /** Whether the number of shards was said: otherwise it is that of the directory, if there is one. */
    areShardsSaid: boolean;
    workers: number;
    compactors: number;
  }
>;

export interface SettingSources {
  /** By setting name, as text: what the command line gave. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  /** The process environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The TOML file, if one was named. */
  readonly file: { readonly path: string; readonly text: string } | null;
  /** Processor cores of this machine. */
  readonly cores: number;
}

interface Found {
  readonly value: unknown;
  readonly origin: string;
}

export interface SettingDoc {
  readonly name: SettingName;
  readonly flag: string;
  readonly variable: string;
  readonly description: string;
  /** As one would type it; null when it is computed (the description says how) or empty. */
  readonly fallback: string | null;
}

/** Every setting with its names, in order: for help texts and reference pages. */
export function settingDocs(): readonly SettingDoc[] {
  return settingNames().map((key) => {
    const fallback: unknown = SHAPE[key].parse(undefined);
    const isShown = fallback !== undefined && fallback !== "" && !Array.isArray(fallback);
    const shown = isShown ? String(fallback) : null;
    return {
      name: key,
      flag: flagName(key),
      variable: variableName(key),
      description: SHAPE[key].description ?? "",
      fallback: shown,
    };
  });
}

export function isSetting(key: string): key is SettingName {
  return Object.hasOwn(SHAPE, key);
}

/** One setting from its text, or what is wrong with it. */
export function parseSetting(key: string, text: string): { readonly value: unknown } | { readonly problem: string } {
  if (!isSetting(key)) return { problem: "is not a setting" };
  const parsed = SHAPE[key].safeParse(text);
  return parsed.success ? { value: parsed.data } : { problem: firstMessage(parsed.error) };
}

/** Joins the sources into the settings of one node. Throws EnvelopeError CONFIG. */
export function resolveSettings(sources: SettingSources): NodeSettings {
  const file = sources.file === null ? {} : readToml(sources.file.path, sources.file.text);
  return resolved((key) => pick(key, sources, file), sources.cores);
}

/**
 * The settings of one node from what a program gives by name; `origin` is named where something is refused. Throws
 * EnvelopeError CONFIG.
 */
export function settingsFrom(given: SettingValues, origin: string, cores: number): NodeSettings {
  for (const key of Object.keys(given)) {
    if (!isSetting(key)) throw new EnvelopeError("CONFIG", `${key} (from ${origin}) is not a setting`);
  }
  return resolved((key) => (given[key] === undefined ? null : { value: given[key], origin }), cores);
}

function resolved(find: (key: SettingName) => Found | null, cores: number): NodeSettings {
  const origins = new Map<SettingName, string>();
  const values: Record<string, unknown> = {};
  for (const key of settingNames()) {
    const found = find(key);
    if (found !== null) origins.set(key, found.origin);
    const parsed = SHAPE[key].safeParse(found?.value);
    if (!parsed.success) throw refused(key, found?.origin ?? "default", found?.value, firstMessage(parsed.error));
    values[key] = parsed.data;
  }
  // Each value has just come out of its own schema.
  return complete(values as Parsed, origins, cores);
}

/** The text of host:port taken apart; an IPv6 host stands in brackets. Throws CONFIG. */
export function splitAddress(text: string): { host: string; port: number } {
  if (!isAddress(text)) throw new EnvelopeError("CONFIG", `${JSON.stringify(text)} is not host:port`);
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

/** What a single setting cannot say about itself. */
function complete(written: Parsed, origins: ReadonlyMap<SettingName, string>, machineCores: number): NodeSettings {
  const threads = planThreads(written, machineCores);
  const parsed = { ...written, ...planned(written, threads, origins) };
  const origin = (key: SettingName): string =>
    origins.get(key) ?? (PLANNED.some((one) => one === key) ? origins.get("memoryBytes") : undefined) ?? "default";
  const own = parsed.peers.find((peer) => peer.name === parsed.id);
  const names = new Set(parsed.peers.map((peer) => peer.name));
  const addresses = new Set(parsed.peers.map((peer) => peer.address));
  if (parsed.peers.length > 0 && own === undefined) {
    throw refused(
      "peers",
      origin("peers"),
      undefined,
      `must name this node too (id ${parsed.id}, from ${origin("id")})`,
    );
  }
  if (names.size < parsed.peers.length) throw refused("peers", origin("peers"), undefined, "names a node twice");
  if (addresses.size < parsed.peers.length) throw refused("peers", origin("peers"), undefined, "has an address twice");
  if (parsed.electionMs < 2 * parsed.heartbeatMs) {
    const least = `must be at least twice heartbeatMs (${parsed.heartbeatMs}, from ${origin("heartbeatMs")})`;
    throw refused("electionMs", origin("electionMs"), parsed.electionMs, least);
  }
  const fault = tlsFault(parsed);
  if (fault !== null) throw refused(fault.setting, origin(fault.setting), undefined, fault.why);
  const entryBytes = parsed.keyBytesMax + parsed.valueBytesMax + ARENA_OVERHEAD_BYTES;
  const arenaBytes = Math.ceil(entryBytes * ARENA_SHARE_OF_ENTRY);
  if (parsed.memtableBytes < arenaBytes) {
    const least = `must hold the largest entry: at least ${arenaBytes} bytes (16/15 of keyBytesMax + valueBytesMax + 8 KiB)`;
    throw refused("memtableBytes", origin("memtableBytes"), parsed.memtableBytes, least);
  }
  const peer = parsed.peer ?? own?.address ?? "127.0.0.1:9101";
  const members = parsed.peers.length > 0 ? parsed.peers : [{ name: parsed.id, address: peer }];
  const { cores: _cores, memoryBytes: _memoryBytes, ...rest } = parsed;
  return { ...rest, ...threads, areShardsSaid: parsed.shards !== undefined, peer, peers: members };
}

function planThreads(parsed: Parsed, machineCores: number): Pick<NodeSettings, "shards" | "workers" | "compactors"> {
  const cores = parsed.cores ?? machineCores;
  const shards = parsed.shards ?? Math.max(1, Math.min(16, cores - 1));
  const workers = parsed.workers ?? Math.min(shards, cores - 1);
  return { shards, workers, compactors: parsed.compactors ?? defaultCompactors(cores) };
}

/** What follows from the memory that is planned for, and was not set by itself. */
function planned(
  parsed: Parsed,
  { shards, workers }: Pick<NodeSettings, "shards" | "workers">,
  origins: ReadonlyMap<SettingName, string>,
): Partial<MemoryPlan> {
  if (parsed.memoryBytes === undefined) return {};
  const hosts = Math.max(1, Math.min(workers, shards));
  const { memtableArenas, tableIo } = parsed;
  const plan = planMemory(parsed.memoryBytes, { shards, hosts, memtableArenas, tableIo }, parsed);
  return Object.fromEntries(PLANNED.filter((key) => !origins.has(key)).map((key) => [key, plan[key]]));
}

/** On one or two cores another thread costs more than it brings; on many its work is done by a few. */
function defaultCompactors(cores: number): number {
  if (cores <= 2) return 0;
  return Math.max(1, Math.min(COMPACTORS_DEFAULT_MAX, Math.floor(cores / 4)));
}

function pick(key: SettingName, sources: SettingSources, file: Readonly<Record<string, unknown>>): Found | null {
  const flagged = sources.flags[key];
  if (flagged !== undefined) return { value: flagged, origin: flagName(key) };
  const variable = sources.environment[variableName(key)];
  if (variable !== undefined) return { value: variable, origin: variableName(key) };
  const written = Object.hasOwn(file, key) ? file[key] : undefined;
  if (written !== undefined) return { value: written, origin: sources.file?.path ?? "file" };
  return null;
}

function readToml(path: string, text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = Bun.TOML.parse(text);
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${path} is not TOML: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const table = parsed as Record<string, unknown>;
  for (const key of Object.keys(table)) {
    if (!isSetting(key)) throw new EnvelopeError("CONFIG", `${key} (from ${path}) is not a setting`);
  }
  return table;
}

function refused(key: SettingName, origin: string, value: unknown, why: string): EnvelopeError {
  const shown = value === undefined ? "" : `, but is ${JSON.stringify(value)}`;
  return new EnvelopeError("CONFIG", `${key} (from ${origin}) ${why}${shown}`);
}

function firstMessage(error: z.ZodError): string {
  return error.issues[0]?.message ?? "is refused";
}

function settingNames(): SettingName[] {
  return Object.keys(SHAPE) as SettingName[];
}

function flagName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function variableName(key: string): string {
  return `ENVELOPEDB_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function bounded(min: number, max: number) {
  const message = { error: `must be from ${min} to ${max}` };
  return z.number().min(min, message).max(max, message);
}

function numberFromText(value: unknown): unknown {
  return typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

function bytesFromText(value: unknown): unknown {
  return typeof value === "string" ? (parseByteSize(value) ?? value) : value;
}

function booleanFromText(value: unknown): unknown {
  if (value === "true") return true;
  return value === "false" ? false : value;
}

/** "n1=a,n2=b", ["n1=a", "n2=b"] or { n1 = "a" } become [{ name, address }]; anything else is left for the schema to refuse. */
function peersFromText(value: unknown): unknown {
  if (typeof value === "string") return value === "" ? [] : peersFromText(value.split(","));
  if (Array.isArray(value)) {
    return value.map((item: unknown) => {
      if (typeof item !== "string") return item;
      const equals = item.indexOf("=");
      return equals < 0 ? item : { name: item.slice(0, equals).trim(), address: item.slice(equals + 1).trim() };
    });
  }
  if (value !== null && typeof value === "object") {
    return Object.entries(value).map(([key, item]) => ({ name: key, address: item as unknown }));
  }
  return value;
}
