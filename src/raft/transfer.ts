/**
 * One leader's attempts to hand over (thesis §3.10). At most one at a time, and off after the least election timeout. A
 * successor that was told to campaign may do so whenever that message reaches it, even after the attempt is off, and the
 * votes it asks for override what voters have promised: so this leader never relies on those promises again.
 */
import { NO_NODE, type NodeId } from "../core/ids.ts";

export class Transfer {
  readonly #ticksMax: number;
  #to: NodeId = NO_NODE;
  #elapsedTicks = 0;
  #isTold = false;
  #mayBeOverridden = false;

  constructor(ticksMax: number) {
    this.#ticksMax = ticksMax;
  }

  /** The successor of the attempt that is on, NO_NODE when there is none. */
  get to(): NodeId {
    return this.#to;
  }

  get isOn(): boolean {
    return this.#to !== NO_NODE;
  }

  /** Whether what voters have promised this leader can be relied on. */
  get keepsPromises(): boolean {
    return !this.isOn && !this.#mayBeOverridden;
  }

  begin(to: NodeId): void {
    if (this.#to === to) return;
    this.#to = to;
    this.#elapsedTicks = 0;
    this.#isTold = false;
  }

  tick(): void {
    if (!this.isOn) return;
    this.#elapsedTicks += 1;
    if (this.#elapsedTicks >= this.#ticksMax) this.#to = NO_NODE;
  }

  /** The successor has everything. True if it is to be told now: once, and `again` in case that was lost. */
  tell(again: boolean): boolean {
    if (this.#isTold && !again) return false;
    this.#isTold = true;
    this.#mayBeOverridden = true;
    return true;
  }
}
