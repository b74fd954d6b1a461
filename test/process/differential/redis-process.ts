/** A real Redis in a process of its own, over an empty directory, gone when it is stopped. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const READY_MS_MAX = 20_000;

export const REDIS_SERVER = Bun.which("redis-server");

export interface RedisProcess {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startRedis(): Promise<RedisProcess> {
  if (REDIS_SERVER === null) throw new Error("there is no redis-server on this machine");
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "edb-redis-"));
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const child = Bun.spawn([REDIS_SERVER, ...settings, "--dir", directory], { stdout: "ignore", stderr: "inherit" });
  await untilListening(port);
  return {
    port,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function untilListening(port: number): Promise<void> {
  const deadline = Date.now() + READY_MS_MAX;
  for (;;) {
    try {
      const nothing = { data: () => undefined };
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: nothing });
      socket.terminate();
      return;
    } catch (cause) {
      if (Date.now() > deadline) throw cause;
      await Bun.sleep(20);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
