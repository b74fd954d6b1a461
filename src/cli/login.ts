/**
 * Who the command line is to servers that take a login: from the environment, because what stands on a command line can be read by
 * everybody on the machine.
 *
 *   ENVELOPEDB_TOKEN                      a token, or
 *   ENVELOPEDB_PASSWORD, ENVELOPEDB_USER  a password, and whose it is ("default" where nobody is named)
 */
import type { Login } from "../client/target.ts";

/** Null: nobody logs in. */
export function loginFromEnvironment(environment: Readonly<Record<string, string | undefined>>): Login | null {
  const token = environment["ENVELOPEDB_TOKEN"];
  if (token !== undefined && token !== "") return { user: "token", password: token };
  const password = environment["ENVELOPEDB_PASSWORD"];
  if (password === undefined || password === "") return null;
  return { user: environment["ENVELOPEDB_USER"] ?? "default", password };
}

/** The same for HTTP. */
export function authorizationOf(login: Login | null): Record<string, string> {
  if (login === null) return {};
  const { user, password } = login;
  if (user === "token") return { authorization: `Bearer ${password}` };
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}
