/**
 * Checks of passwords, a few at a time: each takes a core and its own memory for a while. Those that wait are bounded in all
 * and for each address, and addresses take turns, so a flood from one keeps nobody else waiting for long. Main thread only.
 */
const WAITING_MAX = 256;
const WAITING_OF_HOST_MAX = 8;

type Check = () => Promise<void>;

export class PasswordQueue {
  readonly #runningMax: number;
  /** By address, in the order of their turns. */
  readonly #waiting = new Map<string, Check[]>();
  #waitingCount = 0;
  #running = 0;

  constructor(runningMax: number) {
    this.#runningMax = runningMax;
  }

  /** Runs the check when its turn comes, which must not fail; false: too many wait already. */
  add(host: string, check: Check): boolean {
    const queue = this.#waiting.get(host) ?? [];
    if (this.#waitingCount >= WAITING_MAX || queue.length >= WAITING_OF_HOST_MAX) return false;
    queue.push(check);
    this.#waiting.set(host, queue);
    this.#waitingCount += 1;
    this.#next();
    return true;
  }

  #next(): void {
    while (this.#running < this.#runningMax) {
      const check = this.#take();
      if (check === null) return;
      this.#running += 1;
      void check().finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  /** The first check of the address whose turn it is, which then goes to the end of the line. */
  #take(): Check | null {
    for (const [host, queue] of this.#waiting) {
      const check = queue.shift();
      this.#waiting.delete(host);
      if (queue.length > 0) this.#waiting.set(host, queue);
      if (check === undefined) continue;
      this.#waitingCount -= 1;
      return check;
    }
    return null;
  }
}
