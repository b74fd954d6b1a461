/**
 * The package's entry `envelopedb`: a database inside the process, on the files of one directory, without a server. `open`
 * composes the node that a server is, without its ports, and `serve` opens them; so the directory is the same as well: what a
 * server has written opens here, and the other way round.
 *
 * The shards are on the caller's thread unless `workers` says otherwise. Nothing but calls under way and open ports keeps the
 * process alive, and no signal is listened to: it may end at any moment, and what was answered is as durable as its bucket says.
 * A defect (a failed assertion) is thrown where it cannot be caught, and ends the process, as it would a server's.
 */
// biome-ignore-all lint/performance/noBarrelFile: the package's entry
import { openDatabase } from "./client/channel-database.ts";
import type { Bucket, BucketOptions, Buckets, CallOptions, Database, DatabaseStatus } from "./client/database.ts";
import { errorOf, InvalidArgumentError } from "./client/errors.ts";
import { EnvelopeError } from "./core/errors.ts";
import { EmbeddedChannel } from "./embedded-channel.ts";
import {
  clientSettings,
  nodeSettings,
  type OpenOptions,
  type ServeOptions,
  servedSettings,
} from "./embedded-settings.ts";
import { descriptorsMax } from "./env/descriptors.ts";
import { holdProcess } from "./env/hold-process.ts";
import { pinoLog } from "./env/pino-log.ts";
import { realEnvironment } from "./env/real-environment.ts";
import { adoptDirectory, type NodeCore, openCore } from "./node-core.ts";
import { connectionsWithin, embeddedServices, openPorts, type OpenPorts } from "./node-ports.ts";
import { openNetworks } from "./node-tls.ts";

export * from "./client.ts";
export type { Logger } from "./env/environment.ts";
export type { OpenOptions, ServeOptions } from "./embedded-settings.ts";

/** Where an open database is served; `http` is null where it is not. */
export interface ServedAddresses {
  readonly client: string;
  readonly http: string | null;
}

export interface EmbeddedDatabase extends Database {
  /**
   * Opens its ports, for Redis clients, for `connect` in other processes, for browsers; until `close`. Once only. CONFIG when an
   * address is taken, or can be reached from other machines while there are no users.
   */
  serve(options: ServeOptions): Promise<ServedAddresses>;
}

/**
 * Opens the database of a directory, or makes one. DIRECTORY_IN_USE when it is open already, in this process or another;
 * FOREIGN_DIRECTORY when it belongs to a node of a cluster; CORRUPTION, with file and place; CONFIG.
 */
export async function open(options: OpenOptions): Promise<EmbeddedDatabase> {
  const letGo = holdProcess();
  try {
    const client = clientSettings(options);
    const settings = nodeSettings(options);
    const environment = realEnvironment(options.log ?? pinoLog(settings.logLevel, {}));
    const core = await openCore(adoptDirectory(settings, environment), environment);
    try {
      core.node.startAlone();
      await core.until(() => core.node.hasLeaders);
      const services = embeddedServices(core);
      const database = await openDatabase(client, async (_, events) => {
        if (core.failure !== null) throw known(core.failure);
        const channel = new EmbeddedChannel(services, events);
        core.onFailure(({ message }) => channel.close(message));
        return channel;
      });
      return new OpenDatabase(core, database);
    } catch (cause) {
      await core.stop();
      throw cause;
    }
  } catch (cause) {
    throw known(cause);
  } finally {
    letGo();
  }
}

class OpenDatabase implements EmbeddedDatabase {
  readonly #core: NodeCore;
  readonly #database: Database;
  #ports: Promise<OpenPorts> | null = null;
  #closed: Promise<void> | null = null;

  constructor(core: NodeCore, database: Database) {
    this.#core = core;
    this.#database = database;
  }

  get buckets(): Buckets {
    return this.#database.buckets;
  }

  bucket<T = unknown>(name: string, options?: BucketOptions<T>): Bucket<T> {
    return this.#database.bucket(name, options);
  }

  status(options?: CallOptions): Promise<DatabaseStatus> {
    return this.#database.status(options);
  }

  async serve(options: ServeOptions): Promise<ServedAddresses> {
    if (this.#closed !== null) throw new InvalidArgumentError("the database is closed");
    if (this.#ports !== null) throw new InvalidArgumentError("the database is served already");
    const letGo = holdProcess();
    try {
      this.#ports = openPortsOf(this.#core, options);
      const { client, http } = (await this.#ports).addresses;
      return { client, http };
    } catch (cause) {
      this.#ports = null;
      throw known(cause);
    } finally {
      letGo();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const letGo = holdProcess();
    try {
      const ports = await this.#ports?.catch(() => null);
      await ports?.close();
      await this.#database.close();
      await this.#core.stop(async () => ports?.end());
    } finally {
      letGo();
    }
  }
}

async function openPortsOf(core: NodeCore, options: ServeOptions): Promise<OpenPorts> {
  const { environment } = core;
  const settings = servedSettings(core.settings, options);
  const networks = openNetworks(settings, environment, descriptorsMax());
  try {
    const connectionsMax = connectionsWithin(settings, 1, networks.handshakesMax, environment.log);
    const addresses = { client: options.client, http: options.http ?? null, peer: null };
    let ports: OpenPorts | null = null;
    const unfit = (reason: string): void => {
      environment.log.error("the ports are closed", { because: reason });
      void ports?.close();
    };
    ports = await openPorts(core, settings, networks, addresses, connectionsMax, unfit);
    return ports;
  } catch (cause) {
    networks.stop();
    throw cause;
  }
}

/** As the class of its code. */
function known(cause: unknown): unknown {
  return cause instanceof EnvelopeError ? errorOf(cause.code, cause.message, cause.retry, cause) : cause;
}
