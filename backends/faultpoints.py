"""Places where a test can stop or fail a process: inert unless SHARDGATE_FAULT_POINTS names a directory.

A test arms a point by a file of the point's name in that directory; the process that reaches the point first removes
the file, so that each arming strikes once, and does what the file says:

    kill    end this process as SIGKILL does
    pause   wait until a file `<name>.go` appears there
    full    raise the operating system's error for a full device
    broken  raise its error for a failed device

A production process never has the variable: the gateway tells at its start that it is no setting.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from typing import Final

VARIABLE: Final = "SHARDGATE_FAULT_POINTS"
_LONGEST_PAUSE: Final = 60.0


def reach(name: str) -> None:
    """Say that the process is at this point. Raises `OSError` where a test asks for that."""
    directory = os.environ.get(VARIABLE)
    if directory:
        _strike(directory, name)


def _strike(directory: str, name: str) -> None:
    path = f"{directory}/{name}"
    try:
        with open(path, encoding="utf-8") as file:
            action = file.read().strip()
        os.unlink(path)
    except FileNotFoundError:
        # Not armed, or another process was first.
        return
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "pause":
            deadline = time.monotonic() + _LONGEST_PAUSE
            while not os.path.exists(f"{path}.go") and time.monotonic() < deadline:
                # gevent's sleep in a worker, where time.sleep is patched.
                time.sleep(0.01)
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        case _:
            raise ValueError(f"{path}: {action!r} is no action of a fault point")
