/**
 * `cluster status`, `add`, `remove` and `transfer`: the members of a running cluster, through any node of it. The last three
 * say what has been decided; how far it has got, status shows.
 */
import { EnvelopeError, isErrorCode } from "../core/errors.ts";
import { type Reply, replyText } from "../client/reply.ts";
import { RespClient } from "../client/resp-client.ts";
import type { Target } from "../client/target.ts";
import { textTable } from "./text-table.ts";

const CONNECT_TIMEOUT_MS = 3_000;
const REPLY_TIMEOUT_MS = 60_000;

/** Prints members and shards; 0, or 1 when a shard has no leader or a member is not connected. */
export async function clusterStatus(targets: readonly Target[]): Promise<number> {
  const { members, shards } = await withClient(targets, async (client) => ({
    members: rowsOf(await answer(client, ["MEMBER", "LIST"])),
    shards: rowsOf(await answer(client, ["MEMBER", "SHARDS"])),
  }));
  const memberCells = members.map((member) => [
    member.get("name") ?? "",
    member.get("id") ?? "",
    member.get("peer") ?? "",
    member.get("rack") ?? "",
    member.get("state") ?? "",
    member.get("connected") === "1" ? "yes" : "no",
    member.get("suspicion") ?? "",
    member.get("leading") ?? "",
  ]);
  const shardCells = shards.map((shard) => [
    shard.get("shard") ?? "",
    shard.get("leader") || "none",
    shard.get("term") ?? "",
    shard.get("voters") ?? "",
    shard.get("learners") ?? "",
  ]);
  const memberTitles = ["member", "id", "peer", "rack", "state", "connected", "suspicion", "leads"];
  const tables = [
    textTable([memberTitles, ...memberCells]),
    textTable([["shard", "leader", "term", "voters", "learners"], ...shardCells]),
  ];
  process.stdout.write(`${tables.join("\n\n")}\n`);
  const isWell = members.every((member) => member.get("connected") === "1");
  return isWell && shards.every((shard) => (shard.get("leader") ?? "") !== "") ? 0 : 1;
}

/** Sends one command that changes something and prints what it came to. Throws what the node refuses it for. */
export async function changeCluster(targets: readonly Target[], command: readonly string[]): Promise<number> {
  const reply = await withClient(targets, (client) => answer(client, command));
  process.stdout.write(`${replyText(reply) ?? ""}\n`);
  return 0;
}

async function withClient<T>(targets: readonly Target[], run: (client: RespClient) => Promise<T>): Promise<T> {
  const client = await RespClient.connect({
    targets,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    replyTimeoutMs: REPLY_TIMEOUT_MS,
    protocol: 2,
    bucket: null,
    onPush: () => undefined,
  });
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

async function answer(client: RespClient, command: readonly string[]): Promise<Reply> {
  const reply = await client.command(...command);
  if (reply.kind !== "error") return reply;
  const code = reply.code === "NOQUORUM" ? "NO_QUORUM" : reply.code;
  throw new EnvelopeError(isErrorCode(code) ? code : "UNAVAILABLE", reply.message);
}

/** Maps, which RESP2 writes as lists of names and values in turn; a list in them becomes words. */
function rowsOf(reply: Reply): ReadonlyMap<string, string>[] {
  if (reply.kind !== "array") return [];
  return reply.items.map((row) => {
    const fields = new Map<string, string>();
    if (row.kind !== "array" && row.kind !== "map") return fields;
    for (let i = 0; i + 1 < row.items.length; i += 2) {
      const [name, value] = [row.items[i], row.items[i + 1]];
      if (name !== undefined && value !== undefined) fields.set(replyText(name) ?? "", wordsOf(value));
    }
    return fields;
  });
}

function wordsOf(reply: Reply): string {
  if (reply.kind === "array") return reply.items.map((item) => replyText(item) ?? "").join(" ");
  return replyText(reply) ?? "";
}
