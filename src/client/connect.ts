/** Opens a database over the network. Runs on Bun, Node and Deno. */
import { openDatabase } from "./channel-database.ts";
import type { Database } from "./database.ts";
import { openSocketChannel } from "./open-socket.ts";
import { type ConnectOptions, settingsOf } from "./settings.ts";

/**
 * Connects to a cluster through any of its nodes. UNAVAILABLE when none of those named can be reached; BAD_CREDENTIALS when they
 * do not know the user.
 */
export async function connect(options: ConnectOptions): Promise<Database> {
  const settings = settingsOf(options);
  return openDatabase(settings, (address, events) => openSocketChannel(settings, address, events));
}
