/** The pointer to a generation: its bytes, and what is refused. */
import { expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { shardId } from "../../src/core/ids.ts";
import { decodeGenerationPointer, encodeGenerationPointer } from "../../src/storage/generation-format.ts";
import { flipped, IDENTITY } from "./support/versions.ts";

const GOLDEN = "45565050abe422cc0100030000000000070707070707070707070707070707070201000000000000";

function outcomeOf(bytes: Uint8Array, identity = IDENTITY): string {
  try {
    return String(decodeGenerationPointer(bytes, identity, "a test").generation);
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}

test("has these very bytes in format version 1; any damage to it, and another shard's, is refused", () => {
  const bytes = encodeGenerationPointer({ ...IDENTITY, generation: 258 });
  expect(bytes.toHex()).toBe(GOLDEN);
  expect(outcomeOf(bytes)).toBe("258");
  for (let offset = 0; offset < bytes.length; offset++) expect(outcomeOf(flipped(bytes, offset))).toBe("CORRUPTION");
  expect(outcomeOf(bytes.subarray(0, 39))).toBe("CORRUPTION");
  expect(outcomeOf(encodeGenerationPointer({ ...IDENTITY, generation: 0 }))).toBe("CORRUPTION");
  expect(outcomeOf(bytes, { ...IDENTITY, shard: shardId(9) })).toBe("FOREIGN_DIRECTORY");
});
