/** Buckets: chosen, listed, created, dropped, emptied; and the node's upkeep. */
import { Right } from "../../record/access-format.ts";
import { durabilityText } from "../../record/durability.ts";
import type { PageResult } from "../../record/result.ts";
import type { RequestArguments } from "../../wire/request-arguments.ts";
import { bucketName } from "../bucket-name.ts";
import { type BucketOptions, createOptions, quotaOptions } from "../bucket-options.ts";
import { type Done, emptyBuckets, replyWhenDone, whenDone, whenThere } from "../bucket-steps.ts";
import type { ClientConnection } from "../client-connection.ts";
import { bucketCommand, type CommandEntry, type CommandHandler } from "../command-table.ts";
import { KeyWalk } from "../key-walk.ts";
import {
  ACT_NOT_RECORDED,
  INVALID_BUCKET_NAME,
  NOT_AN_INTEGER,
  SYNTAX,
  unknownSubcommand,
  wrongArity,
} from "../texts.ts";

export const BUCKET_COMMANDS: readonly CommandEntry[] = [
  bucketCommand("select", 2, "Chooses a numbered bucket, 0 to 15", select, ["fast"]),
  bucketCommand("use", 2, "Chooses a bucket by name", use, ["fast"]),
  bucketCommand("list", -2, "LIST BUCKETS: the names of all buckets", list),
  bucketCommand("bucket", -2, "BUCKET CREATE, DROP, LIST, INFO, QUOTA", bucket, ["write"]),
  bucketCommand("flushdb", -1, "Removes all keys of the bucket", flushdb, ["write"]),
  bucketCommand("flushall", -1, "Removes all keys of all buckets", flushall, ["write"]),
  bucketCommand("flush", 1, "Memtables of this node to tables", maintain("flush"), ["admin"]),
  bucketCommand("merge", 1, "Compacts the tables of this node", maintain("compact"), ["admin"]),
];

const NUMBERED_BUCKETS = 16;
const NOT_AN_INT32 = "ERR value is out of range, value must between -2147483648 and 2147483647";

function select(client: ClientConnection, request: RequestArguments): void {
  const number = request.integer(1);
  if (number === null) client.replyError(NOT_AN_INTEGER);
  else if (BigInt.asIntN(32, number) !== number) client.replyError(NOT_AN_INT32);
  else if (number < 0n || number >= BigInt(NUMBERED_BUCKETS)) client.replyError("ERR DB index is out of range");
  else {
    client.useBucket(client.coordinator.bucket(String(number)));
    client.replyOk();
  }
}

function use(client: ClientConnection, request: RequestArguments): void {
  const name = bucketName(request.view(1));
  if (name === null) {
    client.replyError(INVALID_BUCKET_NAME);
    return;
  }
  const { coordinator } = client;
  if (coordinator.bucket(name).id !== 0) {
    client.useBucket(coordinator.bucket(name));
    client.replyOk();
    return;
  }
  const done = replyWhenDone(client);
  const choose: Done = (error) => {
    const found = coordinator.bucket(name);
    if (error === null && found.id !== 0) client.useBucket(found);
    done(error ?? (found.id === 0 ? noSuchBucket(name) : null));
  };
  const mayCreate = client.login.principal.may(Right.admin, name, null);
  if (!client.port.settings.bucketsCreateByUse || !mayCreate) return coordinator.refreshBuckets(whenDone(choose), 0);
  // An act as any other that makes a bucket.
  client.login.record(`bucket|create ${name}`, client.session.bucket.name, (isRecorded) => {
    if (isRecorded) coordinator.createBucket(name, null, whenThere(choose), 0);
    else done(ACT_NOT_RECORDED);
  });
}

function noSuchBucket(name: string): string {
  return `ERR no such bucket '${name}'`;
}

function list(client: ClientConnection, request: RequestArguments): void {
  if (request.count !== 2 || request.word(1) !== "buckets") client.replyError("ERR syntax error, try LIST BUCKETS");
  else listBuckets(client);
}

function listBuckets(client: ClientConnection): void {
  const { coordinator } = client;
  const slot = client.defer();
  const done: Done = (error) =>
    client.settle(slot, (reply) => {
      if (error !== null) {
        reply.error(error);
        return;
      }
      const { principal } = client.login;
      const buckets = coordinator.buckets().filter(({ name }) => principal.sees(name));
      reply.array(buckets.length);
      for (const { name } of buckets) reply.bulkText(name);
    });
  coordinator.refreshBuckets(whenDone(done), 0);
}

function bucket(client: ClientConnection, request: RequestArguments): void {
  const action = request.word(1);
  if (action === "list" && request.count === 2) {
    listBuckets(client);
    return;
  }
  if (action !== "create" && action !== "drop" && action !== "info" && action !== "quota") {
    client.replyError(action === "list" ? wrongArity("bucket|list") : unknownSubcommand(request, "BUCKET"));
    return;
  }
  const isPlain = action === "drop" || action === "info";
  if (request.count < (action === "quota" ? 4 : 3) || (isPlain && request.count > 3)) {
    client.replyError(wrongArity(`bucket|${action}`));
    return;
  }
  const options = action === "quota" ? quotaOptions(request) : createOptions(request);
  const name = bucketName(request.view(2));
  if (options === null) client.replyError(SYNTAX);
  else if (name === null) client.replyError(INVALID_BUCKET_NAME);
  else if (action === "info") bucketInfo(client, name);
  else if (action === "create") createBucket(client, name, options);
  else if (action === "quota") client.coordinator.alterBucket(name, options.quota, whenDone(replyWhenDone(client)), 0);
  else client.coordinator.dropBucket(name, whenDone(replyWhenDone(client)), 0);
}

/** Whoever may create it may set its first limits; they are there when the answer comes. */
function createBucket(client: ClientConnection, name: string, { durability, quota }: BucketOptions): void {
  const { coordinator } = client;
  const done = replyWhenDone(client);
  const created: Done = (error) => {
    if (error !== null || Object.keys(quota).length === 0) done(error);
    else coordinator.alterBucket(name, quota, whenDone(done), 0);
  };
  coordinator.createBucket(name, durability, whenDone(created), 0);
}

function bucketInfo(client: ClientConnection, name: string): void {
  const { coordinator } = client;
  const slot = client.defer();
  let keyCount = 0;
  let byteCount = 0;
  const finish = (error: string | null): void => {
    const { id, durability, quota } = coordinator.bucket(name);
    client.settle(slot, (reply) => {
      const problem = error ?? (id === 0 ? noSuchBucket(name) : null);
      if (problem !== null) {
        reply.error(problem);
        return;
      }
      const fields: readonly (readonly [string, string | number])[] = [
        ["name", name],
        ["id", id],
        ["durability", durabilityText(durability)],
        ["keys", keyCount],
        ["bytes", byteCount],
        ["quota-bytes", quota.bytes],
        ["quota-keys", quota.keys],
        ["rate", quota.rate],
      ];
      reply.map(fields.length);
      for (const [field, value] of fields) {
        reply.bulkText(field);
        if (typeof value === "number") reply.integer(value);
        else reply.bulkText(value);
      }
    });
  };
  const visitor = {
    onPage(page: PageResult): boolean {
      keyCount += page.matchCount;
      byteCount += page.byteCount;
      return true;
    },
    onEnd: finish,
  };
  const count: Done = (error) => {
    const found = coordinator.bucket(name);
    if (error !== null || found.id === 0) finish(error);
    else new KeyWalk(coordinator, found, null, "count", visitor, client.share).start();
  };
  coordinator.refreshBuckets(whenDone(count), 0);
}

function flushdb(client: ClientConnection, request: RequestArguments): void {
  if (!isFlushOption(request)) client.replyError(SYNTAX);
  else client.coordinator.renewBucket(client.session.bucket.name, whenDone(replyWhenDone(client)), 0);
}

function flushall(client: ClientConnection, request: RequestArguments): void {
  if (!isFlushOption(request)) {
    client.replyError(SYNTAX);
    return;
  }
  const { coordinator } = client;
  const done = replyWhenDone(client);
  const empty: Done = (error) => {
    const names = new Set(coordinator.buckets().map((info) => info.name));
    for (let i = 0; i < NUMBERED_BUCKETS; i++) names.add(String(i));
    if (error === null) emptyBuckets(coordinator, [...names], done);
    else done(error);
  };
  coordinator.refreshBuckets(whenDone(empty), 0);
}

/** ASYNC and SYNC are the same here: keys are gone when the answer comes, their space follows. */
function isFlushOption(request: RequestArguments): boolean {
  if (request.count === 1) return true;
  const option = request.word(1);
  return request.count === 2 && (option === "async" || option === "sync");
}

function maintain(what: "flush" | "compact"): CommandHandler {
  return (client) => client.coordinator.maintain(what, whenDone(replyWhenDone(client)), 0);
}
