/**
 * `certs`: a certificate authority for development and test, and what it signs: one certificate for each node, one for each
 * client. What is there already is never overwritten; where the authority is there, it signs, so nodes can come later.
 *
 *   DIR/ca.pem  ca-key.pem        the authority
 *   DIR/n1.pem  n1-key.pem …      nodes, and clients: the certificate and its key
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import { nodeHost } from "../core/node-host.ts";
import { type Authority, type Certificate, createAuthority, openAuthority } from "./certificate-authority.ts";

const AUTHORITY = "ca";
const AUTHORITY_DAYS = 3_650;
const OWNER_ONLY = 0o600;
const EVERYBODY_READS = 0o644;

export interface CertsOptions {
  /** The directory for the files. */
  readonly out: string;
  readonly cluster: string;
  readonly nodes: readonly string[];
  /** Names and addresses under which clients reach the nodes. */
  readonly hosts: readonly string[];
  /** Common names of client certificates. */
  readonly clients: readonly string[];
  readonly days: number;
}

/** Returns the exit code. Throws CONFIG where a file is already there. */
export async function runCerts(options: CertsOptions): Promise<number> {
  await writeCertificates(options);
  process.stdout.write(advice(options));
  return 0;
}

/** Throws CONFIG where a file is already there; nothing has been written then. */
export async function writeCertificates(options: CertsOptions): Promise<void> {
  const { out, cluster, nodes, hosts, clients, days } = options;
  mkdirSync(out, { recursive: true });
  const names = [...nodes, ...clients];
  const repeated = names.find((name, i) => name === AUTHORITY || names.indexOf(name) < i);
  if (repeated !== undefined) throw new EnvelopeError("CONFIG", `two certificates would be called ${repeated}`);
  const taken = names.flatMap((name) => Object.values(certificateFiles(out, name))).find((path) => existsSync(path));
  if (taken !== undefined) throw new EnvelopeError("CONFIG", `${taken} is there already, and is not overwritten`);
  const authority = await authorityIn(out, cluster);
  for (const node of nodes) {
    const own = nodeHost(node, cluster);
    const request = { commonName: own, hosts: [own, ...hosts], days, fromMs: Date.now() };
    save(out, node, await authority.issue({ ...request, purposes: ["server", "client"] }));
  }
  for (const client of clients) {
    const request = { commonName: client, hosts: [], days, fromMs: Date.now() };
    save(out, client, await authority.issue({ ...request, purposes: ["client"] }));
  }
}

/** The flags that give a node its certificate. */
export function certificateFlags(out: string, node: string): string[] {
  const { certificate, key } = certificateFiles(out, node);
  return ["--tls-certificate", certificate, "--tls-key", key, "--tls-authority", authorityFile(out)];
}

export function authorityFile(out: string): string {
  return certificateFiles(out, AUTHORITY).certificate;
}

async function authorityIn(out: string, cluster: string): Promise<Authority> {
  const { certificate, key } = certificateFiles(out, AUTHORITY);
  if (existsSync(certificate) && existsSync(key)) {
    return openAuthority({ certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") });
  }
  const authority = await createAuthority(`EnvelopeDB development authority of ${cluster}`, AUTHORITY_DAYS, Date.now());
  save(out, AUTHORITY, authority);
  return authority;
}

function certificateFiles(out: string, name: string): { certificate: string; key: string } {
  return { certificate: join(out, `${name}.pem`), key: join(out, `${name}-key.pem`) };
}

function save(out: string, name: string, { certificate, key }: Certificate): void {
  const files = certificateFiles(out, name);
  create(files.key, key, OWNER_ONLY);
  create(files.certificate, certificate, EVERYBODY_READS);
}

function create(path: string, text: string, mode: number): void {
  let file: number;
  try {
    file = openSync(path, "wx", mode);
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `${path} cannot be created: ${(cause as NodeJS.ErrnoException).code}`);
  }
  writeSync(file, text);
  closeSync(file);
}

function advice({ out, nodes, clients }: CertsOptions): string {
  const ports = "--tls-client on --tls-peer on --tls-http on";
  const each = nodes.map(
    (node) => `  envelopedb node --id ${node} … ${certificateFlags(out, node).join(" ")} ${ports}\n`,
  );
  const ca = authorityFile(out);
  const shown = clients.map((client) => certificateFiles(out, client));
  const [first] = shown;
  const pair = first === undefined ? "" : ` --tls-certificate ${first.certificate} --tls-key ${first.key}`;
  return `certificates in ${out}; ${join(out, "ca-key.pem")} signs for all of them: keep it elsewhere

nodes:
${each.join("")}
clients (their certificate is needed with --tls-client required):
  envelopedb cli --tls-authority ${ca}${pair}
  redis-cli --tls --cacert ${ca}
`;
}
