"""System calls that a student's process may not make, because no limit and no namespace holds what they reach.

seccomp(2) with a filter in classic BPF: linux/seccomp.h, linux/filter.h. A refused call gives ENOSYS, as from a kernel without it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

# linux/prctl.h, linux/seccomp.h, linux/audit.h
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
X32 = 0x40000000  # the numbers of x86_64's second set of calls begin there
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they stand in struct seccomp_data; 32 bits, little-endian

# Memory that belongs to no process, so that the watch on processes' memory doesn't see it; keys, which outlive a process, and among which
# those of the grader's own session are; and another way to make calls, which no filter sees.
_REFUSED = ("memfd_create", "memfd_secret", "shmget", "msgget", "mq_open", "add_key", "request_key", "keyctl", "io_uring_setup")
_NUMBERS = {
    "x86_64": (0xC000003E, dict(zip((*_REFUSED, "socket"), (319, 447, 29, 68, 240, 248, 249, 250, 425, 41), strict=True))),
    "aarch64": (0xC00000B7, dict(zip((*_REFUSED, "socket"), (279, 447, 194, 186, 180, 217, 218, 219, 425, 198), strict=True))),
}
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what a network namespace separates. AF_VSOCK leads out of a virtual machine to its host.
_FAMILIES = (1, 2, 10, 16)

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


def refuse_calls() -> None:
    """Refuse them to this process and to all that it starts, for good. `no_new_privs` must be set. On other processors nothing is refused.

    Raises:
        OSError: When the kernel has no filters.
    """
    if platform.machine() not in _NUMBERS:
        return
    filter = ctypes.create_string_buffer(_program(*_NUMBERS[platform.machine()]))
    program = ctypes.create_string_buffer(struct.pack("HP", (len(filter) - 1) // 8, ctypes.addressof(filter)))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def _program(architecture: int, numbers: dict[str, int]) -> bytes:
    """The filter, as `struct sock_filter`s. A comparison tells how many instructions to leap over, where it holds and where it doesn't."""
    refuse, allow = "refuse", "allow"
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, refuse, architecture),  # 32-bit calls have numbers of their own
        (_LOAD, 0, 0, _CALL),
        (_IF_AT_LEAST, refuse, 0, X32),
        *((_IF_EQUAL, refuse, 0, numbers[name]) for name in _REFUSED),
        (_IF_EQUAL, 0, allow, numbers["socket"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *((_IF_EQUAL, allow, 0, family) for family in _FAMILIES),
        (_RETURN, 0, 0, RET_ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, RET_ALLOW),
    ]
    end = {refuse: len(steps) - 2, allow: len(steps) - 1}
    leaps = [[end[to] - place - 1 if to else 0 for to in step[1:3]] for place, step in enumerate(steps)]
    return b"".join(struct.pack("HBBI", step[0], *leap, step[3]) for step, leap in zip(steps, leaps, strict=True))
