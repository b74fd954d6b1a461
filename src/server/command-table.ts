/**
 * The commands a client may send, found by the bytes of their name in any case, without making a string of them: open
 * addressing over an FNV-1a hash (Fowler, Noll, Vo) of the lower-case name.
 */
import { assert } from "../core/assert.ts";
import { utf8 } from "../core/bytes.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { ClientConnection } from "./client-connection.ts";

export type CommandHandler = (client: ClientConnection, request: RequestArguments) => void;

type CommandFlag = "write" | "readonly" | "fast" | "admin" | "denyoom" | "noscript" | "loading" | "stale";

/** Where keys stand: first, last (−1: the last argument), step. All 0: nowhere. */
export type CommandKeys = readonly [first: number, last: number, step: number];

/** What the second word of a command chooses. */
export interface Subcommand {
  /** Lower case. */
  readonly name: string;
  /** Number of arguments, both names included; negative: at least so many. */
  readonly arity: number;
  /** The arguments behind the name, for HELP. */
  readonly usage: string;
  readonly summary: string;
  readonly keys: CommandKeys;
  readonly handler: CommandHandler;
}

export interface CommandEntry {
  /** Lower case. */
  readonly name: string;
  /** Number of arguments, name included; negative: at least so many. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys: CommandKeys;
  readonly summary: string;
  /**
   * Waits until everything before it is answered, and everything behind it waits for its answer. For commands that see
   * more than one key, where the order per shard is not enough.
   */
  readonly exclusive: boolean;
  /** Between MULTI and EXEC it is carried out at once, instead of being queued. */
  readonly immediate: boolean;
  readonly subcommands: readonly Subcommand[];
  readonly handler: CommandHandler;
}

/** No keys in its arguments. */
export const NO_KEYS: CommandKeys = [0, 0, 0];
/** The key is the first argument. */
const ONE_KEY: CommandKeys = [1, 1, 1];
/** Every argument is a key. */
export const ALL_KEYS: CommandKeys = [1, -1, 1];

const WRITE: readonly CommandFlag[] = ["write", "denyoom"];
const READ: readonly CommandFlag[] = ["readonly", "fast"];
const ADMIN: readonly CommandFlag[] = ["loading", "stale"];

/** A command that changes one key, or the keys at `keys`. */
export function writeCommand(
  name: string,
  arity: number,
  summary: string,
  handler: CommandHandler,
  keys = ONE_KEY,
): CommandEntry {
  return { name, arity, flags: WRITE, keys, summary, exclusive: false, immediate: false, subcommands: [], handler };
}

/** A command that reads one key, or the keys at `keys`. */
export function readCommand(
  name: string,
  arity: number,
  summary: string,
  handler: CommandHandler,
  keys = ONE_KEY,
): CommandEntry {
  return { name, arity, flags: READ, keys, summary, exclusive: false, immediate: false, subcommands: [], handler };
}

/** A command on whole buckets, or on who may do what: exclusive. */
export function bucketCommand(
  name: string,
  arity: number,
  summary: string,
  handler: CommandHandler,
  flags: readonly CommandFlag[] = ["readonly"],
): CommandEntry {
  return { name, arity, flags, keys: NO_KEYS, summary, exclusive: true, immediate: false, subcommands: [], handler };
}

/** A command about the connection or the node. */
export function sessionCommand(name: string, arity: number, summary: string, handler: CommandHandler): CommandEntry {
  return {
    name,
    arity,
    flags: ADMIN,
    keys: NO_KEYS,
    summary,
    exclusive: false,
    immediate: false,
    subcommands: [],
    handler,
  };
}

/** A command about the connection that is never queued. */
export function controlCommand(name: string, arity: number, summary: string, handler: CommandHandler): CommandEntry {
  return { ...sessionCommand(name, arity, summary, handler), immediate: true };
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const CAPACITY = 512;
const NAME_BYTES_MAX = 64;

export class CommandTable {
  readonly entries: readonly CommandEntry[];
  readonly #places: (CommandEntry | null)[] = new Array<CommandEntry | null>(CAPACITY).fill(null);
  readonly #names: Uint8Array[] = new Array<Uint8Array>(CAPACITY).fill(new Uint8Array(0));

  constructor(entries: readonly CommandEntry[]) {
    assert(entries.length * 2 <= CAPACITY, "the table is at most half full");
    this.entries = entries;
    for (const entry of entries) {
      const name = utf8(entry.name);
      let place = hashName(name, 0, name.length) & (CAPACITY - 1);
      while (this.#places[place] !== null) place = (place + 1) & (CAPACITY - 1);
      this.#places[place] = entry;
      this.#names[place] = name;
    }
  }

  find(bytes: Uint8Array, start: number, end: number): CommandEntry | null {
    if (end - start > NAME_BYTES_MAX) return null;
    let place = hashName(bytes, start, end) & (CAPACITY - 1);
    for (;;) {
      const entry = this.#places[place]!;
      if (entry === null || isName(this.#names[place]!, bytes, start, end)) return entry;
      place = (place + 1) & (CAPACITY - 1);
    }
  }
}

/** Bytes of the first key that is longer than allowed, or 0. */
export function longKey(entry: CommandEntry, request: RequestArguments, keyBytesMax: number): number {
  const [first, end, step] = entry.keys;
  const last = end < 0 ? request.count + end : Math.min(end, request.count - 1);
  for (let i = first; i <= last; i += step) {
    const byteCount = request.byteCount(i);
    if (byteCount > keyBytesMax) return byteCount;
  }
  return 0;
}

function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = FNV_OFFSET;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ lower(bytes[i]!), FNV_PRIME);
  return hash >>> 0;
}

function isName(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (lower(bytes[start + i]!) !== name[i]) return false;
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
