/** OBJECT and MEMORY: how a value is kept. A value here has neither references nor a time of last use. */
import type { Waiter } from "../../cluster/coordinator.ts";
import type { Result, VersionResult } from "../../record/result.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { parseI64 } from "../../wire/resp-integer.ts";
import type { RespWriter } from "../../wire/resp-writer.ts";
import type { ClientConnection } from "../client-connection.ts";
import type { CommandEntry, CommandHandler, CommandKeys } from "../command-table.ts";
import { errorReply } from "../error-reply.ts";
import { containerCommand, subcommand } from "../subcommands.ts";
import { NOT_AN_INTEGER, SYNTAX } from "../texts.ts";

const SECOND: CommandKeys = [2, 2, 1];

export const OBJECT_COMMANDS: readonly CommandEntry[] = [
  containerCommand("object", "How the value of a key is kept", [
    subcommand("encoding", 3, "<key>", "int, embstr or raw, by the value alone.", about(false, writeEncoding), SECOND),
    subcommand("freq", 3, "<key>", "Refused: accesses are not counted.", about(true, writeFrequency), SECOND),
    subcommand("idletime", 3, "<key>", "0: times of access are not kept.", about(true, writeInteger(0)), SECOND),
    subcommand("refcount", 3, "<key>", "1: values are not shared.", about(true, writeInteger(1)), SECOND),
  ]),
  containerCommand("memory", "What keys and the node take up", [
    subcommand("usage", -3, "<key> [SAMPLES <count>]", "Bytes of a key in a memtable.", usage, SECOND),
    subcommand("doctor", 2, "", "Whether memory is in order.", (client) => {
      client
        .begin()
        .verbatim("Memory is planned and bounded: see memoryBytes in the settings, and the figures of INFO.\n");
      client.end();
    }),
    subcommand("stats", 2, "", "What the process has.", stats),
    subcommand("purge", 2, "", "Accepted: memory is given back as it becomes free.", (client) => client.replyOk()),
  ]),
];

/** The longest text that Redis keeps in one piece with its header, and the longest that may be an integer. */
const EMBEDDED_BYTES_MAX = 44;
const INTEGER_BYTES_MAX = 20;
const NO_FREQUENCY =
  "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

/** A node and its version in a memtable (bridge/memtable-format.ts): a tower one high and a slot of the directory. */
const WORD_BYTES = 4;
const NODE_WORDS = 8;
const VERSION_WORDS = 7;

type WriteAbout = (reply: RespWriter, version: VersionResult) => void;

class AboutKey implements Waiter {
  readonly #client: ClientConnection;
  readonly #slot: number;
  readonly #write: WriteAbout;

  constructor(client: ClientConnection, write: WriteAbout) {
    this.#client = client;
    this.#slot = client.defer();
    this.#write = write;
  }

  resolve(_tag: number, result: Result): void {
    this.#client.settle(this.#slot, (reply) => {
      if (result.kind === "version") this.#write(reply, result);
      else if (result.kind === "error") reply.error(errorReply(result.code, result.message));
      else reply.nil();
    });
  }
}

/** Reads the key in the third argument, its value too or not, and tells something of it; nil: there is none. */
function about(metadataOnly: boolean, write: WriteAbout): CommandHandler {
  return (client, request) => client.readFor(request, 2, metadataOnly, new AboutKey(client, write), 0);
}

function writeEncoding(reply: RespWriter, { value, valueBytes }: VersionResult): void {
  const isInteger = valueBytes <= INTEGER_BYTES_MAX && parseI64(value, 0, value.length) !== null;
  reply.bulkText(isInteger ? "int" : valueBytes <= EMBEDDED_BYTES_MAX ? "embstr" : "raw");
}

function writeFrequency(reply: RespWriter): void {
  reply.error(NO_FREQUENCY);
}

function writeInteger(value: number): WriteAbout {
  return (reply) => reply.integer(value);
}

function usage(client: ClientConnection, request: RequestArguments): void {
  for (let i = 3; i < request.count; i += 2) {
    if (request.word(i) !== "samples" || i + 1 >= request.count) return client.replyError(SYNTAX);
    const samples = request.integer(i + 1);
    if (samples === null) return client.replyError(NOT_AN_INTEGER);
    if (samples < 0n) return client.replyError(SYNTAX);
  }
  const keyWords = wordsOf(request.byteCount(2));
  const write: WriteAbout = (reply, { valueBytes }) =>
    reply.integer(WORD_BYTES * (NODE_WORDS + keyWords + VERSION_WORDS + wordsOf(valueBytes)));
  client.readFor(request, 2, true, new AboutKey(client, write), 0);
}

function wordsOf(byteCount: number): number {
  return Math.ceil(byteCount / WORD_BYTES);
}

function stats(client: ClientConnection): void {
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  const fields = { "total.allocated": rss, "heap.used": heapUsed, "heap.total": heapTotal, external };
  const reply = client.begin();
  reply.map(Object.keys(fields).length);
  for (const [name, value] of Object.entries(fields)) {
    reply.bulkText(name);
    reply.integer(value);
  }
  client.end();
}
