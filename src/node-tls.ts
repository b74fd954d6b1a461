/**
 * The networks of a node's ports, with TLS where the settings say so. All of them show the same certificate, and meet new
 * connections with a new one as soon as its files have changed. Main thread.
 */
import { RefusalLog } from "./cluster/refusal-log.ts";
import type { NodeSettings } from "./config.ts";
import { namesNode, nodeHost } from "./core/node-host.ts";
import type { CertificateNames } from "./env/credentials.ts";
import type { Environment } from "./env/environment.ts";
import type { Network } from "./env/network.ts";
import { FileCredentials } from "./env/tls-files.ts";
import { serverTlsOptions, TlsNetwork, type TlsNetworkOptions } from "./env/tls-network.ts";
import type { HttpTls } from "./server/http-port.ts";

const HTTP_RETRY_MS = 1_000;
/** Handshakes of a port at once: so many, or a share of the file descriptors where those are few. */
const HANDSHAKES_MAX = 1024;
const HANDSHAKES_SHARE = 16;
/** For clients and for peers. */
const PORTS_WITH_HANDSHAKES = 2;

export interface NodeNetworks {
  readonly client: Network;
  readonly peer: Network;
  /** Null: without TLS. */
  readonly http: HttpTls | null;
  /** On all ports together: file descriptors that neither clients nor members can have. */
  readonly handshakesMax: number;
  /** Looks at once whether the files have changed; null: there are none. */
  readonly renewCertificates: (() => void) | null;
  /** Who was not let in by TLS is told to `run`, with the port. */
  onRefused(run: (port: string, from: string, why: string) => void): void;
  stop(): void;
}

/** `descriptorCount`: open files that the system allows. Throws CONFIG when a certificate cannot be used. */
export function openNetworks(settings: NodeSettings, environment: Environment, descriptorCount: number): NodeNetworks {
  const { network, clock, log } = environment;
  const { tlsCertificate, tlsKey, tlsAuthority, tlsClient, tlsPeer, tlsHttp, cluster, id } = settings;
  if (tlsCertificate === undefined || tlsKey === undefined) {
    const nothing = { http: null, renewCertificates: null, handshakesMax: 0, onRefused: () => undefined };
    return { client: network, peer: network, ...nothing, stop: () => undefined };
  }
  const handshakesMax = Math.min(HANDSHAKES_MAX, Math.ceil(descriptorCount / HANDSHAKES_SHARE));
  const paths = { certificate: tlsCertificate, key: tlsKey, authority: tlsAuthority ?? null };
  const own = nodeHost(id, cluster);
  const credentials = new FileCredentials(paths, clock, log, ({ hosts }) =>
    tlsPeer === "off" || namesNode(hosts, id, cluster)
      ? null
      : `does not name this node: ${own} must be among its alternative names, which are ${hosts.join(", ") || "none"}`,
  );
  const refusalLogs = new Map<string, RefusalLog>();
  const secured = (port: string, options: Pick<TlsNetworkOptions, "callers" | "objection">): Network => {
    const refusals = new RefusalLog(clock, log, port);
    refusalLogs.set(port, refusals);
    const refused = (from: string, why: string): void => refusals.note(from, why);
    return new TlsNetwork(clock, { credentials, checksHost: false, handshakesMax, refused, ...options });
  };
  const callers = { on: tlsAuthority === undefined ? "unasked" : "optional", required: "required" } as const;
  const foreign = ({ hosts, commonName }: CertificateNames): string | null =>
    hosts.some((host) => host.toLowerCase().endsWith(nodeHost("", cluster)))
      ? null
      : `its certificate, that of ${JSON.stringify(commonName)}, is not that of a node of cluster ${cluster}`;
  return {
    client: tlsClient === "off" ? network : secured("client", { callers: callers[tlsClient], objection: () => null }),
    peer: tlsPeer === "off" ? network : secured("peer", { callers: "required", objection: foreign }),
    http:
      tlsHttp === "off"
        ? null
        : {
            options: () => serverTlsOptions(credentials.current, tlsHttp === "required" ? "required" : "unasked"),
            onChange: (run) => credentials.onChange(run),
            later: (run) => void clock.after(HTTP_RETRY_MS, run),
          },
    handshakesMax: PORTS_WITH_HANDSHAKES * handshakesMax,
    renewCertificates: () => credentials.look(),
    onRefused: (run) => {
      for (const [port, refusals] of refusalLogs) refusals.onRefused = (from, why) => run(port, from, why);
    },
    stop: () => credentials.stop(),
  };
}
