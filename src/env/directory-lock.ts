/**
 * One process per data directory. Bun has no flock, so it is called through `bun:ffi`: the kernel frees it whatever
 * way the owner dies, and two locks inside one process exclude each other as well. Where no C library can be loaded, or
 * the file system knows no flock, a file that names the owner's process id stands in: an owner that is gone no longer
 * counts. (A process id can be reused; then the operator is told which file to remove.)
 */
import { dlopen, FFIType, read } from "bun:ffi";
import { closeSync, existsSync, openSync, readFileSync, unlinkSync, writeSync, ftruncateSync } from "node:fs";
import { join } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import type { DirectoryLock } from "./disk.ts";

const LOCK_FILE = "LOCK";
const PID_FILE = "LOCK.pid";
const LOCK_EXCLUSIVE_NONBLOCKING = 2 | 4;
const LOCK_SHARED_NONBLOCKING = 1 | 4;

type Flock = (fd: number, operation: number) => "taken" | "inUse" | "unsupported";

let flock: Flock | null | undefined;

/** Takes the directory, or throws DIRECTORY_IN_USE. */
export function lockDirectory(directory: string): DirectoryLock {
  flock ??= loadFlock();
  if (flock !== null) {
    const path = join(directory, LOCK_FILE);
    const fd = openSync(path, "a+");
    const outcome = flock(fd, LOCK_EXCLUSIVE_NONBLOCKING);
    if (outcome === "taken") {
      ftruncateSync(fd, 0);
      writeSync(fd, `${process.pid}\n`);
      return { release: () => closeSync(fd) };
    }
    closeSync(fd);
    if (outcome === "inUse") throw inUse(directory, path);
  }
  return lockByPid(directory);
}

/**
 * Keeps a process that would use the directory out of it for as long as this one looks at it, or throws
 * DIRECTORY_IN_USE. Several may look at once. Nothing is written: a shared lock needs no more than an open for reading,
 * and where there is no lock file, nobody has ever locked the directory (so nobody is kept out of it either).
 */
export function lockForReading(directory: string): DirectoryLock {
  const pidPath = join(directory, PID_FILE);
  if (existsSync(pidPath) && isAlive(Number(readFileSync(pidPath, "utf8")))) throw inUse(directory, pidPath);
  const path = join(directory, LOCK_FILE);
  flock ??= loadFlock();
  if (flock === null || !existsSync(path)) return { release: () => undefined };
  const fd = openSync(path, "r");
  if (flock(fd, LOCK_SHARED_NONBLOCKING) !== "inUse") return { release: () => closeSync(fd) };
  closeSync(fd);
  throw inUse(directory, path);
}

function inUse(directory: string, path: string): EnvelopeError {
  const owner = readFileSync(path, "utf8").trim();
  return new EnvelopeError(
    "DIRECTORY_IN_USE",
    `${directory} is in use by process ${owner || "unknown"} (lock file ${path}); stop it, or use another directory`,
  );
}

function loadFlock(): Flock | null {
  const darwin = process.platform === "darwin";
  const errnoSymbol = darwin ? "__error" : "__errno_location";
  const unsupported = darwin ? [45, 77, 78] : [37, 38, 95]; // ENOTSUP, ENOLCK, ENOSYS
  const names = darwin
    ? ["libSystem.B.dylib"]
    : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
  for (const name of names) {
    try {
      const { symbols } = dlopen(name, {
        flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
        [errnoSymbol]: { args: [], returns: FFIType.ptr },
      });
      const flockCall = symbols["flock"] as (fd: number, operation: number) => number;
      const errnoCall = symbols[errnoSymbol] as () => Parameters<typeof read.i32>[0];
      return (fd, operation) => {
        if (flockCall(fd, operation) === 0) return "taken";
        return unsupported.includes(read.i32(errnoCall())) ? "unsupported" : "inUse";
      };
    } catch (failure) {
      // This library is not on this system: the next name, or the process id, will do. Anything else is a defect.
      if (!(failure instanceof Error)) throw failure;
    }
  }
  return null;
}

function lockByPid(directory: string): DirectoryLock {
  const path = join(directory, PID_FILE);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const fd = openSync(path, "wx");
      writeSync(fd, `${process.pid}\n`);
      closeSync(fd);
      return { release: () => unlinkSync(path) };
    } catch (failure) {
      if ((failure as NodeJS.ErrnoException).code !== "EEXIST") throw failure;
      if (isAlive(Number(readFileSync(path, "utf8")))) throw inUse(directory, path);
      unlinkSync(path);
    }
  }
  throw inUse(directory, path);
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (failure) {
    return (failure as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
