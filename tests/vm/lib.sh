# shellcheck shell=bash disable=SC2034 # what is set here is for those who read this in
# Shared by prepare, run and clean: what the systems are, and where the cache keeps them.

# name, Debian suite of the root file system, Debian suite of the kernel, what more goes on the kernel's command line
#
# On 5.10 BPF LSM must be asked for: without it LSM programs load and attach, but never fire.
SYSTEMS=(
    'bookworm-6.1   bookworm bookworm'
    'trixie-6.12    trixie   trixie'
    'bookworm-5.10  bookworm bullseye lsm=lockdown,yama,apparmor,bpf'
)
SUITES=(bookworm trixie)

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${REMORA_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/remora-vm}

# The recipe's own hash names the place of what it built: a changed recipe builds anew, and does not disturb a run of the old one.
recipe_hash() {
    (cd "$HERE" && sha256sum prepare lib.sh build/* guest/* | sha256sum | cut -c1-16)
}
STORE=$CACHE/systems/$(recipe_hash)

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

system_names() {
    local row
    for row in "${SYSTEMS[@]}"; do
        printf '%s\n' "${row%% *}"
    done
}

# system_field NAME 2..4: a column of the table; the fourth goes on to the end of the line
system_field() {
    local row name suite kernel_suite append
    for row in "${SYSTEMS[@]}"; do
        read -r name suite kernel_suite append <<<"$row"
        [ "$name" = "$1" ] || continue
        case $2 in
        2) printf '%s\n' "$suite" ;;
        3) printf '%s\n' "$kernel_suite" ;;
        4) printf '%s\n' "$append" ;;
        esac
        return
    done
    die "no system is called '$1'; there are: $(system_names | tr '\n' ' ')"
}

kernel_version() { printf '%s\n' "${1#*-}"; } # of a system's name

seconds_since() { # seconds_since EPOCHREALTIME-value
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}
