/** Requests that are none at the HTTP port: one short refusal, then closed; never read as two. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { type HttpPort, type NodeStatus, startHttpPort } from "../../src/server/http-port.ts";
import { fakeAccess } from "../server/fake-access.ts";
import { RawClient } from "../server/started-port.ts";

const STATUS: NodeStatus = {
  node: "n1",
  cluster: "c",
  version: "0",
  addresses: { client: "127.0.0.1:1", peer: "127.0.0.1:2", http: "127.0.0.1:3" },
  shards: [],
  members: [],
  figures: {},
};
const GET = "GET /health HTTP/1.1\r\nHost: x\r\n";
const POST = "POST /health HTTP/1.1\r\nHost: x\r\n";
const HIDDEN = "0\r\n\r\nGET /status HTTP/1.1\r\nHost: x\r\n\r\n";
const MUCH = 1024 * 1024;

let http: HttpPort;
let port: number;

beforeAll(() => {
  http = startHttpPort("127.0.0.1", 0, fakeAccess().access, () => STATUS, null);
  port = Number(http.address.split(":")[1]);
});

afterAll(() => http.stop());

describe("refused and closed:", () => {
  const cases: [string, string, number][] = [
    ["a length and an encoding", `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${HIDDEN}`, 400],
    ["an encoding and a length", `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n${HIDDEN}`, 400],
    ["two lengths", `${GET}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`, 400],
    ["two lengths in one", `${GET}Content-Length: 5, 6\r\n\r\nhello!`, 400],
    ["a length below 0", `${GET}Content-Length: -5\r\n\r\n`, 400],
    ["a length in hex", `${GET}Content-Length: 0x5\r\n\r\nhello`, 400],
    ["a blank before the colon", `${GET}Content-Length : 5\r\n\r\nhello`, 400],
    ["an encoding that is none", `${POST}Transfer-Encoding: xchunked\r\n\r\n${HIDDEN}`, 400],
    ["no host", "GET /health HTTP/1.1\r\n\r\n", 400],
    ["bytes that mean nothing", "\u0000\u0001\u0002\r\n\r\n", 400],
    ["a header of a megabyte", `${GET}X: ${"a".repeat(MUCH)}\r\n\r\n`, 431],
    ["a megabyte of headers", `${GET}${"X: aaaaaaaaaaaa\r\n".repeat(MUCH / 16)}\r\n`, 431],
    ["a path of a megabyte", `GET /${"a".repeat(MUCH)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    ["a body of a gigabyte, announced", `${POST}Content-Length: 999999999\r\n\r\n`, 413],
  ];
  for (const [what, bytes, status] of cases) {
    test(what, async () => {
      const client = await RawClient.open(port);
      const said = await client.send(utf8(bytes)).untilClosed();
      expect(said.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
    });
  }
});

test("a path or a host that is no part of a URL is refused, not an error of ours", async () => {
  for (const [target, host] of [
    ["/health", "[::"],
    ["http://[/health", "x"],
    ["//[", "x"],
  ]) {
    const client = await RawClient.open(port);
    const said = await client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`).until("\r\n\r\n");
    expect([target, host, said]).toEqual([target, host, expect.stringMatching(/^HTTP\/1\.1 (200|40[04]) /)]);
    client.close();
  }
});
