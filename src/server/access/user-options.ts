/**
 * What is said of a user, a role or a token in a command, and the rule that somebody stays in charge.
 *
 *   PASSWORD <password>                8 to 1024 bytes
 *   ROLES <role>[,<role>…] | none
 *   GRANT <bucket> <prefix>* <rights>  as often as needed; the bucket is a glob, rights are read,write,admin,cluster or all
 *   ENABLED | DISABLED
 *   RATE <commands a second>           0: as of everybody without one
 *
 * What is given takes the place of what was there: one GRANT is the first of all grants from then on.
 */
import { utf8 } from "../../core/bytes.ts";
import { type Grant, isAccessName, Right, type RoleRecord, type UserRecord } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { Principal } from "./principal.ts";
import { BUILT_IN_ROLES, parseRights, rightsText } from "./roles.ts";

export interface UserOptions {
  /** Null, here and below: nothing was said of it. */
  password: Uint8Array | null;
  roles: string[] | null;
  grants: Grant[] | null;
  enabled: boolean | null;
  /** 0: none of its own. */
  rate: number | null;
}

const PASSWORD_BYTES_MIN = 8;
const PASSWORD_BYTES_MAX = 1_024;
const PASSWORD_LENGTH = `ERR a password has ${PASSWORD_BYTES_MIN} to ${PASSWORD_BYTES_MAX} bytes`;
export const NOBODY_IN_CHARGE =
  "ERR nobody would be left who may manage users: some enabled user needs the right cluster on every bucket (role cluster)";

const RATE_MAX = 10_000_000n;
const GRANT_ARGUMENTS = 4;
const STAR = 0x2a;

/** The options from `first` on, or what is wrong with them. */
export function parseUserOptions(request: RequestArguments, first: number): UserOptions | string {
  const options: UserOptions = { password: null, roles: null, grants: null, enabled: null, rate: null };
  for (let i = first; i < request.count; ) {
    const word = request.word(i);
    if (word === "enabled" || word === "disabled") {
      options.enabled = word === "enabled";
      i += 1;
    } else if (word === "password" && i + 1 < request.count) {
      const byteCount = request.byteCount(i + 1);
      if (byteCount < PASSWORD_BYTES_MIN || byteCount > PASSWORD_BYTES_MAX) return PASSWORD_LENGTH;
      options.password = request.copy(i + 1);
      i += 2;
    } else if (word === "roles" && i + 1 < request.count) {
      const roles = request.text(i + 1);
      options.roles = roles === "none" ? [] : roles.split(",");
      i += 2;
    } else if (word === "rate" && i + 1 < request.count) {
      const rate = request.integer(i + 1);
      if (rate === null || rate < 0n || rate > RATE_MAX) return `ERR a rate is 0 to ${RATE_MAX} commands a second`;
      options.rate = Number(rate);
      i += 2;
    } else if (word === "grant" && i + GRANT_ARGUMENTS - 1 < request.count) {
      const grant = parseGrant(request, i + 1);
      if (typeof grant === "string") return grant;
      options.grants = [...(options.grants ?? []), grant];
      i += GRANT_ARGUMENTS;
    } else return `ERR syntax error at '${request.text(i).slice(0, 32)}'`;
  }
  return options;
}

function parseGrant(request: RequestArguments, first: number): Grant | string {
  const bucket = request.text(first);
  const pattern = request.view(first + 1);
  const rights = parseRights(request.word(first + 2));
  if (bucket === "") return "ERR a grant names a bucket, or a pattern for some";
  if (pattern.at(-1) !== STAR) return "ERR the keys of a grant are a prefix with a star behind it, as user:*";
  if (rights === null) return "ERR the rights of a grant are read,write,admin,cluster or all";
  return { bucket, prefix: pattern.slice(0, -1), rights };
}

/** The roles of a list that are not there, if any. */
export function unknownRole(roles: readonly string[], known: ReadonlyMap<string, RoleRecord>): string | null {
  return roles.find((role) => !isAccessName(role) || !(BUILT_IN_ROLES.has(role) || known.has(role))) ?? null;
}

/** As it would be typed: "orders eu:* read,write". */
export function grantText({ bucket, prefix, rights }: Grant): string {
  return `${bucket} ${Buffer.from(prefix).toString("utf8")}* ${rightsText(rights)}`;
}

/** Whether some enabled user may manage the others. */
export function isSomebodyInCharge(
  users: ReadonlyMap<string, UserRecord>,
  roles: ReadonlyMap<string, RoleRecord>,
): boolean {
  for (const [name, { enabled, hash, grants, roles: names }] of users) {
    const all = [...grants, ...names.flatMap((role) => BUILT_IN_ROLES.get(role) ?? roles.get(role)?.grants ?? [])];
    if (enabled && hash !== "" && new Principal(name, true, all, null).mayEverywhere(Right.cluster)) return true;
  }
  return false;
}

/** A password from text, as a file or Redis's commands hold it; or what is wrong with it. */
export function passwordOf(text: string): Uint8Array | string {
  const bytes = utf8(text);
  return bytes.length < PASSWORD_BYTES_MIN || bytes.length > PASSWORD_BYTES_MAX ? PASSWORD_LENGTH : bytes;
}
