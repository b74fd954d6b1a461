import { expect, setDefaultTimeout, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import { ClientConnection } from "../../src/server/client-connection.ts";
import { command, RawClient, startPort } from "./started-port.ts";

setDefaultTimeout(60_000);

/** What a single-threaded database with one Map says to these requests. */
class Model {
  readonly #keys = new Map<string, string>();

  answer(args: readonly string[]): string {
    const [name = "", key = "", value = ""] = args;
    const old = this.#keys.get(key);
    switch (name) {
      case "SET":
        this.#keys.set(key, value);
        return "+OK\r\n";
      case "GET":
        return bulk(old);
      case "GETSET":
        this.#keys.set(key, value);
        return bulk(old);
      case "STRLEN":
        return `:${old?.length ?? 0}\r\n`;
      case "DEL":
        return `:${args.slice(1).filter((each) => this.#keys.delete(each)).length}\r\n`;
      case "MGET":
        return `*${args.length - 1}\r\n${args
          .slice(1)
          .map((each) => bulk(this.#keys.get(each)))
          .join("")}`;
      case "DBSIZE":
        return `:${this.#keys.size}\r\n`;
      case "FLUSHDB":
        this.#keys.clear();
        return "+OK\r\n";
      case "PING":
        return "+PONG\r\n";
      default:
        return `-ERR unknown command '${name}', with args beginning with: \r\n`;
    }
  }
}

function bulk(value: string | undefined): string {
  return value === undefined ? "$-1\r\n" : `$${value.length}\r\n${value}\r\n`;
}

function randomRequest(random: Random): string[] {
  const key = (): string => `k${random.below(8)}`;
  const value = "v".repeat(random.below(50));
  const requests = [
    ["SET", key(), value],
    ["SET", key(), value],
    ["GET", key()],
    ["GET", key()],
    ["GETSET", key(), value],
    ["STRLEN", key()],
    ["DEL", key()],
    ["DEL", key(), key(), key()],
    ["MGET", key(), key()],
    ["PING"],
    ["NOPE"],
    [random.chance(0.5) ? "DBSIZE" : "PING"],
    [random.chance(0.1) ? "FLUSHDB" : "PING"],
  ];
  return requests[random.below(requests.length)] ?? [];
}

test("replies leave in the order of requests, whatever the order of answers", async () => {
  const seed = Date.now() >>> 0;
  const random = new Random(seed);
  for (const requestsInflightMax of [1, 7, 1024]) {
    const server = startPort({ requestsInflightMax }, { random: new Random(random.u32()) });
    const model = new Model();
    const requests = Array.from({ length: 1500 }, () => randomRequest(random));
    const expected = requests.map((args) => model.answer(args)).join("");
    const client = await RawClient.open(server.port);
    for (const args of requests) client.send(command(...args));
    const said = await client.untilBytes(expected.length);
    if (said !== expected) throw new Error(`seed ${seed}, inflight ${requestsInflightMax}`);
    client.close();
    server.stop();
  }
});

test("an early answer waits for an earlier request, errors and sync replies too", async () => {
  const server = startPort();
  server.coordinator.holding = true;
  const client = await RawClient.open(server.port);
  client.send("SET a 1\r\nPING\r\nNOPE\r\nGET a\r\n");
  while (server.coordinator.heldCount < 2) await Bun.sleep(1);
  expect(client.text()).toBe("");
  server.coordinator.deliverAll();
  expect(await client.until("$1\r\n1\r\n")).toBe(
    "+OK\r\n+PONG\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n$1\r\n1\r\n",
  );
  client.close();
  server.stop();
});

test("closing the port answers what was asked, then closes", async () => {
  const server = startPort();
  server.coordinator.holding = true;
  const client = await RawClient.open(server.port);
  client.send("SET a 1\r\n");
  while (server.coordinator.heldCount < 1) await Bun.sleep(1);
  server.clientPort.close();
  server.coordinator.deliver();
  expect(await client.untilClosed()).toBe("+OK\r\n");
  expect(server.clientPort.connectionCount).toBe(0);
});

test("the coordinator is told when a connection has ended, with the ordering of its operations", async () => {
  const { coordinator, port, clientPort, stop } = startPort();
  const client = await RawClient.open(port);
  client.send(command("PING"));
  await client.until("+PONG\r\n");
  const [connection] = [...clientPort.connections()];
  client.close();
  while (coordinator.ended.length === 0) await Bun.sleep(1);
  expect(connection).toBeInstanceOf(ClientConnection);
  expect(coordinator.ended[0]).toBe((connection as ClientConnection).session.ordering);
  stop();
});
