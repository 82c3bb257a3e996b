# shellcheck shell=bash
# What recording needs: a daemon, podman and a network, all of them the recording's own. $dir is its folder, $name its name.

say() { printf 'record: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- marks: one JSON object a line, and what they say is as much a part of the recording as events are

# mark MEMBER...: one line, written at once; times are seconds
mark() {
    local IFS=,
    printf '{%s}\n' "$*" >>"$dir/marks"
}
text() { printf '"%s":"%s"' "$1" "$2"; }
number() { printf '"%s":%s' "$1" "$2"; }

# --- chance: the seed decides order and jitter

chance() { # chance NAME: random numbers of that name's own
    RANDOM=$((16#$(printf '%s %s' "$seed" "$1" | sha256sum | cut -c1-4)))
}
wait_about() { # wait_about MILLISECONDS: half as long to one and a half
    local ms=$(($1 / 2 + RANDOM % ($1 + 1)))
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}
shuffled() { # shuffled WORD...: a line each
    local all=("$@") i j kept
    for ((i = ${#all[@]} - 1; i > 0; i--)); do
        j=$((RANDOM % (i + 1)))
        kept=${all[i]} all[i]=${all[j]} all[j]=$kept
    done
    [ $# = 0 ] || printf '%s\n' "${all[@]}"
}

# --- podman

podman_here() {
    CONTAINERS_CONF=$dir/containers.conf podman --root "$dir/storage" --runroot "$dir/run" --tmpdir "$dir/tmp" \
        --hooks-dir "$dir/hooks.d" "$@"
}

configure_podman() {
    cat >"$dir/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
CONF
    mkdir "$dir/hooks.d"
    jq --arg hook "$build/remora-hook" --arg dir "$dir" \
        '.hook.args[3] = $hook | .hook.args += ["--socket", $dir + "/hook.sock", "--spool", $dir + "/spool", "--log", $dir + "/hook.log"]' \
        "$source/runtime-configs/podman/remora.json" >"$dir/hooks.d/remora.json"
}

# --- the daemon

start_daemon() {
    mkdir "$dir/bpf"
    cat >"$dir/remora.toml" <<CONF
run_dir = "$dir"
state_dir = "$dir/state"
bpffs = "$dir/bpf"
tracers_dir = "$dir/tracers.d"
[hook]
socket = "$dir/hook.sock"
[api]
socket = "$dir/api.sock"
group = "root"
[scan]
at_start = false
[limits]
ring_bytes = "16MiB"
history_bytes = "256MiB"
[tracers]
preload = ["default", "security"]
detach_after = "1h"
[events]
file = "$out/events.ndjson"
file_max_bytes = "64GiB"
[managers.podman]
storage = ["$dir/storage"]
[managers.nri]
enabled = false
CONF
    "$build/remora" daemon --config "$dir/remora.toml" >"$dir/daemon.log" 2>&1 &
    daemon=$!
    for _ in $(seq 600); do
        [ ! -S "$dir/api.sock" ] || [ ! -S "$dir/hook.sock" ] || return 0
        kill -0 "$daemon" 2>/dev/null || die "the daemon ended: $(tail -n 3 "$dir/daemon.log")"
        sleep 0.1
    done
    die 'the daemon did not come up within 60 s'
}

ask_daemon() { curl --silent --fail --unix-socket "$dir/api.sock" "http://localhost$1"; }

# --- the network: a bridge in a namespace without a way out, and a namespace for each replica, which outlives its containers

hub() { ip netns exec "$name-hub" "$@"; }

make_hub() {
    local address
    ip netns add "$name-hub"
    hub ip link set lo up
    hub ip link add br0 type bridge
    for address in 10.89.0.1/16 203.0.113.66/32 169.254.169.254/32 10.96.0.1/32; do
        hub ip address add "$address" dev br0
    done
    hub ip link set br0 up
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=kubernetes -days 2 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    cat "$dir/key.pem" "$dir/cert.pem" >"$dir/api.pem"
    (exec ip netns exec "$name-hub" python3 "$here/hub.py" "$dir" >"$dir/hub.log" 2>&1) &
    hub_pid=$!
    for _ in $(seq 100); do
        [ ! -e "$dir/hub.ready" ] || return 0
        sleep 0.1
    done
    die "the hub did not come up: $(tail -n 3 "$dir/hub.log")"
}

connect_replica() { # connect_replica REPLICA NUMBER: its namespace and address
    local space=$name-$1 address=10.89.$(($2 / 200 + 1)).$(($2 % 200 + 1))
    ip netns add "$space"
    hub ip link add "v$2" type veth peer name eth0 netns "$space"
    hub ip link set "v$2" master br0 up
    ip -n "$space" link set lo up
    ip -n "$space" address add "$address/16" dev eth0
    ip -n "$space" link set eth0 up
    ip -n "$space" route add default via 10.89.0.1
    addresses[$1]=$address
    printf '%s %s %s\n' "${1%-*}" "$1" "$address" >>"$dir/hosts"
}

# --- containers

# start IMAGE NAME NETWORK [OPTION...] [-- ARGUMENT...]: NAME is a replica's or a job's; prints nothing
start() {
    local image=$1 as=$2 space=$3 options=() id
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    mark "$(text mark container)" "$(text name "$as")" "$(text image "$image")" "$(number from "$EPOCHREALTIME")"
    id=$(podman_here run --detach --name "$as" --network "ns:/run/netns/$name-$space" --cgroup-parent "/$name" \
        --annotation 'io.remora.trace=default security' \
        --volume "$dir/resolv.conf:/etc/resolv.conf:ro" --volume "$dir/secrets:/var/run/secrets/kubernetes.io/serviceaccount:ro" \
        "${options[@]}" "localhost/$image:latest" "$@" 2>>"$dir/podman.log") || { say "failed to start $as"; return 1; }
    mark "$(text mark id)" "$(text name "$as")" "$(text id "$id")" "$(number from "$EPOCHREALTIME")"
}

remove() { # remove NAME
    podman_here rm --force --time 1 "$1" >/dev/null 2>>"$dir/podman.log" || true
    mark "$(text mark gone)" "$(text name "$1")" "$(number to "$EPOCHREALTIME")"
}

in_container() { # in_container NAME COMMAND...: as podman exec does it
    podman_here exec "$@" >>"$dir/exec.log" 2>&1 </dev/null || true
}
