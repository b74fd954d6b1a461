/** The peer port: introductions of strangers, and frames of every type with bodies that nearly are what they should be. */
import { ByteWriter } from "../../../src/core/byte-writer.ts";
import { crc32 } from "../../../src/core/crc32.ts";
import { EnvelopeError } from "../../../src/core/errors.ts";
import type { Random } from "../../../src/core/random.ts";
import { decodeJoin } from "../../../src/cluster/join-format.ts";
import { decodeHello } from "../../../src/cluster/peer-hello-format.ts";
import { beginFrame, endFrame, FrameReader, STRANGER_FRAME_BYTES_MAX } from "../../../src/wire/peer-frame-format.ts";
import { type FuzzTarget, nearly, readTwice } from "../target.ts";
import { PEER_BODIES } from "./peer-bodies.ts";

const REFUSALS = ["PROTOCOL", "CORRUPTION"] as const;
const TAKERS = new Map(PEER_BODIES.map(({ type, take }) => [type, take]));

/** Bodies of hellos and of requests to join. */
export const STRANGERS: FuzzTarget = {
  name: "peer-strangers",
  refusals: REFUSALS,
  make: (random) => nearly((chance) => PEER_BODIES[chance.chance(0.5) ? 0 : 2]!.make(chance), random),
  take: (input) => {
    const read = [decodeHello, decodeJoin].filter((decode) => isTaken(decode, input)).length;
    if (read === 0) decodeHello(input);
    return read;
  },
};

export const PEER_FRAMES: FuzzTarget = {
  name: "peer-frames",
  refusals: REFUSALS,
  make: (random) => {
    const frames: Uint8Array[] = [];
    for (let left = random.between(1, 3); left > 0; left--) frames.push(anyFrame(random));
    const stream = (): Uint8Array => new Uint8Array(Buffer.concat(frames));
    return random.chance(0.7) ? stream() : nearly(stream, random);
  },
  take: (input, random) =>
    readTwice(
      (pieces, seen) => {
        const reader = new FrameReader();
        reader.frameBytesMax = STRANGER_FRAME_BYTES_MAX;
        for (const piece of pieces) {
          reader.push(piece, ({ type, body }) => {
            TAKERS.get(type)?.(body);
            seen(body);
          });
        }
      },
      input,
      random,
    ),
};

/** A frame whose checksum is right, whatever is in it. */
export function anyFrame(random: Random): Uint8Array {
  const { type, make } = PEER_BODIES[random.below(PEER_BODIES.length)]!;
  const writer = new ByteWriter();
  const start = beginFrame(writer, type, random.chance(0.7) ? 0 : random.below(0x1_0000));
  writer.raw(nearly(make, random));
  endFrame(writer, start);
  const frame = writer.copy();
  if (random.chance(0.05)) {
    frame[8] = random.below(256);
    new DataView(frame.buffer).setUint32(0, crc32(frame.subarray(4)), true);
  }
  return frame;
}

function isTaken(decode: (body: Uint8Array) => unknown, input: Uint8Array): boolean {
  try {
    decode(input);
    return true;
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    return false;
  }
}
