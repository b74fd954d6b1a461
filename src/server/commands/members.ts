/**
 * MEMBER: who belongs to the cluster.
 *
 *   MEMBER LIST                       a map for each member
 *   MEMBER SHARDS                     a map for each shard: who leads it, votes in it, learns it
 *   MEMBER ADD <name> <host:port>     keeps the name for a node that is to join from there
 *   MEMBER REMOVE <name> [FORCE]      the member gives away what it has and is forgotten
 *   MEMBER TRANSFER <shard> <name>    the member, who votes in the shard, leads it
 */
import { isAddress } from "../../core/address.ts";
import { isMemberName } from "../../record/member-format.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { text } from "../../core/bytes.ts";
import { replyWhenDone, whenDone } from "../bucket-steps.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, sessionCommand } from "../command-table.ts";
import { NOT_AN_INTEGER, SYNTAX, unknownSubcommand, wrongArity } from "../texts.ts";

export const MEMBER_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("member", -2, "MEMBER LIST, SHARDS, ADD, REMOVE, TRANSFER: who belongs to the cluster", member),
];

const MEMBER_FIELDS = 8;
const SHARD_FIELDS = 5;

function member(client: ClientConnection, request: RequestArguments): void {
  const action = request.word(1);
  switch (action) {
    case "list":
      return request.count === 2 ? list(client) : client.replyError(wrongArity("member|list"));
    case "shards":
      return request.count === 2 ? shards(client) : client.replyError(wrongArity("member|shards"));
    case "add":
      return request.count === 4 ? add(client, request) : client.replyError(wrongArity("member|add"));
    case "remove":
      return remove(client, request);
    case "transfer":
      return request.count === 4 ? transfer(client, request) : client.replyError(wrongArity("member|transfer"));
    default:
      return client.replyError(unknownSubcommand(request, "MEMBER"));
  }
}

function list(client: ClientConnection): void {
  const members = client.coordinator.members();
  const reply = client.begin();
  reply.array(members.length);
  for (const { id, name, peerAddress, rack, state, connected, suspicion, report } of members) {
    reply.map(MEMBER_FIELDS);
    reply.bulkText("id");
    reply.integer(id);
    reply.bulkText("name");
    reply.bulkText(name);
    reply.bulkText("peer");
    reply.bulkText(peerAddress);
    reply.bulkText("rack");
    reply.bulkText(rack);
    reply.bulkText("state");
    reply.bulkText(state);
    reply.bulkText("connected");
    reply.integer(connected ? 1 : 0);
    reply.bulkText("suspicion");
    reply.bulkText(String(suspicion));
    reply.bulkText("leading");
    reply.integer(report?.leads.length ?? 0);
  }
  client.end();
}

function shards(client: ClientConnection): void {
  const all = client.coordinator.shards();
  const reply = client.begin();
  reply.array(all.length);
  for (const { shard, leader, term, voters, learners } of all) {
    reply.map(SHARD_FIELDS);
    reply.bulkText("shard");
    reply.integer(shard);
    reply.bulkText("leader");
    if (leader === null) reply.nil();
    else reply.bulkText(leader);
    reply.bulkText("term");
    reply.integer(term);
    for (const [role, names] of [
      ["voters", voters],
      ["learners", learners],
    ] as const) {
      reply.bulkText(role);
      reply.array(names.length);
      for (const name of names) reply.bulkText(name);
    }
  }
  client.end();
}

function add(client: ClientConnection, request: RequestArguments): void {
  const name = text(request.view(2));
  const address = text(request.view(3));
  if (!isMemberName(name)) client.replyError("ERR invalid name of a member");
  else if (!isAddress(address)) client.replyError("ERR the address of a member is host:port");
  else client.coordinator.addMember(name, address, whenDone(replyWhenDone(client)), 0);
}

function remove(client: ClientConnection, request: RequestArguments): void {
  const isForced = request.count === 4 && request.word(3) === "force";
  if (request.count < 3 || request.count > 4) return client.replyError(wrongArity("member|remove"));
  if (request.count === 4 && !isForced) return client.replyError(SYNTAX);
  client.coordinator.removeMember(text(request.view(2)), isForced, whenDone(replyWhenDone(client)), 0);
}

function transfer(client: ClientConnection, request: RequestArguments): void {
  const shard = request.integer(2);
  if (shard === null || shard < 0n || shard > 0xffffn) return client.replyError(NOT_AN_INTEGER);
  client.coordinator.transferShard(Number(shard), text(request.view(3)), whenDone(replyWhenDone(client)), 0);
}
