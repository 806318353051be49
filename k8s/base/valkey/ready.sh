#!/bin/sh
# Readiness: the server answers, and a replica has the data of its primary. A rolling update waits
# for this.
set -eu
. "$(dirname "$0")/find-primary.sh"

state=$(ask_valkey "$VALKEY_HOST" info replication | tr -d '\r')
case "$(ask_valkey "$VALKEY_HOST" ping)" in PONG) ;; *) exit 1 ;; esac
case "$state" in
  *role:master*) exit 0 ;;
  *master_link_status:up*) exit 0 ;;
esac
exit 1
