/** What can be said when connecting, and what holds where nothing is said. */
import { InvalidArgumentError } from "./errors.ts";
import type { ReadMode } from "./database.ts";

export interface TlsOptions {
  /** PEM of the authorities that are trusted; default: those of the system. */
  readonly ca?: string;
  /** PEM of the client's own certificate and key, where the server asks for one. */
  readonly cert?: string;
  readonly key?: string;
  /** The name that the server's certificate has to be for; default: the host of the address. */
  readonly serverName?: string;
}

export interface ConnectOptions {
  /** `host:port` of some nodes; the others are learned from them. */
  readonly nodes: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** In place of user and password; a function is asked for one whenever a connection is opened. */
  readonly token?: string | (() => Promise<string>);
  readonly tls?: TlsOptions;
  /** What the node shows of this client. */
  readonly clientName?: string;
  /** The longest a call may take, where it does not say. */
  readonly timeoutMs?: number;
  /** The longest a node may take to accept a connection and greet. */
  readonly connectTimeoutMs?: number;
  /** A connection on which answers are due and nothing has come for so long is given up. */
  readonly silenceMs?: number;
  readonly connectionsPerNode?: number;
  /** Whether large requests and replies are compressed, where both sides can. */
  readonly compress?: boolean;
  /** How reads are answered, where neither bucket nor call says. */
  readonly read?: ReadMode;
  /**
   * Whether each write is carried out once, however often it must be sent. Without that a write whose connection is lost
   * is not sent again, but rejected with UNKNOWN_OUTCOME.
   */
  readonly exactlyOnce?: boolean;
  /** How long the cluster remembers the writes of a client that it does not hear of. */
  readonly sessionTtlMs?: number;
  /** Calls that may be under way or wait, and bytes of their keys and values: more are refused with OVERLOADED. */
  readonly pendingMax?: number;
  readonly pendingBytesMax?: number;
}

export type Settings = Required<Omit<ConnectOptions, "user" | "password" | "token" | "tls">> &
  Pick<ConnectOptions, "user" | "password" | "token" | "tls">;

const DEFAULTS = {
  clientName: "envelopedb-client",
  timeoutMs: 10_000,
  connectTimeoutMs: 5_000,
  silenceMs: 3_000,
  connectionsPerNode: 1,
  compress: false,
  read: "linearizable",
  exactlyOnce: true,
  sessionTtlMs: 120_000,
  pendingMax: 16_384,
  pendingBytesMax: 64 * 1024 * 1024,
} as const;

/** INVALID_ARGUMENT for what makes no sense. */
export function settingsOf(options: ConnectOptions): Settings {
  const settings: Settings = { ...DEFAULTS, ...options };
  if (settings.nodes.length === 0) throw new InvalidArgumentError("at least one node is needed");
  if (settings.token !== undefined && settings.user !== undefined) {
    throw new InvalidArgumentError("either a token or a user, not both");
  }
  if ((settings.user === undefined) !== (settings.password === undefined)) {
    throw new InvalidArgumentError("a user needs a password, and a password a user");
  }
  const counts = ["timeoutMs", "connectTimeoutMs", "silenceMs", "connectionsPerNode", "sessionTtlMs"] as const;
  for (const name of [...counts, "pendingMax", "pendingBytesMax"] as const) {
    const value = settings[name];
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`${name} is a whole number from 1`);
  }
  return settings;
}
