/** The settings of TLS, and what they ask of each other. The files they name are read elsewhere. */
import { z } from "zod";

const path = z.string("must be a path").min(1, { error: "must not be empty" });
const server = z.enum(["off", "on", "required"], { error: "must be off, on or required" });

export const TLS_SHAPE = {
  tlsCertificate: path
    .optional()
    .describe(
      "PEM file with this node's certificate and those between it and the authority; read again when it changes",
    ),
  tlsKey: path.optional().describe("PEM file with the key of that certificate, not encrypted"),
  tlsAuthority: path.optional().describe("PEM file with the authorities whose certificates are believed"),
  tlsClient: server
    .default("off")
    .describe("TLS 1.3 on the client port; required: and clients must show a certificate of tlsAuthority"),
  tlsPeer: z
    .enum(["off", "on"], { error: "must be off or on" })
    .default("off")
    .describe("TLS 1.3 between nodes, which show each other their certificates; the same on all nodes"),
  tlsHttp: server
    .default("off")
    .describe("TLS 1.3 on the HTTP port; required: and callers must show a certificate of tlsAuthority"),
} as const;

const FILES = ["tlsCertificate", "tlsKey", "tlsAuthority"] as const;
const PORTS = ["tlsClient", "tlsPeer", "tlsHttp"] as const;

export type TlsSettings = z.infer<ReturnType<typeof z.object<typeof TLS_SHAPE>>>;

/** What keeps the settings from being whole: the one that is wrong, and why; null: nothing. */
export function tlsFault(settings: TlsSettings): { setting: (typeof FILES)[number]; why: string } | null {
  const active = PORTS.find((port) => settings[port] !== "off");
  if (active === undefined) {
    const idle = FILES.find((file) => settings[file] !== undefined);
    if (idle === undefined) return null;
    return { setting: idle, why: `is of no use while ${PORTS.join(", ")} are off; say which ports are to have TLS` };
  }
  const because = `is needed, because ${active} is ${settings[active]}`;
  const missing = (["tlsCertificate", "tlsKey"] as const).find((file) => settings[file] === undefined);
  if (missing !== undefined) return { setting: missing, why: because };
  const asking = PORTS.find((port) => settings[port] === "required" || (port === "tlsPeer" && settings[port] === "on"));
  if (asking === undefined || settings.tlsAuthority !== undefined) return null;
  return { setting: "tlsAuthority", why: `is needed, because ${asking} is ${settings[asking]}` };
}
