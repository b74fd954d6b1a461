/**
 * The examples of the documentation do what they say: every block marked `ts` runs by itself, against a node of its own, as a program
 * of somebody who has installed the package. What it prints is what stands behind its `console.log(…);` as a comment.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestCluster } from "../process/test-cluster.ts";

const ROOT = join(import.meta.dir, "../..");
const DOCUMENTS = ["client.md"];
const BLOCK = /^```ts\n([\s\S]*?)^```$/gm;
const PRINTED = /console\.log\(.*\); \/\/ (.*)$/gm;

let server: TestCluster;
let directory: string;

beforeAll(async () => {
  server = await TestCluster.start({ nodes: 1, shards: 2, workers: 0 });
  directory = mkdtempSync(join(tmpdir(), "edb-examples-"));
  mkdirSync(join(directory, "node_modules"));
  symlinkSync(ROOT, join(directory, "node_modules/envelopedb"));
  symlinkSync(join(ROOT, "node_modules/zod"), join(directory, "node_modules/zod"));
}, 60_000);

afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

for (const document of DOCUMENTS) {
  const source = readFileSync(join(ROOT, "docs", document), "utf8");
  const blocks = [...source.matchAll(BLOCK)].map(([, code = ""]) => code);

  test(`${document} has examples`, () => {
    expect(blocks.length).toBeGreaterThan(0);
  });

  for (const [i, code] of blocks.entries()) {
    const title = code.split("\n").find((line) => line.includes("bucket(") || line.includes("buckets.")) ?? "";
    test(`${document}, example ${i + 1}: ${title.trim()}`, async () => {
      const file = join(directory, `${document}-${i + 1}.ts`);
      writeFileSync(file, code);
      const env = { ...process.env, ENVELOPEDB: server.targets };
      const child = Bun.spawn([process.execPath, file], { cwd: directory, env, stdout: "pipe", stderr: "pipe" });
      const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      expect({ code: await child.exited, errors }).toEqual({ code: 0, errors: "" });
      const expected = [...code.matchAll(PRINTED)].map(([, printed = ""]) => printed);
      expect(out.trimEnd().split("\n")).toEqual(expected);
    }, 60_000);
  }
}
