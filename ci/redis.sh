#!/usr/bin/env bash
# Runs the tools of Redis against the example redis_server: redis-cli with commands whose output is checked, then
# redis-benchmark on the example and on redis-server in turns. Prints the requests per second and their ratio.
# Argument: the number of rounds (3).
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in redis-cli redis-benchmark redis-server; do
    if ! command -v "$tool" >/dev/null; then
        echo "redis: SKIPPED, $tool is not installed"
        exit 0
    fi
done
rounds=${1:-3}
cargo build --release --example redis_server
target=${CARGO_TARGET_DIR:-target}
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -r "$folder"' EXIT

"$target/release/examples/redis_server" --port 0 >"$folder/ours" &
pids+=($!)
# Redis takes no port 0: find one that is free.
theirs=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --bind 127.0.0.1 --port "$theirs" --save "" --appendonly no --dir "$folder" >/dev/null &
pids+=($!)
until grep -q listening "$folder/ours" && redis-cli -p "$theirs" ping >/dev/null 2>&1; do sleep 0.1; done
ours=$(sed -n 's/^listening on .*://p' "$folder/ours")

check() {
    local expected=$1 printed
    shift
    printed=$(redis-cli -p "$ours" "$@" | tr '\n' ' ')
    if [[ $printed != "$expected " ]]; then
        echo "redis: redis-cli $* printed '$printed' instead of '$expected'" >&2
        exit 1
    fi
}
for protocol in -2 -3; do
    check OK "$protocol" flushall
    check OK "$protocol" set greeting hello ex 100
    check hello "$protocol" get greeting
    check 100 "$protocol" ttl greeting
    check 3 "$protocol" rpush list a b c
    check "a b c" "$protocol" lrange list 0 -1
    check 1 "$protocol" hset hash field value
    check "field value" "$protocol" hgetall hash
    check 2 "$protocol" sadd set x y
    check 4 "$protocol" dbsize
    check 0 "$protocol" publish news text
done
printf 'set piped %s\r\nget piped\r\n' works | redis-cli -p "$ours" --pipe | grep -q 'errors: 0, replies: 2'
echo "redis: redis-cli is content"

# Prints the requests per second of a test.
measure() {
    redis-benchmark -p "$1" -c 50 -t "$2" -n "$3" -P "$4" --csv | awk -F'","|"' 'END { print $3 }'
}
for round in $(seq "$rounds"); do
    for pipeline in 1 32; do
        for test in set get; do
            requests=$((pipeline == 1 ? 200000 : 2000000))
            kahn=$(measure "$ours" "$test" "$requests" "$pipeline")
            redis=$(measure "$theirs" "$test" "$requests" "$pipeline")
            awk -v name="$test -P $pipeline" -v kahn="$kahn" -v redis="$redis" -v round="$round" \
                'BEGIN { printf "round %d  %-10s kahn %8d/s  redis %8d/s  ratio %.2f\n", round, name, kahn, redis, kahn / redis }'
        done
    done
done
