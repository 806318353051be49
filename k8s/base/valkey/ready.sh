#!/bin/sh
# Ready: it answers, and a replica has its primary's data. A rolling update waits for that.
set -eu
. "$(dirname "$0")/find-primary.sh"

state=$(ask_valkey "$VALKEY_HOST" info replication | tr -d '\r')
case "$(ask_valkey "$VALKEY_HOST" ping)" in PONG) ;; *) exit 1 ;; esac
case "$state" in
  *role:master*) exit 0 ;;
  *master_link_status:up*) exit 0 ;;
esac
exit 1
