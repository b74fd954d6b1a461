/** A channel that ends behind a refusal that was safe to repeat: nothing more is sent on it. */
import { expect, test } from "bun:test";
import type { Channel, ChannelEvents } from "../../src/client/channel.ts";
import { openDatabase } from "../../src/client/channel-database.ts";
import { CorruptionError } from "../../src/client/errors.ts";
import { settingsOf } from "../../src/client/settings.ts";

const LIMITS = {
  keyBytesMax: 100,
  valueBytesMax: 100,
  frameBytesMax: 1_000,
  requestsInflightMax: 10,
  operationsMax: 10,
};

/** Refuses every request, and is gone then. */
function brief(events: ChannelEvents, sent: () => void): Channel {
  let isClosed = false;
  const close = (reason: string): void => {
    if (isClosed) return;
    isClosed = true;
    events.closed(reason);
  };
  return {
    node: "n1",
    limits: LIMITS,
    underway: 0,
    send: (_, sink) => {
      sent();
      queueMicrotask(() => {
        if (isClosed) return sink.lost("it is closed", false);
        sink.replied({ type: "error", code: "UNAVAILABLE", message: "failing", retry: "safe" });
        close("it has failed");
      });
      return 1;
    },
    grant: () => undefined,
    drop: () => true,
    close,
  };
}

test("a call goes on to where there is a channel, and hears why there is none", async () => {
  let openCount = 0;
  let sentCount = 0;
  const settings = settingsOf({ nodes: ["n1"], exactlyOnce: false, timeoutMs: 20_000 });
  const db = await openDatabase(settings, async (_, events) => {
    openCount += 1;
    if (openCount > 1) throw new CorruptionError("the disk is broken");
    return brief(events, () => {
      sentCount += 1;
    });
  });
  await expect(db.bucket("b").put("k", 1)).rejects.toBeInstanceOf(CorruptionError);
  expect(sentCount).toBe(1);
  await db.close();
}, 10_000);
