/**
 * LCS: what two values have in common, in order. The two are read one by one, and not at one moment. It may be ten
 * milliseconds of work, so there is one at a time of a connection: each is paid for before the next is looked at.
 */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespWriter } from "../../wire/resp-writer.ts";
import { EMPTY_BYTES } from "../../core/bytes.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, readCommand } from "../command-table.ts";
import { commonSubsequence, tableBytes } from "../common-subsequence.ts";
import { GatherValues } from "../gather.ts";
import { NOT_AN_INTEGER, SYNTAX } from "../texts.ts";

export const LCS_COMMANDS: readonly CommandEntry[] = [
  {
    ...readCommand("lcs", -3, "The longest common subsequence of two values", lcs, [1, 2, 1]),
    exclusive: true,
  },
];

/** Fields of the table that are filled in a microsecond. */
const CELLS_PER_COST = 256;
const EITHER_OR = "ERR If you want both the length and indexes, please just use IDX.";
/** Redis's own words: `valueBytesMax` is told to clients under that name. */
const TABLE_TOO_LARGE = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";

interface LcsOptions {
  readonly wants: "bytes" | "length" | "runs";
  readonly leastBytes: bigint;
  readonly withLengths: boolean;
}

function lcs(client: ClientConnection, request: RequestArguments): void {
  const options = optionsOf(request);
  if (typeof options === "string") return client.replyError(options);
  const tableBytesMax = client.port.settings.valueBytesMax;
  const gather = new GatherValues(client, 2, (reply, [first, second]) => {
    const [a, b] = [first ?? EMPTY_BYTES, second ?? EMPTY_BYTES];
    client.share.worked((a.length * b.length) / CELLS_PER_COST);
    if (tableBytes(a, b) > tableBytesMax) reply.error(TABLE_TOO_LARGE);
    else writeCommon(reply, a, b, options);
  });
  client.readFor(request, 1, false, gather, 0);
  client.readFor(request, 2, false, gather, 1);
}

function optionsOf(request: RequestArguments): LcsOptions | string {
  let wantsLength = false;
  let wantsRuns = false;
  let withLengths = false;
  let leastBytes = 0n;
  for (let i = 3; i < request.count; i++) {
    const option = request.word(i);
    if (option === "len") wantsLength = true;
    else if (option === "idx") wantsRuns = true;
    else if (option === "withmatchlen") withLengths = true;
    else if (option === "minmatchlen" && i + 1 < request.count) {
      i += 1;
      const least = request.integer(i);
      if (least === null) return NOT_AN_INTEGER;
      leastBytes = least;
    } else return SYNTAX;
  }
  if (wantsLength && wantsRuns) return EITHER_OR;
  return { wants: wantsRuns ? "runs" : wantsLength ? "length" : "bytes", leastBytes, withLengths };
}

function writeCommon(reply: RespWriter, a: Uint8Array, b: Uint8Array, options: LcsOptions): void {
  const { bytes, runs } = commonSubsequence(a, b);
  if (options.wants === "length") return reply.integer(bytes.length);
  if (options.wants === "bytes") return reply.bulk(bytes);
  const shown = runs.filter(({ aFirst, aLast }) => BigInt(aLast - aFirst + 1) >= options.leastBytes);
  reply.map(2);
  reply.bulkText("matches");
  reply.array(shown.length);
  for (const { aFirst, aLast, bFirst, bLast } of shown) {
    reply.array(options.withLengths ? 3 : 2);
    writePair(reply, aFirst, aLast);
    writePair(reply, bFirst, bLast);
    if (options.withLengths) reply.integer(aLast - aFirst + 1);
  }
  reply.bulkText("len");
  reply.integer(bytes.length);
}

function writePair(reply: RespWriter, first: number, last: number): void {
  reply.array(2);
  reply.integer(first);
  reply.integer(last);
}
