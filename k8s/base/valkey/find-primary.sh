# Functions for the start scripts, which determine the primary.
#
# VALKEY_HOSTS      the names of all members, separated by spaces
# VALKEY_HOST       the name of this member
# SENTINEL_PASSWORD the password of the user `sentinel`, and of the Sentinels

GROUP=doorbuster
PORT=6379
SENTINEL_PORT=26379
STATE=${STATE:-/data/sentinel}

# valkey-cli reads the password from here; on the command line it would be visible in `ps`.
export VALKEYCLI_AUTH="$SENTINEL_PASSWORD" REDISCLI_AUTH="$SENTINEL_PASSWORD"

# ask_sentinel HOST WORD...: the answer of the Sentinel of that member.
ask_sentinel() {
  sentinel=$1
  shift
  timeout 3 valkey-cli -h "$sentinel" -p "$SENTINEL_PORT" "$@" 2>/dev/null
}

# ask_valkey HOST WORD...: the answer of the Valkey server of that member.
ask_valkey() {
  valkey=$1
  shift
  timeout 3 valkey-cli --user sentinel -h "$valkey" -p "$PORT" "$@" 2>/dev/null
}

# role_of HOST: master, slave, or nothing if it does not answer.
role_of() {
  ask_valkey "$1" info replication | tr -d '\r' | sed -n 's/^role://p'
}

# field NAME: the value of this name in Sentinel's list of names and values.
field() {
  sed -n "/^$1\$/{n;p;q;}"
}

# The primary by the answers of the Sentinels. The answer from the latest election is used, because
# one of them may have missed it. Empty if none answers.
elected() {
  for host in $VALKEY_HOSTS; do
    answer=$(ask_sentinel "$host" sentinel master "$GROUP" | tr -d '\r')
    name=$(printf '%s\n' "$answer" | field ip)
    epoch=$(printf '%s\n' "$answer" | field config-epoch)
    if [ -n "$name" ] && [ -n "$epoch" ]; then
      echo "$epoch $name"
    fi
  done | sort -n | tail -n 1 | cut -d ' ' -f 2
}

# The primary that the Sentinel of this member saved before it ended.
remembered() {
  if [ -f "$STATE/sentinel.conf" ]; then
    sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p" "$STATE/sentinel.conf" | tail -n 1
  fi
}

# Another member that reports to be the primary.
acting() {
  for host in $VALKEY_HOSTS; do
    if [ "$host" != "$VALKEY_HOST" ] && [ "$(role_of "$host")" = master ]; then
      echo "$host"
      return
    fi
  done
}

# The primary, from the first source that names one: the elections, the other members, or the saved
# state. If no source has one, the first member; but only after some time, so that a member that
# lost its disk does not start a new data set because the others do not answer for a moment.
find_primary() {
  tries=0
  while :; do
    for source in elected acting remembered; do
      primary=$($source)
      if [ -n "$primary" ]; then
        echo "$primary"
        return
      fi
    done
    tries=$((tries + 1))
    if [ "$tries" -ge "${FIRST_START_TRIES:-5}" ]; then
      echo "${VALKEY_HOSTS%% *}"
      return
    fi
    sleep 1
  done
}
