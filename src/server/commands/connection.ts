/** The connection itself: greetings, echoes, farewells. */
import type { RequestArguments } from "../../wire/request-arguments.ts";
import type { ClientConnection } from "../client-connection.ts";
import { type CommandEntry, controlCommand, sessionCommand } from "../command-table.ts";
import { FIRST_BUCKET, LINEARIZABLE } from "../session.ts";
import { wrongArity } from "../texts.ts";

/** What we answer to clients that choose their ways by the version of Redis. */
export const REDIS_VERSION = "7.0.15";

export const CONNECTION_COMMANDS: readonly CommandEntry[] = [
  sessionCommand("ping", -1, "PONG, or the argument", ping),
  sessionCommand("echo", 2, "The argument", (client, request) => {
    client.begin().bulk(request.view(1));
    client.end();
  }),
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

function reset(client: ClientConnection): void {
  const { session } = client;
  session.bucket = client.coordinator.bucket(FIRST_BUCKET);
  session.version = 2;
  session.name = "";
  // What was told to be left out is left out, be it this answer.
  if (session.replies !== "skip") session.replies = "on";
  client.transactions.drop();
  client.login.logOut();
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
