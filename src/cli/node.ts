/**
 * `node`: one server in this process. It prints one line on standard output when it is ready, logs to standard error as
 * JSON lines, and stops cleanly on the first SIGINT, SIGTERM or SIGHUP; a second signal ends it at once. With TLS, SIGHUP
 * does not stop it: it has the certificates looked at. With
 * `exitWithParent` it belongs to a `cluster`: it stops when its standard input closes, and leaves SIGINT (which a
 * terminal sends to the whole group) to the parent.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type NodeSettings, resolveSettings } from "../config.ts";
import { EnvelopeError } from "../core/errors.ts";
import { holdProcess } from "../env/hold-process.ts";
import { pinoLog } from "../env/pino-log.ts";
import { realEnvironment } from "../env/real-environment.ts";
import { startNode } from "../node.ts";
import { stopSignals, whenAborted } from "./stop-signals.ts";

const STOP_MS_MAX = 5_000;

interface Failure {
  readonly reason: string;
}

export interface NodeCommand {
  /** Settings from the command line, by name. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly configFile: string | null;
  readonly exitWithParent: boolean;
}

/** Runs until told to stop; returns the exit code. Throws what keeps the node from starting. */
export async function runNode(command: NodeCommand): Promise<number> {
  const settings = settingsOf(command);
  const log = pinoLog(settings.logLevel, { node: settings.id });
  const hasTls = settings.tlsCertificate !== undefined;
  const ignored = [...(command.exitWithParent ? ["SIGINT" as const] : []), ...(hasTls ? ["SIGHUP" as const] : [])];
  const signals = stopSignals(ignored, (code) => process.exit(code));
  const stop = command.exitWithParent ? AbortSignal.any([signals, parentGone()]) : signals;
  // Neither timers of the environment nor workers keep a process alive, and there is a moment before the ports do.
  const letGo = holdProcess();
  const node = await startNode(settings, realEnvironment(log));
  if (hasTls) process.on("SIGHUP", () => node.renewCertificates?.());
  const failed = new Promise<Failure>((resolve) => node.onFailure((reason) => resolve({ reason })));
  process.stdout.write(`${settings.id} ready on ${node.clientAddress}\n`);
  const asked = new Promise<string>((resolve) => node.onShutdown(() => resolve("a client asked for it")));
  const end = await Promise.race([failed, asked, whenAborted(stop)]);
  if (typeof end !== "string") {
    log.error("ending, because this node cannot go on", { because: end.reason });
    return 1;
  }
  log.info("stopping", { because: end });
  const tooSlow = setTimeout(() => {
    log.error("did not stop in time", { afterMs: STOP_MS_MAX });
    process.exit(1);
  }, STOP_MS_MAX);
  await node.stop();
  clearTimeout(tooSlow);
  letGo();
  log.info("stopped");
  return 0;
}

/** All sources joined for this machine. Throws CONFIG. */
function settingsOf(command: NodeCommand): NodeSettings {
  return resolveSettings({
    flags: command.flags,
    environment: process.env,
    file: command.configFile === null ? null : { path: command.configFile, text: readText(command.configFile) },
    cores: availableParallelism(),
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new EnvelopeError("CONFIG", `settings file ${path} cannot be read: ${(cause as Error).message}`);
  }
}

/** Aborts when the process that holds the other end of standard input closes it or dies. */
function parentGone(): AbortSignal {
  const gone = new AbortController();
  const abort = (): void => gone.abort("the parent closed its end");
  process.stdin.on("end", abort);
  process.stdin.on("close", abort);
  process.stdin.resume();
  return gone.signal;
}
