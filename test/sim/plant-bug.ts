/** Preloaded into a child process: plants the bug named by the environment variable PLANTED_BUG into its modules. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { plugin } from "bun";
import { PLANTED_REPAIR_BUGS } from "../shard/repair-planted-bugs.ts";
import { PLANTED_ENGINE_BUGS } from "./engine-planted-bugs.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";

const name = process.env["PLANTED_BUG"] ?? "";
const bug = PLANTED_BUGS[name] ?? PLANTED_ENGINE_BUGS[name] ?? PLANTED_REPAIR_BUGS[name];
if (bug === undefined) throw new Error(`no bug is called ${name}`);
const root = join(import.meta.dir, "../..");

plugin({
  name: "plant a bug",
  setup(build) {
    for (const file of new Set(bug.changes.map((change) => change.file))) {
      const filter = new RegExp(`${join(root, file).replaceAll(/[.\\/]/g, "\\$&")}$`);
      build.onLoad({ filter }, ({ path }) => {
        let contents = readFileSync(path, "utf8");
        for (const { text, replacement } of bug.changes.filter((change) => change.file === file)) {
          const found = contents.split(text).length - 1;
          if (found !== 1) throw new Error(`the text to be changed was found ${found} times in ${file}`);
          console.error(`planted: ${name}`);
          contents = contents.replace(text, () => replacement);
        }
        return { contents, loader: "ts" };
      });
    }
  },
});
