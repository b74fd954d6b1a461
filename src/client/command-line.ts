/** Splits a typed line into arguments exactly as the server splits a line sent to it (wire/inline.ts). */
import { utf8 } from "../core/bytes.ts";
import { splitInline } from "../wire/inline.ts";
import { RequestArguments } from "../wire/request-arguments.ts";

/** The arguments of a line; none for a blank one, null when its quotes are unbalanced. */
export function splitCommandLine(line: string): readonly Uint8Array[] | null {
  const bytes = utf8(line);
  const request = new RequestArguments();
  if (!splitInline(bytes, 0, bytes.length, request)) return null;
  return Array.from({ length: request.count }, (_, i) => request.view(i));
}
