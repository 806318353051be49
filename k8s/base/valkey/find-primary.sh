# Functions of the start scripts: who is the primary?
#
# VALKEY_HOSTS      every member's name, separated by blanks
# VALKEY_HOST       this member's name
# SENTINEL_PASSWORD the password of the user `sentinel`, and of the Sentinels

GROUP=doorbuster
PORT=6379
SENTINEL_PORT=26379
STATE=${STATE:-/data/sentinel}

# valkey-cli reads the password from here; on the command line it would show in `ps`.
export VALKEYCLI_AUTH="$SENTINEL_PASSWORD" REDISCLI_AUTH="$SENTINEL_PASSWORD"

# ask_sentinel HOST WORD...: what the Sentinel of that member answers.
ask_sentinel() {
  sentinel=$1
  shift
  timeout 3 valkey-cli -h "$sentinel" -p "$SENTINEL_PORT" "$@" 2>/dev/null
}

# ask_valkey HOST WORD...: what the Valkey of that member answers.
ask_valkey() {
  valkey=$1
  shift
  timeout 3 valkey-cli --user sentinel -h "$valkey" -p "$PORT" "$@" 2>/dev/null
}

# role_of HOST: master, slave, or nothing if it does not answer.
role_of() {
  ask_valkey "$1" info replication | tr -d '\r' | sed -n 's/^role://p'
}

# field NAME: the value after this name in Sentinel's list of names and values.
field() {
  sed -n "/^$1\$/{n;p;q;}"
}

# What the Sentinels say: the answer of the latest election wins, since one of them may have
# slept through it. Nothing if none answers.
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

# What this member's own Sentinel wrote down before it ended.
remembered() {
  if [ -f "$STATE/sentinel.conf" ]; then
    sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p" "$STATE/sentinel.conf" | tail -n 1
  fi
}

# Another member that says of itself that it is the primary.
acting() {
  for host in $VALKEY_HOSTS; do
    if [ "$host" != "$VALKEY_HOST" ] && [ "$(role_of "$host")" = master ]; then
      echo "$host"
      return
    fi
  done
}

# The primary, from whoever knows: elections first, then what runs, then what is written down.
# The first member if nobody ever heard of one, after asking for a while: a member that lost its
# disk must not take the others' silence of a moment for a new beginning.
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
