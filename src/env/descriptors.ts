/** How many file descriptors this process may have open, as the kernel says. */
import { readFileSync } from "node:fs";

const LINE = /^Max open files\s+(\d+|unlimited)/m;

/** Infinity where there is no limit, or no way to ask for it (only Linux has /proc). */
export function descriptorsMax(): number {
  try {
    const found = LINE.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return found === undefined || found === "unlimited" ? Number.POSITIVE_INFINITY : Number(found);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== undefined) return Number.POSITIVE_INFINITY;
    throw cause;
  }
}
