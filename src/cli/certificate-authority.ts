/**
 * A small authority that signs certificates for development and tests: ECDSA on P-256, X.509 version 3. Where there is
 * an authority of the house, it serves as well: docs/security.md says what certificates have to hold.
 */
// The library asks for this before anything else.
import "reflect-metadata";
import type { JsonGeneralNames } from "@peculiar/x509";

const CURVE = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
/** Clocks of others may be behind by so much. */
const BACKDATED_MS = 3_600_000;
const SERIAL_BYTES = 16;

export interface Certificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8, not encrypted. */
  readonly key: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** Names and IP addresses under which it is reached; a node's own name among them. */
  readonly hosts: readonly string[];
  readonly purposes: readonly ("server" | "client")[];
  readonly days: number;
  /** Milliseconds since 1970 from which it is valid, or rather an hour before. */
  readonly fromMs: number;
}

export interface Authority extends Certificate {
  issue(request: CertificateRequest): Promise<Certificate>;
}

/** A new authority, which signs itself. */
export async function createAuthority(commonName: string, days: number, fromMs: number): Promise<Authority> {
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [commonName] }],
    ...validity(days, fromMs),
    signingAlgorithm: SIGNATURE,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return openAuthority({ certificate: `${certificate.toString("pem")}\n`, key: await pemOf(keys.privateKey) });
}

/** One that was created before. Rejects with whatever is wrong with the texts. */
export async function openAuthority({ certificate, key }: Certificate): Promise<Authority> {
  const x509 = await import("@peculiar/x509");
  const own = new x509.X509Certificate(certificate);
  const der = x509.PemConverter.decodeFirst(key);
  const signingKey = await crypto.subtle.importKey("pkcs8", der, CURVE, false, ["sign"]);
  const issue = async (request: CertificateRequest): Promise<Certificate> => {
    const keys = await crypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
    const purposes = request.purposes.map((purpose) => x509.ExtendedKeyUsage[`${purpose}Auth`]);
    const issued = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [{ CN: [request.commonName] }],
      issuer: own.subjectName.toJSON(),
      ...validity(request.days, request.fromMs),
      signingAlgorithm: SIGNATURE,
      publicKey: keys.publicKey,
      signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(purposes),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(own),
        ...(request.hosts.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(generalNames(request.hosts))]),
      ],
    });
    return { certificate: `${issued.toString("pem")}\n`, key: await pemOf(keys.privateKey) };
  };
  return { certificate, key, issue };
}

function generalNames(hosts: readonly string[]): JsonGeneralNames {
  return hosts.map((value) => ({ type: isIpAddress(value) ? "ip" : "dns", value }));
}

function isIpAddress(host: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(host) || host.includes(":");
}

function validity(days: number, fromMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(fromMs - BACKDATED_MS), notAfter: new Date(fromMs + days * DAY_MS) };
}

/** Positive, and not guessed. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes.toHex();
}

async function pemOf(privateKey: CryptoKey): Promise<string> {
  const { PemConverter } = await import("@peculiar/x509");
  return `${PemConverter.encode(await crypto.subtle.exportKey("pkcs8", privateKey), "PRIVATE KEY")}\n`;
}
