/** What both threads of the stress tests must agree on. */
import type { RingPair } from "../../src/bridge/ring-port.ts";
import type { ShardMemory } from "../../src/bridge/shard-memory.ts";
import type { ByteWriter } from "../../src/core/byte-writer.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { crc32 } from "../../src/core/crc32.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import type { Random } from "../../src/core/random.ts";

export interface RingStress {
  readonly pair: RingPair;
  readonly seed: number;
  /** Largest reply; 0: each request is sent back as it is. */
  readonly replyBytesMax: number;
}

export interface MemtableStress {
  readonly pair: RingPair;
  readonly memory: ShardMemory;
  readonly keyCount: number;
  readonly versionCount: number;
}

export const QUEUE_BYTES_MAX = 64 << 10;

/** Numbered, checksummed message: u32 number, u32 CRC of the body, body. An empty one ends the test. */
export function writeNumbered(into: ByteWriter, number: number, body: Uint8Array): void {
  into.u32(number);
  into.u32(crc32(body));
  into.raw(body);
}

/** The body of a numbered message; it throws when the message is not the expected one, whole. */
export function readNumbered(bytes: Uint8Array, start: number, end: number, number: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
  const body = bytes.subarray(start + 8, end);
  if (view.getUint32(0, true) !== number)
    throw new Error(`message ${view.getUint32(0, true)} came instead of ${number}`);
  if (view.getUint32(4, true) !== crc32(body)) throw new Error(`message ${number} came damaged`);
  return body;
}

/** Sizes from nothing to many times the ring. */
export function randomBody(random: Random, bytesMax: number): Uint8Array {
  const most = random.chance(0.02) ? bytesMax : random.chance(0.3) ? 2000 : 60;
  const body = new Uint8Array(random.below(Math.min(most, bytesMax) + 1));
  body.fill(random.below(256));
  for (let i = 0; i < body.length; i += 97) body[i] = random.below(256);
  return body;
}

/** Keys whose order in the list has nothing to do with the order of their coming. */
export function stressKeys(keyCount: number): { readonly key: Uint8Array; readonly hash: number }[] {
  return Array.from({ length: keyCount }, (_, i) => {
    const name = utf8(`key:${i}`);
    const key = utf8(`${murmur3(name, 0, name.length, 7).toString(16).padStart(8, "0")}:${i}`);
    return { key, hash: murmur3(key, 0, key.length, 1) };
  });
}

/** The value written under a stamp, of a length that varies with it. */
export function stressValue(stamp: number): Uint8Array {
  const value = new Uint8Array(4 + (stamp % 40)).fill(stamp & 0xff);
  new DataView(value.buffer).setUint32(0, stamp, true);
  return value;
}

export function isStressValue(bytes: Uint8Array, start: number, end: number, stamp: number): boolean {
  if (end - start !== 4 + (stamp % 40)) return false;
  for (let i = start + 4; i < end; i++) if (bytes[i] !== (stamp & 0xff)) return false;
  return (
    (bytes[start]! | (bytes[start + 1]! << 8) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 24)) >>> 0 === stamp
  );
}
