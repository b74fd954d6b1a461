/**
 * INFO: Redis's sections, as far as they mean something here, and one of our own. Many clients ask for it at every
 * connect, so keys are counted (section keyspace) only for those who name that section.
 */
import type { BucketRef } from "../../cluster/coordinator.ts";
import { Right } from "../../record/access-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import type { ClientPort } from "../client-port.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import { KeyWalk } from "../key-walk.ts";
import { REDIS_VERSION } from "./connection.ts";

export const INFO_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("info", -1, "The state of the node; counts keys when asked for keyspace", info),
];

type Fields = readonly (readonly [string, string | number])[];

const SECTIONS: ReadonlyMap<string, readonly [title: string, fields: (port: ClientPort) => Fields]> = new Map([
  ["server", ["Server", serverFields]],
  ["clients", ["Clients", clientsFields]],
  ["memory", ["Memory", memoryFields]],
  ["persistence", ["Persistence", persistenceFields]],
  ["stats", ["Stats", statsFields]],
  ["replication", ["Replication", replicationFields]],
  ["keyspace", ["Keyspace", () => []]],
  ["envelopedb", ["EnvelopeDB", envelopeFields]],
]);
const WIDE = new Set(["all", "everything", "default"]);
const NUMBERED_BUCKETS = 16;

function info(client: ClientConnection, request: RequestArguments): void {
  const asked = new Set<string>();
  for (let i = 1; i < request.count; i++) asked.add(request.word(i));
  const isWide = asked.size === 0 || [...asked].some((word) => WIDE.has(word));
  const pieces: string[] = [];
  for (const [name, [title, fields]] of SECTIONS) {
    if (isWide || asked.has(name)) pieces.push(section(title, fields(client.port)));
  }
  if (!asked.has("keyspace")) {
    client.begin().verbatim(pieces.join("\r\n"));
    client.end();
    return;
  }
  const slot = client.defer();
  countKeys(client, (fields) => {
    const text = pieces.map((piece) => (piece.startsWith("# Keyspace") ? section("Keyspace", fields) : piece));
    client.settle(slot, (reply) => reply.verbatim(text.join("\r\n")));
  });
}

function section(title: string, fields: Fields): string {
  return `# ${title}\r\n${fields.map(([name, value]) => `${name}:${value}\r\n`).join("")}`;
}

function serverFields(port: ClientPort): Fields {
  return [
    ["redis_version", REDIS_VERSION],
    ["redis_mode", "standalone"],
    ["server_name", "envelopedb"],
    ["envelopedb_version", port.settings.version],
    ["bun_version", Bun.version],
    ["arch_bits", 64],
    ["process_id", process.pid],
    ["uptime_in_seconds", Math.floor((port.clock.monotonicMs() - port.startedMs) / 1000)],
  ];
}

function clientsFields(port: ClientPort): Fields {
  return [
    ["connected_clients", port.connectionCount],
    ["binary_clients", port.binaryCount],
    ["maxclients", port.settings.connectionsMax],
    ["blocked_clients", 0],
    ["clients_memory_bytes", port.memory.bytes],
  ];
}

function memoryFields(): Fields {
  const usage = process.memoryUsage();
  return [
    ["used_memory", usage.rss],
    ["used_memory_rss", usage.rss],
    ["used_memory_heap", usage.heapUsed],
    ["maxmemory", 0],
  ];
}

function persistenceFields(): Fields {
  return [
    ["loading", 0],
    ["aof_enabled", 1],
    ["aof_last_write_status", "ok"],
  ];
}

function statsFields(port: ClientPort): Fields {
  return [
    ["total_connections_received", port.acceptedCount],
    ["rejected_connections", port.refusedCount],
    ["evicted_clients", port.memory.cutOffCount],
    ["slow_readers_closed", port.slowReaderCount],
    ["total_commands_processed", port.commandCount],
    ["refused_logins", port.access.refusedCount],
    ["audit_lines_lost", port.access.audit?.lostCount ?? 0],
    ["total_error_replies", port.errorCount],
    ["total_net_input_bytes", port.receivedBytes],
    ["total_net_output_bytes", port.sentBytes],
  ];
}

/** Every node takes every command, so to a Redis client each looks like a primary. */
function replicationFields(port: ClientPort): Fields {
  return [
    ["role", "master"],
    ["connected_slaves", port.coordinator.members().filter((member) => member.connected).length],
  ];
}

function envelopeFields(port: ClientPort): Fields {
  const { coordinator } = port;
  const shards = coordinator
    .shards()
    .map(
      (status) =>
        [
          `shard${status.shard}`,
          `role=${status.role},term=${status.term},leader=${status.leader ?? ""},commit=${status.commitIndex},applied=${status.appliedIndex},quarantined=${status.quarantined}`,
        ] as const,
    );
  const members = coordinator
    .members()
    .map(
      (member, place) =>
        [
          `member${place}`,
          `name=${member.name},peer=${member.peerAddress},connected=${member.connected},suspicion=${member.suspicion}`,
        ] as const,
    );
  return [
    ["node", coordinator.nodeName],
    ["shards", coordinator.shardCount],
    ["congested", coordinator.congested ? 1 : 0],
    ...Object.entries(coordinator.figures()),
    ...shards,
    ...members,
  ];
}

/** A line for each numbered bucket that has keys, as far as they may be read. */
function countKeys(client: ClientConnection, done: (fields: Fields) => void): void {
  const fields: (readonly [string, string])[] = [];
  const countFrom = (number: number): void => {
    if (number === NUMBERED_BUCKETS) {
      done(fields);
      return;
    }
    const bucket: BucketRef = client.coordinator.bucket(String(number));
    if (!client.login.principal.may(Right.read, bucket.name, null)) return countFrom(number + 1);
    let total = 0;
    const visitor = {
      onPage(page: { readonly matchCount: number }): boolean {
        total += page.matchCount;
        return true;
      },
      onEnd(error: string | null): void {
        if (error === null && total > 0) fields.push([`db${number}`, `keys=${total},expires=0,avg_ttl=0`]);
        countFrom(number + 1);
      },
    };
    new KeyWalk(client.coordinator, bucket, null, "count", visitor, client.share).start();
  };
  countFrom(0);
}
