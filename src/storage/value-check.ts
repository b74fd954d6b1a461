/** Whether what a pointer leads to is what was meant. Any thread. */
import { crc32 } from "../core/crc32.ts";
import { corruption } from "../core/errors.ts";
import type { DiskFile } from "../env/disk.ts";
import { readU32 } from "./block-format.ts";
import type { ValuePointer } from "./value-pointer-format.ts";

/** Throws CORRUPTION when these are not the bytes of the pointer's value. */
export function checkValue(value: Uint8Array, pointer: ValuePointer, path: string): void {
  if (crc32(value) === pointer.checksum) return;
  throw corruption(path, pointer.valueOffset, "a value with a wrong checksum");
}

/** As `checkValue`, of the whole command, which has a checksum of its own. */
export function checkPointedTo(command: Uint8Array, pointer: ValuePointer, path: string): void {
  const { commandOffset, commandBytes, valueBytes } = pointer;
  checkValue(command.subarray(commandBytes - valueBytes), pointer, path);
  if (crc32(command.subarray(4)) === readU32(command, 0)) return;
  throw corruption(path, commandOffset, "a command with a wrong checksum");
}

/** Reads and checks the command with an ordinary read. Throws CORRUPTION, IO. */
export function checkInFile(file: DiskFile, pointer: ValuePointer): void {
  const command = new Uint8Array(pointer.commandBytes);
  if (file.read(command, pointer.commandOffset) !== command.length) {
    throw corruption(file.path, pointer.commandOffset, "a value cut short");
  }
  checkPointedTo(command, pointer, file.path);
}
