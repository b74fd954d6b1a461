/**
 * Who comes in, and as whom. A node is *open* while nobody has been entered as a user and it may be open; then everybody is
 * anybody. Otherwise every connection has to log in, with a name and password or with a token.
 *
 * A name that nobody has, a user who is disabled, and a wrong password take as long and are answered alike: there is always a
 * hash to check against. What a login rests on is kept (an Identity), so that a change of rights, or the end of a user or of a
 * token, reaches those who are connected. No secret is kept or logged. Main thread only.
 */
import type { AccessAdmin } from "../../cluster/access-admin.ts";
import type { AccessContent } from "../../cluster/access-catalog.ts";
import { text } from "../../core/bytes.ts";
import type { AuditEvent } from "../../core/audit-format.ts";
import type { Clock } from "../../env/clock.ts";
import type { Logger } from "../../env/environment.ts";
import type { Passwords } from "../../env/passwords.ts";
import { type Grant, isAccessName, Right, type UserRecord } from "../../record/access-format.ts";
import type { AuditLog } from "./audit-log.ts";
import { LoginThrottle } from "./login-throttle.ts";
import { PasswordQueue } from "./password-queue.ts";
import { ANYBODY, NOBODY, Principal } from "./principal.ts";
import { BUILT_IN_ROLES } from "./roles.ts";
import { readToken, TOKEN_BYTES_MAX, type TokenClaims } from "./tokens.ts";

/** What a login rests on. */
export interface Identity {
  readonly user: string;
  readonly userId: number;
  readonly token: TokenClaims | null;
}

export type LoginOutcome =
  | { readonly kind: "in"; readonly identity: Identity; readonly principal: Principal }
  /** Wrong, whatever it is that was wrong. */
  | { readonly kind: "wrong" }
  /** Not looked at: there were too many mistakes, or too many are being looked at. */
  | { readonly kind: "wait"; readonly waitMs: number }
  /** Who may come in is not known here yet. */
  | { readonly kind: "unknown" };

export interface AccessOptions {
  /** Whether the node is open while there are no users. */
  readonly mayBeOpen: boolean;
  readonly checksMax: number;
}

/** The name under which a token is shown. */
const TOKEN_USER = "token";
const PASSWORD_BYTES_MAX = 1_024;
const BUSY_WAIT_MS = 1_000;
/** Of a password that nobody knows, with the parameters of all others. */
const NOBODYS_HASH =
  "$argon2id$v=19$m=19456,t=2,p=1$+EozF1mB7y8mX/SgmumpHgRWgvJuSwAFGvGOWx9FUmU$smtj37LVTUc1sT3bN+iBAS4airXT8LT/mdkX1m5xOfo";
const WRONG: LoginOutcome = { kind: "wrong" };

export class Access {
  readonly admin: AccessAdmin;
  readonly passwords: Passwords;
  /** Null: nothing is recorded (a library without a node). */
  readonly audit: AuditLog | null;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #mayBeOpen: boolean;
  readonly #throttle = new LoginThrottle();
  readonly #queue: PasswordQueue;
  readonly #principals = new Map<string, Principal>();
  /** Logins that were refused. */
  refusedCount = 0;

  constructor(
    admin: AccessAdmin,
    passwords: Passwords,
    audit: AuditLog | null,
    clock: Clock,
    log: Logger,
    { mayBeOpen, checksMax }: AccessOptions,
  ) {
    this.admin = admin;
    this.passwords = passwords;
    this.audit = audit;
    this.#clock = clock;
    this.#log = log;
    this.#mayBeOpen = mayBeOpen;
    this.#queue = new PasswordQueue(checksMax);
    admin.catalog.onChange(() => this.#principals.clear());
  }

  get content(): AccessContent {
    return this.admin.catalog.content;
  }

  get isOpen(): boolean {
    return this.#mayBeOpen && this.content.version === 0;
  }

  /** Whoever has not logged in. */
  get stranger(): Principal {
    return this.isOpen ? ANYBODY : NOBODY;
  }

  /** `done` is called once, during the call or later. The password is wiped. */
  login(user: string, password: Uint8Array, address: string, done: (outcome: LoginOutcome) => void): void {
    const isToken = user.toLowerCase() === TOKEN_USER;
    const name = isAccessName(user) && !isToken ? user : "";
    const host = hostOf(address);
    const finish = (outcome: LoginOutcome): void => {
      password.fill(0);
      this.#note(isToken ? TOKEN_USER : name, host, outcome);
      done(outcome);
    };
    if (this.content.version === 0) return finish({ kind: "unknown" });
    const waitMs = this.#throttle.waitMs(isToken ? `token ${host}` : name, host, this.#clock.monotonicMs());
    if (waitMs > 0) return finish({ kind: "wait", waitMs });
    const check = async (): Promise<void> => finish(await this.#check(name, isToken, password, host));
    if (!this.#queue.add(host, check)) finish({ kind: "wait", waitMs: BUSY_WAIT_MS });
  }

  /** What the identity allows now; null: it is none any more. */
  principalOf({ user, userId, token }: Identity): Principal | null {
    const record = this.content.users.get(user);
    if (record === undefined || !record.enabled || record.id !== userId) return null;
    const principal = this.#principalOf(user, record);
    if (token === null) return principal;
    const isOver = this.content.revocations.has(token.id) || !this.content.tokenKeys.has(token.keyId);
    if (isOver || this.#clock.wallMs() > token.expiresMs) return null;
    if (token.limits.length === 0) return principal;
    return new Principal(user, true, this.#grantsOf(record), new Principal(user, true, token.limits, null));
  }

  isExpired({ token }: Identity): boolean {
    return token !== null && this.#clock.wallMs() > token.expiresMs;
  }

  /** A line for the audit log, as far as there is room in it. */
  note(event: AuditEvent): void {
    this.audit?.note(event);
  }

  /** A connection was not let in, for reasons that come before any login. */
  connectionRefused(port: string, from: string, why: string): void {
    this.audit?.noteConnection(port, hostOf(from), why);
  }

  #principalOf(user: string, record: UserRecord): Principal {
    let principal = this.#principals.get(user);
    if (principal === undefined) {
      principal = new Principal(user, true, this.#grantsOf(record), null);
      this.#principals.set(user, principal);
    }
    return principal;
  }

  #grantsOf({ grants, roles }: UserRecord): readonly Grant[] {
    const of = (role: string) => BUILT_IN_ROLES.get(role) ?? this.content.roles.get(role)?.grants ?? [];
    return [...grants, ...roles.flatMap(of)];
  }

  async #check(name: string, isToken: boolean, password: Uint8Array, host: string): Promise<LoginOutcome> {
    const user = isToken ? `token ${host}` : name;
    const waitMs = this.#throttle.waitMs(user, host, this.#clock.monotonicMs());
    // Others from there may have been wrong while this one waited for its turn.
    if (waitMs > 0) return { kind: "wait", waitMs };
    let identity: Identity | null = null;
    try {
      identity = isToken ? await this.#byToken(password) : await this.#byPassword(name, password);
    } catch (cause) {
      this.#log.error("a login could not be checked", { why: cause instanceof Error ? cause.name : "unknown" });
    }
    const principal = identity === null ? null : this.principalOf(identity);
    if (identity === null || principal === null) {
      this.#throttle.failed(user, host, this.#clock.monotonicMs());
      return WRONG;
    }
    this.#throttle.succeeded(user);
    return { kind: "in", identity, principal };
  }

  async #byPassword(name: string, password: Uint8Array): Promise<Identity | null> {
    const record = this.content.users.get(name);
    const isUsable = password.length > 0 && password.length <= PASSWORD_BYTES_MAX;
    const hash = record === undefined || record.hash === "" || !isUsable ? NOBODYS_HASH : record.hash;
    // A password of no bytes, or of too many, is checked as any other: it costs as much.
    const isRight = await this.passwords.verify(isUsable ? password : Uint8Array.of(0), hash);
    return isRight && record !== undefined && hash === record.hash
      ? { user: name, userId: record.id, token: null }
      : null;
  }

  async #byToken(bytes: Uint8Array): Promise<Identity | null> {
    if (bytes.length > TOKEN_BYTES_MAX) return null;
    const token = await readToken(this.content, text(bytes), this.#clock.wallMs());
    return token === null ? null : { user: token.user, userId: token.userId, token };
  }

  #note(name: string, host: string, outcome: LoginOutcome): void {
    if (outcome.kind === "in") {
      const { identity, principal } = outcome;
      if (!principal.hasAny(Right.admin | Right.cluster)) return;
      const by = identity.token === null ? "password" : `token ${identity.token.id}`;
      this.note({ event: "login", user: identity.user, address: host, command: "auth", bucket: "", outcome: by });
      return;
    }
    this.refusedCount += 1;
    // A name that nobody has may be a password that was typed in its place.
    const isKnown = name === TOKEN_USER || this.content.users.has(name);
    const outcomeText = isKnown ? outcome.kind : `${outcome.kind}, no such user`;
    const user = isKnown ? name : "";
    this.note({ event: "login-failed", user, address: host, command: "auth", bucket: "", outcome: outcomeText });
  }
}

export function hostOf(address: string): string {
  const colon = address.lastIndexOf(":");
  return colon < 0 ? address : address.slice(0, colon);
}
