#!/bin/sh
# Starts the Sentinel of this member, which saves elections on disk.
#
# Variables in addition to those of find-primary.sh:
# QUORUM  number of Sentinels that must consider the primary down
set -eu
here=$(dirname "$0")
. "$here/find-primary.sh"

conf="$STATE/sentinel.conf"
mkdir -p "$STATE"
umask 077

if [ ! -s "$conf" ]; then
  # At the first start there is no election before the primary answers.
  primary=$(find_primary)
  until [ -n "$(role_of "$primary")" ]; do
    echo "waiting for $primary"
    sleep 1
    primary=$(find_primary)
  done
  echo "sentinel monitor $GROUP $primary $PORT $QUORUM" >"$conf"
fi

# The results of elections are kept. The other settings are written again at each start, so that
# they can be changed. So is the list of replicas, because Sentinel saves a replica whose name does
# not resolve at a start under the name of the primary, and refuses a file that contains a replica
# twice.
kept=$(grep -Ev '^(port|dir|protected-mode|requirepass|user|sentinel (resolve-hostnames|announce-hostnames|announce-ip|announce-port|auth-user|auth-pass|sentinel-pass|down-after-milliseconds|failover-timeout|parallel-syncs|known-replica) )' "$conf" |
  sed "s/^\(sentinel monitor $GROUP [^ ]* [^ ]*\) .*/\1 $QUORUM/")
watched=$(printf '%s\n' "$kept" | sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p")
{
  echo "port $SENTINEL_PORT"
  echo "dir $STATE"
  echo "protected-mode no"
  echo "requirepass $SENTINEL_PASSWORD"
  echo "sentinel sentinel-pass $SENTINEL_PASSWORD"
  # The addresses of pods change, their names do not. Must precede the first name.
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
