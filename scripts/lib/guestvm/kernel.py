# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the kernel proper out of the compressed image.

QEMU starts such an ELF file directly (the PVH entry). In software emulation the kernel's own decompressor takes 4 s.
"""

import lzma
import struct
import subprocess

from . import processes
from .errors import BuildFailed

XZ = b"\xfd7zXZ\0"
ZSTD = b"\x28\xb5\x2f\xfd"
# offsets in the boot header of an x86 kernel image (Documentation/arch/x86/boot.rst)
SETUP_SECTORS, PAYLOAD_OFFSET = 0x1f1, 0x248
SIZE_AT_END = 4


def unpack(image_path, result_path):
    with open(image_path, "rb") as f:
        image = f.read()
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    start = ((image[SETUP_SECTORS] or 4) + 1) * 512 + offset
    kernel = _decompress(image[start:start + length - SIZE_AT_END])
    if not kernel.startswith(b"\x7fELF"):
        raise BuildFailed("the kernel image holds no ELF file")
    with open(result_path, "wb") as f:
        f.write(kernel)


def _decompress(payload):
    if payload.startswith(XZ):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(ZSTD):
        processes.need("zstd", "zstd")
        return subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=True).stdout
    raise BuildFailed(f"the kernel image is compressed in an unknown way ({payload[:4].hex()})")
