/** Who is let in under TLS, who is not and why, and how a listener changes its certificate. */
import { afterEach, expect, test } from "bun:test";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { type Certificate, createAuthority } from "../../src/cli/certificate-authority.ts";
import { type Credentials, fixedCredentials, type TlsMaterial } from "../../src/env/credentials.ts";
import type { Connection, ConnectionHandler, Listener } from "../../src/env/network.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { NO_TLS, TlsNetwork, type TlsNetworkOptions } from "../../src/env/tls-network.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();

const authority = await createAuthority("ours", 30, NOW_MS - DAY_MS);
const foreign = await createAuthority("theirs", 30, NOW_MS);
const server = await issue("server");
const caller = await issue("caller");

type Purpose = "server" | "client";

async function issue(
  commonName: string,
  purposes: readonly Purpose[] = ["server", "client"],
  by = authority,
  fromMs = NOW_MS,
): Promise<Certificate> {
  const hosts = ["127.0.0.1", `${commonName}.test`];
  return by.issue({ commonName, hosts, purposes, days: 1, fromMs });
}

const listeners: Listener[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close();
});

class ChangingCredentials implements Credentials {
  current: TlsMaterial;
  readonly #runs: (() => void)[] = [];

  constructor(material: TlsMaterial) {
    this.current = material;
  }

  onChange(run: () => void): void {
    this.#runs.push(run);
  }

  change(material: TlsMaterial): void {
    this.current = material;
    for (const run of this.#runs) run();
  }
}

interface Door {
  readonly port: number;
  readonly credentials: ChangingCredentials;
  readonly accepted: Connection[];
  /** Resolves with the next reason for which somebody is refused. */
  refusal(): Promise<string>;
}

function material(own: Certificate | null, trusted = authority): TlsMaterial {
  return { certificate: own?.certificate ?? null, key: own?.key ?? null, authority: trusted.certificate };
}

function listen(changes: Partial<TlsNetworkOptions> = {}): Door {
  const accepted: Connection[] = [];
  const credentials = new ChangingCredentials(material(server));
  const reasons: string[] = [];
  let waiting: ((why: string) => void) | null = null;
  const network = new TlsNetwork(new RealClock(), {
    credentials,
    callers: "required",
    checksHost: false,
    objection: () => null,
    handshakesMax: 8,
    refused: (_, why) => {
      if (waiting === null) reasons.push(why);
      else waiting(why);
      waiting = null;
    },
    ...changes,
  });
  const listener = network.listen("127.0.0.1:0", (connection) => {
    accepted.push(connection);
    // Everything comes back.
    return handler((bytes) => connection.write(bytes, 0, bytes.length));
  });
  listeners.push(listener);
  const refusal = (): Promise<string> => {
    const known = reasons.shift();
    return known === undefined ? new Promise((resolve) => (waiting = resolve)) : Promise.resolve(known);
  };
  return { port: listener.port, credentials, accepted, refusal };
}

function handler(onData: (bytes: Uint8Array) => void, onClose: () => void = () => undefined): ConnectionHandler {
  return { onData, onDrain: () => undefined, onClose };
}

function dialing(own: Certificate | null, changes: Partial<TlsNetworkOptions> = {}): TlsNetwork {
  return new TlsNetwork(new RealClock(), {
    credentials: fixedCredentials(material(own)),
    callers: "required",
    checksHost: false,
    objection: () => null,
    handshakesMax: 8,
    refused: () => undefined,
    ...changes,
  });
}

/** What comes back for "hello", or why nothing does. */
function ask(network: TlsNetwork, address: string): Promise<string> {
  return new Promise((resolve) => {
    network.dial(
      address,
      (connection) => {
        connection.write(Buffer.from("hello"), 0, 5);
        return handler(
          (bytes) => {
            resolve(String(Buffer.from(bytes)));
            connection.terminate();
          },
          () => resolve("closed"),
        );
      },
      resolve,
    );
  });
}

test("both ends learn whose certificate the other has", async () => {
  const door = listen();
  const met = Promise.withResolvers<Connection>();
  const answer = await new Promise((resolve) => {
    dialing(caller).dial(
      `127.0.0.1:${door.port}`,
      (connection) => {
        met.resolve(connection);
        connection.write(Buffer.from("x"), 0, 1);
        return handler(resolve);
      },
      resolve,
    );
  });
  expect(answer).toBeInstanceOf(Uint8Array);
  const near = await met.promise;
  const [far] = door.accepted;
  expect([near.certificateName, near.certificateHosts]).toEqual(["server", ["server.test"]]);
  expect([far?.certificateName, far?.certificateHosts]).toEqual(["caller", ["caller.test"]]);
  near.terminate();
});

test("who has no certificate, or a wrong one, is not let in where one is required", async () => {
  const door = listen();
  const address = `127.0.0.1:${door.port}`;
  const expired = await issue("late", ["server", "client"], authority, NOW_MS - 2 * DAY_MS);
  const stranger = await issue("stranger", ["server", "client"], foreign);
  const notForCalling = await issue("server only", ["server"]);
  for (const [own, why] of [
    [null, "no certificate"],
    [expired, "has expired"],
    [stranger, "not of the authority"],
    [notForCalling, "another purpose"],
  ] as const) {
    const refusal = door.refusal();
    expect(await ask(dialing(own), address)).toBe("closed");
    expect(await refusal).toContain(why);
  }
  expect(door.accepted).toEqual([]);
});

test("where a certificate is optional, one that is shown has to be good all the same", async () => {
  const door = listen({ callers: "optional" });
  const address = `127.0.0.1:${door.port}`;
  expect(await ask(dialing(null), address)).toBe("hello");
  expect(await ask(dialing(caller), address)).toBe("hello");
  expect(door.accepted.map(({ certificateName }) => certificateName)).toEqual([null, "caller"]);
  const refusal = door.refusal();
  expect(await ask(dialing(await issue("stranger", ["client"], foreign)), address)).toBe("closed");
  expect(await refusal).toContain("not of the authority");
});

test("a server is believed with a certificate of the authority, for servers, for the host, and with no objection", async () => {
  const door = listen({ callers: "unasked" });
  const address = `127.0.0.1:${door.port}`;
  expect(await ask(dialing(null, { checksHost: true }), address)).toBe("hello");
  expect(await ask(dialing(null, { checksHost: true }), `localhost:${door.port}`)).toContain("localhost");
  expect(await ask(dialing(null, { objection: ({ hosts }) => `it is ${hosts}` }), address)).toContain(
    "it is server.test",
  );
  const elsewhere = fixedCredentials(material(null, foreign));
  const told: string[] = [];
  const refused = (where: string, why: string): void => void told.push(`${where}: ${why}`);
  expect(await ask(dialing(null, { credentials: elsewhere, refused }), address)).toContain("not of the authority");
  expect(told).toEqual([expect.stringContaining(`${address}: its certificate is not of the authority`)]);
  door.credentials.change(material(await issue("client only", ["client"])));
  expect(await ask(dialing(null), address)).toContain("another purpose");
});

test("who speaks no TLS, or an older one, is refused with a word for the operator", async () => {
  const door = listen({ callers: "unasked" });
  for (const line of ["PING\r\n", "*1\r\n$4\r\nPING\r\n", "GET / HTTP/1.1\r\n\r\n"]) {
    const refusal = door.refusal();
    const plain = connectPlain(door.port, "127.0.0.1");
    plain.on("error", () => undefined);
    const closed = new Promise((resolve) => plain.on("close", resolve));
    plain.write(line);
    expect(await refusal).toBe(NO_TLS);
    plain.resume();
    await closed;
  }
  const refusal = door.refusal();
  const old = connect({ port: door.port, host: "127.0.0.1", ca: authority.certificate, maxVersion: "TLSv1.2" });
  const failure = await new Promise<Error>((resolve) => old.on("error", resolve));
  expect(failure.message).toContain("PROTOCOL_VERSION");
  expect(await refusal).toContain("TLS 1.3");
  expect(door.accepted).toEqual([]);
});

test("handshakes that do not get on are bounded in number", async () => {
  const door = listen({ handshakesMax: 2 });
  const idle = Array.from({ length: 2 }, () => connectPlain(door.port, "127.0.0.1"));
  for (const socket of idle) await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
  const refusal = door.refusal();
  const third = connectPlain(door.port, "127.0.0.1");
  third.on("error", () => undefined);
  await new Promise((resolve) => third.on("close", resolve));
  expect(await refusal).toContain("2 others");
  for (const socket of idle) socket.destroy();
});

test("a changed certificate meets new connections under load, and none is dropped, old or new", async () => {
  const door = listen();
  const network = dialing(caller);
  const address = `127.0.0.1:${door.port}`;
  const oldAnswers: string[] = [];
  let said: () => void = () => undefined;
  const old = await new Promise<Connection>((resolve) => {
    network.dial(
      address,
      (connection) => {
        resolve(connection);
        return handler((bytes) => {
          oldAnswers.push(String(Buffer.from(bytes)));
          said();
        });
      },
      () => undefined,
    );
  });
  let isOver = false;
  const failures: string[] = [];
  const load = async (): Promise<void> => {
    while (!isOver) {
      const answer = await ask(network, address);
      if (answer !== "hello") failures.push(answer);
    }
  };
  const loads = [load(), load(), load(), load()];
  for (let i = 0; i < 10; i++) {
    const name = `server${i}`;
    door.credentials.change(material(await issue(name)));
    const seen = dialing(caller, { objection: ({ commonName }) => `met ${commonName}` });
    expect(await ask(seen, address)).toContain(`met ${name}`);
  }
  isOver = true;
  await Promise.all(loads);
  expect(failures).toEqual([]);
  const answered = new Promise<void>((resolve) => (said = resolve));
  old.write(Buffer.from("still"), 0, 5);
  await answered;
  expect(oldAnswers).toEqual(["still"]);
  old.terminate();
  // What is asked of callers has stayed the same.
  const refusal = door.refusal();
  expect(await ask(dialing(null), address)).toBe("closed");
  expect(await refusal).toContain("no certificate");
});

test("where certificates count, no session can be taken up again without one", async () => {
  for (const callers of ["unasked", "optional", "required"] as const) {
    const door = listen({ callers });
    door.credentials.change(material(server));
    const socket = connect({
      port: door.port,
      host: "127.0.0.1",
      ca: authority.certificate,
      cert: caller.certificate,
      key: caller.key,
    });
    let ticketCount = 0;
    socket.on("session", () => (ticketCount += 1));
    socket.on("error", () => undefined);
    const answered = new Promise((resolve) => socket.on("data", resolve));
    socket.write("x");
    await answered;
    socket.destroy();
    expect([callers, ticketCount > 0]).toEqual([callers, callers === "unasked"]);
  }
});

test("whose authority is changed is believed, or not, from then on", async () => {
  const door = listen();
  const address = `127.0.0.1:${door.port}`;
  const stranger = dialing(await issue("stranger", ["client"], foreign));
  expect(await ask(stranger, address)).toBe("closed");
  door.credentials.change(material(server, foreign));
  expect(await ask(stranger, address)).toBe("hello");
});
