/** What a server that cannot be trusted may say to a client: replies in RESP2 and RESP3. */
import { utf8 } from "../../../src/core/bytes.ts";
import type { Random } from "../../../src/core/random.ts";
import type { Reply } from "../../../src/client/reply.ts";
import { ReplyCounter } from "../../../src/client/reply-counter.ts";
import { ReplyReader } from "../../../src/client/reply-reader.ts";
import { inPieces } from "../mutation.ts";
import { type FuzzTarget, nearly, readTwice } from "../target.ts";

const SIMPLE = [
  ...[
    "+OK\r\n",
    "-ERR no\r\n",
    ":-12\r\n",
    ",1.5\r\n",
    "(123\r\n",
    "#t\r\n",
    "_\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "$0\r\n\r\n",
  ],
  ...["$5\r\nhello\r\n", "!3\r\nERR\r\n", "=7\r\ntxt:abc\r\n", "*0\r\n", "%0\r\n", "|1\r\n+a\r\n+b\r\n"],
];
const AGGREGATES = ["*", "~", ">", "%"];
const DEPTH_MAX = 4;

export const REPLIES: FuzzTarget = {
  name: "replies",
  refusals: ["PROTOCOL"],
  make: (random) => nearly(replies, random),
  take: (input, random) =>
    readTwice(
      (pieces, seen) => {
        const reader = new ReplyReader();
        for (const piece of pieces) reader.push(piece, (reply) => seen(utf8(shown(reply))));
      },
      input,
      random,
    ),
};

export const REPLY_COUNTS: FuzzTarget = {
  name: "reply-counts",
  refusals: ["PROTOCOL"],
  make: (random) => nearly(replies, random),
  take: (input, random) => {
    const counter = new ReplyCounter(() => undefined);
    let count = 0;
    for (const piece of inPieces(input, random)) count += counter.push(piece);
    return count;
  },
};

function replies(random: Random): Uint8Array {
  let made = "";
  for (let left = random.between(1, 4); left > 0; left--) made += reply(random, 0);
  return utf8(made);
}

function reply(random: Random, depth: number): string {
  if (depth === DEPTH_MAX || random.chance(0.6)) return SIMPLE[random.below(SIMPLE.length)]!;
  const type = AGGREGATES[random.below(AGGREGATES.length)]!;
  const count = random.between(1, 4);
  let made = `${type}${count}\r\n`;
  for (let left = type === "%" ? 2 * count : count; left > 0; left--) made += reply(random, depth + 1);
  return made;
}

function shown(reply: Reply): string {
  return JSON.stringify(reply, (_key, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));
}
