/** What clients may change while a node runs, and what they may do to it. */
import { describe, expect, test } from "bun:test";
import { parseSetting } from "../../src/config.ts";
import type { NodeControl } from "../../src/server/node-control.ts";
import { command, exchange, RawClient, type StartedPort, startPort } from "./started-port.ts";

interface Controlled extends StartedPort {
  readonly done: string[];
}

/** A port whose node can be stopped and changed; what was asked of it is noted. */
function controlled(): Controlled {
  const done: string[] = [];
  const control: NodeControl = {
    shutdown: () => done.push("shutdown") > 0,
    settings: new Map([
      ["connectionsMax", "1000"],
      ["frameIdleMs", "30000"],
      ["logLevel", "warn"],
      ["heartbeatMs", "150"],
    ]),
    parseSetting,
    setLogLevel: (level) => done.push(`log ${level}`),
  };
  return { ...startPort({}, { control }), done };
}

async function say(server: StartedPort, ...args: string[]): Promise<string> {
  return exchange(server.port, command(...args));
}

describe("CONFIG", () => {
  test("shows settings under their own names and under Redis's", async () => {
    const server = controlled();
    expect(await say(server, "CONFIG", "GET", "connectionsmax", "maxclients")).toBe(
      "*4\r\n$10\r\nmaxclients\r\n$4\r\n1000\r\n$14\r\nconnectionsMax\r\n$4\r\n1000\r\n",
    );
    expect(await say(server, "CONFIG", "GET", "loglevel")).toContain("warning");
    server.stop();
  });

  test("changes what can change, at once, under either name", async () => {
    const server = controlled();
    expect(await say(server, "CONFIG", "SET", "maxclients", "7", "frameIdleMs", "200")).toBe("+OK\r\n");
    expect(server.clientPort.settings).toMatchObject({ connectionsMax: 7, frameIdleMs: 200 });
    expect(await say(server, "CONFIG", "GET", "maxclients")).toContain("\r\n7\r\n");
    const crowd = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(server.port)));
    expect((await Promise.race(crowd.map((client) => client.untilClosed()))).slice(0, 4)).toBe("-ERR");
    for (const client of crowd) client.close();
    expect(server.clientPort.refusedCount).toBeGreaterThan(0);
    server.stop();
  });

  test("changes all or nothing, and says what is wrong", async () => {
    const server = controlled();
    for (const [pairs, why] of [
      [["maxclients", "7", "heartbeatMs", "1"], "can't set immutable config"],
      [["maxclients", "7", "nosuch", "1"], "Unknown option"],
      [["maxclients", "7", "frameIdleMs", "1"], "must be from 100 to 3600000"],
      [["maxclients", "x"], "couldn't be parsed into an integer"],
      [["maxclients", "7", "maxclients", "8"], "duplicate parameter"],
    ] as const) {
      expect(await say(server, "CONFIG", "SET", ...pairs)).toContain(why);
      expect(server.clientPort.settings.connectionsMax).toBe(1000);
    }
    server.stop();
  });

  test("takes a value that a fixed setting of Redis has anyway", async () => {
    const server = controlled();
    expect(await say(server, "CONFIG", "SET", "save", "", "appendonly", "yes")).toBe("+OK\r\n");
    expect(await say(server, "CONFIG", "SET", "appendonly", "no")).toContain("can't set immutable config");
    server.stop();
  });

  test("hands a new log level on, and RESETSTAT counts anew", async () => {
    const server = controlled();
    expect(await say(server, "CONFIG", "SET", "loglevel", "debug")).toBe("+OK\r\n");
    expect(await say(server, "CONFIG", "GET", "loglevel")).toContain("debug");
    expect(server.done).toEqual(["log debug"]);
    expect(server.clientPort.commandCount).toBeGreaterThan(3);
    expect(await say(server, "CONFIG", "RESETSTAT")).toBe("+OK\r\n");
    expect(server.clientPort.commandCount).toBeLessThan(3);
    server.stop();
  });
});

test("SHUTDOWN asks for the stop that a signal asks for, once, and never by mistake", async () => {
  const server = controlled();
  expect(await say(server, "SHUTDOWN", "SAVE", "NOSAVE")).toBe("-ERR syntax error\r\n");
  expect(await say(server, "SHUTDOWN", "ABORT")).toBe("-ERR No shutdown in progress.\r\n");
  expect(server.done).toEqual([]);
  await say(server, "SHUTDOWN", "NOSAVE");
  expect(server.done).toEqual(["shutdown"]);
  server.stop();
  const alone = startPort();
  expect(await say(alone, "SHUTDOWN")).toStartWith("-ERR");
  alone.stop();
});

test("DEBUG is refused in Redis's words unless the settings allow it; SLEEP holds up nobody else", async () => {
  const closed = startPort();
  expect(await say(closed, "DEBUG", "SLEEP", "0")).toStartWith("-ERR DEBUG command not allowed.");
  closed.stop();
  const open = startPort({ debugCommands: true });
  expect(await say(open, "DEBUG", "ERROR", "MINE of course")).toBe("-MINE of course\r\n");
  const sleeper = await RawClient.open(open.port);
  sleeper.send(command("DEBUG", "SLEEP", "30"));
  expect(await say(open, "DEBUG", "SET-ACTIVE-EXPIRE", "0")).toBe("+OK\r\n");
  expect(sleeper.text()).toBe("");
  sleeper.close();
  open.stop();
});

test("WAIT says how many others surely have every answered write: a majority of the voters, less one", async () => {
  const server = startPort();
  expect(await say(server, "WAIT", "2", "0")).toBe(":0\r\n");
  const [status] = server.coordinator.shards();
  if (status === undefined) throw new Error("there is no shard");
  server.coordinator.shards = () => [{ ...status, voters: ["n1", "n2", "n3"] }];
  expect(await say(server, "WAIT", "2", "0")).toBe(":1\r\n");
  expect(await say(server, "WAITAOF", "1", "1", "0")).toBe("*2\r\n:1\r\n:1\r\n");
  server.stop();
});

test("what is no UTF-8 comes back in an error as it went out, and never as a reply of its own", async () => {
  const server = startPort();
  const name = Buffer.from([0x78, 0xff, 0x80, 0x0d, 0x0a, 0xc3]);
  const text = Buffer.from(await exchange(server.port, command(name)), "latin1");
  expect(text.toString("latin1")).toBe("-ERR unknown command 'x\xff\x80  \xc3', with args beginning with: \r\n");
  server.stop();
});
