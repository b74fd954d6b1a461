import { expect, setDefaultTimeout, test } from "bun:test";
import { FRAME_PROGRESS_BYTES, FrameWatch } from "../../src/server/frame-watch.ts";
import { command, exchange, RawClient, startPort } from "./started-port.ts";

setDefaultTimeout(60_000);

test("half a request and silence, or one byte at a time, is closed; idling between requests is not", async () => {
  const server = startPort({ frameIdleMs: 200 });
  const silent = await RawClient.open(server.port);
  silent.send("*2\r\n$3\r\nGE");
  const slow = await RawClient.open(server.port);
  slow.send("*2\r\n$3\r\nGET\r\n$1000\r\n");
  const drip = setInterval(() => slow.send("x"), 20);
  const idle = await RawClient.open(server.port);
  idle.send("PING\r\n");
  expect(await silent.untilClosed()).toBe("");
  expect(await slow.untilClosed()).toBe("");
  clearInterval(drip);
  expect(await idle.send("PING\r\n").until("PONG\r\n+PONG\r\n")).toBe("+PONG\r\n+PONG\r\n");
  idle.close();
  server.stop();
});

test("a client that never reads is no longer read from, and gets everything when it does", async () => {
  const server = startPort();
  const value = "v".repeat(1_000_000);
  const client = await RawClient.open(server.port);
  await client.send(command("SET", "k", value)).until("+OK\r\n");
  client.received = Buffer.alloc(0);
  client.pause();
  client.send(Buffer.concat(Array.from({ length: 100 }, () => command("GET", "k"))));
  await Bun.sleep(100);
  const [connection] = [...server.clientPort.connections()];
  expect(connection?.unsentBytes).toBeLessThan(6_000_000);
  expect(connection?.commandCount).toBeLessThan(100);
  client.resume();
  const reply = value.length + "$1000000\r\n\r\n".length;
  expect((await client.untilBytes(100 * reply)).length).toBe(100 * reply);
  client.close();
  server.stop();
});

test("replies that were already underway and are never read close the connection", async () => {
  const server = startPort({ outputBytesMax: 1_000_000 });
  const client = await RawClient.open(server.port);
  const value = "v".repeat(900_000);
  await client.send(command("SET", "k", value)).until("+OK\r\n");
  client.pause();
  client.send(command("MGET", ...new Array<string>(20).fill("k")));
  await Bun.sleep(50);
  while (server.clientPort.connectionCount > 0) await Bun.sleep(5);
  client.resume();
  await client.untilClosed();
  server.stop();
});

test("a congested node reads no more until it is relieved", async () => {
  const server = startPort();
  const client = await RawClient.open(server.port);
  await client.send("PING\r\n").until("+PONG\r\n");
  server.coordinator.congested = true;
  client.send("SET a 1\r\n");
  await Bun.sleep(30);
  client.send("SET a 2\r\nGET a\r\n");
  await Bun.sleep(30);
  expect(client.text()).toBe("+PONG\r\n");
  server.coordinator.relieve();
  expect(await client.until("$1\r\n")).toBe("+PONG\r\n+OK\r\n+OK\r\n$1\r\n2\r\n");
  client.close();
  server.stop();
});

test("connections beyond the limit are told so and closed", async () => {
  const server = startPort({ connectionsMax: 1 });
  const first = await RawClient.open(server.port);
  await first.send("PING\r\n").until("PONG");
  const second = await RawClient.open(server.port);
  expect(await second.untilClosed()).toBe("-ERR max number of clients reached\r\n");
  first.close();
  server.stop();
});

test("a client that reads none of its replies for too long is closed; one that has nothing to read is not", async () => {
  const server = startPort({ outputIdleMs: 200 });
  const [still, idle] = [await RawClient.open(server.port), await RawClient.open(server.port)];
  await still.send(command("SET", "k", "v".repeat(1_000_000))).until("+OK\r\n");
  await idle.send("PING\r\n").until("+PONG\r\n");
  still.pause();
  still.send(Buffer.concat(Array.from({ length: 20 }, () => command("GET", "k"))));
  while (server.clientPort.connectionCount > 1) await Bun.sleep(10);
  expect(server.clientPort.slowReaderCount).toBe(1);
  expect(await idle.send("PING\r\n").until("+PONG\r\n+PONG\r\n")).toBe("+PONG\r\n+PONG\r\n");
  idle.close();
  server.stop();
});

test("a watch starts anew when enough has moved, and not for a byte at a time", () => {
  const clock = { now: 1_000, monotonicMs: () => clock.now };
  const watch = new FrameWatch(clock);
  watch.progress(0, 0);
  for (clock.now = 2_000; clock.now < 3_000; clock.now += 1) watch.progress(1, 0);
  expect(watch.sinceMs).toBe(1_000);
  watch.progress(FRAME_PROGRESS_BYTES, 0);
  expect(watch.sinceMs).toBe(3_000);
  clock.now = 4_000;
  watch.progress(1, 1);
  expect(watch.sinceMs).toBe(4_000);
  watch.stop();
  expect(watch.sinceMs).toBe(0);
});

test("when clients hold too much together, those that hold most are closed and the others are not", async () => {
  const server = startPort({ clientMemoryBytes: 3_000_000 });
  const half = await Promise.all(Array.from({ length: 4 }, () => RawClient.open(server.port)));
  const small = await RawClient.open(server.port);
  await small.send("PING\r\n").until("+PONG\r\n");
  for (const [place, client] of half.entries()) {
    const bytes = (place + 1) * 500_000;
    client.send(Buffer.concat([Buffer.from("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n"), Buffer.alloc(bytes)]));
  }
  await half[3]!.untilClosed();
  expect(server.clientPort.memory.cutOffCount).toBeGreaterThan(0);
  while (server.clientPort.memory.bytes > 3_000_000) await Bun.sleep(5);
  expect(half[0]!.closed).toBe(false);
  expect(await small.send("PING\r\n").until("+PONG\r\n+PONG\r\n")).toBe("+PONG\r\n+PONG\r\n");
  for (const client of [...half, small]) client.close();
  while (server.clientPort.connectionCount > 0) await Bun.sleep(5);
  expect(server.clientPort.memory.bytes).toBe(0);
  server.stop();
});

test("what is watched and what is queued counts as memory that a client holds", async () => {
  const server = startPort();
  const watching = await RawClient.open(server.port);
  const keys = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(10_000, "k"));
  await watching.send(command("WATCH", ...keys)).until("+OK\r\n");
  expect(server.clientPort.connections()[0]?.heldBytes).toBeGreaterThan(2_000_000);
  const before = watching.received.length;
  await watching.send(command("UNWATCH")).untilBytes(before + 1);
  expect(server.clientPort.connections()[0]?.heldBytes).toBeLessThan(100_000);
  watching.close();
  while (server.clientPort.connectionCount > 0) await Bun.sleep(1);
  const queueing = await RawClient.open(server.port);
  // Arguments without bytes, which are to be remembered all the same.
  const empty = command("MGET", ...new Array<string>(1_000).fill(""));
  const count = 200;
  queueing.send(Buffer.concat([command("MULTI"), ...new Array<Buffer>(count).fill(empty)]));
  await queueing.untilBytes("+OK\r\n".length + count * "+QUEUED\r\n".length);
  expect(server.clientPort.connections()[0]?.heldBytes).toBeGreaterThan(count * 8_000);
  queueing.close();
  server.stop();
});

test("the names that a client gives itself are short", async () => {
  const server = startPort();
  const name = "n".repeat(1_025);
  const long = "-ERR Client names cannot be longer than 1024 characters.\r\n";
  const said = await exchange(
    server.port,
    Buffer.concat([
      command("CLIENT", "SETNAME", name),
      command("HELLO", "3", "SETNAME", name),
      command("CLIENT", "SETINFO", "LIB-NAME", name),
      command("CLIENT", "SETNAME", name.slice(1)),
    ]),
  );
  expect(said).toBe(`${long}${long}-ERR lib-name cannot be longer than 1024 characters.\r\n+OK\r\n`);
  server.stop();
});

test("a length that is announced takes no memory; a connection at rest holds nothing of its last request", async () => {
  const server = startPort({ frameIdleMs: 100 });
  const announcing = await Promise.all(Array.from({ length: 100 }, () => RawClient.open(server.port)));
  for (const client of announcing) client.send("*2\r\n$3\r\nGET\r\n$16000000\r\n");
  const client = await RawClient.open(server.port);
  const before = [...server.clientPort.connections()].length;
  expect(before).toBe(101);
  await client.send(command("SET", "k", "v".repeat(100_000))).until("+OK\r\n");
  expect(server.clientPort.memory.bytes).toBeLessThan(101 * 2_000 + 16_384);
  for (const other of announcing) await other.untilClosed();
  while (server.clientPort.memory.bytes > 0) {
    await Bun.sleep(10);
    client.send("PING\r\n");
  }
  client.close();
  server.stop();
});

test("hundreds of thousands of one-byte commands are answered, a bounded number of bytes at a time", async () => {
  const server = startPort();
  const client = await RawClient.open(server.port);
  const count = 200_000;
  let heldMax = 0;
  const look = setInterval(() => {
    heldMax = Math.max(heldMax, server.clientPort.memory.bytes);
  }, 1);
  client.send(Buffer.alloc(2 * count, "x\n")).send("ECHO the-end\r\n");
  const text = await client.until("the-end\r\n");
  clearInterval(look);
  expect(text.split("-ERR unknown command").length - 1).toBe(count);
  expect(heldMax).toBeLessThan(16 * 1024 * 1024);
  client.close();
  server.stop();
});
