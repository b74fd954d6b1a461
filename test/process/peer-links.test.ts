/** The proxy between nodes does to their connections what the tests ask of it, and nothing else. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { PeerLink, PeerLinks } from "./peer-links.ts";

let server: Server;
let accepted: Socket[];
let link: PeerLink;
const dialed: Socket[] = [];

beforeEach(async () => {
  accepted = [];
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => undefined);
    // Everything comes back.
    socket.on("data", (bytes) => socket.write(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  link = await PeerLink.open();
  link.targetPort = (server.address() as { port: number }).port;
});

afterEach(() => {
  for (const socket of [...dialed.splice(0), ...accepted]) socket.destroy();
  link.stop();
  server.close();
});

/** A connection over the link, and what came back over it. */
class Line {
  readonly socket: Socket;
  received = "";
  closed = false;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port });
    dialed.push(this.socket);
    this.socket.on("error", () => undefined);
    this.socket.on("data", (bytes) => {
      this.received += String(bytes);
    });
    this.socket.on("close", () => {
      this.closed = true;
    });
  }

  async until(received: string): Promise<void> {
    while (this.received !== received) await Bun.sleep(2);
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await Bun.sleep(2);
  }
}

/** Long enough for bytes to come over loopback, were they to come. */
function aWhile(): Promise<void> {
  return Bun.sleep(50);
}

test("bytes pass both ways, slowly and late if asked, in order and all of them", async () => {
  const line = new Line(link.port);
  line.socket.write("a");
  await line.until("a");
  link.delayMs = 20;
  link.bytesPerSecond = 4_000_000;
  const much = "0123456789".repeat(100_000);
  line.socket.write(much);
  await line.until(`a${much}`);
  line.socket.end();
  await line.untilClosed();
});

test("a cut link closes what there is and lets nobody in until it is healed", async () => {
  const line = new Line(link.port);
  line.socket.write("a");
  await line.until("a");
  link.cut();
  await line.untilClosed();
  const another = new Line(link.port);
  await another.untilClosed();
  expect(accepted.length).toBe(1);
  link.heal();
  const third = new Line(link.port);
  third.socket.write("b");
  await third.until("b");
});

test("what is sent over a held link arrives when it is healed", async () => {
  const line = new Line(link.port);
  line.socket.write("a");
  await line.until("a");
  link.hold();
  line.socket.write("b");
  const another = new Line(link.port);
  another.socket.write("c");
  await aWhile();
  expect([line.received, another.received, accepted.length]).toEqual(["a", "", 1]);
  link.heal();
  await line.until("ab");
  await another.until("c");
});

test("a connection whose bytes were swallowed stays open and dead, and neither end is told of the other's", async () => {
  const line = new Line(link.port);
  line.socket.write("a");
  await line.until("a");
  link.swallow();
  line.socket.write("b");
  await aWhile();
  link.heal();
  line.socket.write("c");
  const another = new Line(link.port);
  another.socket.write("d");
  await another.until("d");
  await aWhile();
  expect([line.received, line.closed]).toEqual(["a", false]);
  line.socket.destroy();
  await line.untilClosed();
  await aWhile();
  expect(accepted[0]?.destroyed).toBe(false);
});

test("a link that loses closes a connection now and then", async () => {
  link.lossChance = 1;
  const line = new Line(link.port);
  line.socket.write("a");
  await line.untilClosed();
  expect(line.received).toBe("");
});

test("there is a link for each ordered pair of nodes", async () => {
  const links = await PeerLinks.open(3);
  expect(new Set(links.all().map(({ port }) => port)).size).toBe(6);
  expect(links.from(0)).toEqual([links.link(0, 1), links.link(0, 2)]);
  expect(links.to(0)).toEqual([links.link(1, 0), links.link(2, 0)]);
  expect(links.both(0, 2)).toEqual([links.link(0, 2), links.link(2, 0)]);
  links.leadTo([7, 8, 9]);
  expect(links.to(2).map(({ targetPort }) => targetPort)).toEqual([9, 9]);
  expect(() => links.link(1, 1)).toThrow("no link");
  links.stop();
});
