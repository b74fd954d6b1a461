/**
 * Certificate, key and authority from files, read at the start and again when they change: looked at every few seconds,
 * and when somebody says so. What has become wrong is logged and not taken; the former material stays. Main thread only.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { EnvelopeError } from "../core/errors.ts";
import type { Clock, Timer } from "./clock.ts";
import type { CertificateNames, Credentials, TlsMaterial } from "./credentials.ts";
import type { Logger } from "./environment.ts";

const LOOK_MS = 5_000;
const DAY_MS = 86_400_000;
/** From then on the end of a certificate is announced, once a day. */
const NOTICE_DAYS = 30;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Permissions of a group and of everybody. */
const OTHERS_MODE = 0o077;

export interface TlsPaths {
  readonly certificate: string;
  readonly key: string;
  /** Null: nobody's certificate is asked for. */
  readonly authority: string | null;
}

export class FileCredentials implements Credentials {
  readonly #paths: TlsPaths;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #objection: (names: CertificateNames) => string | null;
  readonly #runs: (() => void)[] = [];
  #current: TlsMaterial;
  /** What was read last, good or not: the same is not complained of twice. */
  #seen: string;
  #lastRefusal = "";
  #noticedMs: number;
  #timer: Timer | null = null;

  /** Throws CONFIG for what is missing, unreadable or does not belong together, and for an objection to the certificate. */
  constructor(paths: TlsPaths, clock: Clock, log: Logger, objection: (names: CertificateNames) => string | null) {
    this.#paths = paths;
    this.#clock = clock;
    this.#log = log;
    this.#objection = objection;
    this.#current = readMaterial(paths);
    this.#seen = JSON.stringify(this.#current);
    this.#check(this.#current);
    this.#noticedMs = clock.wallMs();
    this.#notice();
    if ((statSync(paths.key).mode & OTHERS_MODE) !== 0) {
      log.warn("the key of this node's certificate can be read by others", { key: paths.key, advice: "chmod 600" });
    }
    this.#lookLater();
  }

  get current(): TlsMaterial {
    return this.#current;
  }

  onChange(run: () => void): void {
    this.#runs.push(run);
  }

  /** Reads the files again now. */
  look(): void {
    let read: TlsMaterial;
    try {
      read = readMaterial(this.#paths);
      const seen = JSON.stringify(read);
      if (seen === this.#seen) return;
      this.#seen = seen;
      if (seen === JSON.stringify(this.#current)) return;
      this.#check(read);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#refuse(cause.message);
      return;
    }
    this.#current = read;
    this.#lastRefusal = "";
    for (const run of this.#runs) run();
    this.#log.info("new connections meet the new certificate", { certificate: this.#paths.certificate });
    this.#notice();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #refuse(why: string): void {
    if (why === this.#lastRefusal) return;
    this.#lastRefusal = why;
    this.#log.error("the new certificate is not taken; the former one stays", { why });
  }

  #lookLater(): void {
    this.#timer = this.#clock.after(LOOK_MS, () => {
      this.look();
      if (this.#clock.wallMs() - this.#noticedMs >= DAY_MS) this.#notice();
      this.#lookLater();
    });
  }

  #check(material: TlsMaterial): void {
    const { certificate: path, key: keyPath, authority } = this.#paths;
    const [own] = certificatesIn(material.certificate ?? "", path);
    if (!holdsTogether(own, material.key ?? "", keyPath)) {
      throw new EnvelopeError("CONFIG", `tlsKey ${keyPath} is not the key of tlsCertificate ${path}`);
    }
    if (authority !== null) certificatesIn(material.authority ?? "", authority);
    refuseUnusable(material, path);
    const hosts = (own.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("DNS:"));
    const commonName = /^CN=(.*)$/m.exec(own.subject ?? "")?.[1] ?? "";
    const why = this.#objection({ commonName, hosts: hosts.map((name) => name.slice("DNS:".length)) });
    if (why !== null) throw new EnvelopeError("CONFIG", `tlsCertificate ${path} ${why}`);
  }

  /** Says which certificates have expired or are about to. */
  #notice(): void {
    const nowMs = this.#clock.wallMs();
    this.#noticedMs = nowMs;
    const { certificate, authority } = this.#current;
    for (const [texts, path] of [
      [certificate, this.#paths.certificate],
      [authority, this.#paths.authority],
    ] as const) {
      if (texts === null || path === null) continue;
      for (const each of certificatesIn(texts, path)) this.#noticeEnd(each, path, nowMs);
    }
  }

  #noticeEnd({ subject, validTo }: X509Certificate, path: string, nowMs: number): void {
    const leftMs = Date.parse(validTo) - nowMs;
    const fields = { path, subject: subject?.replaceAll("\n", ", "), until: validTo };
    if (leftMs <= 0) this.#log.error("a certificate has expired", fields);
    else if (leftMs < NOTICE_DAYS * DAY_MS) this.#log.warn("a certificate is about to expire", fields);
  }
}

/** Throws CONFIG. */
function readMaterial({ certificate, key, authority }: TlsPaths): TlsMaterial {
  return {
    certificate: readText("tlsCertificate", certificate),
    key: readText("tlsKey", key),
    authority: authority === null ? null : readText("tlsAuthority", authority),
  };
}

function readText(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${setting} ${path} cannot be read: ${(cause as NodeJS.ErrnoException).code}`);
  }
}

/** At least one. Throws CONFIG. */
function certificatesIn(text: string, path: string): readonly [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = text.match(PEM_CERTIFICATE) ?? [];
  if (first === undefined) throw new EnvelopeError("CONFIG", `${path} holds no certificate in PEM`);
  try {
    return [new X509Certificate(first), ...others.map((pem) => new X509Certificate(pem))];
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${path} holds a certificate that does not parse: ${(cause as Error).message}`);
  }
}

/** Throws CONFIG for what the library of TLS itself does not take. */
function refuseUnusable({ certificate, key, authority }: TlsMaterial, path: string): void {
  try {
    createSecureContext({ cert: certificate ?? "", key: key ?? "", ...(authority === null ? {} : { ca: authority }) });
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${path} cannot be used for TLS: ${(cause as Error).message}`);
  }
}

/** Throws CONFIG when the key is none. */
function holdsTogether(certificate: X509Certificate, key: string, path: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `tlsKey ${path} holds no private key in PEM: ${(cause as Error).message}`);
  }
}
