/**
 * How long a three-node cluster with default timeouts refuses writes when its leader is killed: a client writes one key
 * after the other through a surviving node, and the longest gap between two acknowledgements around the kill counts.
 *
 *   bun bench/failover-bench.ts [rounds]
 */
import { RespClient } from "../src/client/resp-client.ts";
import { parseTargets } from "../src/client/target.ts";
import { TestCluster } from "../test/process/test-cluster.ts";

const rounds = Number(process.argv[2] ?? 10);
const flags = ["--heartbeat-ms", "150", "--election-ms", "300"];
const cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags });
const gaps: number[] = [];
for (let round = 0; round < rounds; round++) {
  const victim = await cluster.leader();
  const survivor = (victim + 1) % 3;
  const client = await RespClient.connect({
    targets: parseTargets(`127.0.0.1:${cluster.clientPorts[survivor]}`),
    connectTimeoutMs: 5_000,
    replyTimeoutMs: 10_000,
    protocol: 2,
    bucket: null,
    onPush: () => undefined,
  });
  let last = performance.now();
  let longest = 0;
  let running = true;
  const writer = (async () => {
    for (let i = 0; running; i++) {
      const reply = await client.command("SET", `failover:${round}:${i}`, "x");
      if (reply.kind === "error") continue;
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
  })();
  await Bun.sleep(500);
  longest = 0;
  await cluster.kill(victim);
  await Bun.sleep(3_000);
  running = false;
  await writer;
  client.close();
  gaps.push(longest);
  console.log(`round ${round + 1}: n${victim + 1} killed, no write accepted for ${longest.toFixed(0)} ms`);
  await cluster.restart(victim);
  await Bun.sleep(1_000);
}
gaps.sort((a, b) => a - b);
const middle = (gaps[Math.floor((gaps.length - 1) / 2)]! + gaps[Math.ceil((gaps.length - 1) / 2)]!) / 2;
console.log(`median ${middle.toFixed(0)} ms, worst ${gaps[gaps.length - 1]?.toFixed(0)} ms of ${gaps.length}`);
await cluster.stop();
