/** Whom CLIENT KILL means: an address alone, or filters that must all hold. */
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { ClientConnection } from "./client-connection.ts";
import { ANYBODY } from "./access/principal.ts";
import { CLIENT_TYPES } from "./client-list.ts";
import type { PortConnection } from "./port-connection.ts";
import { echo, SYNTAX } from "./texts.ts";

type Filter = (connection: PortConnection) => boolean;

/** The filter in the arguments, or what is wrong with them. By filters the asker is spared unless told otherwise. */
export function killFilter(self: ClientConnection, request: RequestArguments): Filter | string {
  if (request.count === 3) {
    const address = request.text(2);
    return (connection) => connection.remoteAddress === address;
  }
  const filters: Filter[] = [];
  let spared = true;
  for (let i = 2; i < request.count; i += 2) {
    if (i + 1 >= request.count) return SYNTAX;
    if (request.word(i) === "skipme") {
      const answer = request.word(i + 1);
      if (answer !== "yes" && answer !== "no") return SYNTAX;
      spared = answer === "yes";
      continue;
    }
    const filter = filterOf(self, request, i);
    if (typeof filter === "string") return filter;
    filters.push(filter);
  }
  return (connection) => !(spared && connection === self) && filters.every((filter) => filter(connection));
}

function filterOf({ port }: ClientConnection, request: RequestArguments, index: number): Filter | string {
  const wanted = request.text(index + 1);
  switch (request.word(index)) {
    case "id": {
      const id = request.integer(index + 1);
      if (id === null || id < 1n) return "ERR client-id should be greater than 0";
      return (connection) => BigInt(connection.id) === id;
    }
    case "addr":
      return (connection) => connection.remoteAddress === wanted;
    case "laddr":
      return () => port.address === wanted;
    case "type": {
      const type = wanted.toLowerCase();
      return CLIENT_TYPES.has(type) ? () => type === "normal" : `ERR Unknown client type '${echo(request, index + 1)}'`;
    }
    case "user":
      if (wanted !== ANYBODY.name && !port.access.content.users.has(wanted)) {
        return `ERR No such user '${echo(request, index + 1)}'`;
      }
      return ({ login }) => login.principal.name === wanted;
    default:
      return SYNTAX;
  }
}
