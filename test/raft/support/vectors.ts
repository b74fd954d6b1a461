/**
 * The published test data of etcd-io/raft (Apache-2.0), where it is at hand: an archive in the directory that the environment
 * names, or in `../shared/data/vectors` beside the repository.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DIRECTORY = process.env["ENVELOPEDB_TEST_VECTORS"] ?? join(import.meta.dir, "../../../../shared/data/vectors");
const ARCHIVE = join(DIRECTORY, "etcd-raft-testdata.tgz");

/** The files of these names, by name; null without the archive. */
export function etcdVectors(names: readonly string[]): ReadonlyMap<string, string> | null {
  if (!existsSync(ARCHIVE)) return null;
  const directory = mkdtempSync(join(tmpdir(), "vectors-"));
  try {
    if (!Bun.spawnSync(["tar", "xzf", ARCHIVE, "-C", directory]).success) throw new Error(`${ARCHIVE} cannot be read`);
    return new Map(names.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
  } finally {
    rmSync(directory, { recursive: true });
  }
}
