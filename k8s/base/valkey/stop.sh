#!/bin/sh
# Hands over the role of the primary to a replica before this member stops, so that no write is
# lost.
set -eu
. "$(dirname "$0")/find-primary.sh"

# The Sentinel of this pod is stopping, too, so another one is used.
asked=
for host in $VALKEY_HOSTS; do
  [ "$(role_of "$VALKEY_HOST")" = master ] || exit 0
  if [ "$host" != "$VALKEY_HOST" ] && [ -z "$asked" ] &&
    [ "$(ask_sentinel "$host" sentinel failover "$GROUP" | tr -d '\r')" = OK ]; then
    asked=yes
  fi
done
[ -n "$asked" ] || exit 0
tries=0
while [ "$(role_of "$VALKEY_HOST")" = master ] && [ "$tries" -lt 20 ]; do
  tries=$((tries + 1))
  sleep 1
done
