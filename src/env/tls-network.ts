/**
 * The network of a real node under TLS 1.3, and nothing older. What a socket is to its user stands in
 * `real-connection.ts`; a connection comes to its user when the handshake is done and the other side's certificate was
 * found good, so nothing of a stranger reaches a protocol.
 *
 *   - Bun admits certificates that it has found wrong (it says so in the same breath), so each is judged here again;
 *   - handshakes are bounded in number and time: who connects and says nothing costs a place only for a while;
 *   - a listener takes a new certificate in place, without a moment in which nobody listens. Only node:tls knows how to
 *     do that to a listener of Bun (`setSecureContext`), so a server of its kind is given ours for a handle.
 *
 * Why somebody was not let in is told to `refused`, in words for operators. Main thread only.
 */
import { constants } from "node:crypto";
import { checkServerIdentity, Server } from "node:tls";
import type { SocketListener, TLSOptions } from "bun";
import type { Clock, Timer } from "./clock.ts";
import type { CertificateNames, Credentials, TlsMaterial } from "./credentials.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "./network.ts";
import { cannotListen, RealConnection, type RealSocket, splitAddress, throwOutside } from "./real-connection.ts";

const HANDSHAKE_MS_MAX = 5000;
/** TLS 1.3 as it stands on the wire; what node:tls calls TLSv1.3. */
const TLS_1_3 = 0x0304;

export const NO_TLS = "it speaks no TLS, and this port is for TLS only";
const NO_CERTIFICATE = "it shows no certificate, which is required here";

type CallerCertificates = "unasked" | "optional" | "required";

export interface TlsNetworkOptions {
  readonly credentials: Credentials;
  /** Whether those who connect must show a certificate of the authority, or may. */
  readonly callers: CallerCertificates;
  /** Whether the certificate of a dialed server must name the host that was dialed. */
  readonly checksHost: boolean;
  /** Why the owner of a valid certificate may not be spoken with; null: he may. */
  readonly objection: (names: CertificateNames) => string | null;
  /** Handshakes of one listener at once; who comes then is cut off. */
  readonly handshakesMax: number;
  readonly refused: (remoteAddress: string, why: string) => void;
}

type Accept = (connection: Connection) => ConnectionHandler;

export class TlsNetwork implements Network {
  readonly #clock: Clock;
  readonly #options: TlsNetworkOptions;

  constructor(clock: Clock, options: TlsNetworkOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  listen(address: string, accept: Accept): Listener {
    const { hostname, port } = splitAddress(address);
    const { credentials, callers } = this.#options;
    const handshakes = new Map<RealSocket, Timer>();
    const finished = (socket: RealSocket): void => {
      handshakes.get(socket)?.cancel();
      handshakes.delete(socket);
    };
    try {
      const server = Bun.listen<RealConnection>({
        hostname,
        port,
        tls: serverTlsOptions(credentials.current, callers),
        socket: {
          ...CALLBACKS,
          error: (socket, error) => this.#failed(socket, error),
          open: (socket) => this.#arrived(socket, handshakes),
          handshake: (socket, isDone, problem) => {
            finished(socket);
            outside(() => this.#admit(socket, isDone, problem, accept));
          },
          close: (socket) => {
            finished(socket);
            socket.data?.closed();
          },
        },
      });
      const close = replaceable(server, credentials, asked(callers));
      return { port: server.port, close };
    } catch (cause) {
      throw cannotListen(address, cause);
    }
  }

  dial(address: string, opened: Accept, failed: (reason: string) => void): void {
    const { hostname, port } = splitAddress(address);
    let settled = false;
    const fail = (reason: string): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      failed(`cannot reach ${address}: ${reason}`);
    };
    const timer = this.#clock.after(HANDSHAKE_MS_MAX, () => fail(`no answer in ${HANDSHAKE_MS_MAX} ms`));
    const connecting = Bun.connect<RealConnection | undefined>({
      hostname,
      port,
      data: undefined,
      // What is wrong with a certificate is said in any case, and judged below.
      tls: { ...tlsOptions(this.#options.credentials.current), rejectUnauthorized: false },
      socket: {
        ...CALLBACKS,
        error: (socket, error) => this.#failed(socket, error),
        handshake: (socket, isDone, problem) => {
          const why = settled ? "given up" : this.#fault(socket, isDone, problem, hostname);
          if (why !== null) {
            if (isDone && !settled) this.#options.refused(address, why);
            fail(why);
            socket.terminate();
            return;
          }
          settled = true;
          timer.cancel();
          outside(() => this.#begin(socket, namesOf(socket), opened));
        },
        close: (socket) => {
          fail("it closed the connection");
          socket.data?.closed();
        },
        connectError: (_socket, error) => fail(error.message),
      },
    });
    connecting.then(
      () => undefined,
      (error: unknown) => fail(error instanceof Error ? error.message : String(error)),
    );
  }

  #arrived(socket: RealSocket, handshakes: Map<RealSocket, Timer>): void {
    const { handshakesMax, refused } = this.#options;
    const from = addressOf(socket);
    if (handshakes.size >= handshakesMax) {
      refused(from, `${handshakesMax} others are about to connect`);
      socket.terminate();
      return;
    }
    const impatience = this.#clock.after(HANDSHAKE_MS_MAX, () => {
      refused(from, `no TLS handshake within ${HANDSHAKE_MS_MAX} ms`);
      socket.terminate();
    });
    handshakes.set(socket, impatience);
  }

  #admit(socket: RealSocket, isDone: boolean, problem: Error | null, accept: Accept): void {
    const names = isDone && this.#options.callers !== "unasked" ? namesOf(socket) : null;
    const why = isDone ? this.#strangeness(names, problem) : handshakeFault(problem);
    if (why === null) {
      this.#begin(socket, names, accept);
      return;
    }
    if (why !== GONE) this.#options.refused(addressOf(socket), why);
    // Of a handshake that has failed the runtime tells the other side, and closes.
    if (isDone) socket.terminate();
  }

  #begin(socket: RealSocket, names: CertificateNames | null, accept: Accept): void {
    const connection = new RealConnection(socket, this.#clock);
    connection.certificateName = names?.commonName ?? null;
    connection.certificateHosts = names?.hosts ?? [];
    socket.data = connection;
    connection.attach(accept(connection));
  }

  /** A session that had begun; whoever does not accept a certificate under TLS 1.3 says so only then. */
  #failed(socket: RealSocket, error: Error): void {
    this.#options.refused(addressOf(socket), handshakeFault(error));
  }

  /** Why one who has finished the handshake is not let in; null: he is. */
  #strangeness(names: CertificateNames | null, problem: Error | null): string | null {
    const { callers, objection } = this.#options;
    if (callers === "unasked") return null;
    if (names === null) return callers === "optional" ? null : NO_CERTIFICATE;
    return problem === null ? objection(names) : certificateFault(problem);
  }

  /** Why a server that was dialed is not spoken with; null: it is. */
  #fault(socket: RealSocket, isDone: boolean, problem: Error | null, hostname: string): string | null {
    const code = codeOf(problem);
    // The name of the host is looked at when everything else is good, and below.
    if (problem !== null && code !== "ERR_TLS_CERT_ALTNAME_INVALID") {
      if (isDone) return certificateFault(problem);
      const why = handshakeFault(problem);
      return why === NO_TLS ? "it speaks no TLS" : why;
    }
    const names = namesOf(socket);
    if (names === null) return NO_CERTIFICATE;
    const mismatch = this.#options.checksHost ? checkServerIdentity(hostname, socket.getPeerCertificate()) : undefined;
    return mismatch === undefined ? this.#options.objection(names) : mismatch.message;
  }
}

/**
 * The same for both directions. Unlike without TLS, `error` is where a session that fails is told, before it closes; so
 * exceptions of handlers are caught before they get there.
 */
const CALLBACKS = {
  data: (socket: RealSocket, bytes: Buffer): void => {
    try {
      socket.data?.received(bytes);
    } catch (error) {
      throwOutside(error);
    }
  },
  drain: (socket: RealSocket): void => outside(() => socket.data?.drained()),
};

function outside(run: () => void): void {
  try {
    run();
  } catch (error) {
    throwOutside(error);
  }
}

function addressOf({ remoteAddress, remotePort }: RealSocket): string {
  return `${remoteAddress}:${remotePort}`;
}

/** Has a listener take new certificates in place from now on; returns what closes it. */
function replaceable(
  listener: Pick<SocketListener, "stop">,
  credentials: Credentials,
  asks: ReturnType<typeof asked>,
): () => void {
  const options = () => ({ ...nodeTlsOptions(credentials.current), ...asks });
  const replacement = Object.assign(new Server(options()), { _handle: listener });
  let isOpen = true;
  credentials.onChange(() => {
    if (isOpen) replacement.setSecureContext(options());
  });
  return () => {
    isOpen = false;
    listener.stop(false);
  };
}

/** What a listener of Bun takes. */
export function serverTlsOptions(material: TlsMaterial, callers: CallerCertificates): TLSOptions {
  return { ...tlsOptions(material), ...asked(callers) };
}

/** A session that is taken up again is not asked for its certificate: where one counts, there are no tickets for that. */
function asked(callers: CallerCertificates) {
  return {
    requestCert: callers !== "unasked",
    rejectUnauthorized: callers === "required",
    secureOptions: callers === "unasked" ? 0 : constants.SSL_OP_NO_TICKET,
  };
}

/** As Bun takes it. Its types leave out `minVersion`. */
function tlsOptions(material: TlsMaterial): TLSOptions {
  const options: TLSOptions & { minVersion: number } = { ...given(material), minVersion: TLS_1_3 };
  return options;
}

/** As node:tls takes it. */
function nodeTlsOptions(material: TlsMaterial) {
  return { ...given(material), minVersion: "TLSv1.3" as const };
}

function given({ certificate, key, authority }: TlsMaterial) {
  return {
    ...(certificate === null ? {} : { cert: certificate }),
    ...(key === null ? {} : { key }),
    ...(authority === null ? {} : { ca: authority }),
  };
}

/** Null: the other side has shown no certificate. */
function namesOf(socket: RealSocket): CertificateNames | null {
  const certificate = socket.getPeerCertificate();
  if (certificate?.subject === undefined) return null;
  const { subject, subjectaltname } = certificate;
  const commonName = Array.isArray(subject.CN) ? subject.CN[0] : subject.CN;
  const hosts = (subjectaltname ?? "").split(", ").filter((name) => name.startsWith("DNS:"));
  return { commonName: commonName ?? "", hosts: hosts.map((name) => name.slice("DNS:".length)) };
}

/** The other side went away: nobody was refused. */
const GONE = "it went away";

function handshakeFault(problem: Error | null): string {
  const message = problem?.message ?? "";
  if (codeOf(problem) === "ECONNRESET") return GONE;
  if (/HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER/.test(message)) return NO_TLS;
  if (message.includes("UNSUPPORTED_PROTOCOL")) return "it speaks no TLS 1.3, and nothing older is spoken here";
  if (/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_|UNSUPPORTED_CERTIFICATE)/.test(message)) {
    return `it does not accept the certificate that it was shown: ${plain(message)}`;
  }
  if (message.includes("PEER_DID_NOT_RETURN_A_CERTIFICATE")) return NO_CERTIFICATE;
  return `the TLS handshake failed: ${plain(message)}`;
}

function certificateFault(problem: Error | null): string {
  const code = codeOf(problem);
  if (code === "CERT_HAS_EXPIRED") return "its certificate has expired";
  if (code === "INVALID_PURPOSE") return "its certificate is for another purpose";
  return `its certificate is not of the authority that is trusted here: ${plain(problem?.message ?? "not verified")}`;
}

/** `error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER` → `WRONG_VERSION_NUMBER`. */
function plain(message: string): string {
  return message.slice(message.lastIndexOf(":") + 1);
}

function codeOf(problem: Error | null): string {
  return (problem as NodeJS.ErrnoException | null)?.code ?? "";
}
