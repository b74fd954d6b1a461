#!/usr/bin/env bash
# Writes on a cluster of three nodes beside writes on one node, on this machine, in one run: redis-benchmark on each in
# turn, several rounds, the median of each; with the processor time of all their processes for each write, and how both compare.
# The cluster is reached at its leader. Needs redis-benchmark and redis-cli (Debian: redis-tools).
#
#   bench/three-nodes.sh [rounds]        3 when not given
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
work=$(mktemp -d)
peers=a=127.0.0.1:19101,b=127.0.0.1:19102,c=127.0.0.1:19103
pids=()

start() { # name, number, further flags
  bun src/main.ts node --id "$1" --data "$work/$1$2" --shards 1 --workers 0 --compactors 0 --log-level warn --client 127.0.0.1:1900"$2" \
    --http 127.0.0.1:1920"$2" "${@:3}" >/dev/null &
  pids+=($!)
}
start alone 0 --peer 127.0.0.1:19100
start a 1 --peer 127.0.0.1:19101 --peers $peers
start b 2 --peer 127.0.0.1:19102 --peers $peers
start c 3 --peer 127.0.0.1:19103 --peers $peers
trap 'kill "${pids[@]}"; wait; rm -rf "$work"' EXIT
alone=19000
until redis-cli -p $alone set ready 1 >/dev/null 2>&1 && redis-cli -p 19001 set ready 1 2>/dev/null | grep -q OK; do sleep 0.1; done
leader=$(curl -s http://127.0.0.1:19201/status | grep -o '"leader":"[abc]"' | cut -d'"' -f4)
cluster=1900$(($(printf %d "'$leader") - 96))

# Ticks of a hundredth of a second that the processes have used.
ticks() { for pid in "$@"; do cut -d' ' -f14,15 "/proc/$pid/stat"; done | awk '{ sum += $1 + $2 } END { print sum }'; }
# port, depth, requests → requests a second
measure() {
  redis-benchmark -p "$1" -c 50 -d 100 -r 100000 -t set -P "$2" -n "$3" --csv 2>/dev/null | tail -1 | cut -d, -f2 | tr -d '"'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
# depth, requests, port, file, processes: one measurement, as a line of each file
sample() {
  local before after
  before=$(ticks "${@:5}")
  measure "$3" "$1" "$2" >>"$work/$4.rate"
  after=$(ticks "${@:5}")
  awk "BEGIN { print ($after - $before) * 10000 / $2 }" >>"$work/$4.micros"
}

measure $alone 16 500000 >/dev/null
measure "$cluster" 16 500000 >/dev/null
printf '%5s %14s %14s %7s %16s %16s %7s\n' deep 'one node /s' 'three /s' ratio 'one, µs a write' 'three, µs' ratio
for load in "1 200000" "16 1000000"; do
  read -r depth count <<<"$load"
  rm -f "$work"/*.rate "$work"/*.micros
  for _ in $(seq "$rounds"); do
    sample "$depth" "$count" $alone one "${pids[0]}"
    sample "$depth" "$count" "$cluster" three "${pids[@]:1}"
  done
  a=$(median <"$work/one.rate") b=$(median <"$work/three.rate") c=$(median <"$work/one.micros") d=$(median <"$work/three.micros")
  printf '%5s %14.0f %14.0f %7.2f %16.2f %16.2f %7.2f\n' "$depth" "$a" "$b" "$(awk "BEGIN { print $b / $a }")" "$c" "$d" "$(awk "BEGIN { print $d / $c }")"
done
