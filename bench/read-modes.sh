#!/usr/bin/env bash
# GET in every mode of reading on three nodes with one shard, on this machine, in one run: redis-benchmark with 50 clients on
# a node and a mode in turn, several rounds, the median of each; with the processor time of all three processes for each
# GET, and the share of the GETs that crossed a ring. Keys lie in memory. Needs redis-benchmark and redis-cli (Debian:
# redis-tools).
#
#   bench/read-modes.sh [rounds] [workers] [requests] [nodes]        3, 1, 200000, 3 when not given
#
# With three nodes a node that is asked and the leader are a majority, and neither a forwarded read nor a follower's
# question takes a round; with five they do not.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} workers=${2:-1} requests=${3:-200000} count=${4:-3}
work=$(mktemp -d)
pids=()
peers=$(for i in $(seq "$count"); do printf 'n%d=127.0.0.1:%d,' "$i" $((19100 + i)); done)
for i in $(seq "$count"); do
  bun src/main.ts node --id "n$i" --data "$work/n$i" --shards 1 --workers "$workers" --compactors 0 --log-level warn \
    --client 127.0.0.1:$((19000 + i)) --http 127.0.0.1:$((19200 + i)) --peers "${peers%,}" >/dev/null &
  pids+=($!)
done
trap 'kill "${pids[@]}"; wait; rm -rf "$work"' EXIT
until redis-cli -p 19001 set ready 1 2>/dev/null | grep -q OK; do sleep 0.1; done
leader=$(curl -s http://127.0.0.1:19201/status | grep -o '"leader":"n[0-9]"' | head -1 | tr -dc 0-9)
follower=$((leader % count + 1))

# Ticks of a hundredth of a second that the processes have used.
ticks() { for pid in "${pids[@]}"; do cut -d' ' -f14,15 "/proc/$pid/stat"; done | awk '{ sum += $1 + $2 } END { print sum }'; }
# port → reads that a node has evaluated from memory, and through a ring
reads() { redis-cli -p "$1" info | tr -d '\r' | awk -F: '/^reads_from_memory/ { a = $2 } /^reads_from_shard/ { b = $2 } END { print a, b }'; }
# port, words before GET, depth → requests a second
measure() {
  # shellcheck disable=SC2086
  redis-benchmark -p "$1" -c 50 -r 100000 -P "$3" -n "$requests" --csv $2 get key:__rand_int__ 2>/dev/null | tail -1 | cut -d, -f2 | tr -d '"'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

redis-benchmark -p "1900$leader" -c 50 -d 100 -r 100000 -P 16 -n 300000 set key:__rand_int__ "$(printf 'x%.0s' {1..100})" >/dev/null 2>&1
modes=("leader|read at linearizable|$leader" "leader|read at lease|$leader" "other|read at linearizable|$follower"
  "other|read at lease|$follower" "other|read at follower|$follower" "other|read at stale 1000|$follower")
for depth in 1 16; do
  rm -f "$work"/*.rate "$work"/*.micros
  for round in $(seq 0 "$rounds"); do
    for i in "${!modes[@]}"; do
      IFS='|' read -r _ words node <<<"${modes[$i]}"
      before=$(ticks)
      rate=$(measure "1900$node" "$words" "$depth")
      after=$(ticks)
      # The first round warms up.
      [ "$round" = 0 ] && continue
      echo "$rate" >>"$work/$i.rate"
      awk "BEGIN { print ($after - $before) * 10000 / $requests }" >>"$work/$i.micros"
    done
  done
  printf '%5s %-7s %-22s %12s %18s\n' deep asked mode 'GET /s' 'processor µs/GET'
  for i in "${!modes[@]}"; do
    IFS='|' read -r asked words _ <<<"${modes[$i]}"
    printf '%5s %-7s %-22s %12.0f %18.2f\n' "$depth" "$asked" "${words#read at }" "$(median <"$work/$i.rate")" "$(median <"$work/$i.micros")"
  done
done
for node in $leader $follower; do
  read -r memory shard <<<"$(reads "1900$node")"
  printf 'n%s: %s reads from memory, %s through the shard (%.2f %%)\n' "$node" "$memory" "$shard" "$(awk "BEGIN { print 100 * $shard / ($memory + $shard + 1e-9) }")"
done
