/** An engine by its name, for those that run in this process. */
import type { BenchReader, BenchStore, StoreOptions } from "./bench-store.ts";
import { EnvelopeReader } from "./envelope-reader.ts";
import { EnvelopeStore } from "./envelope-store.ts";
import { type EngineName, isEnvelope, type Job } from "./job.ts";
import { openPeer } from "./peer-stores.ts";

export function optionsOf({ engine, directory, memoryBytes }: Job, isSynced: boolean): StoreOptions {
  return { directory, isSynced, memoryBytes, tableIo: engine === "envelope-direct" ? "direct" : "mmap" };
}

export async function openStore(engine: EngineName, options: StoreOptions): Promise<BenchStore> {
  return isEnvelope(engine) ? new EnvelopeStore(options) : await openPeer(peerOf(engine), options);
}

export async function openReader(engine: EngineName, options: StoreOptions): Promise<BenchReader> {
  return isEnvelope(engine) ? new EnvelopeReader(options) : await openPeer(peerOf(engine), options);
}

function peerOf(engine: EngineName): "leveldb" | "lmdb" {
  if (engine === "leveldb" || engine === "lmdb") return engine;
  throw new Error(`${engine} does not run in this process`);
}
