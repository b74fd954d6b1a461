/** The connection itself: greetings, echoes, farewells. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { RespVersion } from "../../wire/resp-writer.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, controlCommand, sessionCommand } from "../command-table.ts";
import { FIRST_BUCKET, LINEARIZABLE } from "../session.ts";
import { wrongArity } from "../texts.ts";
import { nameProblem } from "./client.ts";

/** What we answer to clients that choose their ways by the version of Redis. */
export const REDIS_VERSION = "7.0.15";

export const CONNECTION_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("ping", -1, "PONG, or the argument", ping),
  sessionCommand("echo", 2, "The argument", (client, request) => {
    client.begin().bulk(request.view(1));
    client.end();
  }),
  sessionCommand("hello", -1, "Chooses the protocol, RESP2 or RESP3", hello),
  sessionCommand("auth", -2, "There are no passwords yet", auth),
  controlCommand("quit", -1, "Closes the connection", (client) => {
    client.replyOk();
    client.finish();
  }),
  controlCommand("reset", 1, "The connection as if it were new", reset),
  sessionCommand("time", 1, "The wall clock of this node", time),
  sessionCommand("post", -1, "Somebody takes this for an HTTP port: closed", (client) => client.finish()),
  sessionCommand("host:", -1, "Somebody takes this for an HTTP port: closed", (client) => client.finish()),
];

function ping(client: ClientConnection, request: RequestArguments): void {
  if (request.count > 2) {
    client.replyError(wrongArity("ping"));
    return;
  }
  const reply = client.begin();
  if (request.count === 1) reply.simple("PONG");
  else reply.bulk(request.view(1));
  client.end();
}

function hello(client: ClientConnection, request: RequestArguments): void {
  const { session } = client;
  let version: RespVersion = session.version;
  if (request.count > 1) {
    const asked = request.integer(1);
    if (asked === null) {
      client.replyError("ERR Protocol version is not an integer or out of range");
      return;
    }
    if (asked !== 2n && asked !== 3n) {
      client.replyError("NOPROTO unsupported protocol version");
      return;
    }
    version = asked === 3n ? 3 : 2;
  }
  let name: string | null = null;
  for (let i = 2; i < request.count; ) {
    const option = request.word(i);
    if (option === "auth" && i + 2 < request.count) {
      if (request.text(i + 1) !== "default") {
        client.replyError("WRONGPASS invalid username-password pair or user is disabled.");
        return;
      }
      i += 3;
    } else if (option === "setname" && i + 1 < request.count) {
      name = request.text(i + 1);
      i += 2;
    } else {
      client.replyError(`ERR Syntax error in HELLO option '${request.text(i)}'`);
      return;
    }
  }
  const problem = name === null ? null : nameProblem(name);
  if (problem !== null) {
    client.replyError(problem);
    return;
  }
  if (name !== null) session.name = name;
  session.version = version;
  replyHello(client);
}

function replyHello(client: ClientConnection): void {
  const reply = client.begin();
  reply.map(7);
  for (const [field, value] of [
    ["server", "redis"],
    ["version", REDIS_VERSION],
    ["proto", client.session.version],
    ["id", client.id],
    ["mode", "standalone"],
    ["role", "master"],
  ] as const) {
    reply.bulkText(field);
    if (typeof value === "number") reply.integer(value);
    else reply.bulkText(value);
  }
  reply.bulkText("modules");
  reply.array(0);
  client.end();
}

/** As a Redis without passwords: its one user needs none. */
function auth(client: ClientConnection, request: RequestArguments): void {
  if (request.count === 2) {
    client.replyError(
      "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    );
  } else if (request.count > 3) client.replyError("ERR syntax error");
  else if (request.text(1) === "default") client.replyOk();
  else client.replyError("WRONGPASS invalid username-password pair or user is disabled.");
}

function reset(client: ClientConnection): void {
  const { session } = client;
  session.bucket = client.coordinator.bucket(FIRST_BUCKET);
  session.version = 2;
  session.name = "";
  session.replies = "on";
  client.transactions.drop();
  client.setReadMode(LINEARIZABLE);
  client.begin().simple("RESET");
  client.end();
}

function time(client: ClientConnection): void {
  const nowMs = client.coordinator.wallMs();
  const reply = client.begin();
  reply.array(2);
  reply.bulkText(String(Math.floor(nowMs / 1000)));
  reply.bulkText(String((nowMs % 1000) * 1000));
  client.end();
}
