/** The node as Redis's clients ask about it: who has what, how it is, and that it may stop. */
import { SYNC } from "../../record/durability.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, type CommandHandler, sessionCommand } from "../command-table.ts";
import { containerCommand, subcommand } from "../subcommands.ts";
import { NOT_AN_INTEGER, SYNTAX, unknownForm } from "../texts.ts";

const NO_CLUSTER_MODE = "ERR This instance has cluster support disabled";
const refuseClusterMode: CommandHandler = (client) => client.replyError(NO_CLUSTER_MODE);
const SHUTDOWN_FLAGS: ReadonlySet<string> = new Set(["nosave", "save", "now", "force", "abort"]);

export const SERVER_COMMANDS: readonly CommandEntry[] = [
  // Exclusive: what they speak of, or end, is every command before them.
  { ...sessionCommand("wait", 3, "How many other nodes surely have what was written before", wait), exclusive: true },
  { ...sessionCommand("waitaof", 4, "Whether it is on this disk, and on how many others", waitaof), exclusive: true },
  sessionCommand("lastsave", 1, "When this node was started", (client) => replyInteger(client, client.port.startedAt)),
  { ...sessionCommand("shutdown", -1, "Stops the node", shutdown), exclusive: true },
  sessionCommand("readonly", 1, "Refused: for Redis Cluster", refuseClusterMode),
  sessionCommand("readwrite", 1, "Refused: for Redis Cluster", refuseClusterMode),
  sessionCommand("asking", 1, "Refused: for Redis Cluster", refuseClusterMode),
  containerCommand(
    "cluster",
    "Refused: for Redis Cluster",
    ["info", "nodes", "slots", "shards", "myid", "keyslot"].map((name) =>
      subcommand(name, name === "keyslot" ? 3 : 2, name === "keyslot" ? "<key>" : "", "Refused.", refuseClusterMode),
    ),
  ),
  containerCommand("slowlog", "An empty log: slow commands are not kept", [
    subcommand("get", -2, "[<count>]", "No commands.", slowlogGet),
    subcommand("len", 2, "", "0.", (client) => replyInteger(client, 0)),
    subcommand("reset", 2, "", "Accepted.", (client) => client.replyOk()),
  ]),
  containerCommand("latency", "Nothing: latencies are not kept by event", [
    subcommand("latest", 2, "", "No events.", replyNothing),
    subcommand("history", 3, "<event>", "No samples.", replyNothing),
    subcommand("reset", -2, "[<event> ...]", "0.", (client) => replyInteger(client, 0)),
    subcommand("doctor", 2, "", "Where latencies are to be found.", (client) => {
      client.begin().verbatim("Latencies are not kept by event here; see the figures of INFO.\n");
      client.end();
    }),
  ]),
];

function replyInteger(client: ClientConnection, value: number): void {
  client.begin().integer(value);
  client.end();
}

function replyNothing(client: ClientConnection): void {
  client.begin().array(0);
  client.end();
}

/** WAIT numreplicas timeout. There is nothing to wait for: a write is answered when a majority has it. */
function wait(client: ClientConnection, request: RequestArguments): void {
  const problem = (request.integer(1) === null ? NOT_AN_INTEGER : null) ?? timeoutProblem(request, 2);
  if (problem !== null) client.replyError(problem);
  else replyInteger(client, certainReplicas(client));
}

/** WAITAOF numlocal numreplicas timeout. */
function waitaof(client: ClientConnection, request: RequestArguments): void {
  const [local, others] = [request.integer(1), request.integer(2)];
  const isOutside = local === null || others === null || local < 0n || local > 1n || others < 0n;
  const problem = timeoutProblem(request, 3) ?? (isOutside ? "ERR value is out of range, must be positive" : null);
  if (problem !== null) {
    client.replyError(problem);
    return;
  }
  const replicas = certainReplicas(client);
  // Alone, a node may answer before the disk has it; with others it never does.
  const isOnDisk = replicas > 0 || client.session.bucket.durability === SYNC;
  const reply = client.begin();
  reply.array(2);
  reply.integer(isOnDisk ? 1 : 0);
  reply.integer(replicas);
  client.end();
}

function timeoutProblem(request: RequestArguments, index: number): string | null {
  const timeout = request.integer(index);
  if (timeout === null) return "ERR timeout is not an integer or out of range";
  return timeout < 0n ? "ERR timeout is negative" : null;
}

/** Nodes beside one that have every answered write: of the least replicated shard, a majority less one. */
function certainReplicas(client: ClientConnection): number {
  const counts = client.coordinator.shards().map(({ voters }) => Math.floor(voters.length / 2));
  return counts.length === 0 ? 0 : Math.min(...counts);
}

function slowlogGet(client: ClientConnection, request: RequestArguments): void {
  const count = request.count > 2 ? request.integer(2) : 10n;
  if (request.count > 3) client.replyError(unknownForm(request, "SLOWLOG"));
  else if (count === null || count < -1n) client.replyError("ERR count should be greater than or equal to -1");
  else replyNothing(client);
}

/** Every write that was answered is safe already, so all ways to stop are one. */
function shutdown(client: ClientConnection, request: RequestArguments): void {
  const flags = new Set<string>();
  for (let i = 1; i < request.count; i++) flags.add(request.word(i));
  const isAbort = flags.has("abort");
  const contradicts = (flags.has("save") && flags.has("nosave")) || (isAbort && request.count > 2);
  if (contradicts || [...flags].some((flag) => !SHUTDOWN_FLAGS.has(flag))) client.replyError(SYNTAX);
  else if (isAbort) client.replyError("ERR No shutdown in progress.");
  else if (!client.port.control.shutdown()) client.replyError("ERR this node cannot be stopped by a client");
}
