#!/bin/sh
# Starts the Valkey server of this member, in the role that find-primary.sh determines.
#
# Variables in addition to those of find-primary.sh:
# REPLICATION_PASSWORD  the password of the user `replication`
# REPLICAS_MIN          number of replicas that must have a write; 0 for a single server
set -eu
here=$(dirname "$0")
. "$here/find-primary.sh"

RUN=${RUN:-/run/valkey}
BASE_CONF=${BASE_CONF:-$here/valkey.conf}
DATA=${DATA:-/data}

# A primary that returns with an empty disk would empty its replicas, too. So it waits until the
# Sentinels have elected a server that has the data. The time is limited: if none is elected, this
# is the only server left.
yield_if_empty() {
  tries=0
  while [ "$primary" = "$VALKEY_HOST" ] && [ "$primary" != "$VALKEY_HOSTS" ] &&
    [ ! -d "$DATA/appendonlydir" ] && [ -n "$(elected)" ] &&
    [ "$tries" -lt "${YIELD_TRIES:-60}" ]; do
    echo "the primary's disk is empty: waiting for the election of another"
    tries=$((tries + 1))
    sleep 1
    primary=$(find_primary)
  done
}

primary=$(find_primary)
yield_if_empty
echo "the primary is $primary, this is $VALKEY_HOST"

# In memory, because it contains a password. Sentinel makes Valkey rewrite it when roles change.
conf="$RUN/valkey.conf"
umask 077
{
  echo "include $BASE_CONF"
  echo "port $PORT"
  echo "replica-announce-ip $VALKEY_HOST"
  echo "min-replicas-to-write $REPLICAS_MIN"
  echo "primaryuser replication"
  echo "primaryauth $REPLICATION_PASSWORD"
  if [ "$primary" != "$VALKEY_HOST" ]; then
    echo "replicaof $primary $PORT"
  fi
} >"$conf"
exec valkey-server "$conf" ${VALKEY_ARGS:-}
