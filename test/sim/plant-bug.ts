/** Preloaded into a child process: plants the bug named by the environment variable PLANTED_BUG into its modules. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { plugin } from "bun";
import { PLANTED_BUGS } from "./planted-bugs.ts";

const name = process.env["PLANTED_BUG"] ?? "";
const bug = PLANTED_BUGS[name];
if (bug === undefined) throw new Error(`no bug is called ${name}`);
const root = join(import.meta.dir, "../..");

plugin({
  name: "plant a bug",
  setup(build) {
    for (const { file, text, replacement } of bug.changes) {
      const filter = new RegExp(`${join(root, file).replaceAll(/[.\\/]/g, "\\$&")}$`);
      build.onLoad({ filter }, ({ path }) => {
        const source = readFileSync(path, "utf8");
        const found = source.split(text).length - 1;
        if (found !== 1) throw new Error(`the text to be changed was found ${found} times in ${file}`);
        console.error(`planted: ${name}`);
        return { contents: source.replace(text, () => replacement), loader: "ts" };
      });
    }
  },
});
