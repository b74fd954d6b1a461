/** What `certs` makes: whom each certificate names, for what, and that nothing is overwritten. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runMain, temporaryDirectory } from "./run-main.ts";

setDefaultTimeout(30_000);

const SERVER = "1.3.6.1.5.5.7.3.1";
const CLIENT = "1.3.6.1.5.5.7.3.2";

function certificate(out: string, name: string): X509Certificate {
  return new X509Certificate(readFileSync(join(out, `${name}.pem`)));
}

test("an authority, nodes with their names, clients for calling only, keys for the owner only", async () => {
  using directory = temporaryDirectory();
  const out = join(directory.path, "certs");
  const flags = ["certs", "--out", out, "--cluster", "orders", "--hosts", "db.example,127.0.0.1,::1"];
  const run = await runMain([...flags, "--nodes", "n1,n2", "--clients", "alice", "--days", "90"]);
  expect(run).toMatchObject({ code: 0, err: "" });
  expect(run.out).toContain(`--tls-certificate ${join(out, "n1.pem")}`);
  const names = ["alice", "ca", "n1", "n2"];
  expect(readdirSync(out).sort()).toEqual(names.flatMap((name) => [`${name}-key.pem`, `${name}.pem`]));
  for (const name of names) expect(statSync(join(out, `${name}-key.pem`)).mode & 0o777).toBe(0o600);
  const ca = certificate(out, "ca");
  const [alice, n1] = [certificate(out, "alice"), certificate(out, "n1")];
  expect([ca.ca, n1.ca, alice.ca]).toEqual([true, false, false]);
  expect([n1.verify(ca.publicKey), alice.verify(ca.publicKey)]).toEqual([true, true]);
  expect([n1.keyUsage, alice.keyUsage]).toEqual([[SERVER, CLIENT], [CLIENT]]);
  expect(alice.subject).toBe("CN=alice");
  for (const name of ["DNS:n1.orders", "DNS:db.example", "IP Address:127.0.0.1"])
    expect(n1.subjectAltName).toContain(name);
  expect(n1.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: "prime256v1" });
  const days = (Date.parse(n1.validTo) - Date.now()) / 86_400_000;
  expect(Math.round(days)).toBe(90);

  const again = await runMain([...flags, "--nodes", "n2,n3", "--clients", ""]);
  expect(again).toMatchObject({ code: 2, out: "" });
  expect(again.err).toContain("n2.pem is there already");
  expect(readdirSync(out)).not.toContain("n3.pem");

  expect(await runMain([...flags, "--nodes", "n3", "--clients", ""])).toMatchObject({ code: 0, err: "" });
  expect(certificate(out, "n3").verify(ca.publicKey)).toBe(true);
});

test("names that cannot be files are refused", async () => {
  using directory = temporaryDirectory();
  for (const nodes of ["../n1", "n1,,n2", "n1,n1", "ca"]) {
    const run = await runMain(["certs", "--out", directory.path, "--nodes", nodes]);
    expect([nodes, run.code]).toEqual([nodes, 2]);
  }
  expect(readdirSync(directory.path)).toEqual([]);
});
