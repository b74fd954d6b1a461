/**
 * Which rights each command takes, in one table, and the one question that is asked before a command runs. A command that
 * is not in the table and has keys takes the right of its kind on each of them; one without keys takes the right to the
 * cluster, so that nothing new stands open by being forgotten. Main thread only.
 */
import { unreachable } from "../../core/assert.ts";
import { globPrefix } from "../../core/glob.ts";
import { Right } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { ArgumentRange } from "../argument-range.ts";
import type { CommandEntry } from "../command-table.ts";
import type { Principal } from "./principal.ts";

type Need =
  /** Also before the login. */
  | { readonly kind: "nothing" }
  | { readonly kind: "login" }
  /** On every key that is an argument. */
  | { readonly kind: "keys"; readonly rights: number }
  /** As `keys`, and on the first of them in the bucket that an option DB names. */
  | { readonly kind: "copy" }
  /** On the chosen bucket as a whole. */
  | { readonly kind: "bucket"; readonly rights: number }
  /** Read, on whatever the glob at this argument (or behind MATCH) can match. */
  | { readonly kind: "pattern"; readonly at: number }
  /** On the bucket that this argument names. */
  | { readonly kind: "named"; readonly rights: number; readonly at: number }
  /** Something in the bucket that this argument names. */
  | { readonly kind: "seen"; readonly at: number }
  | { readonly kind: "everywhere"; readonly rights: number };

const NOTHING: Need = { kind: "nothing" };
const LOGIN: Need = { kind: "login" };
const READ_KEYS: Need = { kind: "keys", rights: Right.read };
const WRITE_KEYS: Need = { kind: "keys", rights: Right.write };
const BOTH_KEYS: Need = { kind: "keys", rights: Right.read | Right.write };
const READ_BUCKET: Need = { kind: "bucket", rights: Right.read };
const CLUSTER: Need = { kind: "everywhere", rights: Right.cluster };

/** By name, or by name and first argument; the first word alone stands for all others of its kind. */
const NEEDS: Readonly<Record<string, Need>> = {
  auth: NOTHING,
  hello: NOTHING,
  quit: NOTHING,
  reset: NOTHING,
  post: NOTHING,
  "host:": NOTHING,
  ping: LOGIN,
  echo: LOGIN,
  time: LOGIN,
  command: LOGIN,
  info: LOGIN,
  read: LOGIN,
  wait: LOGIN,
  waitaof: LOGIN,
  lastsave: LOGIN,
  readonly: LOGIN,
  readwrite: LOGIN,
  asking: LOGIN,
  cluster: LOGIN,
  multi: LOGIN,
  exec: LOGIN,
  discard: LOGIN,
  unwatch: LOGIN,
  client: LOGIN,
  "client list": CLUSTER,
  "client kill": CLUSTER,
  "client pause": CLUSTER,
  "client unpause": CLUSTER,
  config: CLUSTER,
  "config get": LOGIN,
  acl: CLUSTER,
  "acl whoami": LOGIN,
  "acl cat": LOGIN,
  "acl help": LOGIN,
  user: CLUSTER,
  role: CLUSTER,
  token: CLUSTER,
  member: CLUSTER,
  "member list": LOGIN,
  "member shards": LOGIN,
  flush: CLUSTER,
  merge: CLUSTER,
  debug: CLUSTER,
  shutdown: CLUSTER,
  latency: CLUSTER,
  slowlog: CLUSTER,
  "memory usage": READ_KEYS,
  memory: LOGIN,
  "object help": LOGIN,
  object: READ_KEYS,

  // What answers with the old value, or with the new one that it was part of, also reads.
  getdel: BOTH_KEYS,
  getex: BOTH_KEYS,
  getset: BOTH_KEYS,
  incr: BOTH_KEYS,
  decr: BOTH_KEYS,
  incrby: BOTH_KEYS,
  decrby: BOTH_KEYS,
  incrbyfloat: BOTH_KEYS,
  rename: BOTH_KEYS,
  renamenx: BOTH_KEYS,
  setbit: BOTH_KEYS,
  copy: { kind: "copy" },

  scan: { kind: "pattern", at: 0 },
  keys: { kind: "pattern", at: 1 },
  dbsize: READ_BUCKET,
  randomkey: READ_BUCKET,
  flushdb: { kind: "bucket", rights: Right.admin },
  flushall: { kind: "everywhere", rights: Right.admin },
  select: { kind: "seen", at: 1 },
  use: { kind: "seen", at: 1 },
  list: LOGIN,
  "bucket list": LOGIN,
  "bucket info": { kind: "named", rights: Right.read, at: 2 },
  // A limit is set by others than those it is for.
  "bucket quota": CLUSTER,
  bucket: { kind: "named", rights: Right.admin, at: 2 },
};

/** Acts that change what the node or the cluster is, and not the content of a bucket: each leaves a line in the audit log. */
const ACTS: ReadonlySet<string> = new Set([
  ...["bucket create", "bucket drop", "bucket quota", "flushdb", "flushall", "flush", "merge", "debug", "shutdown"],
  ...["config set", "config rewrite", "config resetstat", "client kill", "client pause", "client unpause"],
  ...["member add", "member remove", "member transfer"],
  ...["user add", "user set", "user del", "role add", "role set", "role del"],
  ...["token issue", "token revoke", "token rotate", "acl setuser", "acl deluser"],
]);

/** Names for which a second word says what is done. */
const WITH_SUBCOMMANDS: ReadonlySet<string> = new Set(
  [...Object.keys(NEEDS), ...ACTS].filter((name) => name.includes(" ")).map((name) => name.slice(0, name.indexOf(" "))),
);

export type Verdict = "allowed" | "command" | "key";

const KEY = new ArgumentRange();

/** Whether the command may run; "key": it is a key (and not the command) that they may not touch. */
export function judge(principal: Principal, bucket: string, entry: CommandEntry, request: RequestArguments): Verdict {
  const need = needOf(entry, request);
  switch (need.kind) {
    case "nothing":
      return "allowed";
    case "login":
      return principal.isLoggedIn ? "allowed" : "command";
    case "keys":
      return mayKeys(principal, need.rights, bucket, entry, request) ? "allowed" : "key";
    case "copy":
      return mayCopy(principal, bucket, request) ? "allowed" : "key";
    case "bucket":
      return principal.may(need.rights, bucket, null) ? "allowed" : "key";
    case "pattern":
      return mayMatch(principal, bucket, patternOf(need.at, request)) ? "allowed" : "key";
    case "named":
      return request.count > need.at && principal.may(need.rights, request.text(need.at), null) ? "allowed" : "command";
    case "seen":
      return principal.sees(request.text(need.at)) ? "allowed" : "command";
    case "everywhere":
      return principal.mayEverywhere(need.rights) ? "allowed" : "command";
    default:
      return unreachable(need);
  }
}

/** The command as Redis names it in what it says of it, and as it stands in the audit log. */
export function fullName(entry: CommandEntry, request: RequestArguments): string {
  const hasWord = WITH_SUBCOMMANDS.has(entry.name) && request.count > 1 && request.byteCount(1) <= WORD_BYTES_MAX;
  return hasWord && isWord(request.word(1)) ? `${entry.name}|${request.word(1)}` : entry.name;
}

/** Whether the command is an act that is recorded before it is done. */
export function isAct(entry: CommandEntry, request: RequestArguments): boolean {
  return ACTS.has(entry.name) || ACTS.has(fullName(entry, request).replace("|", " "));
}

/** An act with the name of what it is about, and without anything that could be a secret; null: it is no act. */
export function describeAct(entry: CommandEntry, request: RequestArguments): string | null {
  if (!isAct(entry, request)) return null;
  const name = fullName(entry, request);
  const hasName =
    name.includes("|") && request.count > 2 && name !== "token|revoke" && NAMES_SOMETHING.test(request.text(2));
  return hasName ? `${name} ${request.text(2)}` : name;
}

/** What comes in a wrong order may be a password. */
const NAMES_SOMETHING = /^[^<>#]/;

/** Whether the table says what a command takes: those with keys may leave it to their kind. */
export function isKnown(entry: CommandEntry): boolean {
  return entry.keys[0] > 0 || NEEDS[entry.name] !== undefined;
}

const WORD_BYTES_MAX = 32;

function isWord(word: string): boolean {
  return /^[a-z-]+$/.test(word);
}

function needOf(entry: CommandEntry, request: RequestArguments): Need {
  if (WITH_SUBCOMMANDS.has(entry.name)) {
    const special = NEEDS[fullName(entry, request).replace("|", " ")];
    if (special !== undefined) return special;
  }
  const need = NEEDS[entry.name];
  if (need !== undefined) return need;
  if (entry.keys[0] === 0) return CLUSTER;
  if (!entry.flags.includes("write")) return READ_KEYS;
  return entry.name === "set" ? needOfSet(request) : WRITE_KEYS;
}

/** SET with the option GET reads. */
function needOfSet(request: RequestArguments): Need {
  for (let i = 3; i < request.count; i++) {
    if (request.byteCount(i) === 3 && request.word(i) === "get") return BOTH_KEYS;
  }
  return WRITE_KEYS;
}

function mayKeys(
  principal: Principal,
  rights: number,
  bucket: string,
  entry: CommandEntry,
  request: RequestArguments,
): boolean {
  const [first, end, step] = entry.keys;
  const last = end < 0 ? request.count + end : Math.min(end, request.count - 1);
  if (first === 0 || first > last) return principal.may(rights, bucket, null);
  for (let i = first; i <= last; i += step) {
    if (!principal.may(rights, bucket, KEY.point(request, i))) return false;
  }
  return true;
}

function mayCopy(principal: Principal, bucket: string, request: RequestArguments): boolean {
  let target = bucket;
  for (let i = 3; i + 1 < request.count; i++) if (request.word(i) === "db") target = request.text(i + 1);
  return (
    principal.may(Right.read, bucket, KEY.point(request, 1)) &&
    principal.may(Right.write, target, KEY.point(request, 2))
  );
}

/** Of SCAN (`at` 0): behind MATCH; null: there is none. */
function patternOf(at: number, request: RequestArguments): Uint8Array | null {
  if (at > 0) return request.view(at);
  let pattern: Uint8Array | null = null;
  for (let i = 2; i + 1 < request.count; i += 2) if (request.word(i) === "match") pattern = request.view(i + 1);
  return pattern;
}

function mayMatch(principal: Principal, bucket: string, pattern: Uint8Array | null): boolean {
  if (pattern === null) return principal.may(Right.read, bucket, null);
  const prefix = globPrefix(pattern);
  return principal.may(Right.read, bucket, { bytes: prefix, start: 0, end: prefix.length });
}
