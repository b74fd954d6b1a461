/**
 * `bench engine`: hands over to the engine benchmark, a program of its own in `bench/engine`. It is part of the source
 * repository and not of the package, so it is looked for by its path and never imported.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { EnvelopeError } from "../core/errors.ts";

const ENTRY = fileURLToPath(new URL("../../bench/engine/main.ts", import.meta.url));

/** Returns the program's exit code. Throws CONFIG where there is no such program. */
export async function runEngineBench(args: readonly string[]): Promise<number> {
  if (!existsSync(ENTRY)) {
    throw new EnvelopeError(
      "CONFIG",
      "the engine benchmark is not part of this package; run it from the source repository",
    );
  }
  const child = Bun.spawn([process.execPath, ENTRY, ...args], { stdio: ["inherit", "inherit", "inherit"] });
  return await child.exited;
}
