"""The MGM's redirect to an object's data, asked for while its metadata are looked up."""

from __future__ import annotations

from typing import Any, Final

import gevent
import gevent.monkey

from backends.api import BackendError
from backends.eos.interfaces import Role
from backends.eos.mgm import Mgm, Redirect


class Asked:
    """A redirect for reading that is on its way; what comes of it counts only if it is for the file that was found."""

    __slots__ = ("_greenlet",)

    def __init__(self, mgm: Mgm, role: Role, path: str) -> None:
        # Outside a worker calls block their thread, and one after the other is as good.
        patched = gevent.monkey.is_module_patched("socket")
        self._greenlet: Final[Any] = gevent.spawn(_redirect, mgm, role, path) if patched else None

    def place(self) -> Redirect | None:
        """The redirect; None when it failed, or there is nothing to be read."""
        if self._greenlet is None:
            return None
        found: Redirect | None = self._greenlet.get()
        return found

    def drop(self) -> None:
        """Nobody wants it any more."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)


def _redirect(mgm: Mgm, role: Role, path: str) -> Redirect | None:
    try:
        return mgm.redirect("GET", role, path)
    except BackendError:
        # Whoever reads the file asks again, and is told why.
        return None
