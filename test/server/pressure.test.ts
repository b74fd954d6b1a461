import { expect, setDefaultTimeout, test } from "bun:test";
import { command, RawClient, startPort } from "./started-port.ts";

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
