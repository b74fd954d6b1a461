/**
 * What clients say wrongly, and what they see then. The words are Redis's own, byte for byte, but for the rows that say what
 * Redis does instead. The same table is put to a node and, where one is installed, to a real Redis.
 */
import { utf8 } from "../../src/core/bytes.ts";
import { command } from "./started-port.ts";

export interface BadInput {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** Everything that comes back: until the connection is closed, or for as long as it stays. */
  readonly said: string;
  /** Redis does something else on purpose or by version (docs/redis.md). */
  readonly isOurs: boolean;
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

function row(what: string, bytes: string | Uint8Array, said: string, isOurs = false): BadInput {
  return { what, bytes: typeof bytes === "string" ? utf8(bytes) : bytes, said, isOurs };
}

/** A row of one request or of several. */
function asked(what: string, requests: readonly (readonly string[])[], said: string): BadInput {
  return row(what, joined(...requests.map((args) => command(...args))), said);
}

const broken = (what: string): string => `-ERR Protocol error: ${what}\r\n`;
const NO_COUNT = broken("invalid multibulk length");
const NO_LENGTH = broken("invalid bulk length");
const UNBALANCED = broken("unbalanced quotes in request");
const MUCH = 70_000;

/** Framing is lost, or the client is none of ours: one error at most, then the connection is closed. */
export const CLOSED: readonly BadInput[] = [
  ...["2147483648", "9".repeat(20), "abc", "1.5", "+1", "01", " 1"].map((count) =>
    row(`a count of "${count}"`, `*${count}\r\n`, NO_COUNT),
  ),
  row("a count above 2^20", "*1048577\r\n", NO_COUNT, true),
  row("a count without an end", `*${"9".repeat(MUCH)}`, broken("too big mbulk count string")),
  row("a length without an end", `*1\r\n$${"9".repeat(MUCH)}`, broken("too big bulk count string")),
  ...["-10", "-1", "536870913", "9223372036854775808", "blabla", "0x4"].map((length) =>
    row(`a length of "${length}"`, `*1\r\n$${length}\r\n`, NO_LENGTH),
  ),
  row("a word where a length should be", "*1\r\nPING\r\n", broken("expected '$', got 'P'")),
  row("a number where a length should be", "*1\r\n:5\r\n", broken("expected '$', got ':'")),
  row("a payload without its CRLF", "*1\r\n$4\r\nPINGxx", broken("expected CRLF after a bulk payload"), true),
  row("a double quote that is never closed", 'SET k "x\r\n', UNBALANCED),
  row("a single quote that is never closed", "SET k 'x\r\n", UNBALANCED),
  row("a closing quote inside a word", 'SET k "x"y\r\n', UNBALANCED),
  row("a line without an end", "x".repeat(MUCH), broken("too big inline request")),
  row("behind what was due", "PING\r\n*x\r\n", `+PONG\r\n${NO_COUNT}`),
  row("a browser that posts", "POST / HTTP/1.1\r\n\r\nSET a b\r\n", ""),
  row("a browser that names its host", "Host: x\r\nSET a b\r\n", ""),
  row("a request behind QUIT", joined(command("QUIT"), command("SET", "q", "2")), "+OK\r\n"),
];

const NO_INTEGER = "-ERR value is not an integer or out of range\r\n";
const NO_SYNTAX = "-ERR syntax error\r\n";
const NO_EXPIRY = "-ERR invalid expire time in 'set' command\r\n";
const OK = "+OK\r\n";

/** A request that is understood and means nothing: an error, or nothing, and the connection stays. */
export const ANSWERED: readonly BadInput[] = [
  row("a count of 0", "*0\r\n", ""),
  row("a count below 0", "*-10\r\n", ""),
  row("empty lines", "\r\n\n", ""),
  asked("an empty name", [[""]], "-ERR unknown command '', with args beginning with: \r\n"),
  asked("an unknown name", [["nope", "a", "b"]], "-ERR unknown command 'nope', with args beginning with: 'a' 'b' \r\n"),
  asked(
    "a long unknown name, cut in the echo",
    [["x".repeat(MUCH), "y".repeat(MUCH)]],
    `-ERR unknown command '${"x".repeat(128)}', with args beginning with: '${"y".repeat(128)}' \r\n`,
  ),
  asked(
    "ends of lines in a name: no reply is smuggled in",
    [["a\r\nb", "c\r\n+OK"]],
    "-ERR unknown command 'a  b', with args beginning with: 'c  +OK' \r\n",
  ),
  asked("an argument too few", [["GET"]], "-ERR wrong number of arguments for 'get' command\r\n"),
  asked("MSET of an odd number", [["MSET", "a", "1", "b"]], "-ERR wrong number of arguments for 'mset' command\r\n"),
  asked("an unknown option", [["SET", "a", "1", "FOO"]], NO_SYNTAX),
  asked("NX with XX", [["SET", "a", "1", "NX", "XX"]], NO_SYNTAX),
  asked("EX with PX", [["SET", "a", "1", "EX", "1", "PX", "1"]], NO_SYNTAX),
  asked("EX 0", [["SET", "a", "1", "EX", "0"]], NO_EXPIRY),
  asked("EX -1", [["SET", "a", "1", "EX", "-1"]], NO_EXPIRY),
  asked("EX beyond time", [["SET", "a", "1", "EX", "9223372036854775807"]], NO_EXPIRY),
  asked("EX with a fraction", [["SET", "a", "1", "EX", "1.5"]], NO_INTEGER),
  asked(
    "EXPIRE beyond time",
    [
      ["SET", "e", "1"],
      ["EXPIRE", "e", "9223372036854775807"],
    ],
    `${OK}-ERR invalid expire time in 'expire' command\r\n`,
  ),
  asked(
    "INCR at the end of its range",
    [
      ["SET", "n", "9223372036854775807"],
      ["INCR", "n"],
    ],
    `${OK}-ERR increment or decrement would overflow\r\n`,
  ),
  asked(
    "INCR of a number behind a blank",
    [
      ["SET", "n", " 11"],
      ["INCR", "n"],
    ],
    OK + NO_INTEGER,
  ),
  asked(
    "INCR of a text",
    [
      ["SET", "n", "text"],
      ["INCR", "n"],
    ],
    OK + NO_INTEGER,
  ),
  asked(
    "DECRBY of what has no opposite",
    [["DECRBY", "m", "-9223372036854775808"]],
    "-ERR decrement would overflow\r\n",
  ),
  asked("INCRBYFLOAT of no number", [["INCRBYFLOAT", "m", "nan"]], "-ERR value is not a valid float\r\n"),
  asked("SETRANGE before the start", [["SETRANGE", "m", "-1", "x"]], "-ERR offset is out of range\r\n"),
  asked(
    "SETRANGE past the longest value",
    [["SETRANGE", "m", "536870912", "x"]],
    "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
  ),
  asked("a cursor that is none", [["SCAN", "abc"]], "-ERR invalid cursor\r\n"),
  asked("COUNT 0", [["SCAN", "0", "COUNT", "0"]], NO_SYNTAX),
  asked("a database that is none", [["SELECT", "1000000"]], "-ERR DB index is out of range\r\n"),
  asked("EXEC without MULTI", [["EXEC"]], "-ERR EXEC without MULTI\r\n"),
  asked("DISCARD without MULTI", [["DISCARD"]], "-ERR DISCARD without MULTI\r\n"),
  asked("MULTI in MULTI", [["MULTI"], ["MULTI"], ["DISCARD"]], `${OK}-ERR MULTI calls can not be nested\r\n${OK}`),
  asked(
    "WATCH in MULTI",
    [["MULTI"], ["WATCH", "a"], ["DISCARD"]],
    `${OK}-ERR WATCH inside MULTI is not allowed\r\n${OK}`,
  ),
  asked(
    "an error in MULTI",
    [["MULTI"], ["GET"], ["EXEC"]],
    `${OK}-ERR wrong number of arguments for 'get' command\r\n-EXECABORT Transaction discarded because of previous errors.\r\n`,
  ),
  asked("HELLO 4", [["HELLO", "4"]], "-NOPROTO unsupported protocol version\r\n"),
];
