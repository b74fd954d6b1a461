/**
 * Opens a channel to a node: connects, by TLS where that is wanted, says hello and waits for the welcome. Runs on Bun, Node
 * and Deno.
 */
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { EnvelopeError } from "../core/errors.ts";
import type { Channel, ChannelEvents } from "./channel.ts";
import { UnavailableError } from "./errors.ts";
import type { Settings } from "./settings.ts";
import { SocketChannel } from "./socket-channel.ts";
import { parseTarget, type Target } from "./target.ts";

/** Connects and greets; rejects with UNAVAILABLE, or with what the node says to the greeting. */
export function openSocketChannel(settings: Settings, address: string, events: ChannelEvents): Promise<Channel> {
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
      const channel = new SocketChannel(address, socket, events, settings, {
        welcomed: () => {
          clearTimeout(timer);
          resolve(channel);
        },
        refused: fail,
      });
    });
  });
}

function dial({ host, port }: Target, { tls }: Settings): Socket {
  if (tls === undefined) return connectPlain({ host, port });
  const { ca, cert, key, serverName } = tls;
  return connectTls({
    host,
    port,
    minVersion: "TLSv1.3",
    servername: serverName ?? host,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
}
