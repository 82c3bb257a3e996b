# shellcheck shell=bash
# The disk of a suite: its root file system, with the modules of every kernel that boots it.

build_image() { # build_image SUITE FILE
    local suite=$1 file=$2 root=$STORE/root-$1 name
    rm -rf "$root/usr/lib/modules"
    mkdir "$root/usr/lib/modules"
    while read -r name; do
        [ "$(system_field "$name" 2)" != "$suite" ] || cp -a "$STORE/kernel-$(kernel_version "$name")"/lib/modules/* "$root/usr/lib/modules/"
    done < <(system_names)
    truncate -s 3G "$file"
    # guests write to a throw-away copy: no journal and no checksums are needed
    mkfs.ext4 -q -F -m 0 -N 80000 -O '^has_journal,^metadata_csum,^64bit' -E lazy_itable_init=1,nodiscard -d "$root" "$file"
}
