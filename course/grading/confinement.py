"""A process gives up what it could do, before it runs a student's code.

bubblewrap makes the sandbox: namespaces, a file system to read, a temporary one to write. A process that has already loaded torch joins it
with setns(2) instead of being started in it by bubblewrap, and then drops its privileges as bubblewrap's own children do. So a submission
doesn't pay the seconds of importing torch, and a sandbox is still used once.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import resource
import struct
import sys

from course.grading.limits import Limits
from course.grading.seccomp import refuse_calls

# linux/nsfs.h, linux/prctl.h, linux/capability.h
NS_GET_USERNS = 0xB701
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 1, 24, 38, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def join(pid: int) -> None:
    """Enter all namespaces of the process `pid`. Children forked from here on are in its process namespace; the caller itself is not.

    Raises:
        OSError: When the kernel refuses. The caller may be in some of the namespaces then, and must end.
    """
    libc = _libc()
    with contextlib.ExitStack() as stack:  # nothing that leads to a namespace stays open for the student's code
        handles = {name: _open(f"/proc/{pid}/ns/{name}", stack) for name in (*NAMESPACES, "user")}
        # bubblewrap makes a second user namespace inside the one that owns the others: that owner has the right to enter them.
        owner = fcntl.ioctl(handles["mnt"], NS_GET_USERNS)
        stack.callback(os.close, owner)
        _checked(libc.setns(owner, 0), "setns to the owner")
        for name in NAMESPACES:
            _checked(libc.setns(handles[name], 0), f"setns to {name}")
        if os.fstat(handles["user"]).st_ino != os.fstat(owner).st_ino:  # the same one can't be entered twice
            _checked(libc.setns(handles["user"], 0), "setns to user")


def _open(path: str, stack: contextlib.ExitStack) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, handle)
    return handle


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends, however it ends. Only Linux can do this."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def drop_privileges() -> None:
    """Give up every capability, the way to get any back (by running a program, set-user-ID ones included), and some system calls.

    Raises:
        OSError: When the kernel refuses.
    """
    libc = _libc()
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # those the kernel doesn't know are refused
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION_3, 0))
    _checked(libc.capset(header, ctypes.create_string_buffer(24)), "capset")
    refuse_calls()


def limit_threads(count: int) -> None:
    """Set how many threads, those of all processes together, may run in this sandbox; the watch outside finds them later than the kernel.

    Root is not held to it. Before Linux 5.14 all that the user runs would be counted, the instructor's browser too: nothing is set there.
    """
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if release and (int(release[1]), int(release[2])) >= (5, 14):
        _set(resource.RLIMIT_NPROC, count)


def limit_resources(limits: Limits, seconds: float, device: str) -> None:
    """Set what this process, and each that it starts, may use; `seconds` of processor time. It can't be raised again."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, int(seconds) + 1)
    _set(resource.RLIMIT_FSIZE, limits.files)
    _set(resource.RLIMIT_NOFILE, 256)
    if sys.platform == "linux" and device == "cpu":  # CUDA reserves addresses by the terabyte: there the watch on memory has to do
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        _set(resource.RLIMIT_AS, taken + limits.memory)


def _set(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some
        resource.setrlimit(kind, (value, value))


def keep_only(descriptor: int) -> None:
    """Close every other open file; standard input, output and error lead nowhere from now on: nobody reads a flood."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    highest = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, highest)
