/**
 * The shape of the source: who may import whom, who may touch the world, how long a file may get. Function length,
 * `any` and default exports are the linter's business; here it is only made sure that the linter still minds it.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const FILE_LINES_MAX = 400;

/** The only files of src/env that code below the composition roots may import. */
const ENV_INTERFACES = [
  "src/env/append-file.ts",
  "src/env/clock.ts",
  "src/env/disk.ts",
  "src/env/environment.ts",
  "src/env/network.ts",
  "src/env/credentials.ts",
  "src/env/passwords.ts",
];

/**
 * folder or root file → what it may import besides itself. `env-interfaces` means the files above, `env` all of it.
 * One line a line of the layout table in the design.
 */
const ARROWS: Record<string, readonly string[]> = {
  core: [],
  env: ["core"],
  record: ["core"],
  log: ["record", "core", "env-interfaces"],
  storage: ["record", "log", "bridge", "core", "env-interfaces"],
  raft: ["core"],
  bridge: ["record", "core"],
  shard: ["bridge", "record", "log", "storage", "core", "env-interfaces"],
  wire: ["record", "core"],
  cluster: ["raft", "bridge", "wire", "record", "core", "env-interfaces"],
  // The coordinator's own signature speaks of commands and results; ports and timers come from the environment.
  server: ["cluster", "wire", "core", "record", "env-interfaces"],
  client: ["wire", "core"],
  "client.ts": ["client"],
  sim: [
    "core",
    "env",
    "record",
    "log",
    "storage",
    "raft",
    "bridge",
    "shard",
    "wire",
    "cluster",
    "server",
    "client",
    "node.ts",
    "config.ts",
  ],
  // The tools that look at files know every format on disk, and nothing that runs.
  "inspect.ts": ["core", "log", "storage", "cluster", "env-interfaces"],
  "verify.ts": ["core", "log", "storage", "cluster", "env-interfaces"],
  cli: ["client", "sim", "node.ts", "inspect.ts", "verify.ts", "config.ts", "core", "env"],
  "config.ts": ["core", "config-tls.ts", "memory-plan.ts"],
  "config-tls.ts": [],
  "memory-plan.ts": [],
  "node.ts": [
    "core",
    "env",
    "record",
    "log",
    "storage",
    "raft",
    "bridge",
    "shard",
    "wire",
    "cluster",
    "server",
    "config.ts",
  ],
  "embedded.ts": ["core", "env", "wire", "server", "client", "client.ts", "node.ts", "config.ts"],
  "main.ts": ["cli", "client", "config.ts", "core"],
  workers: ["core", "env", "bridge", "shard", "storage", "sim"],
};

/** The composition root of a node, in more than one file. */
const COMPOSITION_ROOT = [
  "src/node.ts",
  "src/node-access.ts",
  "src/node-core.ts",
  "src/node-ports.ts",
  "src/node-tls.ts",
  "src/node-shards.ts",
  "src/compactor-threads.ts",
];

/** And that of a database inside a process. */
const EMBEDDED_ROOT = ["src/embedded.ts", "src/embedded-channel.ts", "src/embedded-settings.ts"];

/** What reaches the world, and the files outside src/env that may say it. */
const WORLD: readonly { readonly words: RegExp; readonly except: readonly string[] }[] = [
  {
    words: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bprocess\.hrtime\b/,
    except: ["src/cli/", "src/client/"],
  },
  { words: /\bMath\.random\b/, except: [] },
  { words: /\b(setTimeout|setInterval|setImmediate)\b/, except: ["src/cli/", "src/client/"] },
  { words: /["'](node:)?fs(\/promises)?["']/, except: ["src/cli/"] },
  { words: /["'](node:)?(net|tls)["']/, except: ["src/cli/", "src/client/"] },
  { words: /\bBun\.(listen|connect|udpSocket)\b/, except: ["src/cli/"] },
  { words: /\bBun\.serve\b/, except: ["src/server/http-port.ts"] },
  { words: /\bBun\.(file|write|mmap)\b/, except: ["src/cli/"] },
];

/** The package's entries: their exports are for the users. */
const PUBLIC_FILES = ["src/embedded.ts", "src/client.ts"];

function filesUnder(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    if (entry.name === "node_modules") continue;
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...filesUnder(path));
    else if (/\.tsx?$/.test(entry.name)) found.push(path);
  }
  return found.sort();
}

function existingFilesUnder(folders: readonly string[]): string[] {
  const present = new Set(readdirSync(ROOT));
  return folders.filter((folder) => present.has(folder)).flatMap(filesUnder);
}

interface Import {
  readonly target: string;
  readonly names: readonly string[];
}

const production = existingFilesUnder(["src", "workers"]);
const everything = existingFilesUnder(["src", "workers", "test", "bench"]);
const sources = new Map(everything.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));

function sourceOf(path: string): string {
  return sources.get(path) ?? "";
}

/** Relative imports of a file, types included, with the names they take; `*` for a whole module. */
function importsOf(path: string): Import[] {
  const found: Import[] = [];
  const statement = /^\s*(?:import|export)\s+(?:type\s+)?([^"';]*?)\s*from\s*"(\.[^"]*)"/gm;
  for (const [, clause = "", target = ""] of sourceOf(path).matchAll(statement)) {
    const names = clause.replace(/[{}]/g, " ").split(",");
    found.push({ target: resolveFrom(path, target), names: names.map(importedName).filter((name) => name !== "") });
  }
  for (const [, target = ""] of sourceOf(path).matchAll(/\bimport\(\s*"(\.[^"]*)"/g)) {
    found.push({ target: resolveFrom(path, target), names: ["*"] });
  }
  return found;
}

function importedName(piece: string): string {
  const name = piece.trim().replace(/^type\s+/, "");
  return name.startsWith("*") ? "*" : (name.split(/\s+as\s+/)[0] ?? "");
}

function resolveFrom(path: string, target: string): string {
  return relative(ROOT, join(ROOT, dirname(path), target));
}

/** `src/raft/x.ts` → `raft`, `src/node.ts` → `node.ts`, `workers/x.ts` → `workers`. */
function partOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  if (COMPOSITION_ROOT.includes(path)) return "node.ts";
  if (EMBEDDED_ROOT.includes(path)) return "embedded.ts";
  return top === "src" ? second : top;
}

test("imports follow the arrows of the layout and no others", () => {
  const strays: string[] = [];
  for (const path of production) {
    const from = partOf(path);
    const allowed = ARROWS[from];
    if (allowed === undefined) strays.push(`${path} lies in no part of the layout`);
    for (const { target } of importsOf(path)) {
      const to = partOf(target);
      if (to === from || target.endsWith(".json")) continue;
      const viaInterface = allowed?.includes("env-interfaces") === true && ENV_INTERFACES.includes(target);
      if (!viaInterface && allowed?.includes(to) !== true) strays.push(`${path} imports ${target}`);
    }
  }
  expect(strays).toEqual([]);
});

test("only src/env touches clock, chance, timers, files and sockets", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const strays: string[] = [];
  for (const path of production) {
    if (path.startsWith("src/env/")) continue;
    const code = transpiler.transformSync(sourceOf(path));
    for (const { words, except } of WORLD) {
      const word = words.exec(code)?.[0];
      if (word !== undefined && !except.some((prefix) => path.startsWith(prefix))) strays.push(`${path} says ${word}`);
    }
  }
  expect(strays).toEqual([]);
});

test("every file opens with what it is for, and a long one says why it is long", () => {
  const strays: string[] = [];
  for (const path of production) {
    const source = sourceOf(path).replace(/^#!.*\n/, "");
    const lineCount = source.split("\n").length - 1;
    const header = /^\/\*\*[\s\S]*?\*\//.exec(source)?.[0];
    if (header === undefined) strays.push(`${path} has no header`);
    if (lineCount > FILE_LINES_MAX && header?.includes("Length:") !== true)
      strays.push(`${path} has ${lineCount} lines`);
  }
  expect(strays).toEqual([]);
});

test("the linter minds any, default exports and functions longer than 70 lines", () => {
  const settings: unknown = JSON.parse(readFileSync(join(ROOT, "biome.json"), "utf8"));
  expect(settings).toMatchObject({
    linter: {
      rules: {
        style: { noDefaultExport: "error" },
        suspicious: { noExplicitAny: "error" },
      },
    },
    overrides: [
      {
        includes: ["src/**", "workers/**"],
        linter: {
          rules: { complexity: { noExcessiveLinesPerFunction: { level: "error", options: { maxLines: 70 } } } },
        },
      },
    ],
  });
});

test("every exported name of src is imported by someone", () => {
  const taken = new Map<string, Set<string>>();
  for (const path of everything) {
    for (const { target, names } of importsOf(path)) {
      const set = taken.get(target) ?? new Set();
      for (const name of names) set.add(name);
      taken.set(target, set);
    }
  }
  const dead: string[] = [];
  for (const path of production) {
    if (PUBLIC_FILES.includes(path) || !path.startsWith("src/")) continue;
    const names = taken.get(path);
    if (names?.has("*") === true) continue;
    for (const { name, isType } of exportsOf(path)) {
      if (names?.has(name) === true || (isType && isNamedTwice(path, name))) continue;
      dead.push(`${path} exports ${name}`);
    }
  }
  expect(dead).toEqual([]);
});

function exportsOf(path: string): { name: string; isType: boolean }[] {
  const declaration =
    /^export\s+(?:abstract\s+|async\s+|declare\s+)*(function\*?|class|const|let|interface|type)\s+(\w+)/gm;
  return [...sourceOf(path).matchAll(declaration)].map(([, kind = "", name = ""]) => ({
    name,
    isType: kind === "interface" || kind === "type",
  }));
}

/** A type may be exported because another declaration of its file speaks of it. */
function isNamedTwice(path: string, name: string): boolean {
  return [...sourceOf(path).matchAll(new RegExp(`\\b${name}\\b`, "g"))].length > 1;
}
