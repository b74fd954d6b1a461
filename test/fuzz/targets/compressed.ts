/** Compressed bodies of the binary protocol: a byte for the way, then what a body is made of. */
import { EnvelopeError } from "../../../src/core/errors.ts";
import type { Random } from "../../../src/core/random.ts";
import { compressedParts } from "../../../src/wire/binary-format.ts";
import { COMPRESSIONS, compress, expand } from "../../../src/wire/body-compression.ts";
import { chanceBytes, mutated } from "../mutation.ts";
import type { FuzzTarget } from "../target.ts";

const EXPANDED_BYTES_MAX = 1024 * 1024;

export const COMPRESSED: FuzzTarget = {
  name: "compressed",
  refusals: ["PROTOCOL", "TOO_LARGE"],
  make: (random) => {
    const way = random.below(COMPRESSIONS.length);
    const body = anyBody(random);
    const compressed = compress(COMPRESSIONS[way]!, body);
    const made = new Uint8Array(5 + compressed.length);
    made[0] = way;
    // Nothing is announced that would be refused at once, or what lies behind that is never tried.
    const announced = random.chance(0.8) ? body.length : random.below(100 * compressed.length);
    new DataView(made.buffer).setUint32(1, announced, true);
    made.set(compressed, 5);
    if (random.chance(0.2)) return made;
    if (random.chance(0.2)) return mutated(made, made, random);
    const changed = mutated(made.subarray(5), compressed, random);
    return new Uint8Array(Buffer.concat([made.subarray(0, 5), changed]));
  },
  take: (input) => {
    const name = COMPRESSIONS[(input[0] ?? 0) % COMPRESSIONS.length]!;
    const { expandedBytes, compressed } = compressedParts(input.slice(1), EXPANDED_BYTES_MAX);
    const body = expand(name, compressed, expandedBytes);
    if (body.length !== expandedBytes) throw new EnvelopeError("IO", "a body is not as long as it says");
    return 1;
  },
};

/** From what hardly shrinks to what shrinks a thousand times. */
function anyBody(random: Random): Uint8Array {
  if (random.chance(0.3)) return new Uint8Array(random.below(200_000)).fill(random.below(256));
  if (random.chance(0.5)) return chanceBytes(random.below(4_000), random);
  return new Uint8Array(Buffer.from("the same words again ".repeat(random.below(200))));
}
