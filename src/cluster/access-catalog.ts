/**
 * Users, roles, keys of tokens and revocations, as far as this node knows: what its own replica of shard 0 has applied, or, on
 * a node without one, what it has last read there (access-admin.ts). The newer of the two counts.
 *
 * Invariant: the version only grows, and two views of one version are the same. Main thread only.
 */
import type { SystemChange } from "../bridge/shard-protocol.ts";
import { text } from "../core/bytes.ts";
import {
  ACCESS_CENSUS_KEY,
  type AccessCensus,
  accessKeyOf,
  decodeAccessCensus,
  decodeRevocation,
  decodeRole,
  decodeTokenKey,
  decodeUser,
  type Revocation,
  type RoleRecord,
  type TokenKeyRecord,
  type UserRecord,
} from "../record/access-format.ts";

/** Entries by name. */
export class AccessContent {
  census: AccessCensus | null = null;
  readonly users = new Map<string, UserRecord>();
  readonly roles = new Map<string, RoleRecord>();
  readonly tokenKeys = new Map<string, TokenKeyRecord>();
  readonly revocations = new Map<string, Revocation>();

  get version(): number {
    return this.census?.version ?? 0;
  }

  clear(): void {
    this.census = null;
    for (const kind of [this.users, this.roles, this.tokenKeys, this.revocations]) kind.clear();
  }

  /** Takes one entry of the system bucket of shard 0; others mean nothing here. */
  set(key: string, value: Uint8Array | null): void {
    if (key === ACCESS_CENSUS_KEY) {
      this.census = value === null ? null : decodeAccessCensus(value);
      return;
    }
    const entry = accessKeyOf(key);
    if (entry === null) return;
    const { kind, name } = entry;
    if (value === null) this[kind].delete(name);
    else if (kind === "users") this.users.set(name, decodeUser(value));
    else if (kind === "roles") this.roles.set(name, decodeRole(value));
    else if (kind === "tokenKeys") this.tokenKeys.set(name, decodeTokenKey(value));
    else this.revocations.set(name, decodeRevocation(value));
  }
}

export class AccessCatalog {
  readonly #applied = new AccessContent();
  #current = this.#applied;
  #toldVersion = 0;
  readonly #listeners: (() => void)[] = [];

  get content(): AccessContent {
    return this.#current;
  }

  /** How many changes are in here; 0: nobody has been entered, as far as is known. */
  get version(): number {
    return this.#current.version;
  }

  /** Runs after every change. */
  onChange(run: () => void): void {
    this.#listeners.push(run);
  }

  /** This node's replica of shard 0 has applied something; `isWhole`: these are all keys that it has, and no others. */
  learn(changes: readonly SystemChange[], isWhole: boolean): void {
    if (isWhole) {
      // What was known stays until what has come is as new.
      if (this.#current === this.#applied) this.#current = copyOf(this.#applied);
      this.#applied.clear();
    }
    for (const { key, value } of changes) this.#applied.set(text(key), value);
    this.#look(this.#applied);
  }

  /** What has been read at shard 0, whole and of one moment. */
  adopt(content: AccessContent): void {
    this.#look(content);
  }

  #look(content: AccessContent): void {
    if (content.version < this.#current.version) return;
    this.#current = content;
    if (content.version === this.#toldVersion) return;
    this.#toldVersion = content.version;
    for (const run of this.#listeners) run();
  }
}

function copyOf(content: AccessContent): AccessContent {
  const copy = new AccessContent();
  copy.census = content.census;
  for (const kind of ["users", "roles", "tokenKeys", "revocations"] as const) {
    const into: Map<string, unknown> = copy[kind];
    for (const [name, record] of content[kind]) into.set(name, record);
  }
  return copy;
}
