import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { splitInline } from "../../src/wire/inline.ts";
import { RequestArguments } from "../../src/wire/request-arguments.ts";

function split(line: string): string[] | null {
  const bytes = utf8(line);
  const request = new RequestArguments();
  if (!splitInline(bytes, 0, bytes.length, request)) return null;
  return Array.from({ length: request.count }, (_, i) => request.text(i));
}

test("blanks separate, quotes join", () => {
  expect(split("  SET  key\tvalue ")).toEqual(["SET", "key", "value"]);
  expect(split("SET \"a b\" 'c d'")).toEqual(["SET", "a b", "c d"]);
  expect(split('SET "" x')).toEqual(["SET", "", "x"]);
});

test("escapes are Redis's", () => {
  expect(split('"\\x41\\n\\r\\t\\b\\a\\"\\\\\\q"')).toEqual(['A\n\r\t\b\x07"\\q']);
  expect(split("'it\\'s \\n'")).toEqual(["it's \\n"]);
  expect(split('"\\xZZ"')).toEqual(["xZZ"]);
});

test("a closing quote ends its argument", () => {
  expect(split('"a"b')).toBeNull();
  expect(split("'a'b")).toBeNull();
  expect(split('"a')).toBeNull();
});

test("a last argument of JSON is taken byte for byte", () => {
  expect(split('SET user:1 {"name": "Alice", "score": 100}')).toEqual([
    "SET",
    "user:1",
    '{"name": "Alice", "score": 100}',
  ]);
  expect(split('SET k [1,  "a b", {"x": "}"}]  ')).toEqual(["SET", "k", '[1,  "a b", {"x": "}"}]  ']);
  expect(split('SET k {"never": "closed')).toEqual(["SET", "k", '{"never": "closed']);
});

test("a bracket that closes before the end leaves Redis's rules in force", () => {
  expect(split("SET {tag}key value")).toEqual(["SET", "{tag}key", "value"]);
  expect(split("DEL {a}1 {b}2 {c}")).toEqual(["DEL", "{a}1", "{b}2", "{c}"]);
});
