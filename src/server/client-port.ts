/**
 * The port for clients: Redis's protocol, lines typed by hand, and the binary protocol, told apart by the first byte. It owns the connections, flushes those that have something to
 * say once a turn of the event loop, lets stalled ones go on when the node is relieved, and closes those that leave a
 * request half sent. Main thread only.
 */
import type { Coordinator } from "../cluster/coordinator.ts";
import { at } from "../core/assert.ts";
import type { Clock, Timer } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "../env/network.ts";
import { RefusalLog } from "../cluster/refusal-log.ts";
import { BufferPool } from "../wire/buffer-pool.ts";
import type { RespLimits } from "../wire/resp-parser.ts";
import { RespWriter } from "../wire/resp-writer.ts";
import type { Access } from "./access/access.ts";
import { BinaryConnection } from "./binary/binary-connection.ts";
import { binaryServices } from "./binary/binary-services.ts";
import type { BinaryServices } from "./binary/binary-session.ts";
import { WriterPool } from "./binary/frame-output.ts";
import { ClientConnection } from "./client-connection.ts";
import { ClientMemory } from "./client-memory.ts";
import type { CommandTable } from "./command-table.ts";
import { commandTable } from "./commands.ts";
import { NO_CONTROL, type NodeControl } from "./node-control.ts";
import type { PortConnection } from "./port-connection.ts";
import { ScanCursors } from "./scan-cursors.ts";
import { parseTenant, TurnShares } from "./turn-shares.ts";
import { type ClientPortSettings, outputPauseBytes, respLimits } from "./settings.ts";

const SWEEPS_PER_IDLE_TIME = 8;
const SWEEP_MS_MIN = 5;
/** Clients that are told why they are refused, at a time; the others are cut off, or they would take up descriptors. */
const REFUSING_MAX = 4;
/** A scratch array grown beyond this is not kept. */
const SCRATCH_BYTES_KEPT = 256 * 1024;

export class ClientPort {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly log: Logger;
  readonly control: NodeControl;
  readonly access: Access;
  readonly respLimits: RespLimits;
  outputPauseBytes: number;
  logLevel: string;
  readonly commands: CommandTable = commandTable();
  readonly cursors = new ScanCursors();
  readonly pool = new BufferPool();
  readonly memory: ClientMemory;
  readonly shares: TurnShares;
  /** For replies that cannot go straight to an output. Used within one call only. */
  readonly scratch: RespWriter = new RespWriter(this.pool);
  readonly refusals: RefusalLog;
  /** What the clients of the binary protocol share. */
  readonly binary: BinaryServices;
  readonly writers = new WriterPool();
  readonly startedMs: number;
  /** When the port was made, in seconds since 1970. */
  readonly startedAt: number;
  /** Where clients are listened to; the last of them. */
  address = "";
  receivedBytes = 0;
  sentBytes = 0;
  errorCount = 0;
  acceptedCount = 0;
  refusedCount = 0;
  /** Clients cut off because they did not read their replies for too long. */
  slowReaderCount = 0;
  #refusingCount = 0;
  /** Commands of connections that are gone. */
  #pastCommandCount = 0;
  /** Those before the counters were set back. */
  #countedBefore = 0;

  readonly #network: Network;
  readonly #connections = new Map<number, PortConnection>();
  readonly #listeners: Listener[] = [];
  #dirty: PortConnection[] = [];
  #flushing: PortConnection[] = [];
  #flushRegistered = false;
  readonly #stalled = new Set<PortConnection>();
  #reliefRegistered = false;
  #sweep: Timer | null = null;
  #closed = false;

  #settings: ClientPortSettings;

  constructor(
    coordinator: Coordinator,
    network: Network,
    clock: Clock,
    log: Logger,
    access: Access,
    settings: ClientPortSettings,
    control: NodeControl = NO_CONTROL,
  ) {
    this.coordinator = coordinator;
    this.#network = network;
    this.clock = clock;
    this.log = log;
    this.access = access;
    access.admin.catalog.onChange(() => {
      for (const connection of this.connections()) connection.login.accessChanged();
      this.shares.ratesChanged();
    });
    this.#settings = settings;
    this.control = control;
    this.logLevel = control.settings.get("logLevel") ?? "info";
    this.refusals = new RefusalLog(clock, log, "client");
    this.refusals.onRefused = (from, why) => access.connectionRefused("client", from, why);
    this.respLimits = respLimits(settings);
    this.outputPauseBytes = outputPauseBytes(settings);
    this.binary = binaryServices(coordinator, clock, settings);
    this.shares = new TurnShares(clock, settings.rateDelayMs, {
      isTurnAhead: () => coordinator.isTurnAhead,
      rateOf: (name) => this.#rateOf(name),
    });
    this.memory = new ClientMemory(settings.clientMemoryBytes, () => this.#connections.values(), clock);
    this.startedMs = clock.monotonicMs();
    this.startedAt = Math.floor(coordinator.wallMs() / 1000);
  }

  /** Begins to accept clients at `host:port` (port 0: a free one); returns the port. Throws CONFIG. */
  listen(address: string): number {
    const listener = this.#network.listen(address, (connection) => this.#accept(connection));
    this.#listeners.push(listener);
    this.address = `${address.slice(0, address.lastIndexOf(":"))}:${listener.port}`;
    return listener.port;
  }

  get settings(): ClientPortSettings {
    return this.#settings;
  }

  /** Takes effect with the next command of each connection. */
  changeSettings(changes: Partial<ClientPortSettings>): void {
    this.#settings = { ...this.#settings, ...changes };
    this.outputPauseBytes = outputPauseBytes(this.#settings);
    this.memory.bytesMax = this.#settings.clientMemoryBytes;
    this.shares.delayMsMax = this.#settings.rateDelayMs;
    this.shares.ratesChanged();
  }

  resetCounters(): void {
    this.receivedBytes = 0;
    this.sentBytes = 0;
    this.errorCount = 0;
    this.refusedCount = 0;
    this.#countedBefore = this.#allCommands();
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Those that speak the binary protocol. */
  get binaryCount(): number {
    return this.connections().filter((connection) => connection instanceof BinaryConnection).length;
  }

  get commandCount(): number {
    return this.#allCommands() - this.#countedBefore;
  }

  #allCommands(): number {
    let total = this.#pastCommandCount;
    for (const connection of this.#connections.values()) total += connection.commandCount;
    return total;
  }

  connections(): readonly PortConnection[] {
    return [...this.#connections.values()];
  }

  /** Stops accepting; every connection closes when what it has asked is answered and sent. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
    this.#listeners.length = 0;
    for (const connection of [...this.#connections.values()]) connection.finish();
  }

  /**
   * Writes out what is gathered, now. It happens by itself at the end of each turn; whoever resolves operations at
   * the end of a turn may call it to save the replies the wait for the next one.
   */
  flush(): void {
    this.coordinator.settleReads();
    const batch = this.#dirty;
    if (batch.length === 0) return;
    this.#dirty = this.#flushing;
    this.#flushing = batch;
    for (let i = 0; i < batch.length; i++) at(batch, i).flush();
    batch.length = 0;
    if (this.scratch.bytes.length > SCRATCH_BYTES_KEPT) this.scratch.release();
  }

  /** The node has carried out a turn. */
  turnEnded(): void {
    this.flush();
    this.shares.turnEnded();
  }

  /** A user and a bucket may have rates of their own. */
  #rateOf(tenant: string): number {
    const { kind, name } = parseTenant(tenant);
    const ofUser = kind === "user" ? this.access.content.users.get(name)?.rate : undefined;
    const own = kind === "user" ? (ofUser ?? 0) : this.coordinator.bucket(name).quota.rate;
    return own === 0 ? this.#settings.requestsPerSecond : own;
  }

  // ── for its connections ──

  flushSoon(connection: PortConnection): void {
    this.#dirty.push(connection);
    if (this.#flushRegistered) return;
    this.#flushRegistered = true;
    this.clock.soon(this.#flushTurn);
  }

  waitForRelief(connection: PortConnection): void {
    this.#stalled.add(connection);
    if (this.#reliefRegistered) return;
    this.#reliefRegistered = true;
    this.coordinator.onRelief(() => {
      this.#reliefRegistered = false;
      const waiting = [...this.#stalled];
      this.#stalled.clear();
      for (const stalled of waiting) stalled.tryContinue();
    });
  }

  /** A client turns out to speak the binary protocol: whoever takes its place. */
  speaksBinary(client: ClientConnection, connection: Connection): ConnectionHandler {
    const successor = new BinaryConnection(client.id, this, connection);
    this.#connections.set(client.id, successor);
    return successor;
  }

  forget(connection: PortConnection): void {
    if (!this.#connections.delete(connection.id)) return;
    this.#pastCommandCount += connection.commandCount;
    this.#stalled.delete(connection);
  }

  readonly #flushTurn = (): void => {
    this.#flushRegistered = false;
    this.flush();
  };

  #accept(connection: Connection): ConnectionHandler {
    if (this.#closed || this.#connections.size >= this.settings.connectionsMax) return this.#refuse(connection);
    this.acceptedCount += 1;
    const client = new ClientConnection(this.acceptedCount, this, connection);
    this.#connections.set(client.id, client);
    if (this.#sweep === null) this.#sweepLater();
    return client;
  }

  #refuse(connection: Connection): ConnectionHandler {
    this.refusedCount += 1;
    const isTold = this.#refusingCount < REFUSING_MAX;
    if (isTold) this.#tellRefusal(connection);
    else connection.terminate();
    const onClose = (): void => {
      if (isTold) this.#refusingCount -= 1;
    };
    return { onData: () => undefined, onDrain: () => undefined, onClose };
  }

  #tellRefusal(connection: Connection): void {
    this.#refusingCount += 1;
    const reply = new RespWriter(this.pool);
    reply.error("ERR max number of clients reached");
    connection.write(reply.bytes, 0, reply.length);
    reply.release();
    connection.shutdown();
  }

  #sweepLater(): void {
    const { frameIdleMs, loginTimeoutMs, outputIdleMs } = this.settings;
    const shortest = Math.min(frameIdleMs, loginTimeoutMs, outputIdleMs === 0 ? frameIdleMs : outputIdleMs);
    const period = Math.max(SWEEP_MS_MIN, shortest / SWEEPS_PER_IDLE_TIME);
    this.#sweep = this.clock.after(period, () => this.#sweepConnections());
  }

  /**
   * Closes those that stopped in the middle of a request, those that do not read their replies, those that never logged in,
   * and those whose token has ended. The others give back what they do not need while they rest.
   */
  #sweepConnections(): void {
    this.#sweep = null;
    if (this.#connections.size === 0) return;
    const nowMs = this.clock.monotonicMs();
    this.shares.ratesChanged();
    for (const connection of this.#connections.values()) {
      connection.login.check(nowMs, this.settings.loginTimeoutMs);
      this.#closeIfStill(connection, nowMs);
      connection.rest();
    }
    this.#sweepLater();
  }

  #closeIfStill(connection: PortConnection, nowMs: number): void {
    const { frameIdleMs, outputIdleMs } = this.settings;
    const requestSinceMs = connection.frameWatch.sinceMs;
    const replySinceMs = connection.outputWatch.sinceMs;
    if (requestSinceMs !== 0 && nowMs - requestSinceMs >= frameIdleMs) {
      connection.abort(`half a request for more than ${frameIdleMs} ms`);
    } else if (outputIdleMs !== 0 && replySinceMs !== 0 && nowMs - replySinceMs >= outputIdleMs) {
      this.slowReaderCount += 1;
      connection.abort(`replies were not read for more than ${outputIdleMs} ms`);
    }
  }
}
