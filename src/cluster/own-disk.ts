/**
 * Whether a leader's own disk has been in the way for long: it has no room, or it has not had for so many ticks what the
 * others have committed without it. Nothing false is acknowledged then, as a majority decides; but writes are refused, or
 * what commands come to is late, because it is known only when they are applied, and that waits for the disk. Another
 * voter's disk does better. Where all are slow, the others do not commit before it, and nobody hands over. Main thread only.
 */
export class OwnDisk {
  readonly #patienceTicks: number;
  #fullTicks = 0;
  /** What the disk has owed since it was first looked at; 0: nothing. */
  #owedIndex = 0;
  #owedTicks = 0;

  constructor(patienceTicks: number) {
    this.#patienceTicks = patienceTicks;
  }

  /** To be asked at every tick of a leader. After true it begins anew. */
  isInTheWay(isWritable: boolean, commitIndex: number, persistedIndex: number): boolean {
    this.#fullTicks = isWritable ? 0 : this.#fullTicks + 1;
    if (persistedIndex >= this.#owedIndex) {
      this.#owedIndex = commitIndex > persistedIndex ? commitIndex : 0;
      this.#owedTicks = 0;
    } else this.#owedTicks += 1;
    if (Math.max(this.#fullTicks, this.#owedTicks) < this.#patienceTicks) return false;
    this.forget();
    return true;
  }

  /** It does not lead. */
  forget(): void {
    this.#fullTicks = 0;
    this.#owedIndex = 0;
    this.#owedTicks = 0;
  }
}
