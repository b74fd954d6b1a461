/** What a database promises, promised by one inside the process: on this thread, and with shards on a thread of their own. */
import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/embedded.ts";
import { databaseContract } from "../client/contract.ts";

const directory = mkdtempSync(join(tmpdir(), "edb-embedded-contract-"));
const SMALL = { memtableBytes: 32 * 1024 * 1024, segmentBytes: 4 * 1024 * 1024 };

afterAll(() => rmSync(directory, { recursive: true, force: true }));

databaseContract("embedded, on this thread", () => open({ ...SMALL, path: join(directory, "thread") }));

databaseContract("embedded, with three shards on this thread", () =>
  open({ ...SMALL, path: join(directory, "shards"), shards: 3 }),
);

databaseContract("embedded, with a worker", () =>
  open({ ...SMALL, path: join(directory, "worker"), shards: 2, workers: 1, compactors: 1 }),
);
