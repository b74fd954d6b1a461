/** Each of these mistakes, planted into production text as it is loaded, makes a test of repairs fail. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { PLANTED_REPAIR_BUGS } from "./repair-planted-bugs.ts";

setDefaultTimeout(180_000);

const ROOT = join(import.meta.dir, "../..");

for (const [bug, { changes, foundBy }] of Object.entries(PLANTED_REPAIR_BUGS)) {
  test(`the tests of repairs find: ${bug}`, async () => {
    const file = join(import.meta.dir, foundBy);
    const child = Bun.spawn([process.execPath, "test", "--preload", join(ROOT, "test/sim/plant-bug.ts"), file], {
      cwd: ROOT,
      env: { ...process.env, PLANTED_BUG: bug },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [complaints, code] = await Promise.all([child.stderr.text(), child.exited]);
    expect(complaints.split(`planted: ${bug}\n`).length - 1).toBe(changes.length);
    expect(code).not.toBe(0);
  });
}
