# shellcheck shell=bash
# What goes on in a healthy place, each kind in a loop of its own until $dir/stop is there. Each act is marked.

stopped() { [ -e "$dir/stop" ]; }

act() { # act WHAT CONTAINER COMMAND...: marks when it was
    local what=$1 container=$2 from=$EPOCHREALTIME
    shift 2
    "$@"
    mark "$(text mark benign)" "$(text what "$what")" "$(text container "$container")" "$(number from "$from")" "$(number to "$EPOCHREALTIME")"
}

# Who replaces a replica, or attacks it, has it for himself; probes and sessions go on.
locked() { # locked REPLICA COMMAND...
    local lock
    exec {lock}>"$dir/locks/$1"
    flock "$lock"
    "${@:2}"
    # conmon has inherited it.
    flock --unlock "$lock"
    exec {lock}>&-
}

probes() {
    local replica
    chance probes
    while ! stopped; do
        for replica in $(shuffled "${!addresses[@]}"); do
            [[ $replica != batch-* && $replica != ci-* ]] || continue
            stopped && return
            act probe "$replica" in_container "$replica" /usr/local/bin/healthy
            wait_about 600
        done
    done
}

# Sessions of an administrator who means well.
SESSIONS=(
    'ps; ls -la /; cat /etc/version'
    'df -h; du -sh /var/log; date; uptime'
    'ls -l /var/log; tail -n 20 /var/log/* 2>/dev/null | head -n 50'
    'env | sort; hostname; cat /etc/hosts /etc/resolv.conf'
    'cat /proc/meminfo | head -n 5; cat /proc/loadavg; free'
    'ls -la /data /srv 2>/dev/null; find /srv -type f | head'
    'id; cat /etc/os-release; mount | head -n 5'
    'grep -c . /etc/passwd; stat /etc/version; head -n 3 /etc/group'
)

sessions() {
    local replica
    chance sessions
    while ! stopped; do
        for replica in $(shuffled "${!addresses[@]}"); do
            [[ $replica != batch-* && $replica != ci-* ]] || continue
            wait_about "$session_every"
            stopped && return
            act session "$replica" session "$replica" "${SESSIONS[RANDOM % ${#SESSIONS[@]}]}"
        done
    done
}

session() { # session REPLICA COMMANDS: with a terminal, one line after the other, as a person types
    # A terminal of its own is what script gives podman.
    printf '%s\n' "$2" exit | tr ';' '\n' | CONTAINERS_CONF=$dir/containers.conf timeout 20 \
        podman --root "$dir/storage" --runroot "$dir/run" --tmpdir "$dir/tmp" exec --interactive --tty "$1" sh >>"$dir/exec.log" 2>&1 || true
}

# A new container for each run, as managers do it.
jobs_of() { # jobs_of IMAGE WHAT EVERY-MS
    local n=0
    chance "$1"
    while ! stopped; do
        n=$((n + 1))
        act "$2" "$1-run-$n" job "$1" "$1-run-$n"
        wait_about "$3"
    done
}

job() { # job IMAGE NAME [OPTION... -- ARGUMENT...]
    local image=$1 as=$2
    shift 2
    start "$image" "$as" "$image-1" "$@" || return 0
    timeout 150 env CONTAINERS_CONF="$dir/containers.conf" podman --root "$dir/storage" --runroot "$dir/run" --tmpdir "$dir/tmp" \
        wait "$as" >/dev/null 2>&1 || true
    remove "$as"
}

replace() { # replace REPLICA: the same again, in its network
    remove "$1"
    start_replica "$1"
}

# A new version of an image, replica after replica, and back to the old one in the next round.
updates() {
    local image replica version=1
    chance updates
    while ! stopped; do
        version=$((3 - version))
        for image in $(shuffled "${updated[@]}"); do
            wait_about "$update_every"
            stopped && return
            podman_here tag "localhost/$image:$version" "localhost/$image:latest"
            for replica in "$image-1" "$image-2"; do
                [ -n "${addresses[$replica]:-}" ] || continue
                locked "$replica" act update "$replica" replace "$replica"
                sleep 2
            done
        done
    done
}
