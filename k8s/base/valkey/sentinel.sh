#!/bin/sh
# Starts this member's Sentinel, which remembers elections on disk.
#
# Beside the variables of find-primary.sh:
# QUORUM  Sentinels that must miss the primary
set -eu
here=$(dirname "$0")
. "$here/find-primary.sh"

conf="$STATE/sentinel.conf"
mkdir -p "$STATE"
umask 077

if [ ! -s "$conf" ]; then
  # The first time there is nobody to elect before the primary answers.
  primary=$(find_primary)
  until [ -n "$(role_of "$primary")" ]; do
    echo "waiting for $primary"
    sleep 1
    primary=$(find_primary)
  done
  echo "sentinel monitor $GROUP $primary $PORT $QUORUM" >"$conf"
fi

# What an election decided stays; the rest is written anew, so that it can be changed. So are the
# replicas: one whose name does not resolve at a start is written back with the primary's, and a
# file that names a replica twice is refused for ever.
kept=$(grep -Ev '^(port|dir|protected-mode|requirepass|user|sentinel (resolve-hostnames|announce-hostnames|announce-ip|announce-port|auth-user|auth-pass|sentinel-pass|down-after-milliseconds|failover-timeout|parallel-syncs|known-replica) )' "$conf" |
  sed "s/^\(sentinel monitor $GROUP [^ ]* [^ ]*\) .*/\1 $QUORUM/")
watched=$(printf '%s\n' "$kept" | sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p")
{
  echo "port $SENTINEL_PORT"
  echo "dir $STATE"
  echo "protected-mode no"
  echo "requirepass $SENTINEL_PASSWORD"
  echo "sentinel sentinel-pass $SENTINEL_PASSWORD"
  # Pods get other addresses, names stay. Must come before the first name.
  echo "sentinel resolve-hostnames yes"
  echo "sentinel announce-hostnames yes"
  echo "sentinel announce-ip $VALKEY_HOST"
  echo "$kept"
  for host in $VALKEY_HOSTS; do
    [ "$host" = "$watched" ] || echo "sentinel known-replica $GROUP $host $PORT"
  done
  echo "sentinel auth-user $GROUP sentinel"
  echo "sentinel auth-pass $GROUP $SENTINEL_PASSWORD"
  echo "sentinel down-after-milliseconds $GROUP ${DOWN_AFTER_MS:-5000}"
  echo "sentinel failover-timeout $GROUP 30000"
  echo "sentinel parallel-syncs $GROUP 1"
} >"$conf.new"
mv "$conf.new" "$conf"
exec valkey-server "$conf" --sentinel ${SENTINEL_ARGS:-}
