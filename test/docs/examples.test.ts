/**
 * The examples of the documentation do what they say. Every block marked `ts` runs by itself, against a node of its own, as a program
 * of somebody who has installed the package; what it prints is what stands behind its `console.log(…);` as a comment. Blocks
 * marked `sh` run first, in order and in the same directory. Those marked `console` and `text` are not run.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { authorityFile, certificateFlags } from "../../src/cli/certs.ts";
import { TestCluster } from "../process/test-cluster.ts";

const ROOT = join(import.meta.dir, "../..");
const DOCUMENTS = ["security.md", "client.md", "embedded.md"];
const PRINTED = /console\.log\(.*\); \/\/ (.*)$/gm;

const servers: TestCluster[] = [];
let server: TestCluster;
let directory: string;

beforeAll(async () => {
  server = await TestCluster.start({ nodes: 1, shards: 2, workers: 0 });
  servers.push(server);
  directory = mkdtempSync(join(tmpdir(), "edb-examples-"));
  mkdirSync(join(directory, "node_modules"));
  symlinkSync(ROOT, join(directory, "node_modules/envelopedb"));
  symlinkSync(join(ROOT, "node_modules/zod"), join(directory, "node_modules/zod"));
  const entries = Object.entries(manifest.scripts);
  const scripts = Object.fromEntries(entries.map(([name, line]) => [name, line.replace("src/", `${ROOT}/src/`)]));
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module", scripts }));
}, 60_000);

afterAll(async () => {
  for (const one of servers) await one.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** With the certificates and the user of the examples. */
async function secureServer(): Promise<TestCluster> {
  const certificates = join(directory, "certs");
  const authority = readFileSync(authorityFile(certificates), "utf8");
  const cluster = await TestCluster.start({
    nodes: 1,
    shards: 2,
    workers: 0,
    flags: ["--cluster", "orders", "--tls-client", "on", ...certificateFlags(certificates, "n1")],
    tls: { authority, certificate: null, key: null },
  });
  servers.push(cluster);
  const founder = await cluster.client([0]);
  await founder.command("USER", "ADD", "root", "PASSWORD", "the-root-password", "ROLES", "admin,cluster");
  founder.close();
  const root = await cluster.client([0]);
  await root.command("AUTH", "root", "the-root-password");
  await root.command("BUCKET", "CREATE", "orders");
  await root.command("USER", "ADD", "ann", "PASSWORD", "correct-horse", "ROLES", "reader");
  root.close();
  return cluster;
}

async function run(command: readonly string[], targets: string): Promise<{ out: string; errors: string }> {
  const env = { ...process.env, ENVELOPEDB: targets };
  const child = Bun.spawn([...command], { cwd: directory, env, stdout: "pipe", stderr: "pipe" });
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect({ code: await child.exited, errors }).toMatchObject({ code: 0 });
  return { out, errors };
}

function blocksOf(source: string, language: string): string[] {
  return [...source.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    ([, code = ""]) => code,
  );
}

for (const document of DOCUMENTS) {
  const source = readFileSync(join(ROOT, "docs", document), "utf8");
  const commands = blocksOf(source, "sh");
  const programs = blocksOf(source, "ts");

  test(`${document} has examples`, () => {
    expect(commands.length + programs.length).toBeGreaterThan(0);
  });

  for (const [i, code] of commands.entries()) {
    test(`${document}, commands ${i + 1}: ${code.split("\n")[0]}`, async () => {
      await run(["sh", "-euc", code], server.targets);
    }, 60_000);
  }

  for (const [i, code] of programs.entries()) {
    const title = code.split("\n").find((line) => line.includes("bucket(") || line.includes("buckets.")) ?? "";
    test(`${document}, example ${i + 1}: ${title.trim()}`, async () => {
      const file = join(directory, `${document}-${i + 1}.ts`);
      writeFileSync(file, code);
      const { targets } = code.includes("certs/") ? await secureServer() : server;
      const { out, errors } = await run([process.execPath, file], targets);
      expect(errors).toBe("");
      const expected = [...code.matchAll(PRINTED)].map(([, printed = ""]) => printed);
      expect(out.trimEnd().split("\n")).toEqual(expected);
    }, 60_000);
  }
}
