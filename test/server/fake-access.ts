/** Users, roles and tokens without a cluster: a catalog in a Map that decides as the shard does, and passwords that cost nothing. */
import { text, utf8, viewOf } from "../../src/core/bytes.ts";
import { AccessAdmin } from "../../src/cluster/access-admin.ts";
import { AccessCatalog } from "../../src/cluster/access-catalog.ts";
import type { SystemAccess } from "../../src/cluster/bucket-admin.ts";
import type { Clock } from "../../src/env/clock.ts";
import type { Passwords } from "../../src/env/passwords.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import {
  ACCESS_CENSUS_KEY,
  accessKeyOf,
  decodeAccessCensus,
  decodeAccessChange,
  EMPTY_CENSUS,
  encodeAccessCensus,
  encodeAccessRecord,
  revisionOf,
  type UserRecord,
  withRevision,
} from "../../src/record/access-format.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../../src/record/result.ts";
import { Access } from "../../src/server/access/access.ts";
import type { AuditLog } from "../../src/server/access/audit-log.ts";

export interface FakeAccess {
  readonly access: Access;
  readonly passwords: FakePasswords;
  /** Enters a user whose password is their name followed by "-secret". */
  enter(name: string, roles: readonly string[], grants?: UserRecord["grants"]): void;
  remove(name: string): void;
}

/** A hash is the password behind a mark; a check takes until the next turn of the loop, or until it is let go. */
export class FakePasswords implements Passwords {
  checkCount = 0;
  running = 0;
  runningMost = 0;
  readonly hash = async (password: Uint8Array): Promise<string> => `hash:${text(password)}`;

  async verify(password: Uint8Array, hash: string): Promise<boolean> {
    this.checkCount += 1;
    this.running += 1;
    this.runningMost = Math.max(this.runningMost, this.running);
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.running -= 1;
    return hash === `hash:${text(password)}`;
  }
}

export function fakeAccess(
  options: { mayBeOpen?: boolean; audit?: AuditLog | null; clock?: Clock; checksMax?: number } = {},
): FakeAccess {
  const { mayBeOpen = true, audit = null, clock = new RealClock(), checksMax = 2 } = options;
  const catalog = new AccessCatalog();
  const system = new FakeSystem(catalog);
  const passwords = new FakePasswords();
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const admin = new AccessAdmin(catalog, system);
  const access = new Access(admin, passwords, audit, clock, quiet, { mayBeOpen, checksMax });
  return {
    access,
    passwords,
    enter: (name, roles, grants = []) => {
      const known = catalog.content.users.get(name)?.revision ?? 0;
      const user = { id: 0, hash: `hash:${name}-secret`, enabled: true, roles, grants, revision: 0 };
      admin.change("users", name, known, user, () => undefined);
    },
    remove: (name) => admin.remove("users", name, catalog.content.users.get(name)?.revision ?? 0, () => undefined),
  };
}

class FakeSystem implements SystemAccess {
  readonly shardCount = 1;
  readonly #catalog: AccessCatalog;
  readonly #entries = new Map<string, Uint8Array>();

  constructor(catalog: AccessCatalog) {
    this.#catalog = catalog;
  }

  command(_shard: number, type: CommandType, key: Uint8Array, value: Uint8Array, done: (result: Result) => void): void {
    done(type === CommandType.removeAccess ? this.#remove(text(key), value) : this.#change(text(key), value));
  }

  get(_shard: number, key: Uint8Array, done: (result: Result) => void): void {
    const value = this.#entries.get(text(key));
    if (value === undefined) done(NIL);
    else done({ kind: "version", value, valueBytes: value.length, expiryMs: 0 });
  }

  page(_shard: number, _after: Uint8Array | null, pattern: Uint8Array, done: (result: Result) => void): void {
    const prefix = text(pattern).slice(0, -1);
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).map((key) => utf8(key));
    done({ kind: "page", keys, matchCount: keys.length, byteCount: 0, next: null });
  }

  #census() {
    const bytes = this.#entries.get(ACCESS_CENSUS_KEY);
    return bytes === undefined ? EMPTY_CENSUS : decodeAccessCensus(bytes);
  }

  #change(key: string, value: Uint8Array): Result {
    const kind = accessKeyOf(key)?.kind ?? "users";
    const { expected, record } = decodeAccessChange(kind, value);
    const known = this.#entries.get(key);
    const before = known === undefined ? null : revisionOf(known);
    if ((before?.revision ?? 0) !== expected) return errorResult("CONFLICT", "changed meanwhile");
    const census = this.#census();
    const version = census.version + 1;
    const count = census[kind] + (before === null ? 1 : 0);
    const entry = encodeAccessRecord(kind, withRevision(record, version, before?.id ?? version));
    this.#store(key, entry, encodeAccessCensus({ ...census, version, [kind]: count }));
    return integerResult(version);
  }

  #remove(key: string, value: Uint8Array): Result {
    const kind = accessKeyOf(key)?.kind ?? "users";
    const known = this.#entries.get(key);
    const isNamed = known !== undefined && revisionOf(known).revision === viewOf(value).getUint32(0, true);
    if (!isNamed) return errorResult("CONFLICT", "changed meanwhile");
    const census = this.#census();
    this.#store(key, null, encodeAccessCensus({ ...census, version: census.version + 1, [kind]: census[kind] - 1 }));
    return OK;
  }

  #store(key: string, value: Uint8Array | null, census: Uint8Array): void {
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, value);
    this.#entries.set(ACCESS_CENSUS_KEY, census);
    this.#catalog.learn(
      [
        { key: utf8(key), value },
        { key: utf8(ACCESS_CENSUS_KEY), value: census },
      ],
      false,
    );
  }
}
