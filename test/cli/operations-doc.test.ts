/** The table of settings in docs/operations.md is the settings that there are, with their names and defaults. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { settingDocs } from "../../src/config.ts";

const PAGE = readFileSync(join(import.meta.dir, "../../docs/operations.md"), "utf8");
const COMPUTED = "—";

interface Row {
  readonly flag: string;
  readonly variable: string;
  readonly name: string;
  /** Without a remark in parentheses behind it; null: computed. */
  readonly fallback: string | null;
}

/** The rows with five cells whose second one is an environment variable. */
function settingRows(): Row[] {
  const rows: Row[] = [];
  for (const line of PAGE.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    if (cells.length !== 7 || cells[2]?.startsWith("`ENVELOPEDB_") !== true) continue;
    const [, flag = "", variable = "", name = "", fallback = ""] = cells;
    rows.push({ flag: code(flag), variable: code(variable), name: code(name), fallback: shownDefault(fallback) });
  }
  return rows;
}

function code(cell: string): string {
  return /^`([^`]*)`/.exec(cell)?.[1] ?? "";
}

function shownDefault(cell: string): string | null {
  return cell === COMPUTED ? null : code(cell);
}

test("the page has every setting once, in order, under its names and with its default", () => {
  const wanted = settingDocs().map(({ flag, variable, name, fallback }) => ({ flag, variable, name, fallback }));
  expect(settingRows()).toEqual(wanted);
});

test("every setting is explained", () => {
  for (const { flag } of settingDocs()) {
    const row = PAGE.split("\n").find((line) => line.startsWith(`| \`${flag}\` | \`ENVELOPEDB_`));
    const meaning = row?.split("|").at(5)?.trim() ?? "";
    expect({ flag, explained: meaning.length > 0 }).toEqual({ flag, explained: true });
  }
});
