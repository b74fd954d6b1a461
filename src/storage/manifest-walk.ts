/**
 * Walks over a manifest frame by frame and goes on behind damage where another whole frame begins: for the tools that
 * look at files. A start reads manifests with `manifest.ts`, which stops at the first break. Pure.
 */
import { decodeFrame, FRAME_ALIGNMENT, type Frame } from "./manifest-format.ts";
import type { FileNumber } from "../core/ids.ts";

export type ManifestPart =
  | { readonly kind: "frame"; readonly offset: number; readonly frame: Frame }
  /** No whole frame at `offset`; `end` is where the next one begins, or the end of the file. */
  | { readonly kind: "break"; readonly offset: number; readonly end: number };

/** All frames of a manifest, and what lies between them. */
export function walkManifest(bytes: Uint8Array, number: FileNumber): ManifestPart[] {
  const parts: ManifestPart[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const frame = decodeFrame(bytes, offset, number);
    if (frame !== null) {
      parts.push({ kind: "frame", offset, frame });
      offset = frame.end;
      continue;
    }
    let end = offset + FRAME_ALIGNMENT;
    while (end < bytes.length && decodeFrame(bytes, end, number) === null) end += FRAME_ALIGNMENT;
    parts.push({ kind: "break", offset, end: Math.min(end, bytes.length) });
    offset = end;
  }
  return parts;
}

/** Whether a whole frame behind the break says that its place had been synced: then it is damage and no torn tail. */
export function isProven(parts: readonly ManifestPart[], offset: number): boolean {
  return parts.some((part) => part.kind === "frame" && part.offset > offset && part.frame.syncedThrough > offset);
}
