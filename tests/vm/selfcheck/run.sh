#!/bin/bash
# Runs in a guest: are the systems what the tests take them for?
# shellcheck disable=SC2317 # the functions are called through check
set -uo pipefail

IMAGE=localhost/remora-test:latest
failures=0

# check NAME COMMAND...: one line of the report; what a failing command said follows it
check() {
    local name=$1 started=$EPOCHREALTIME output
    shift
    if output=$("$@" 2>&1); then
        printf 'ok      %-36s %5.1f s\n' "$name" "$(seconds_since "$started")"
    else
        printf 'FAILED  %s\n' "$name"
        printf '        %s\n' "${output//$'\n'/$'\n'        }"
        failures=$((failures + 1))
    fi
}

seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { print to - from }'; }

systemd_is_up() {
    systemctl is-system-running --wait
    local failed
    failed=$(systemctl list-units --failed --plain --no-legend)
    [ -z "$failed" ] || { printf '%s\n' "$failed"; return 1; }
}

kernel_is_the_named_one() { uname -r | grep -F "$REMORA_VM_KERNEL."; }
cgroup2_is_all_there_is() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }
bpf_lsm_is_on() { grep -w bpf /sys/kernel/security/lsm; }
tracefs_is_mounted() { [ -d /sys/kernel/tracing/events/sched ]; }

bpffs_can_be_mounted() {
    findmnt -n -t bpf /sys/fs/bpf || return
    mkdir -p /run/bpf && mount -t bpf bpf /run/bpf && mkdir /run/bpf/sub && umount /run/bpf
}

btf_is_readable() {
    [ -s /sys/kernel/btf/vmlinux ] && bpftool btf dump file /sys/kernel/btf/vmlinux format c | grep -q '^struct task_struct {'
}

strace_follows_execs() {
    strace -f -e trace=execve -o /run/strace.log sh -c '/bin/true; /bin/echo' && [ "$(grep -c execve /run/strace.log)" = 3 ]
}

image_loads() { ./image /run/image.tar && podman load -i /run/image.tar; }

# hook_script FILE: an OCI hook that leaves the state it is given in FILE.json
hook_script() {
    printf '#!/bin/sh\nexec cat >%s.json\n' "$1" >"$1"
    chmod +x "$1"
}

podman_greets() { # podman_greets FLAG... run FLAG...
    local said
    said=$(podman "$@" "$IMAGE" echo hello) && [ "$said" = hello ]
}

podman_calls_hooks() { # podman_calls_hooks RUNTIME
    local dir=/run/hooks.$1
    mkdir -p "$dir"
    hook_script "$dir/hook"
    jq -n --arg path "$dir/hook" \
        '{version: "1.0.0", hook: {path: $path, timeout: 60}, when: {annotations: {"^io\\.remora\\.": ".*"}}, stages: ["createRuntime"]}' \
        >"$dir/remora.json"
    podman --runtime "$1" --hooks-dir "$dir" run --rm "$IMAGE" true && [ ! -e "$dir/hook.json" ] || return
    podman --runtime "$1" --hooks-dir "$dir" run --rm --annotation io.remora.trace=exec "$IMAGE" true || return
    jq -e '.pid > 0 and .annotations["io.remora.trace"] == "exec"' "$dir/hook.json"
}

# A bundle whose createRuntime hook leaves the state; the hook sees the container before its first instruction.
bundle_calls_hooks() { # bundle_calls_hooks RUNTIME
    local runtime=$1 bundle=/run/bundle.$1
    mkdir -p "$bundle/rootfs/bin"
    cp /usr/bin/busybox "$bundle/rootfs/bin/"
    hook_script "$bundle/hook"
    (cd "$bundle" && "$runtime" spec)
    jq --arg path "$bundle/hook" '.process.terminal = false | .process.args = ["/bin/busybox", "echo", "hello"]
        | .hooks.createRuntime = [{path: $path}]' "$bundle/config.json" >"$bundle/new" && mv "$bundle/new" "$bundle/config.json"
    [ "$("$runtime" run --bundle "$bundle" "plain-$runtime")" = hello ] || return
    jq -e --arg id "plain-$runtime" '.pid > 0 and .id == $id' "$bundle/hook.json"
}

containerd_runs() {
    systemctl start containerd && ctr images import /run/image.tar && [ "$(ctr run --rm "$IMAGE" check echo hello)" = hello ]
}

tools_are_there() {
    local tool missing=0
    for tool in bpftool busybox conmon crun curl ip jq nc pgrep ps runc ss strace tini; do
        command -v "$tool" >/dev/null || { echo "missing: $tool"; missing=1; }
    done
    return "$missing"
}

check 'systemd has come up'              systemd_is_up
check "kernel $REMORA_VM_KERNEL"         kernel_is_the_named_one
check 'cgroup2, unified'                 cgroup2_is_all_there_is
check 'BTF of the kernel'                btf_is_readable
check 'bpffs'                            bpffs_can_be_mounted
check 'tracefs'                          tracefs_is_mounted
check 'BPF LSM'                          bpf_lsm_is_on
check 'tools'                            tools_are_there
check 'strace -f'                        strace_follows_execs
check 'image is built and loaded'        image_loads
for runtime in crun runc; do
    check "$runtime: bundle, createRuntime hook" bundle_calls_hooks "$runtime"
    check "podman and $runtime"                  podman_greets --runtime "$runtime" run --rm
    check "podman and $runtime, no network"      podman_greets --runtime "$runtime" run --rm --network none
    check "podman and $runtime, cgroupfs"        podman_greets --runtime "$runtime" --cgroup-manager cgroupfs run --rm
    check "podman and $runtime, hooks.d"         podman_calls_hooks "$runtime"
done
check 'containerd, ctr'                  containerd_runs
exit $((failures > 0))
