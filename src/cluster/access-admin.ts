/**
 * Changes users, roles, keys of tokens and revocations, and keeps what this node knows of them near what shard 0 has: a node
 * with a replica of it learns of every change as it is applied, one without looks once a second whether there has been one.
 * Until the first look has been answered the node does not know whether anybody was ever entered. Main thread only.
 */
import { text, utf8, viewOf } from "../core/bytes.ts";
import {
  ACCESS_CENSUS_KEY,
  type AccessKind,
  type AccessRecord,
  encodeAccessChange,
  REVOCATION_PREFIX,
  ROLE_PREFIX,
  TOKEN_KEY_PREFIX,
  USER_PREFIX,
  type UserRecord,
} from "../record/access-format.ts";
import { CommandType } from "../record/command-format.ts";
import { OK, type Result } from "../record/result.ts";
import { type AccessCatalog, AccessContent } from "./access-catalog.ts";
import type { SystemAccess } from "./bucket-admin.ts";

type Done = (result: Result) => void;

const CATALOG_SHARD = 0;

const PREFIX_OF: Readonly<Record<AccessKind, string>> = {
  users: USER_PREFIX,
  roles: ROLE_PREFIX,
  tokenKeys: TOKEN_KEY_PREFIX,
  revocations: REVOCATION_PREFIX,
};

export class AccessAdmin {
  readonly catalog: AccessCatalog;
  readonly #access: SystemAccess;
  #isConfirmed = false;

  constructor(catalog: AccessCatalog, access: SystemAccess) {
    this.catalog = catalog;
    this.#access = access;
  }

  /** Whether shard 0 has been asked and has answered since this node started. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Enters an entry, or changes the one that has this revision (0: there is none). ok, or CONFLICT. */
  change(kind: AccessKind, name: string, expected: number, record: AccessRecord, done: Done): void {
    const value = encodeAccessChange(kind, expected, record);
    this.#command(CommandType.changeAccess, kind, name, value, done);
  }

  /** Enters the very first user; ok, or CONFLICT. */
  found(name: string, user: UserRecord, done: Done): void {
    this.#command(CommandType.foundAccess, "users", name, encodeAccessChange("users", 0, user), done);
  }

  remove(kind: AccessKind, name: string, revision: number, done: Done): void {
    const value = new Uint8Array(4);
    viewOf(value).setUint32(0, revision, true);
    this.#command(CommandType.removeAccess, kind, name, value, done);
  }

  /** Asks shard 0 whether there is anything new, and reads it; ok, or why it could not be known. */
  refresh(done: Done): void {
    this.#census((before) => {
      if (before instanceof AccessContent) {
        this.#isConfirmed = true;
        if (before.version <= this.catalog.version) done(OK);
        else this.#readAll(before, done);
      } else done(before);
    });
  }

  /** Whoever has changed something sees it at once where they did it. */
  #command(type: CommandType, kind: AccessKind, name: string, value: Uint8Array, done: Done): void {
    this.#access.command(CATALOG_SHARD, type, utf8(`${PREFIX_OF[kind]}${name}`), value, (result) => {
      if (result.kind === "error") done(result);
      else this.refresh(() => done(OK));
    });
  }

  #census(done: (content: AccessContent | Result) => void): void {
    this.#access.get(CATALOG_SHARD, utf8(ACCESS_CENSUS_KEY), (result) => {
      if (result.kind === "error") return done(result);
      const content = new AccessContent();
      if (result.kind === "version") content.set(ACCESS_CENSUS_KEY, result.value);
      done(content);
    });
  }

  /** Every entry, into what holds the census from before; kept only if the census is the same afterwards. */
  #readAll(content: AccessContent, done: Done): void {
    const prefixes = Object.values(PREFIX_OF);
    const next = (): void => {
      const prefix = prefixes.pop();
      if (prefix !== undefined) return this.#readKind(prefix, null, content, (r) => (r === OK ? next() : done(r)));
      this.#census((after) => {
        if (!(after instanceof AccessContent)) return done(after);
        if (after.version === content.version) this.catalog.adopt(content);
        done(OK);
      });
    };
    next();
  }

  #readKind(prefix: string, after: Uint8Array | null, content: AccessContent, done: Done): void {
    this.#access.page(CATALOG_SHARD, after, utf8(`${prefix}*`), (result) => {
      if (result.kind !== "page") return done(result);
      const behind = result.next?.slice() ?? null;
      const keys = result.keys.map((key) => text(key));
      this.#readEach(keys, content, (read) => {
        if (read !== OK || behind === null) done(read);
        else this.#readKind(prefix, behind, content, done);
      });
    });
  }

  #readEach(keys: readonly string[], content: AccessContent, done: Done): void {
    let waiting = keys.length;
    if (waiting === 0) return done(OK);
    let failure: Result | null = null;
    for (const key of keys) {
      this.#access.get(CATALOG_SHARD, utf8(key), (result) => {
        if (result.kind === "error") failure = result;
        else if (result.kind === "version") content.set(key, result.value);
        waiting -= 1;
        if (waiting === 0) done(failure ?? OK);
      });
    }
  }
}
