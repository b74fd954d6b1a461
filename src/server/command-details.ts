/**
 * What Redis tells about its commands and a server need not know to carry them out: COMMAND INFO and COMMAND DOCS pass it
 * on, and clients route and check by it. Subcommands stand as `command|subcommand`. A command that is ours alone is not
 * in the table; what is told of it follows from its entry.
 */
import type { CommandEntry, CommandKeys } from "./command-table.ts";

export interface CommandDetails {
  readonly group: string;
  readonly since: string;
  readonly flags: readonly string[];
  /** Without the `@`. */
  readonly categories: readonly string[];
  readonly tips: readonly string[];
  readonly keySpecs: readonly KeySpec[];
  readonly complexity: string;
}

/** Where keys stand in the arguments, and what happens to them. */
interface KeySpec {
  readonly flags: readonly string[];
  readonly notes: string | null;
  readonly first: number;
  /** Counted from the first one; −1: to the last argument. */
  readonly last: number;
  readonly step: number;
}

type Row = readonly [
  name: string,
  groupAndSince: string,
  flags: string,
  categories: string,
  tips: string,
  keySpecs: string,
  complexity: string,
];

// biome-ignore format: a table
const ROWS: readonly Row[] = [
  ["get", "string 1.0.0", "readonly fast", "read string fast", "", "RO access", "O(1)"],
  ["set", "string 1.0.0", "write denyoom", "write string slow", "", "RW access update variable_flags (RW and ACCESS due to the optional `GET` argument)", "O(1)"],
  ["getdel", "string 6.2.0", "write fast", "write string fast", "", "RW access delete", "O(1)"],
  ["getex", "string 6.2.0", "write fast", "write string fast", "", "RW access update (RW and UPDATE because it changes the TTL)", "O(1)"],
  ["getset", "string 1.0.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["setnx", "string 1.0.0", "write denyoom fast", "write string fast", "", "OW insert", "O(1)"],
  ["setex", "string 2.0.0", "write denyoom", "write string slow", "", "OW update", "O(1)"],
  ["psetex", "string 2.6.0", "write denyoom", "write string slow", "", "OW update", "O(1)"],
  ["append", "string 2.0.0", "write denyoom fast", "write string fast", "", "RW insert", "O(1)"],
  ["strlen", "string 2.2.0", "readonly fast", "read string fast", "", "RO", "O(1)"],
  ["mget", "string 1.0.0", "readonly fast", "read string fast", "request_policy:multi_shard", "RO access", "O(N)"],
  ["mset", "string 1.0.1", "write denyoom", "write string slow", "request_policy:multi_shard response_policy:all_succeeded", "OW update", "O(N)"],
  ["msetnx", "string 1.0.1", "write denyoom", "write string slow", "request_policy:multi_shard response_policy:agg_min", "OW insert", "O(N)"],
  ["incr", "string 1.0.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["decr", "string 1.0.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["incrby", "string 1.0.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["decrby", "string 1.0.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["incrbyfloat", "string 2.6.0", "write denyoom fast", "write string fast", "", "RW access update", "O(1)"],
  ["getrange", "string 2.4.0", "readonly", "read string slow", "", "RO access", "O(N)"],
  ["substr", "string 1.0.0", "readonly", "read string slow", "", "RO access", "O(N)"],
  ["setrange", "string 2.2.0", "write denyoom", "write string slow", "", "RW update", "O(1)"],
  ["setbit", "bitmap 2.2.0", "write denyoom", "write bitmap slow", "", "RW access update", "O(1)"],
  ["getbit", "bitmap 2.2.0", "readonly fast", "read bitmap fast", "", "RO access", "O(1)"],
  ["bitcount", "bitmap 2.6.0", "readonly", "read bitmap slow", "", "RO access", "O(N)"],
  ["bitpos", "bitmap 2.8.7", "readonly", "read bitmap slow", "", "RO access", "O(N)"],
  ["lcs", "string 7.0.0", "readonly", "read string slow", "", "RO access", "O(N*M)"],
  ["del", "generic 1.0.0", "write", "keyspace write slow", "request_policy:multi_shard response_policy:agg_sum", "RM delete", "O(N)"],
  ["unlink", "generic 4.0.0", "write fast", "keyspace write fast", "request_policy:multi_shard response_policy:agg_sum", "RM delete", "O(1)"],
  ["exists", "generic 1.0.0", "readonly fast", "keyspace read fast", "request_policy:multi_shard response_policy:agg_sum", "RO", "O(N)"],
  ["touch", "generic 3.2.1", "readonly fast", "keyspace read fast", "request_policy:multi_shard response_policy:agg_sum", "RO", "O(N)"],
  ["type", "generic 1.0.0", "readonly fast", "keyspace read fast", "", "RO", "O(1)"],
  ["keys", "generic 1.0.0", "readonly", "keyspace read slow dangerous", "request_policy:all_shards nondeterministic_output_order", "", "O(N)"],
  ["dbsize", "server 1.0.0", "readonly fast", "keyspace read fast", "request_policy:all_shards response_policy:agg_sum", "", "O(1)"],
  ["randomkey", "generic 1.0.0", "readonly", "keyspace read slow", "request_policy:all_shards nondeterministic_output", "", "O(1)"],
  ["scan", "generic 2.8.0", "readonly", "keyspace read slow", "nondeterministic_output request_policy:special", "", "O(1)"],
  ["object", "generic 2.2.3", "", "slow", "", "", ""],
  ["object|idletime", "generic 2.2.3", "readonly", "keyspace read slow", "nondeterministic_output", "RO", "O(1)"],
  ["object|help", "generic 6.2.0", "loading stale", "keyspace slow", "", "", "O(1)"],
  ["object|freq", "generic 4.0.0", "readonly", "keyspace read slow", "nondeterministic_output", "RO", "O(1)"],
  ["object|encoding", "generic 2.2.3", "readonly", "keyspace read slow", "nondeterministic_output", "RO", "O(1)"],
  ["object|refcount", "generic 2.2.3", "readonly", "keyspace read slow", "nondeterministic_output", "RO", "O(1)"],
  ["copy", "generic 6.2.0", "write denyoom", "keyspace write slow", "", "RO access; OW update", "O(N)"],
  ["rename", "generic 1.0.0", "write", "keyspace write slow", "", "RW access delete; OW update", "O(1)"],
  ["renamenx", "generic 1.0.0", "write fast", "keyspace write fast", "", "RW access delete; OW insert", "O(1)"],
  ["flushdb", "server 1.0.0", "write", "keyspace write slow dangerous", "request_policy:all_shards response_policy:all_succeeded", "", "O(N)"],
  ["flushall", "server 1.0.0", "write", "keyspace write slow dangerous", "request_policy:all_shards response_policy:all_succeeded", "", "O(N)"],
  ["expire", "generic 1.0.0", "write fast", "keyspace write fast", "", "RW update", "O(1)"],
  ["pexpire", "generic 2.6.0", "write fast", "keyspace write fast", "", "RW update", "O(1)"],
  ["expireat", "generic 1.2.0", "write fast", "keyspace write fast", "", "RW update", "O(1)"],
  ["pexpireat", "generic 2.6.0", "write fast", "keyspace write fast", "", "RW update", "O(1)"],
  ["ttl", "generic 1.0.0", "readonly fast", "keyspace read fast", "nondeterministic_output", "RO access", "O(1)"],
  ["pttl", "generic 2.6.0", "readonly fast", "keyspace read fast", "nondeterministic_output", "RO access", "O(1)"],
  ["expiretime", "generic 7.0.0", "readonly fast", "keyspace read fast", "", "RO access", "O(1)"],
  ["pexpiretime", "generic 7.0.0", "readonly fast", "keyspace read fast", "", "RO access", "O(1)"],
  ["persist", "generic 2.2.0", "write fast", "keyspace write fast", "", "RW update", "O(1)"],
  ["multi", "transactions 1.2.0", "noscript loading stale fast allow_busy", "fast transaction", "", "", "O(1)"],
  ["exec", "transactions 1.2.0", "noscript loading stale skip_slowlog", "slow transaction", "", "", ""],
  ["discard", "transactions 2.0.0", "noscript loading stale fast allow_busy", "fast transaction", "", "", "O(N)"],
  ["watch", "transactions 2.2.0", "noscript loading stale fast allow_busy", "fast transaction", "", "RO", "O(1)"],
  ["unwatch", "transactions 2.2.0", "noscript loading stale fast allow_busy", "fast transaction", "", "", "O(1)"],
  ["ping", "connection 1.0.0", "fast", "fast connection", "request_policy:all_shards response_policy:all_succeeded", "", "O(1)"],
  ["echo", "connection 1.0.0", "loading stale fast", "fast connection", "", "", "O(1)"],
  ["select", "connection 1.0.0", "loading stale fast", "fast connection", "", "", "O(1)"],
  ["hello", "connection 6.0.0", "noscript loading stale fast no_auth allow_busy", "fast connection", "", "", "O(1)"],
  ["reset", "connection 6.2.0", "noscript loading stale fast no_auth allow_busy", "fast connection", "", "", "O(1)"],
  ["auth", "connection 1.0.0", "noscript loading stale fast no_auth allow_busy", "fast connection", "", "", "O(N)"],
  ["quit", "connection 1.0.0", "noscript loading stale fast no_auth allow_busy", "fast connection", "", "", "O(1)"],
  ["time", "server 2.6.0", "loading stale fast", "fast", "nondeterministic_output", "", "O(1)"],
  ["client", "connection 2.4.0", "", "slow", "", "", ""],
  ["client|pause", "connection 2.9.50", "admin noscript loading stale", "admin slow dangerous connection", "", "", "O(1)"],
  ["client|unblock", "connection 5.0.0", "admin noscript loading stale", "admin slow dangerous connection", "", "", ""],
  ["client|setname", "connection 2.6.9", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|caching", "connection 6.0.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|kill", "connection 2.4.0", "admin noscript loading stale", "admin slow dangerous connection", "", "", "O(N)"],
  ["client|list", "connection 2.4.0", "admin noscript loading stale", "admin slow dangerous connection", "nondeterministic_output", "", "O(N)"],
  ["client|tracking", "connection 6.0.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|info", "connection 6.2.0", "noscript loading stale", "slow connection", "nondeterministic_output", "", "O(1)"],
  ["client|unpause", "connection 6.2.0", "admin noscript loading stale", "admin slow dangerous connection", "", "", "O(N)"],
  ["client|getredir", "connection 6.0.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|no-evict", "connection 7.0.0", "admin noscript loading stale", "admin slow dangerous connection", "", "", "O(1)"],
  ["client|id", "connection 5.0.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|getname", "connection 2.6.9", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|help", "connection 5.0.0", "loading stale", "slow connection", "", "", "O(1)"],
  ["client|trackinginfo", "connection 6.2.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["client|reply", "connection 3.2.0", "noscript loading stale", "slow connection", "", "", "O(1)"],
  ["command", "server 2.8.13", "loading stale", "slow connection", "nondeterministic_output_order", "", "O(N)"],
  ["command|getkeysandflags", "server 7.0.0", "loading stale", "slow connection", "", "", "O(N)"],
  ["command|list", "server 7.0.0", "loading stale", "slow connection", "nondeterministic_output_order", "", "O(N)"],
  ["command|count", "server 2.8.13", "loading stale", "slow connection", "", "", "O(1)"],
  ["command|info", "server 2.8.13", "loading stale", "slow connection", "nondeterministic_output_order", "", "O(N)"],
  ["command|help", "server 5.0.0", "loading stale", "slow connection", "", "", "O(1)"],
  ["command|docs", "server 7.0.0", "loading stale", "slow connection", "nondeterministic_output_order", "", "O(N)"],
  ["command|getkeys", "server 2.8.13", "loading stale", "slow connection", "", "", "O(N)"],
  ["config", "server 2.0.0", "", "slow", "", "", ""],
  ["config|resetstat", "server 2.0.0", "admin noscript loading stale", "admin slow dangerous", "", "", "O(1)"],
  ["config|get", "server 2.0.0", "admin noscript loading stale", "admin slow dangerous", "", "", "O(N)"],
  ["config|rewrite", "server 2.8.0", "admin noscript loading stale", "admin slow dangerous", "", "", "O(1)"],
  ["config|help", "server 5.0.0", "loading stale", "slow", "", "", "O(1)"],
  ["config|set", "server 2.0.0", "admin noscript loading stale", "admin slow dangerous", "request_policy:all_nodes response_policy:all_succeeded", "", "O(N)"],
  ["wait", "generic 3.0.0", "noscript", "slow connection", "request_policy:all_shards response_policy:agg_min", "", "O(1)"],
  ["lastsave", "server 1.0.0", "loading stale fast", "admin fast dangerous", "nondeterministic_output", "", "O(1)"],
  ["memory", "server 4.0.0", "", "slow", "", "", ""],
  ["memory|doctor", "server 4.0.0", "", "slow", "nondeterministic_output request_policy:all_shards response_policy:special", "", "O(1)"],
  ["memory|help", "server 4.0.0", "loading stale", "slow", "", "", "O(1)"],
  ["memory|usage", "server 4.0.0", "readonly", "read slow", "", "RO", "O(N)"],
  ["memory|stats", "server 4.0.0", "", "slow", "nondeterministic_output request_policy:all_shards response_policy:special", "", "O(1)"],
  ["memory|purge", "server 4.0.0", "", "slow", "request_policy:all_shards response_policy:all_succeeded", "", ""],
  ["debug", "server 1.0.0", "admin noscript loading stale", "admin slow dangerous", "", "", ""],
  ["cluster", "cluster 3.0.0", "", "slow", "", "", ""],
  ["cluster|myid", "cluster 3.0.0", "stale", "slow", "", "", "O(1)"],
  ["cluster|shards", "cluster 7.0.0", "stale", "slow", "nondeterministic_output", "", "O(N)"],
  ["cluster|slots", "cluster 3.0.0", "stale", "slow", "nondeterministic_output", "", "O(N)"],
  ["cluster|info", "cluster 3.0.0", "stale", "slow", "nondeterministic_output", "", "O(1)"],
  ["cluster|keyslot", "cluster 3.0.0", "stale", "slow", "", "", "O(N)"],
  ["cluster|nodes", "cluster 3.0.0", "stale", "slow", "nondeterministic_output", "", "O(N)"],
  ["cluster|help", "cluster 5.0.0", "loading stale", "slow", "", "", "O(1)"],
  ["readonly", "cluster 3.0.0", "loading stale fast", "fast connection", "", "", "O(1)"],
  ["readwrite", "cluster 3.0.0", "loading stale fast", "fast connection", "", "", "O(1)"],
  ["slowlog", "server 2.2.12", "", "slow", "", "", ""],
  ["slowlog|get", "server 2.2.12", "admin loading stale", "admin slow dangerous", "request_policy:all_nodes nondeterministic_output", "", "O(N)"],
  ["slowlog|reset", "server 2.2.12", "admin loading stale", "admin slow dangerous", "request_policy:all_nodes response_policy:all_succeeded", "", "O(N)"],
  ["slowlog|help", "server 6.2.0", "loading stale", "slow", "", "", "O(1)"],
  ["slowlog|len", "server 2.2.12", "admin loading stale", "admin slow dangerous", "request_policy:all_nodes response_policy:agg_sum nondeterministic_output", "", "O(1)"],
  ["latency", "server 2.8.13", "", "slow", "", "", ""],
  ["latency|help", "server 2.8.13", "loading stale", "slow", "", "", "O(1)"],
  ["latency|history", "server 2.8.13", "admin noscript loading stale", "admin slow dangerous", "nondeterministic_output request_policy:all_nodes response_policy:special", "", "O(1)"],
  ["latency|latest", "server 2.8.13", "admin noscript loading stale", "admin slow dangerous", "nondeterministic_output request_policy:all_nodes response_policy:special", "", "O(1)"],
  ["latency|doctor", "server 2.8.13", "admin noscript loading stale", "admin slow dangerous", "nondeterministic_output request_policy:all_nodes response_policy:special", "", "O(1)"],
  ["latency|reset", "server 2.8.13", "admin noscript loading stale", "admin slow dangerous", "request_policy:all_nodes response_policy:all_succeeded", "", "O(1)"],
  ["shutdown", "server 1.0.0", "admin noscript loading stale no_multi allow_busy", "admin slow dangerous", "", "", "O(N)"],
  ["info", "server 1.0.0", "loading stale", "slow dangerous", "nondeterministic_output request_policy:all_shards response_policy:special", "", "O(1)"],
  ["asking", "cluster 3.0.0", "fast", "fast connection", "", "", "O(1)"],
];

const BY_NAME: ReadonlyMap<string, Row> = new Map(ROWS.map((row) => [row[0], row]));

/** The details of a command, or of one of its subcommands by its full name. */
export function detailsOf(fullName: string, entry: CommandEntry, keys: CommandKeys): CommandDetails {
  const row = BY_NAME.get(fullName);
  if (row === undefined) return ownDetails(entry, keys);
  const [, groupAndSince, flags, categories, tips, keySpecs, complexity] = row;
  const [group = "", since = ""] = groupAndSince.split(" ");
  return {
    ...{ group, since, complexity, flags: words(flags), categories: words(categories), tips: words(tips) },
    keySpecs:
      keySpecs === "" ? [] : keySpecs.split("; ").map((text, place, all) => keySpec(text, place, all.length, keys)),
  };
}

function keySpec(text: string, place: number, count: number, [first, end, step]: CommandKeys): KeySpec {
  const [, flags = "", notes] = /^([^(]*?)(?: \((.*)\))?$/.exec(text) ?? [];
  // With more than one specification each stands for one argument.
  const last = count > 1 ? 0 : end < 0 ? end : end - first;
  return { flags: words(flags), notes: notes ?? null, first: first + place, last, step };
}

/** Of a command that Redis does not have. */
function ownDetails(entry: CommandEntry, keys: CommandKeys): CommandDetails {
  const isWrite = entry.flags.includes("write");
  const kind = isWrite ? ["write"] : entry.flags.includes("readonly") ? ["read"] : [];
  const categories = [...kind, entry.flags.includes("fast") ? "fast" : "slow"];
  const flags = isWrite ? "RW access update" : "RO access";
  return {
    ...{ group: "envelopedb", since: "", complexity: "", flags: entry.flags, categories, tips: [] },
    keySpecs: keys[0] === 0 ? [] : [keySpec(flags, 0, 1, keys)],
  };
}

function words(text: string): string[] {
  return text === "" ? [] : text.split(" ");
}
