"""Runs a program that dies with its parent: `python -I -S tether.py PARENT_PID PROGRAM ARGUMENT…`.

On Linux the kernel does it (prctl PR_SET_PDEATHSIG, kept across exec). Elsewhere a child of this process watches the
parent and kills the program when the parent is gone.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent and becomes the program."""
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    elif os.fork() == 0:
        program = os.getppid()
        while os.getppid() == program:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os.kill(program, signal.SIGKILL)
            time.sleep(0.5)
        os._exit(0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
