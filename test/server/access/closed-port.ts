/** A client port of a node that is not open: two users, an audit log in memory. */
import type { AppendFile } from "../../../src/env/append-file.ts";
import { RealClock } from "../../../src/env/real-clock.ts";
import { utf8 } from "../../../src/core/bytes.ts";
import { AuditLog } from "../../../src/server/access/audit-log.ts";
import { type FakeAccess, fakeAccess } from "../fake-access.ts";
import { type StartedPort, startPort } from "../started-port.ts";

const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Lines in memory; it can be made to fail. */
class Memory implements AppendFile {
  size = 0;
  content = "";
  isFull = false;
  async append(bytes: Uint8Array): Promise<void> {
    if (this.isFull) throw new Error("full");
    this.content += new TextDecoder().decode(bytes);
  }
  async rotate(): Promise<void> {}
  async close(): Promise<void> {}
}

export interface ClosedPort extends FakeAccess {
  readonly memory: Memory;
  readonly started: StartedPort;
}

/** `default` has the roles admin and cluster, `ann` is a reader who may write keys that begin with "ann:" in bucket 0. */
export function startClosedPort(settings: { loginTimeoutMs?: number } = {}): ClosedPort {
  const memory = new Memory();
  const audit = new AuditLog(memory, null, new RealClock(), QUIET, { fileBytesMax: 1e9, filesKept: 1 });
  const fake = fakeAccess({ mayBeOpen: false, audit });
  fake.enter("default", ["admin", "cluster"]);
  fake.enter("ann", ["reader"], [{ bucket: "0", prefix: utf8("ann:"), rights: 3 }]);
  return { ...fake, memory, started: startPort(settings, { access: fake.access }) };
}
