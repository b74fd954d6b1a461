/** SHUTDOWN of a client ends the process as a signal does: cleanly, with what was acknowledged on disk. */
import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { TestCluster } from "./test-cluster.ts";

const TEST_MS_MAX = 60_000;

test(
  "SHUTDOWN ends the node with 0, and the next start has everything",
  async () => {
    const cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 1 });
    try {
      const options = { port: cluster.clientPorts[0] ?? 0, host: "127.0.0.1", retryStrategy: () => null };
      const client = new Redis(options);
      client.on("error", () => undefined);
      expect(await client.set("kept", "yes")).toBe("OK");
      const stopping = client.call("SHUTDOWN", "NOSAVE").catch((cause: unknown) => String(cause));
      expect(await cluster.ended(0)).toMatchObject({ code: 0 });
      expect(await stopping).toContain("Connection is closed");
      client.disconnect();
      await cluster.restart(0);
      const after = new Redis(options);
      expect(await after.get("kept")).toBe("yes");
      after.disconnect();
    } finally {
      await cluster.stop();
    }
  },
  TEST_MS_MAX,
);
