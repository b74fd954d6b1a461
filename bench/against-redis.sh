#!/usr/bin/env bash
# One node beside Redis with `appendfsync always`, on this machine, in one run: redis-benchmark on each in turn, three
# rounds, the median of each, and the ratio. Both sync every write before they answer it. Needs redis-server,
# redis-benchmark and redis-cli (Debian: redis-server, redis-tools).
#
#   bench/against-redis.sh [workers]        workers of the node: 1 (default) or 0
set -euo pipefail
cd "$(dirname "$0")/.."
workers=${1:-1}
rounds=3
redis_port=16379
node_port=19001
work=$(mktemp -d)
redis-server --port $redis_port --bind 127.0.0.1 --dir "$work" --appendonly yes --appendfsync always --save "" >/dev/null &
redis=$!
bun src/main.ts node --data "$work/node" --shards 1 --workers "$workers" --log-level warn \
  --client 127.0.0.1:$node_port --peer 127.0.0.1:19101 --http 127.0.0.1:19201 >/dev/null &
node=$!
trap 'kill $redis $node; wait; rm -rf "$work"' EXIT
until redis-cli -p $redis_port ping >/dev/null 2>&1 && redis-cli -p $node_port ping >/dev/null 2>&1; do sleep 0.1; done

# port, command, pipeline depth, requests → requests a second
measure() {
  redis-benchmark -p "$1" -c 50 -d 100 -r 100000 -t "$2" -P "$3" -n "$4" --csv 2>/dev/null |
    tail -1 | cut -d, -f2 | tr -d '"'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

measure $node_port set 16 500000 >/dev/null
measure $node_port get 16 500000 >/dev/null
printf '%-4s %5s %12s %12s %6s\n' "" deep Redis EnvelopeDB ratio
for test in "set 1 200000" "set 16 1000000" "get 1 200000" "get 16 2000000"; do
  read -r command depth count <<<"$test"
  : >"$work/a"
  : >"$work/b"
  for _ in $(seq $rounds); do
    measure $redis_port "$command" "$depth" "$count" >>"$work/a"
    measure $node_port "$command" "$depth" "$count" >>"$work/b"
  done
  a=$(median <"$work/a")
  b=$(median <"$work/b")
  printf '%-4s %5s %12.0f %12.0f %6.2f\n' "$command" "$depth" "$a" "$b" "$(awk "BEGIN { print $b / $a }")"
done
