/** What a client may do to the node as a whole, and to its settings. Given by the composition root. Main thread only. */

export interface NodeControl {
  /** Begins to stop the node as a signal would. False: nobody here can. */
  shutdown(): boolean;
  /** Every setting of the node as text, by name, as it started. */
  readonly settings: ReadonlyMap<string, string>;
  /** The value of a setting in text, as settings files have it, or what is wrong with it. */
  parseSetting(name: string, text: string): { readonly value: unknown } | { readonly problem: string };
  /** The least severity that is logged from now on, on this thread. */
  setLogLevel(level: string): void;
}

/** For a port without a node around it. */
export const NO_CONTROL: NodeControl = {
  shutdown: () => false,
  settings: new Map(),
  parseSetting: () => ({ problem: "cannot be changed here" }),
  setLogLevel: () => undefined,
};
