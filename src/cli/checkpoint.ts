/**
 * How far an import has come: a small JSON file, replaced atomically. `lines` counts the input lines from the start that
 * have all reached their final answer; `crc` is the CRC-32 over exactly those lines, so that a resumed import proves that
 * it continues the same input (which may have grown at its end).
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { EnvelopeError } from "../core/errors.ts";

const SCHEMA = z.object({
  format: z.literal("envelopedb-import/1"),
  bucket: z.string().nullable(),
  key: z.string(),
  lines: z.int().min(0),
  crc: z.int().min(0),
  acknowledged: z.int().min(0),
  skipped: z.int().min(0),
  failedCount: z.int().min(0),
  /** Line numbers and reasons of the first failures. */
  failed: z.array(z.object({ line: z.int(), reason: z.string() })),
});

export type Checkpoint = z.infer<typeof SCHEMA>;

/** Null when there is no such file. Throws CORRUPTION when it is there but is not a checkpoint. */
export function readCheckpoint(path: string): Checkpoint | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new EnvelopeError("IO", `${path} cannot be read: ${(cause as Error).message}`);
  }
  let document: unknown = null;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new EnvelopeError("CORRUPTION", `${path} is not a checkpoint of an import: ${(cause as Error).message}`);
  }
  const parsed = SCHEMA.safeParse(document);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join(".") ?? "";
  throw new EnvelopeError("CORRUPTION", `${path} is not a checkpoint of an import (field ${where})`);
}

/** Throws IO when the file cannot be written. */
export function writeCheckpoint(path: string, checkpoint: Checkpoint): void {
  const next = `${path}.next`;
  try {
    writeFileSync(next, `${JSON.stringify(checkpoint)}\n`);
    renameSync(next, path);
  } catch (cause) {
    throw new EnvelopeError("IO", `checkpoint ${path} cannot be written: ${(cause as Error).message}`);
  }
}

export function removeCheckpoint(path: string): void {
  rmSync(path, { force: true });
}
