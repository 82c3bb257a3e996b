#!/usr/bin/env python3
"""vmlinux.py BZIMAGE OUT: the ELF kernel inside a bzImage, which QEMU boots without emulating its decompression."""

import struct
import subprocess
import sys

# Documentation/arch/x86/boot.rst in the kernel's source
SETUP_SECTORS = 0x1F1  # u8; 0 stands for 4
PAYLOAD = 0x248  # u32 offset from the end of the setup code, u32 length

UNPACKERS = {
    b"\x02\x21\x4c\x18": ["lz4", "-dc"],
    b"\xfd7zXZ\0": ["xz", "-dc"],
    b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
}


def main(source, target):
    with open(source, "rb") as file:
        image = file.read()
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = ((image[SETUP_SECTORS] or 4) + 1) * 512 + offset
    payload = image[start : start + length]
    for magic, command in UNPACKERS.items():
        if payload.startswith(magic):
            break
    else:
        sys.exit(f"{source}: payload packed in an unknown way: {payload[:6]!r}")
    # the unpackers complain about the four bytes of length that follow the stream, after having done their work
    kernel = subprocess.run(command, input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    if not kernel.startswith(b"\x7fELF"):
        sys.exit(f"{source}: failed to unpack the kernel with {command[0]}")
    with open(target, "wb") as file:
        file.write(kernel)


main(*sys.argv[1:])
