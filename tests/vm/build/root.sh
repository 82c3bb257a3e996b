# shellcheck shell=bash
# A root file system with systemd and the container stacks. Packages are unpacked without running their maintainer
# scripts, which would take minutes; the few things those would have done, and the guest needs, are done here.

GUEST_PACKAGES=(
    base-files base-passwd bash coreutils dash findutils grep gzip hostname libc-bin libnss-systemd login mawk mount passwd sed tar
    util-linux systemd systemd-sysv dbus udev kmod procps
    podman conmon crun runc containerd netavark aardvark-dns iptables nftables tini
    bpftool busybox-static curl iproute2 jq netcat-openbsd strace
    diffutils dpkg init-system-helpers perl-base
)

# Needed only by maintainer scripts, or by what no test uses: apt is told that they are installed.
TAKEN_AS_INSTALLED=(
    adduser ca-certificates debconf dirmngr gnupg gpg gpg-agent gpgsm gpgv openssl perl sensible-utils
)

write_status() {
    local package
    for package in "${TAKEN_AS_INSTALLED[@]}"; do
        cat <<STATUS
Package: $package
Status: install ok installed
Priority: optional
Maintainer: nobody
Architecture: amd64
Multi-Arch: allowed
Version: 99:99
Provides: debconf-2.0
Description: not there

STATUS
    done
}

# link_missing LINK TARGET: what update-alternatives and diversions would have linked
link_missing() { [ -e "$1" ] || ln -s "$2" "$1"; }

link_alternatives() {
    local tool
    link_missing usr/bin/awk mawk
    link_missing usr/bin/nc nc.openbsd
    link_missing usr/bin/sh dash
    for tool in {ip,ip6}tables{,-save,-restore}; do
        link_missing "usr/sbin/$tool" xtables-nft-multi
    done
}

write_accounts() {
    local log
    cp usr/share/base-passwd/passwd.master etc/passwd
    cp usr/share/base-passwd/group.master etc/group
    cp usr/share/base-files/profile etc/profile
    cat >etc/nsswitch.conf <<'NSS'
passwd: files systemd
group: files systemd
shadow: files
hosts: files dns
NSS
    [ -e usr/lib/sysusers.d/dbus.conf ] || echo 'u messagebus - "System Message Bus" /nonexistent' >usr/lib/sysusers.d/dbus.conf
    log=$(chroot . systemd-sysusers 2>&1) || die "systemd-sysusers: $log"
    chmod 4754 usr/lib/dbus-1.0/dbus-daemon-launch-helper
}

write_identity() { # write_identity SUITE
    echo "remora-$1" >etc/hostname
    echo "127.0.0.1 localhost remora-$1" >etc/hosts
    echo 0123456789abcdef0123456789abcdef >etc/machine-id
    : >etc/fstab
    : >etc/resolv.conf
}

# What a package of ours asks dpkg for is there, though dpkg did not put it there.
set_up_dpkg() {
    local package
    mkdir -p var/lib/dpkg/{info,updates,triggers}
    for package in init-system-helpers passwd; do
        printf 'Package: %s\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: all\n' "$package"
        printf 'Multi-Arch: foreign\nVersion: 99:99\nDescription: unpacked\n\n'
        : >"var/lib/dpkg/info/$package.list"
    done >var/lib/dpkg/status
}

make_directories() {
    chmod 755 .
    mkdir -p dev mnt proc root run sys tmp var/lib/dbus var/tmp
    chmod 700 root
    chmod 1777 tmp var/tmp
}

# Units run that are static, and the test; of the static ones those are masked that only cost boot time.
set_up_systemd() {
    local unit generator
    find etc/systemd/system -type l -delete
    mkdir -p etc/systemd/{system/multi-user.target.wants,system-generators,system.conf.d,journald.conf.d}
    ln -s /usr/lib/systemd/system/multi-user.target etc/systemd/system/default.target
    grep -o '^[^# ]*' "$HERE/guest/masked-units" | while read -r unit; do
        ln -sf /dev/null "etc/systemd/system/$unit"
    done
    for generator in usr/lib/systemd/system-generators/*; do
        ln -sf /dev/null "etc/systemd/system-generators/${generator##*/}"
    done
    printf '[Manager]\nDefaultTimeoutStartSec=300s\nShowStatus=no\n' >etc/systemd/system.conf.d/emulated.conf
    printf '[Journal]\nStorage=volatile\n' >etc/systemd/journald.conf.d/emulated.conf
    install -m 644 "$HERE/guest/remora-vm.service" etc/systemd/system/
    ln -s ../remora-vm.service etc/systemd/system/multi-user.target.wants/
    install -m 755 "$HERE/guest/remora-vm" usr/lib/
}

build_root() { # build_root SUITE DIR
    local suite=$1 dir=$2
    mkdir -p "$CACHE/apt/$suite"
    write_status >"$CACHE/apt/$suite/status"
    apt_setup "$suite" "$CACHE/apt/$suite/status"
    fetch_packages "${GUEST_PACKAGES[@]}" | unpack_packages "$dir"
    (
        cd "$dir" || exit
        make_directories
        link_alternatives
        chroot . ldconfig
        write_accounts
        write_identity "$suite"
        set_up_dpkg
        set_up_systemd
    )
}
