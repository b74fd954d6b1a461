/**
 * The package as others get it: packed, unpacked into a project of its own beside its dependencies, and used by its name, under Bun
 * and, as far as the client goes, under Node.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import manifest from "../../package.json" with { type: "json" };

const ROOT = join(import.meta.dir, "../..");
const CONFIG = {
  compilerOptions: {
    target: "ESNext",
    module: "Preserve",
    lib: ["ESNext"],
    types: ["bun-types"],
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
  },
  include: ["*.ts"],
};

/** Opens, serves itself, and lets another process in; under Node too, if there is one. */
const PROGRAM = `
import { type EmbeddedDatabase, open } from "envelopedb";
import { connect, ConflictError } from "envelopedb/client";

type User = { name: string };
const db: EmbeddedDatabase = await open({ path: "./data", workers: 1, memtableBytes: 32 * 1024 * 1024 });
await db.buckets.create("users");
await db.bucket<User>("users").put("ann", { name: "Ann" });
const { client } = await db.serve({ client: "127.0.0.1:0" });
const over = await connect({ nodes: [client] });
const name: string | undefined = (await over.bucket<User>("users").get("ann"))?.name;
const refused = await db.bucket<User>("users").put("ann", { name: "x" }, { ifAbsent: true }).catch((error) => error);
await over.close();
const node = Bun.which("node") === null ? "" : await new Response(Bun.spawn(["node", "far.mjs", client]).stdout).text();
await db.close();
console.log(JSON.stringify({ name, refused: refused instanceof ConflictError, node }));
`;

const FAR = `
import { connect } from "envelopedb/client";
const db = await connect({ nodes: [process.argv[2]] });
process.stdout.write((await db.bucket("users").get("ann")).name);
await db.close();
`;

let project: string;
let hadBundle: boolean;

function run(command: readonly string[], cwd: string): { code: number; out: string; errors: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd });
  return { code: exitCode, out: stdout.toString(), errors: stderr.toString() };
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "edb-package-"));
  hadBundle = existsSync(join(ROOT, "dist"));
  const packed = run([process.execPath, "pm", "pack", "--quiet", "--destination", project], ROOT);
  expect(packed).toMatchObject({ code: 0 });
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz")) ?? "";
  const home = join(project, "node_modules/envelopedb");
  mkdirSync(home, { recursive: true });
  expect(run(["tar", "-xzf", join(project, tarball), "--strip-components=1", "-C", home], project).code).toBe(0);
  // What an installer would fetch.
  for (const name of [...Object.keys(manifest.dependencies), "bun-types", "@types/node"]) {
    const place = join(project, "node_modules", name);
    if (existsSync(place) || !existsSync(join(ROOT, "node_modules", name))) continue;
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), place);
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(CONFIG));
  writeFileSync(join(project, "program.ts"), PROGRAM);
  writeFileSync(join(project, "far.mjs"), FAR);
}, 60_000);

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
  if (!hadBundle) rmSync(join(ROOT, "dist"), { recursive: true, force: true });
});

test("a program uses it by its name: open, serve and connect, with threads", () => {
  const { code, out, errors } = run([process.execPath, "program.ts"], project);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expect(JSON.parse(out)).toEqual({ name: "Ann", refused: true, node: Bun.which("node") === null ? "" : "Ann" });
}, 60_000);

test("its types check in a strict project", () => {
  const { code, out, errors } = run([process.execPath, "check"], project);
  expect({ code, said: code === 0 ? "" : out + errors }).toEqual({ code: 0, said: "" });
}, 60_000);

test("its command runs", () => {
  const { code, out } = run([process.execPath, "node_modules/envelopedb/src/main.ts", "--help"], project);
  expect(code).toBe(0);
  expect(out).toContain("Usage: envelopedb");
}, 60_000);

test("nothing is in it that is not for its users", () => {
  const names = readdirSync(join(project, "node_modules/envelopedb")).sort();
  expect(names).toEqual(["LICENSE", "README.md", "dist", "docs", "package.json", "src", "workers"]);
});
