# Sourced by tests/run and tests/torture: a PostgreSQL of the run's own, installed on Debian and Ubuntu where it is missing.
# The caller sets `temporary` to a directory of its own that another user may enter, and calls stop_postgres when it leaves.

cluster=        # the data directory of the PostgreSQL that this run started
as_postgres=()  # the command in front of PostgreSQL's programs, which refuse to run as root

say() { printf '%s\n' "tests/${0##*/}: $*" >&2; }

# Debian's newest PostgreSQL; its programs are not on the PATH.
find_postgres() {
    local directory
    for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr); do
        if [[ -x $directory/initdb && -x $directory/postgres && -x $directory/pg_ctl ]]; then
            printf '%s\n' "$directory"
            return
        fi
    done
}

# Runs a command as root, or fails when that would take a password and nobody is there to give it.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        sudo "$@"
    else
        return 1
    fi
}

apt_install() {
    say "installing $*"
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300)
    local install=("${apt[@]}" -o Dpkg::Options::=--force-confold install --no-install-recommends "$@")
    {
        # The lists may be older than the archive, or never have been fetched.
        "${install[@]}" || { "${apt[@]}" update && "${install[@]}"; }
    } >"$temporary/apt.log" 2>&1 || { cat "$temporary/apt.log" >&2; return 1; }
}

install_postgres() {
    command -v apt-get >/dev/null || return 0
    if [[ -z ${TEST_DATABASE_URL:-} && -z $(find_postgres) ]]; then
        # Installing the server would otherwise start a cluster that nobody asked for.
        local config=/etc/postgresql-common/createcluster.conf
        if [[ ! -e $config ]]; then
            as_root mkdir -p "${config%/*}" &&
                as_root sh -c "echo 'create_main_cluster = false' > $config" || true
        fi
        apt_install postgresql || say "could not install it; as root: apt-get install postgresql"
    fi
}

# Starts a cluster on a free port of 127.0.0.1, with Debian's defaults for durability: fsync stays on.
start_postgres() {
    local directory=$temporary/postgres
    mkdir "$directory"
    if [[ $EUID -eq 0 ]]; then
        local user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        chown "$user" "$directory"
        # PostgreSQL's programs look at the directory they are started in, which may be closed to this user.
        as_postgres=(env -C / runuser -u "$user" --)
    else
        as_postgres=(env -C /)
    fi
    "${as_postgres[@]}" "$postgres_bin/initdb" -D "$directory/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        >"$temporary/initdb.log" 2>&1 || { cat "$temporary/initdb.log" >&2; return 1; }
    local port
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        # Somebody listens there if one can connect.
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
        cluster=$directory/data
        # In a file, so that whoever stops and starts it again need not know them; the last line of a name counts.
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
        say "PostgreSQL in $cluster could not be stopped"
}
