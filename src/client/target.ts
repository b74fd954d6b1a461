/** Where a client connects to: host:port, several separated by commas, tried in this order; and whether with TLS. */
import { EnvelopeError } from "../core/errors.ts";

/** PEM texts. */
export interface TargetTls {
  /** Whose certificates are believed; null: those that the runtime brings along. */
  readonly authority: string | null;
  /** What this client shows, with its key; null: nothing. */
  readonly certificate: string | null;
  readonly key: string | null;
}

export interface Target {
  readonly host: string;
  readonly port: number;
  /** As it was written. */
  readonly address: string;
  /** Null: without TLS. */
  readonly tls: TargetTls | null;
  /** Null: nobody logs in. */
  readonly login: Login | null;
}

/** How a client says who it is. */
export interface Login {
  /** "token": the password is a token. */
  readonly user: string;
  readonly password: string;
}

/** Without TLS. Throws EnvelopeError INVALID_ARGUMENT that quotes the part that is not host:port. */
export function parseTargets(text: string, login: Login | null = null): readonly Target[] {
  const targets = text.split(",").map((part) => parseTarget(part.trim(), login));
  if (targets.length === 0) throw new EnvelopeError("INVALID_ARGUMENT", "no target given");
  return targets;
}

/** As `parseTargets`, of one. */
export function parseTarget(address: string, login: Login | null = null): Target {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[2] ?? 0);
  if (match === null || port < 1 || port > 65_535) {
    throw new EnvelopeError("INVALID_ARGUMENT", `${JSON.stringify(address)} is not host:port`);
  }
  return { host: (match[1] ?? "").replace(/^\[|\]$/g, ""), port, address, tls: null, login };
}
