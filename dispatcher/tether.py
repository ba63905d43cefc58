"""Starts a program tied to its parent: when the parent dies, however that happens, the program gets a signal.

Run as a script of its own between the supervisor and the program, because the call must happen in the new process
and Python code between fork and exec is not safe. Imports nothing of ours, so that it starts quickly:

    python -I -S tether.py PARENT_PID SIGNAL LISTEN_FD -- PROGRAM ARGUMENT...

LISTEN_FD is an inherited listening socket, handed on as file descriptor 3 by systemd's protocol, or -1.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
FIRST_LISTEN_FD = 3  # sd_listen_fds(3)


def main() -> None:
    """Tie this process, then become the program. Ends with status 127 when that cannot be done."""
    parent, death_signal, listen_fd = (int(argument) for argument in sys.argv[1:4])
    program = sys.argv[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"shardgate: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before the tie was made
    # The supervisor waits for its signals with them blocked, and the mask outlives exec.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if listen_fd >= 0:
        os.dup2(listen_fd, FIRST_LISTEN_FD, inheritable=True)
        if listen_fd != FIRST_LISTEN_FD:
            os.close(listen_fd)
        os.environ["LISTEN_FDS"] = "1"
        os.environ["LISTEN_PID"] = str(os.getpid())
    try:
        os.execvp(program[0], program)  # noqa: S606 - this is what the module is for
    except OSError as error:
        sys.stderr.write(f"shardgate: {program[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
