/**
 * What the kernel is told of how mapped files will be read (madvise(2), by way of the C library). Without being told, it
 * brings 128 KiB with every page that is missing, which for scattered reads of more data than memory drives out as much as
 * it brings. Only speed depends on it: where there is no such library, nothing is said. Any thread.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";

const LIBRARY = "libc.so.6";
const MADV_RANDOM = 1;
const MADV_WILLNEED = 3;
/** An advice begins at the start of a page. */
const PAGE_BYTES = 4096;

type Advise = (address: number, byteCount: number, advice: number) => number;

export class MemoryAdvice {
  #advise: Advise | null | undefined;

  /** Bring only the pages that are asked for. */
  scattered(view: Uint8Array): void {
    this.#tell(view, 0, view.length, MADV_RANDOM);
  }

  /** Begin to bring this range of a view that begins with its mapping. */
  willNeed(view: Uint8Array, start: number, end: number): void {
    const first = start - (start % PAGE_BYTES);
    this.#tell(view, first, end - first, MADV_WILLNEED);
  }

  /** What the kernel says to it does not matter. */
  #tell(view: Uint8Array, start: number, byteCount: number, advice: number): void {
    if (this.#advise === undefined) this.#advise = openLibrary();
    if (this.#advise !== null && view.length > 0) this.#advise(ptr(view) + start, byteCount, advice);
  }
}

function openLibrary(): Advise | null {
  try {
    const { symbols } = dlopen(LIBRARY, {
      madvise: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
    });
    return (address, byteCount, advice) => symbols.madvise(address as never, byteCount, advice);
  } catch {
    return null;
  }
}
