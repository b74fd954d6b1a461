/** Every command there is. */
import { type CommandEntry, CommandTable } from "./command-table.ts";
import { ACL_COMMANDS } from "./commands/acl.ts";
import { BIT_COMMANDS } from "./commands/bits.ts";
import { BUCKET_COMMANDS } from "./commands/buckets.ts";
import { CLIENT_COMMANDS } from "./commands/client.ts";
import { COMMAND_COMMANDS } from "./commands/command.ts";
import { CONFIG_COMMANDS } from "./commands/config.ts";
import { CONNECTION_COMMANDS } from "./commands/connection.ts";
import { COUNTER_COMMANDS } from "./commands/counters.ts";
import { DEBUG_COMMANDS } from "./commands/debug.ts";
import { EXPIRY_COMMANDS } from "./commands/expiry.ts";
import { INFO_COMMANDS } from "./commands/info.ts";
import { JSON_COMMANDS } from "./commands/json.ts";
import { KEY_COMMANDS } from "./commands/keys.ts";
import { LCS_COMMANDS } from "./commands/lcs.ts";
import { PART_COMMANDS } from "./commands/parts.ts";
import { LOGIN_COMMANDS } from "./commands/login.ts";
import { READ_COMMANDS } from "./commands/read.ts";
import { RENAMING_COMMANDS } from "./commands/renaming.ts";
import { MEMBER_COMMANDS } from "./commands/members.ts";
import { OBJECT_COMMANDS } from "./commands/objects.ts";
import { SCAN_COMMANDS } from "./commands/scan.ts";
import { SERVER_COMMANDS } from "./commands/server.ts";
import { STRING_COMMANDS } from "./commands/strings.ts";
import { TRANSACTION_COMMANDS } from "./commands/transactions.ts";
import { TOKEN_COMMANDS } from "./commands/tokens.ts";
import { USER_COMMANDS } from "./commands/users.ts";

const ALL: readonly CommandEntry[] = [
  ...STRING_COMMANDS,
  ...PART_COMMANDS,
  ...BIT_COMMANDS,
  ...LCS_COMMANDS,
  ...COUNTER_COMMANDS,
  ...KEY_COMMANDS,
  ...RENAMING_COMMANDS,
  ...TRANSACTION_COMMANDS,
  ...EXPIRY_COMMANDS,
  ...SCAN_COMMANDS,
  ...JSON_COMMANDS,
  ...BUCKET_COMMANDS,
  ...CONNECTION_COMMANDS,
  ...LOGIN_COMMANDS,
  ...READ_COMMANDS,
  ...CLIENT_COMMANDS,
  ...COMMAND_COMMANDS,
  ...CONFIG_COMMANDS,
  ...OBJECT_COMMANDS,
  ...SERVER_COMMANDS,
  ...DEBUG_COMMANDS,
  ...INFO_COMMANDS,
  ...MEMBER_COMMANDS,
  ...USER_COMMANDS,
  ...TOKEN_COMMANDS,
  ...ACL_COMMANDS,
];

export function commandTable(): CommandTable {
  return new CommandTable(ALL);
}
