/** Who listens where in a cluster on one machine: client ports from the base, peer ports 100 above, HTTP 200 above. */
import { createServer } from "node:net";
import { EnvelopeError } from "../core/errors.ts";

const HOST = "127.0.0.1";
const PEER_OFFSET = 100;
const HTTP_OFFSET = 200;

export interface NodePlace {
  readonly id: string;
  readonly client: string;
  readonly peer: string;
  readonly http: string;
  readonly data: string;
}

/** Throws CONFIG when the ports would not fit or collide. */
export function layOutCluster(nodeCount: number, basePort: number, data: string): readonly NodePlace[] {
  if (nodeCount > PEER_OFFSET) throw new EnvelopeError("CONFIG", `nodes must be from 1 to ${PEER_OFFSET}`);
  if (basePort + HTTP_OFFSET + nodeCount > 65_536) {
    throw new EnvelopeError(
      "CONFIG",
      `base-port ${basePort} is too high: the ports go up to it + ${HTTP_OFFSET + nodeCount - 1}`,
    );
  }
  return Array.from({ length: nodeCount }, (_, i) => ({
    id: `n${i + 1}`,
    client: `${HOST}:${basePort + i}`,
    peer: `${HOST}:${basePort + PEER_OFFSET + i}`,
    http: `${HOST}:${basePort + HTTP_OFFSET + i}`,
    data: `${data}/n${i + 1}`,
  }));
}

/** The flags of `node` for one place among all, which share the machine's cores. */
export function nodeFlags(place: NodePlace, all: readonly NodePlace[], machineCores: number): string[] {
  const peers = all.map((other) => `${other.id}=${other.peer}`).join(",");
  return ["--id", place.id, "--client", place.client, "--peer", place.peer, "--http", place.http].concat([
    "--data",
    place.data,
    "--peers",
    peers,
    "--cores",
    String(Math.max(1, Math.floor(machineCores / all.length))),
  ]);
}

/** Throws CONFIG, naming the port, when one of them is taken: before anything is deleted or started. */
export async function requireFreePorts(places: readonly NodePlace[]): Promise<void> {
  for (const place of places) {
    for (const [use, address] of [
      ["client", place.client],
      ["peer", place.peer],
      ["HTTP", place.http],
    ] as const) {
      const port = Number(address.slice(address.lastIndexOf(":") + 1));
      const problem = await probe(port);
      if (problem === null) continue;
      const advice = "stop what listens there or choose another --base-port";
      throw new EnvelopeError(
        "CONFIG",
        `port ${port} (${use} port of ${place.id}) cannot be used: ${problem}; ${advice}`,
      );
    }
  }
}

function probe(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "EADDRINUSE" ? "already in use" : error.message);
    });
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
