/** The client runs where Bun is not: what `bun run prepack` bundles, under Node and Deno where they are installed. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { FakeNode } from "./fake-node.ts";

const ROOT = join(import.meta.dir, "../..");

const SCRIPT = `
import process from "node:process";
import { connect, text, ConflictError } from "./client.js";
const db = await connect({ nodes: [process.argv.at(-1)] });
const bucket = db.bucket("b", { codec: text });
await bucket.put("k", "grüß");
const refused = await bucket.put("k", "x", { ifAbsent: true }).catch((cause) => cause);
const sum = await Promise.all(Array.from({ length: 200 }, () => db.bucket("b").increment("n")));
const keys = [];
for await (const { key } of bucket.scan({ keysOnly: true })) keys.push(key);
const found = await bucket.get("k");
await db.close();
console.log(JSON.stringify({ found, refused: refused instanceof ConflictError && refused.name, max: Math.max(...sum), keys }));
`;

const RUNTIMES = [
  { name: "node", command: ["node"] },
  { name: "deno", command: ["deno", "run", "--allow-net", "--allow-env"] },
] as const;

for (const { name, command } of RUNTIMES) {
  test.skipIf(Bun.which(name) === null)(`the bundled client runs under ${name}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "edb-portable-"));
    const node = await FakeNode.start("n1");
    try {
      const bundle = manifest.scripts.prepack.replace("dist/client.js", join(directory, "client.js")).split(" ");
      expect(Bun.spawnSync([process.execPath, ...bundle.slice(1)], { cwd: ROOT }).exitCode).toBe(0);
      writeFileSync(join(directory, "package.json"), '{"type":"module"}');
      writeFileSync(join(directory, "run.js"), SCRIPT);
      const child = Bun.spawn([...command, join(directory, "run.js"), node.address], { stderr: "pipe" });
      const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      expect({ code: await child.exited, errors }).toMatchObject({ code: 0 });
      expect(JSON.parse(out)).toEqual({ found: "grüß", refused: "ConflictError", max: 200, keys: ["k", "n"] });
    } finally {
      await node.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });
}
