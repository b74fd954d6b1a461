/** Connections as CLIENT LIST shows them: one line each, `field=value`. */
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ClientPort } from "./client-port.ts";
import { echo, SYNTAX } from "./texts.ts";

/** All here are normal; the others are there to be asked for. */
export const CLIENT_TYPES: ReadonlySet<string> = new Set(["normal", "master", "replica", "slave", "pubsub"]);

export function describe(about: ClientConnection): string {
  const now = about.port.clock.monotonicMs();
  const { session } = about;
  return [
    `id=${about.id}`,
    `addr=${about.remoteAddress}`,
    `laddr=${about.port.address}`,
    `name=${session.name}`,
    `age=${Math.floor((now - about.openedMs) / 1000)}`,
    "flags=N",
    `db=${/^\d+$/.test(session.bucket.name) ? session.bucket.name : -1}`,
    `omem=${about.unsentBytes}`,
    `unanswered=${about.unansweredCount}`,
    `cmd=${about.lastCommand}`,
    `user=${session.principal.name}`,
    `lib-name=${session.libraryName}`,
    `lib-ver=${session.libraryVersion}`,
    `resp=${session.version}`,
  ].join(" ");
}

/** The lines that CLIENT LIST [TYPE type] [ID id …] asks for, or what is wrong with it. */
export function clientLines(port: ClientPort, request: RequestArguments): { text: string; error: string | null } {
  const isTyped = request.count === 4 && request.word(2) === "type";
  const isById = request.count > 3 && request.word(2) === "id";
  if (request.count > 2 && !isTyped && !isById) return { text: "", error: SYNTAX };
  const type = isTyped ? request.word(3) : "normal";
  if (!CLIENT_TYPES.has(type)) return { text: "", error: `ERR Unknown client type '${echo(request, 3)}'` };
  const ids = new Set<number>();
  for (let i = 3; isById && i < request.count; i++) {
    const id = request.integer(i);
    if (id === null) return { text: "", error: "ERR Invalid client ID" };
    ids.add(Number(id));
  }
  let text = "";
  for (const connection of port.connections()) {
    if (type === "normal" && (!isById || ids.has(connection.id))) text += `${describe(connection)}\n`;
  }
  return { text, error: null };
}
