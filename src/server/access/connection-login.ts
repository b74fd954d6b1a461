/**
 * Who is on the other side of one connection, whichever protocol it speaks: a stranger, who may do next to nothing and not for
 * long; anybody, on an open node; or a user. It is told of every change of rights, and ends the connection whose user or token
 * is no longer good. It also words what the connection leaves in the audit log. Main thread only.
 */
import type { AuditEvent } from "../../core/audit-format.ts";
import type { Clock } from "../../env/clock.ts";
import type { Grant } from "../../record/access-format.ts";
import { tenantOf, userTenant } from "../turn-shares.ts";
import { type Access, hostOf, type Identity, type LoginOutcome } from "./access.ts";
import { ANYBODY, type Principal } from "./principal.ts";

/** Requests that are refused before the login until the connection is closed, and replies that may wait to be read. */
const STRANGER_REQUESTS_MAX = 100;
const STRANGER_OUTPUT_BYTES_MAX = 64 * 1024;

/** The connection. */
export interface LoginOwner {
  readonly remoteAddress: string;
  /** It is somebody else, or may do something else. */
  principalChanged(): void;
  abort(reason: string): void;
}

export class ConnectionLogin {
  principal: Principal;
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #owner: LoginOwner;
  /** What the login rests on; null: there has been none. */
  #identity: Identity | null = null;
  /** Since when nobody has logged in, monotonic; 0: somebody has, or need not. */
  #strangerSinceMs: number;
  #refusedCount = 0;
  #isOver = false;

  constructor(access: Access, clock: Clock, owner: LoginOwner) {
    this.#access = access;
    this.#clock = clock;
    this.#owner = owner;
    this.principal = access.stranger;
    this.#strangerSinceMs = this.isStranger ? clock.monotonicMs() : 0;
  }

  get isStranger(): boolean {
    return !this.principal.isLoggedIn;
  }

  /** `done` is called once, during the call or later, and not when the connection has gone meanwhile. The password is wiped. */
  logIn(user: string, password: Uint8Array, done: (outcome: LoginOutcome) => void): void {
    this.#access.login(user, password, this.#owner.remoteAddress, (outcome) => {
      if (this.#isOver) return;
      if (outcome.kind === "in") {
        this.#identity = outcome.identity;
        this.#become(outcome.principal);
      }
      done(outcome);
    });
  }

  /** As if nobody had logged in. */
  logOut(): void {
    this.#identity = null;
    this.#become(this.#access.stranger);
  }

  /** The connection has gone. */
  end(): void {
    this.#isOver = true;
  }

  /** Users, roles or tokens have changed: rights are looked up anew, and whoever has none left is sent away. */
  accessChanged(): void {
    const identity = this.#identity;
    const principal = identity === null ? this.#access.stranger : this.#access.principalOf(identity);
    if (principal === null) this.#owner.abort("the user or the token that it came in with is no longer good");
    else this.#become(principal);
  }

  /** Closes the connection when nobody has logged in for too long, or the token it came in with has ended. */
  check(nowMs: number, loginTimeoutMs: number): void {
    const identity = this.#identity;
    if (this.#strangerSinceMs !== 0 && nowMs - this.#strangerSinceMs > loginTimeoutMs) {
      this.#owner.abort(`nobody logged in for ${loginTimeoutMs} ms`);
    } else if (identity !== null && this.#access.isExpired(identity)) {
      this.#owner.abort("the token that it came in with has ended");
    }
  }

  /** A request was refused; true: a stranger has made too many of them. */
  refused(command: string, bucket: string, outcome: string): boolean {
    this.#access.note(this.#event("denied", command, bucket, this.isStranger ? "not logged in" : outcome));
    if (this.isStranger) this.#refusedCount += 1;
    return this.#refusedCount > STRANGER_REQUESTS_MAX;
  }

  /** Whether acts leave a line in the audit log before they are done. */
  get recordsActs(): boolean {
    return this.#access.audit !== null;
  }

  /** `done` is told whether the act stands in the audit log; if not, it must not be done. */
  record(command: string, bucket: string, done: (isRecorded: boolean) => void): void {
    const { audit } = this.#access;
    if (audit === null) done(true);
    else audit.record(this.#event("act", command, bucket, "asked"), done);
  }

  /** A user, or, without a login, the bucket. */
  tenantName(bucket: string): string {
    const { principal } = this;
    return principal === ANYBODY || this.isStranger ? tenantOf(bucket) : userTenant(principal.name);
  }

  /** To whom sessions belong that are opened here: a user under the limits of their token; empty: to everybody. */
  get sessionOwner(): string {
    if (this.#identity === null) return "";
    const { userId, token } = this.#identity;
    return JSON.stringify([userId, ...(token?.limits ?? []).map(limitText)]);
  }

  /** Bytes of replies that may wait to be read. */
  outputBytesMax(usual: number): number {
    return this.isStranger ? STRANGER_OUTPUT_BYTES_MAX : usual;
  }

  #become(principal: Principal): void {
    const wasStranger = this.isStranger;
    this.principal = principal;
    this.#refusedCount = 0;
    if (!this.isStranger) this.#strangerSinceMs = 0;
    else if (!wasStranger) this.#strangerSinceMs = this.#clock.monotonicMs();
    this.#owner.principalChanged();
  }

  #event(event: AuditEvent["event"], command: string, bucket: string, outcome: string): AuditEvent {
    const address = hostOf(this.#owner.remoteAddress);
    return { event, user: this.principal.name, address, command, bucket, outcome };
  }
}

function limitText({ bucket, prefix, rights }: Grant): readonly [string, string, number] {
  return [bucket, prefix.toHex(), rights];
}
