/** Progress of a long command: one moving line on a terminal, a plain line every few seconds elsewhere. On stderr. */

const TERMINAL_EVERY_MS = 100;
const PLAIN_EVERY_MS = 5_000;
const BAR_CELLS = 24;

export class Progress {
  readonly #label: string;
  readonly #noun: string;
  readonly #out: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #shownAt = performance.now();
  #shownCount = 0;
  #isLineOpen = false;

  /** `noun` is what is counted. */
  constructor(label: string, noun: string, out: NodeJS.WriteStream) {
    this.#label = label;
    this.#noun = noun;
    this.#out = out;
  }

  /** `fraction` from 0 to 1, or null when the end is not known. Cheap when it is too early to show anything. */
  update(count: number, fraction: number | null): void {
    const now = performance.now();
    const every = this.#out.isTTY ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS;
    if (now - this.#shownAt < every) return;
    const rate = ((count - this.#shownCount) * 1000) / (now - this.#shownAt);
    this.#shownAt = now;
    this.#shownCount = count;
    this.#show(count, fraction, rate);
  }

  /** A line of its own between two states of the bar. */
  note(text: string): void {
    this.#endLine();
    this.#out.write(`${text}\n`);
  }

  finish(count: number): void {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    if (this.#out.isTTY) this.#show(count, 1, count / Math.max(seconds, 0.001));
    this.#endLine();
  }

  #show(count: number, fraction: number | null, rate: number): void {
    const figures = `${count.toLocaleString("en-US")} ${this.#noun}, ${Math.round(rate).toLocaleString("en-US")}/s`;
    const percent = fraction === null ? "" : `${Math.floor(fraction * 100)}% `;
    if (!this.#out.isTTY) {
      this.#out.write(`${this.#label}: ${percent}${figures}\n`);
      return;
    }
    const cells = Math.round((fraction ?? 0) * BAR_CELLS);
    const bar = fraction === null ? "" : `[${"█".repeat(cells)}${"·".repeat(BAR_CELLS - cells)}] `;
    this.#out.write(`\r\x1b[2K${this.#label} ${bar}${percent}${figures}`);
    this.#isLineOpen = true;
  }

  #endLine(): void {
    if (this.#isLineOpen) this.#out.write("\n");
    this.#isLineOpen = false;
  }
}
