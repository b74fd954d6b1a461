/**
 * Changes of users and roles as commands ask for them: looked at, hashed, committed. Each ends in one call of `done`: null, or
 * an error reply. Nobody can be left without anyone in charge, as far as this node sees. Main thread only.
 */
import type { AccessKind, AccessRecord, RoleRecord, UserRecord } from "../../record/access-format.ts";
import { isAccessName } from "../../record/access-format.ts";
import type { Result } from "../../record/result.ts";
import { errorReply } from "../error-reply.ts";
import type { Access } from "./access.ts";
import { BUILT_IN_ROLES } from "./roles.ts";
import { isSomebodyInCharge, NOBODY_IN_CHARGE, unknownRole, type UserOptions } from "./user-options.ts";

type Done = (error: string | null) => void;

const INVALID_NAME = "ERR a name has 1 to 64 letters, digits, '.', '_', '@' or '-', and begins with a letter or digit";
/** Stands for whoever shows a token. */
const RESERVED = "token";

/** `known` null: a new one. */
export function changeUser(
  access: Access,
  name: string,
  known: UserRecord | null,
  options: UserOptions,
  done: Done,
): void {
  if (!isAccessName(name) || name.toLowerCase() === RESERVED) return done(INVALID_NAME);
  const { users, roles } = access.content;
  const stranger = unknownRole(options.roles ?? [], roles);
  if (stranger !== null) return done(`ERR there is no role '${stranger}'`);
  const before: UserRecord = known ?? { id: 0, hash: "", enabled: true, roles: [], grants: [], revision: 0 };
  const change = (hash: string): void => {
    const { rate: rateBefore, ...rest } = before;
    const rate = options.rate ?? rateBefore ?? 0;
    const after: UserRecord = {
      ...rest,
      ...(rate === 0 ? {} : { rate }),
      hash,
      enabled: options.enabled ?? before.enabled,
      roles: options.roles ?? before.roles,
      grants: options.grants ?? before.grants,
    };
    if (!isSomebodyInCharge(new Map(users).set(name, after), roles)) return done(NOBODY_IN_CHARGE);
    commit(access, "users", name, before.revision, after, done);
  };
  const { password } = options;
  if (password === null) return change(before.hash);
  access.passwords.hash(password).then(
    (hash) => {
      password.fill(0);
      change(hash);
    },
    () => done("ERR the password could not be hashed"),
  );
}

export function removeUser(access: Access, name: string, known: UserRecord, done: Done): void {
  const rest = new Map(access.content.users);
  rest.delete(name);
  if (!isSomebodyInCharge(rest, access.content.roles)) return done(NOBODY_IN_CHARGE);
  access.admin.remove("users", name, known.revision, (result) => done(errorOf(result)));
}

/** `known` null: a new one. */
export function changeRole(
  access: Access,
  name: string,
  known: RoleRecord | null,
  grants: RoleRecord["grants"],
  done: Done,
): void {
  if (!isAccessName(name)) return done(INVALID_NAME);
  if (BUILT_IN_ROLES.has(name)) return done(`ERR the role '${name}' cannot be changed`);
  const { users, roles } = access.content;
  const after = { grants, revision: known?.revision ?? 0 };
  if (users.size > 0 && !isSomebodyInCharge(users, new Map(roles).set(name, after))) return done(NOBODY_IN_CHARGE);
  commit(access, "roles", name, after.revision, after, done);
}

export function removeRole(access: Access, name: string, known: RoleRecord, done: Done): void {
  const { users, roles } = access.content;
  const rest = new Map(roles);
  rest.delete(name);
  if (users.size > 0 && !isSomebodyInCharge(users, rest)) return done(NOBODY_IN_CHARGE);
  access.admin.remove("roles", name, known.revision, (result) => done(errorOf(result)));
}

function commit(
  access: Access,
  kind: AccessKind,
  name: string,
  expected: number,
  record: AccessRecord,
  done: Done,
): void {
  access.admin.change(kind, name, expected, record, (result) => done(errorOf(result)));
}

/** The words for a client, or null. */
export function errorOf(result: Result): string | null {
  return result.kind === "error" ? errorReply(result.code, result.message) : null;
}
