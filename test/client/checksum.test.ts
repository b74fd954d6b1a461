/** Frames have the same checksum whichever runtime's code makes it. */
import { expect, test } from "bun:test";
import { checksum, portableChecksum } from "../../src/client/checksum.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { Random } from "../../src/core/random.ts";

test("the client's checksums are the server's", () => {
  const random = new Random(7);
  for (const byteCount of [0, 1, 7, 8, 100, 111, 112, 4096]) {
    const bytes = Uint8Array.from({ length: byteCount + 3 }, () => random.below(256));
    const wanted = crc32Range(bytes, 1, byteCount + 1);
    expect(checksum(bytes, 1, byteCount + 1)).toBe(wanted);
    expect(portableChecksum(bytes, 1, byteCount + 1)).toBe(wanted);
  }
});
