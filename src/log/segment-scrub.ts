/**
 * Checks a sealed segment that the log still uses: its header and everything up to the end of its last group. The shard's
 * thread only.
 */
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentChecksum } from "../record/segment-format.ts";
import type { Segment } from "./segment.ts";
import { walkSegment } from "./segment-walk.ts";

/** Yields the bytes read by each step. Throws CORRUPTION at damage, IO where the disk cannot read. */
export function* scrubSegment(disk: Disk, segment: Segment): Generator<number, void> {
  const { path, checksum, groups } = segment;
  const file = disk.open(path, "read");
  try {
    const block = new Uint8Array(SEGMENT_HEADER_BYTES);
    const header = decodeSegmentHeader(block.subarray(0, file.read(block, 0)), path);
    if (header instanceof EnvelopeError) throw header;
    if (segmentChecksum(block) !== checksum) throw corruption(path, 0, "the header of another segment");
    yield SEGMENT_HEADER_BYTES;
    if (groups.groupCount === 0) return;
    for (const part of walkSegment(file, header, checksum)) {
      if (part.kind !== "group") throw corruption(path, part.offset, part.why);
      yield part.bytes.length;
      if (part.group.offset + part.group.byteCount >= groups.endOffset) return;
    }
  } finally {
    file.close();
  }
}
