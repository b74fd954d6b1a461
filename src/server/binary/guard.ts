/**
 * Who a client of the binary protocol is and what it may do: asked for each request, before anything is carried out. Main
 * thread only.
 */
import { utf8 } from "../../core/bytes.ts";
import { Right } from "../../record/access-format.ts";
import type { BinaryRequest, Credentials, ErrorReply } from "../../wire/binary-messages.ts";
import type { LoginOutcome } from "../access/access.ts";
import type { ConnectionLogin } from "../access/connection-login.ts";
import { ANYBODY } from "../access/principal.ts";
import { WholeRange } from "./key-commands.ts";
import { failure } from "./replies.ts";
import { type NamedRight, nameOf, needs } from "./rights.ts";

export interface Guard {
  /** `done` is called with why the client is not let in, or null; during the call or later. */
  admit(credentials: Credentials | null, done: (problem: ErrorReply | null) => void): void;
  /** Null: it may be carried out. */
  objection(request: BinaryRequest): ErrorReply | null;
  sees(bucket: string): boolean;
  /** `done` is told whether the act may be done, because it stands in the audit log. */
  record(act: string, bucket: string, done: (isRecorded: boolean) => void): void;
  /** The client has named a session that is not there: it has ended, or is somebody else's. */
  missedSession(): void;
  /** Of the sessions that the client opens and uses. */
  readonly sessionOwner: string;
}

/** Of a client that is this process itself: whoever runs it has the files as well. */
export const OWN_PROCESS: Guard = {
  admit: (_credentials, done) => done(null),
  objection: () => null,
  sees: () => true,
  record: (_act, _bucket, done) => done(true),
  missedSession: () => undefined,
  sessionOwner: "",
};

const TOKEN_USER = "token";
const LOGIN_NEEDED = failure("UNAUTHENTICATED", "this node wants to know who it is: a hello with credentials");
const WRONG = failure("BAD_CREDENTIALS", "a wrong name, password or token, or one that is no longer good");
const NOT_KNOWN_YET = failure("UNAVAILABLE", "who may come in is not known to this node yet");
const FORBIDDEN = failure("FORBIDDEN", "this user has no right to do that");

const KEY = new WholeRange();

/** Of a connection to a node that may have users. */
export class LoginGuard implements Guard {
  readonly #login: ConnectionLogin;

  constructor(login: ConnectionLogin) {
    this.#login = login;
  }

  get sessionOwner(): string {
    return this.#login.sessionOwner;
  }

  /** To an open node everybody is the user `default`, as for Redis without passwords. */
  admit(credentials: Credentials | null, done: (problem: ErrorReply | null) => void): void {
    const login = this.#login;
    if (login.principal === ANYBODY) {
      const isAnybody = credentials === null || (credentials.kind === "password" && credentials.user === ANYBODY.name);
      done(isAnybody ? null : WRONG);
    } else if (credentials === null) {
      login.refused("hello", "", "");
      done(LOGIN_NEEDED);
    } else {
      const isToken = credentials.kind === "token";
      const user = isToken ? TOKEN_USER : credentials.user;
      login.logIn(user, utf8(isToken ? credentials.token : credentials.password), (outcome) =>
        done(problemOf(outcome)),
      );
    }
  }

  objection(request: BinaryRequest): ErrorReply | null {
    const login = this.#login;
    if (login.principal === ANYBODY || (!login.isStranger && needs(request, this.#has))) return null;
    login.refused(nameOf(request), "bucket" in request ? request.bucket : "", "key");
    return login.isStranger ? LOGIN_NEEDED : FORBIDDEN;
  }

  sees(bucket: string): boolean {
    return this.#login.principal.sees(bucket);
  }

  record(act: string, bucket: string, done: (isRecorded: boolean) => void): void {
    this.#login.record(act, bucket, done);
  }

  missedSession(): void {
    if (this.sessionOwner !== "") this.#login.refused("session", "", "it has ended, or is not theirs");
  }

  readonly #has = (right: NamedRight, bucket: string, key: Uint8Array | null): boolean => {
    const { principal } = this.#login;
    if (right === "any") return principal.sees(bucket);
    return principal.may(Right[right], bucket, key === null ? null : KEY.over(key));
  };
}

function problemOf(outcome: LoginOutcome): ErrorReply | null {
  switch (outcome.kind) {
    case "in":
      return null;
    case "wrong":
      return WRONG;
    case "unknown":
      return NOT_KNOWN_YET;
    default: {
      const seconds = Math.ceil(outcome.waitMs / 1_000);
      return failure("RATE_LIMITED", `too many failed logins, try again in ${seconds} s`);
    }
  }
}
