/**
 * What one proves its identity with under TLS, as PEM texts, and whom one believes. Whoever serves keeps it in a
 * `Credentials`, whose material may be replaced while connections are open: new ones meet the new, old ones live on.
 */

export interface TlsMaterial {
  /** The own certificate, followed by those between it and the authority; null: one has none to show. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** The authorities whose certificates are believed; null: those the runtime brings along. */
  readonly authority: string | null;
}

/** Who a certificate is for. */
export interface CertificateNames {
  readonly commonName: string;
  readonly hosts: readonly string[];
}

export interface Credentials {
  readonly current: TlsMaterial;
  /** `run` is called after each change. */
  onChange(run: () => void): void;
}

export function fixedCredentials(material: TlsMaterial): Credentials {
  return { current: material, onChange: () => undefined };
}
