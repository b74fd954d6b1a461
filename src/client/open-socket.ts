/**
 * Opens a channel to a node: connects, by TLS where that is wanted, says hello, with credentials where there are any, and
 * waits for the welcome. Runs on Bun, Node and Deno.
 */
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { EnvelopeError } from "../core/errors.ts";
import type { Credentials } from "../wire/binary-messages.ts";
import type { Channel, ChannelEvents } from "./channel.ts";
import { UnavailableError } from "./errors.ts";
import type { Settings } from "./settings.ts";
import { SocketChannel } from "./socket-channel.ts";
import { parseTarget, type Target } from "./target.ts";

/** Connects and greets; rejects with UNAVAILABLE, or with what the node says to the greeting. */
export async function openSocketChannel(settings: Settings, address: string, events: ChannelEvents): Promise<Channel> {
  const credentials = await inTime(credentialsOf(settings), settings.connectTimeoutMs, address);
  return new Promise((resolve, reject) => {
    const target = parseTarget(address);
    const socket = dial(target, settings);
    const fail = (error: EnvelopeError): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      // A late error of a socket that is given up has no listener left, and must not end the process.
      socket.on("error", () => undefined);
      socket.destroy();
      reject(error);
    };
    const unavailable = (reason: string): void => fail(new UnavailableError(`${address}: ${reason}`));
    const { connectTimeoutMs } = settings;
    const timer = setTimeout(() => unavailable(`no greeting within ${connectTimeoutMs} ms`), connectTimeoutMs);
    socket.once("error", (error) => unavailable(error.message));
    socket.once("close", () => unavailable("the node closed the connection"));
    socket.once(settings.tls === undefined ? "connect" : "secureConnect", () => {
      socket.removeAllListeners();
      socket.setNoDelay(true);
      const channel = new SocketChannel(address, socket, events, settings, credentials, {
        welcomed: () => {
          clearTimeout(timer);
          resolve(channel);
        },
        refused: fail,
      });
    });
  });
}

/** A function of the caller's that never comes back must not keep a node from being tried again. */
async function inTime<T>(credentials: Promise<T>, ms: number, address: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UnavailableError(`${address}: no token within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([credentials, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** UNAVAILABLE when the caller's own function has no token to give: it may have one the next time. */
async function credentialsOf({ user, password, token }: Settings): Promise<Credentials | null> {
  if (token === undefined) {
    return user === undefined || password === undefined ? null : { kind: "password", user, password };
  }
  try {
    return { kind: "token", token: typeof token === "string" ? token : await token() };
  } catch (cause) {
    throw new UnavailableError("there is no token to log in with", "safe", cause);
  }
}

function dial({ host, port }: Target, { tls }: Settings): Socket {
  if (tls === undefined) return connectPlain({ host, port });
  const { ca, cert, key, serverName } = tls;
  return connectTls({
    host,
    port,
    minVersion: "TLSv1.3",
    // An address is no name that a server could be asked for.
    ...(serverName === undefined && isIP(host) !== 0 ? {} : { servername: serverName ?? host }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
}
