"""A small interpreter of seccomp's filters (linux/filter.h, linux/seccomp.h), written apart from the code it tests."""

from __future__ import annotations

import struct

AUDIT_ARCH = {
    "x86_64": 0xC000003E,
    "aarch64": 0xC00000B7,
    "riscv64": 0xC00000F3,
    "ppc64le": 0xC0000015,
    "i386": 0x40000003,
    "arm": 0x40000028,
}

KILL_PROCESS, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000


def program(data: bytes) -> list[tuple[int, int, int, int]]:
    """The instructions: (code, jump if true, jump if false, constant)."""
    assert len(data) % 8 == 0
    return [struct.unpack_from("<HBBI", data, at) for at in range(0, len(data), 8)]


def run(code: list[tuple[int, int, int, int]], number: int, arch: int, arguments: tuple[int, ...] = ()) -> int:
    """What the filter returns for a call."""
    full = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(value & 0xFFFFFFFFFFFFFFFF for value in full))
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == 0x20:  # ld [k]
            accumulator = struct.unpack_from("<I", data, constant)[0]
        elif operation == 0x54:  # and #k
            accumulator &= constant
        elif operation == 0x06:  # ret #k
            return constant
        elif operation == 0x05:  # ja
            at += constant
        else:
            taken = {0x15: accumulator == constant, 0x25: accumulator > constant, 0x35: accumulator >= constant}
            taken[0x45] = bool(accumulator & constant)
            at += if_true if taken[operation] else if_false
