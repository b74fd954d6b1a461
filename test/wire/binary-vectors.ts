/**
 * The test vectors of the binary protocol in `vectors/`: each names a frame in hexadecimal and the message in it. In a message,
 * bytes are `{"hex": …}` and integers of 64 bits `{"integer": "…"}`; everything else is as binary-messages.ts has it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { beginBinaryFrame, endBinaryFrame, ReplyType, RequestType } from "../../src/wire/binary-format.ts";
import type { BinaryReply, BinaryRequest } from "../../src/wire/binary-messages.ts";
import { encodeReply } from "../../src/wire/binary-reply-format.ts";
import { encodeRequest } from "../../src/wire/binary-request-format.ts";

export interface Vector {
  readonly requestId: number;
  readonly message: unknown;
  readonly frame: string;
}

/** Why a frame that came breaks the framing, or what it is taken for. */
export interface BrokenVector {
  readonly what: string;
  readonly frame: string;
  readonly closes: boolean;
}

export function readVectors<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(join(import.meta.dir, "vectors", name), "utf8")) as T[];
}

export function frameOf(requestId: number, message: BinaryRequest | BinaryReply, isRequest: boolean): Uint8Array {
  const writer = new ByteWriter();
  const types: Readonly<Record<string, number>> = isRequest ? RequestType : ReplyType;
  const start = beginBinaryFrame(writer, types[message.type]!, requestId);
  if (isRequest) encodeRequest(message as BinaryRequest, writer);
  else encodeReply(message as BinaryReply, writer);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: value.toHex() };
  if (typeof value === "bigint") return { integer: String(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, toJson(field)]));
}

export function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  if (typeof fields["hex"] === "string") return Uint8Array.fromHex(fields["hex"]);
  if (typeof fields["integer"] === "string") return BigInt(fields["integer"]);
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, fromJson(field)]));
}
