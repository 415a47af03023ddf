"""What the kernel takes from a process before it reads or runs anything of a repository. Standard library only.

Three layers, each where the system has it: limits (setrlimit), a seccomp filter without sockets and without new processes
(x86-64 and arm64; elsewhere a network namespace of its own, which has no way out), and Landlock, which leaves only the
named files and folders visible. They hold for the process itself and for the program that it becomes.

Numbers are those of the kernel's headers: `linux/landlock.h`, `linux/seccomp.h`, `linux/filter.h`, `asm/unistd.h`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Final

OPEN_FILES: Final = 256

# -- seccomp -------------------------------------------------------------------------------------------------------------

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2
LOAD, EQUALS, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""BPF: load a word, jump if equal, if greater or equal, if a bit is set; return."""

ALLOW, KILL, ANSWER = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`."""

X32: Final = 0x40000000
CLONE_THREAD: Final = 0x00010000
NEW_USER_AND_NETWORK: Final = 0x10000000 | 0x40000000

# socket, socketpair, fork, vfork, ptrace, mount, unshare, setns, process_vm_readv, process_vm_writev, bpf, userfaultfd,
# add_key, request_key, keyctl, io_uring_setup, pidfd_getfd
DENIED: Final[Mapping[str, tuple[int, ...]]] = {
    "x86_64": (41, 53, 57, 58, 101, 165, 272, 308, 310, 311, 321, 323, 248, 249, 250, 425, 438),
    "aarch64": (198, 199, 117, 40, 97, 268, 270, 271, 280, 282, 217, 218, 219, 425, 438),
}
AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE: Final = {"x86_64": 56, "aarch64": 220}
CLONE3: Final = 435
"""Answered as unknown, because its flags cannot be seen; the C library then uses clone."""

# -- Landlock ------------------------------------------------------------------------------------------------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1, 2, 4, 8
EVERY_FILE_RIGHT: Final = (1 << 13) - 1
"""The rights of the first version; those that came later (renaming between folders, truncating) follow from writing."""

TCP: Final = 3
OTHERS: Final = 3
"""Abstract sockets and signals of processes outside."""

SYSTEM: Final = ("/usr", "/lib", "/lib64", "/nix/store", "/dev/null")
"""What a program needs to start: its loader and libraries. Never /etc, /home, /proc or /var."""


def confine(limits: Mapping[str, int], readable: Iterable[str], writable: str) -> None:
    """Takes everything from this process that a render does not need; what a system does not have is left out.

    `limits` has seconds (CPU), memory and file_size (bytes); `readable` are files and folders, `writable` a folder.
    """
    _limit(limits)
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _hide_files(library, readable, writable)
    if not _filter(library):
        library.unshare(NEW_USER_AND_NETWORK)


def shortfalls() -> list[str]:
    """What a confined process can do all the same on this system, tried for real; empty where everything holds."""
    import socket

    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        found.append("the network is not taken from it")
    with contextlib.suppress(OSError), open("/proc/self/status", "rb"):  # noqa: PTH123 (pathlib is slow to start)
        found.append("files outside the repository's tree are not hidden from it")
    return found


def _limit(limits: Mapping[str, int]) -> None:
    """RLIMIT_DATA counts what a Go program really uses, unlike its reserved address space."""
    wanted = {
        resource.RLIMIT_DATA: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for name, value in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(name)
            lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(name, (lowered, lowered))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (limits["seconds"], limits["seconds"] + 1))


def _filter(library: ctypes.CDLL) -> bool:
    """Sets the seccomp filter; whether the kernel took it."""
    machine = os.uname().machine
    if machine not in AUDIT:
        return False
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUALS, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if machine == "x86_64":
        program += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL)]
    for number in DENIED[machine]:
        program += [(EQUALS, 0, 1, number), (RETURN, 0, 0, ANSWER | errno.EPERM)]
    program += [(EQUALS, 0, 1, CLONE3), (RETURN, 0, 0, ANSWER | errno.ENOSYS)]
    program += [(EQUALS, 0, 3, CLONE[machine]), (LOAD, 0, 0, FIRST_ARGUMENT), (ANY_BIT, 1, 0, CLONE_THREAD)]
    program += [(RETURN, 0, 0, ANSWER | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    return bool(library.prctl(SET_SECCOMP, FILTER_MODE, header, 0, 0) == 0)


def _hide_files(library: ctypes.CDLL, readable: Iterable[str], writable: str) -> None:
    abi = library.syscall(CREATE_RULESET, None, 0, ABI_VERSION)
    if abi < 1:
        return
    members = [EVERY_FILE_RIGHT, *([TCP] if abi >= 4 else []), *([OTHERS] if abi >= 6 else [])]
    attributes = struct.pack(f"={len(members)}Q", *members)
    ruleset = library.syscall(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return
    reads = READ_FILE | READ_FOLDER
    rules = [(path, reads | EXECUTE) for path in SYSTEM]
    rules += [(path, reads | EXECUTE) for path in readable]
    rules += [(writable, EVERY_FILE_RIGHT & ~EXECUTE)]
    for path, rights in rules:
        _allow(library, ruleset, path, rights)
    library.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(library: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):  # noqa: PTH112
        rights &= EXECUTE | WRITE_FILE | READ_FILE
    library.syscall(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, handle), 0)
    os.close(handle)
