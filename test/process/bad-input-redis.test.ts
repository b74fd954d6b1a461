/** The table of bad input put to a real Redis: what a node says is what Redis says. Skipped where none is installed. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ANSWERED, CLOSED } from "../server/bad-input-table.ts";
import { exchange, RawClient } from "../server/started-port.ts";
import { REDIS_SERVER, type RedisProcess, startRedis } from "./differential/redis-process.ts";

setDefaultTimeout(60_000);

describe.skipIf(REDIS_SERVER === null)("Redis says the same to", () => {
  let redis: RedisProcess;

  beforeAll(async () => {
    redis = await startRedis();
  });

  afterAll(async () => {
    await redis.stop();
  });

  for (const { what, bytes, said, isOurs } of CLOSED) {
    if (isOurs) continue;
    test(`${what}, and closes`, async () => {
      const client = await RawClient.open(redis.port);
      expect(await client.send(bytes).untilClosed()).toBe(said);
    });
  }
  for (const { what, bytes, said } of ANSWERED) {
    test(what, async () => expect(await exchange(redis.port, bytes)).toBe(said));
  }
});
