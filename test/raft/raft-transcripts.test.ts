/**
 * Every message of the protocol in well-known situations, word by word. A change here is a change of the protocol: run
 * with UPDATE_TRANSCRIPTS=1 to write what happens now into the files, and read the difference.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { play } from "./support/transcript.ts";

const DIRECTORY = join(import.meta.dir, "transcripts");

describe("a transcript happens as it is written", () => {
  for (const name of readdirSync(DIRECTORY).filter((file) => file.endsWith(".txt"))) {
    test(name, () => {
      const path = join(DIRECTORY, name);
      const written = readFileSync(path, "utf8");
      const happened = play(written);
      if (process.env["UPDATE_TRANSCRIPTS"] === "1") writeFileSync(path, happened);
      else expect(happened).toBe(written);
    });
  }
});
