/** CRC-32 of frames on any runtime: the runtime's own where it has one, which is ten times as fast. */
import { buf } from "crc-32";
import * as zlib from "node:zlib";
import type { Checksum } from "../wire/binary-format.ts";

/** Not in every release of the runtimes that this runs on, whatever the types say. */
const native = (zlib as { readonly crc32?: (bytes: Uint8Array) => number }).crc32;

export const portableChecksum: Checksum = (bytes, start, end) => buf(bytes.subarray(start, end)) >>> 0;

export const checksum: Checksum =
  native === undefined ? portableChecksum : (bytes, start, end) => native(bytes.subarray(start, end));
