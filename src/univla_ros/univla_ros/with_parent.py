"""Run a command that ends with the process that started it.

Usage: `python with_parent.py PID COMMAND…`, where PID is the process that starts it. A supervisor
that is killed outright cannot end its nodes; Linux can. The nodes get SIGTERM, so each of them
still says the safe thing. The file is run by its path, without the rest of the suite, and
becomes the command.

The command gets one thread for linear algebra unless `OMP_NUM_THREADS` says otherwise: with a
thread per core each, nodes wait for each other's, and on a busy machine a tick of the controller
takes 30 ms instead of one. torch has the policy's parameter `threads`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the parent's thread ends; kept across exec.

    Args:
        parent: Process id of the parent; exits at once if that has ended already.
    """
    if not sys.platform.startswith('linux'):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'prctl(PR_SET_PDEATHSIG): {os.strerror(number)}')
    if os.getppid() != parent:
        sys.exit(f'the process {parent} that started {sys.argv[2]} has ended')


def command_prefix() -> list[str]:
    """Words before a command that shall end with this process; -I -S starts Python quickly."""
    return [sys.executable, '-I', '-S', __file__, str(os.getpid())]


if __name__ == '__main__':
    end_with_parent(int(sys.argv[1]))
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.execvp(sys.argv[2], sys.argv[2:])
