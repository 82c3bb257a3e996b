# shellcheck shell=bash
# QEMU, unpacked and run with its own libraries: nothing is installed, and the version is the same everywhere.

build_qemu() { # build_qemu SUITE DIR
    local suite=$1 dir=$2
    apt_setup "$suite" /dev/null
    fetch_packages qemu-system-x86 seabios | unpack_packages "$dir"
    cat >"$dir/qemu" <<'SH'
#!/bin/sh
dir=$(dirname "$0")
exec "$dir/lib64/ld-linux-x86-64.so.2" --library-path "$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/bin/qemu-system-x86_64" \
    -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios" -L "$dir/usr/share/ipxe/qemu" "$@"
SH
    chmod +x "$dir/qemu"
}
