/**
 * Lines of any number on standard output in bounded memory: gathered into writes of a good size, each finished before
 * the next line is taken. A reader that has gone (`| head`) is no failure: what it does not want is dropped. Main thread.
 */
import { writeSync } from "node:fs";

const STANDARD_OUTPUT = 1;
const FLUSH_CHARACTERS = 64 * 1024;
const RETRY_MS = 1;

export class LineOutput {
  #pending = "";
  #isUnwanted = false;

  line(text: string): void {
    this.#pending += `${text}\n`;
    if (this.#pending.length >= FLUSH_CHARACTERS) this.flush();
  }

  flush(): void {
    let rest = Buffer.from(this.#pending);
    this.#pending = "";
    while (rest.length > 0 && !this.#isUnwanted) rest = rest.subarray(this.#write(rest));
  }

  #write(bytes: Uint8Array): number {
    try {
      return writeSync(STANDARD_OUTPUT, bytes);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === "EPIPE") this.#isUnwanted = true;
      else if (code === "EAGAIN") Bun.sleepSync(RETRY_MS);
      else throw cause;
      return 0;
    }
  }
}
