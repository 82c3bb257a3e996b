# shellcheck shell=bash
# A Debian kernel: the ELF that QEMU boots directly, its modules, and a small initrd with the modules the root disk needs.

# Drivers of hardware no guest has; they are most of a kernel package.
KERNEL_WITHOUT=(gpu hwmon iio infiniband input media net/ethernet net/wireless platform scsi staging target usb)
ROOT_DISK_MODULES=(virtio_pci virtio_blk ext4 overlay)

fetch_kernel() { # fetch_kernel SUITE: prints the archive's path
    local package=linux-image-cloud-amd64 image
    apt_setup "$1" /dev/null
    image=$(private_apt apt-cache depends "$package" | awk '/Depends:/ { print $2; exit }')
    fetch_packages "$image" | grep "/${image}_"
}

pack_initrd() { # pack_initrd KERNEL-DIR RELEASE: init, and the modules in the order they are to be loaded
    local dir=$1 release=$2 tree=$1/initrd.d module path number=10
    mkdir -p "$tree"/{dev,modules,root}
    cp "$STORE/init" "$tree/init"
    for module in "${ROOT_DISK_MODULES[@]}"; do
        modprobe -S "$release" -d "$dir" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$dir/insmod"
    while read -r path; do
        module=$(basename "$path" .xz)
        case $path in
        *.xz) xz -dc "$path" ;;
        *) cat "$path" ;;
        esac >"$tree/modules/$number-$module"
        number=$((number + 1))
    done <"$dir/insmod"
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$dir/initrd"
    rm -rf "$tree" "$dir/insmod"
}

build_kernel() { # build_kernel SUITE VERSION DIR
    local suite=$1 version=$2 dir=$3 deb release
    deb=$(fetch_kernel "$suite")
    mkdir -p "$dir/deb"
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir/deb" --wildcards "${KERNEL_WITHOUT[@]/#/--exclude=*/drivers/}" --exclude='*/sound/*'
    mkdir -p "$dir/lib"
    mv "$(find "$dir/deb" -path '*lib/modules' -prune)" "$dir/lib/modules" # below /lib or, since Debian 13, /usr/lib
    release=$(ls "$dir/lib/modules")
    [[ $release == "$version".* ]] || die "the kernel of $suite is $release, not $version"
    depmod -b "$dir" "$release"
    python3 "$HERE/build/vmlinux.py" "$dir/deb/boot/vmlinuz-$release" "$dir/vmlinux"
    pack_initrd "$dir" "$release"
    mv "$dir/deb/boot/config-$release" "$dir/config"
    rm -rf "$dir/deb"
}
