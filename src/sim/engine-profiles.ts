/**
 * What befalls a simulated engine:
 *
 *   mixed     all of it by weighted chance
 *   crash     power cuts and kills, also in the midst of any call of the disk
 *   faults    calls of the disk that fail, and disks without room
 *   bitrot    a short life, a stop or a crash, and then one bit of one file flipped (`engine-bitrot.ts`)
 *   sweep     every single call of one short life failed in turn (`engine-sweep.ts`)
 */
export const ENGINE_PROFILES = ["mixed", "crash", "faults", "bitrot", "sweep"] as const;
export type EngineProfile = (typeof ENGINE_PROFILES)[number];
