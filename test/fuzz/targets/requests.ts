/** What comes to the client port: requests in RESP, and lines typed by hand. */
import { utf8 } from "../../../src/core/bytes.ts";
import { EnvelopeError } from "../../../src/core/errors.ts";
import type { Random } from "../../../src/core/random.ts";
import { splitInline } from "../../../src/wire/inline.ts";
import { RequestArguments } from "../../../src/wire/request-arguments.ts";
import { ParseStatus, type RespLimits, RespParser } from "../../../src/wire/resp-parser.ts";
import { chanceBytes } from "../mutation.ts";
import { type FuzzTarget, nearly, readTwice } from "../target.ts";

/** Low, so that inputs come to them. */
const LIMITS: RespLimits = { valueBytesMax: 96, argumentsMax: 6, lineBytesMax: 128, frameBytesMax: 160 };
const WORDS = ["GET", "SET", "PING", "k", "{tag}key", "", "value", '{"a": [1, "]"]}', "*3", "$5", "\r\n", "a b"];
const LINES = [
  ...["PING", "  SET a  b ", 'SET k "a\\x0a\\"b"', "SET k 'it\\'s'", 'SET k {"name": "x"}', "", "GET [1, 2", 'SET "k'],
  ...["POST / HTTP/1.1", "x".repeat(120)],
];

export const RESP_REQUESTS: FuzzTarget = {
  name: "resp",
  refusals: ["PROTOCOL"],
  make: (random) => nearly(requests, random),
  take: (input, random) => readTwice(readRequests, input, random),
};

export const INLINE: FuzzTarget = {
  name: "inline",
  refusals: ["PROTOCOL"],
  make: (random) => nearly((chance) => utf8(LINES[chance.below(LINES.length)]!), random),
  take: (input) => {
    const request = new RequestArguments();
    const before = input.slice();
    if (!splitInline(input, 0, input.length, request)) throw new EnvelopeError("PROTOCOL", "unbalanced quotes");
    if (Buffer.compare(before, input) !== 0) throw new Error("the line itself was changed");
    checkArguments(request);
    return request.count;
  },
};

/** Some requests one behind the other. */
export function requests(random: Random): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let left = random.between(1, 4); left > 0; left--) pieces.push(request(random));
  return new Uint8Array(Buffer.concat(pieces));
}

function request(random: Random): Uint8Array {
  if (random.chance(0.3)) return utf8(`${LINES[random.below(LINES.length)]!}${random.chance(0.7) ? "\r\n" : "\n"}`);
  const pieces: Uint8Array[] = [];
  const count = random.below(8);
  pieces.push(utf8(`*${count}\r\n`));
  for (let i = 0; i < count; i++) {
    const argument = random.chance(0.7)
      ? utf8(WORDS[random.below(WORDS.length)]!)
      : chanceBytes(random.below(120), random);
    pieces.push(utf8(`$${argument.length}\r\n`), argument, utf8("\r\n"));
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function readRequests(pieces: readonly Uint8Array[], seen: (bytes: Uint8Array) => void): void {
  const parser = new RespParser(LIMITS);
  for (const piece of pieces) {
    parser.feed(piece);
    for (let status = parser.next(); status !== ParseStatus.needMore; status = parser.next()) {
      if (status === ParseStatus.broken) throw new EnvelopeError("PROTOCOL", parser.errorText);
      if (status === ParseStatus.refused) seen(utf8(parser.errorText));
      else {
        checkArguments(parser.request);
        seen(flatten(parser.request));
      }
    }
  }
}

/** The arguments, each behind its length. */
function flatten(request: RequestArguments): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let i = 0; i < request.count; i++) pieces.push(utf8(`${request.byteCount(i)}:`), request.view(i));
  return Buffer.concat(pieces);
}

function checkArguments({ count, starts, ends, bytes }: RequestArguments): void {
  for (let i = 0; i < count; i++) {
    const isInside = starts[i]! >= 0 && ends[i]! >= starts[i]! && ends[i]! <= bytes.length;
    if (!isInside) throw new Error(`an argument from ${starts[i]} to ${ends[i]} of ${bytes.length} bytes`);
  }
}
