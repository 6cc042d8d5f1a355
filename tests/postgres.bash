# Sourced by tests/run and tests/torture: a temporary PostgreSQL server.
#
# The caller sets `temporary` to a directory of its own that other users may enter, sets
# `postgres_bin` to the result of find_postgres, and calls stop_postgres when it exits.

cluster=        # the data directory of the server that this run started
as_postgres=()  # prefix for PostgreSQL's programs, which refuse to run as root

say() { printf '%s\n' "tests/${0##*/}: $*" >&2; }

# Prints the directory with the programs of the newest PostgreSQL. Debian does not put them on the
# PATH.
find_postgres() {
    local directory
    for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr); do
        if [[ -x $directory/initdb && -x $directory/postgres && -x $directory/pg_ctl ]]; then
            printf '%s\n' "$directory"
            return
        fi
    done
}

# Starts a server on a free port of 127.0.0.1, with Debian's defaults for durability: fsync stays
# on.
start_postgres() {
    local directory=$temporary/postgres
    mkdir "$directory"
    if [[ $EUID -eq 0 ]]; then
        local user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        chown "$user" "$directory"
        # PostgreSQL's programs access their working directory, which may be closed to this user.
        as_postgres=(env -C / runuser -u "$user" --)
    else
        as_postgres=(env -C /)
    fi
    "${as_postgres[@]}" "$postgres_bin/initdb" -D "$directory/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        >"$temporary/initdb.log" 2>&1 || { cat "$temporary/initdb.log" >&2; return 1; }
    local port
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        # The port is taken if a connection succeeds.
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
        cluster=$directory/data
        # In the configuration file, so that a restart needs no arguments. The last line for a name
        # counts.
        printf '%s\n' "port = $port" "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$directory'" \
            'max_connections = 300' >>"$cluster/postgresql.conf"
        if "${as_postgres[@]}" "$postgres_bin/pg_ctl" start -D "$cluster" -w -t 60 -l "$directory/log" >/dev/null; then
            export TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres"
            postgres="PostgreSQL $("$postgres_bin/postgres" --version | grep -oE '[0-9]+(\.[0-9]+)*' | head -n 1)"
            return
        fi
        cluster=
    done
    cat "$directory/log" >&2
    return 1
}

stop_postgres() {
    [[ -n $cluster ]] || return 0
    "${as_postgres[@]}" "$postgres_bin/pg_ctl" stop -D "$cluster" -m immediate -w >/dev/null 2>&1 ||
        say "could not stop PostgreSQL in $cluster"
}
