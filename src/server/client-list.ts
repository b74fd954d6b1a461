/** Connections as CLIENT LIST shows them: one line each, `field=value`. */
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { ClientPort } from "./client-port.ts";
import type { PortConnection } from "./port-connection.ts";
import { echo, SYNTAX } from "./texts.ts";

/** All here are normal; the others are there to be asked for. */
export const CLIENT_TYPES: ReadonlySet<string> = new Set(["normal", "master", "replica", "slave", "pubsub"]);

export function describe(port: ClientPort, about: PortConnection): string {
  const now = port.clock.monotonicMs();
  const { name, bucket, lastCommand, library, protocol } = about.shown;
  return [
    `id=${about.id}`,
    `addr=${about.remoteAddress}`,
    `laddr=${port.address}`,
    `name=${name}`,
    `age=${Math.floor((now - about.openedMs) / 1000)}`,
    "flags=N",
    `db=${/^\d+$/.test(bucket) ? bucket : -1}`,
    `omem=${about.unsentBytes}`,
    `unanswered=${about.unansweredCount}`,
    `cmd=${lastCommand}`,
    `user=${about.login.principal.name}`,
    `lib-name=${library[0]}`,
    `lib-ver=${library[1]}`,
    protocol,
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
    if (type === "normal" && (!isById || ids.has(connection.id))) text += `${describe(port, connection)}\n`;
  }
  return { text, error: null };
}
