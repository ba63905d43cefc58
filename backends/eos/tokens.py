"""Short-lived tokens of users for data requests, so that the shared key stays with gRPC.

EOS gives a sudoer's call a token of the role that it acts as, for a directory and what is below, if that role has the
rights on it. Data requests bear it instead of key and user name, need no registered host, and can do nothing beyond
it. What EOS then sees is the token: rights that an account has by its groups or by access lists of single files do not
count for data any more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from backends.api import NoSuchObject, PermissionDenied
from backends.eos.failures import Missing
from backends.eos.interfaces import MissingParent, Role
from backends.eos.namespace import Namespace

_LIFETIME: Final = 900
"""Seconds for which a token is asked."""
_USED: Final = 600.0
"""Seconds for which it is used: a transfer that begins then still gets its capability."""
_LIMIT: Final = 4096
READ: Final = "rx"
WRITE: Final = "rwxd"


class TokenCredentials:
    """Tokens by account, directory and right (`mgm.Credentials`)."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace: Final = namespace
        self._known: Final[OrderedDict[tuple[int, int, str, str], tuple[float, str]]] = OrderedDict()
        self._guard: Final = threading.Lock()

    def headers(self, role: Role, path: str, *, write: bool) -> Sequence[tuple[str, str]]:
        """See `mgm.Credentials`. Raises `PermissionDenied` when EOS gives none."""
        return (("Authorization", f"Bearer {self._token(role, path.rpartition('/')[0], WRITE if write else READ)}"),)

    def query(self, role: Role) -> Mapping[str, str]:
        """See `mgm.Credentials`: the token says who."""
        return {}

    def _token(self, role: Role, directory: str, rights: str) -> str:
        key = (role.uid, role.gid, directory, rights)
        with self._guard:
            found = self._known.get(key)
        if found is not None and time.monotonic() < found[0]:
            return found[1]
        until = time.monotonic() + _USED
        try:
            token = self._namespace.issue_token(role, directory, rights, int(time.time()) + _LIFETIME)
        except (Missing, PermissionDenied) as error:
            # EOS refuses a token for what is not there, too.
            if self._namespace.stat(role, directory) is not None:
                raise
            raise MissingParent(str(error)) if rights == WRITE else NoSuchObject(directory) from None
        if not token.startswith("zteos64:"):
            raise PermissionDenied(f"EOS gives no token: {token[:80]}")
        with self._guard:
            self._known[key] = (until, token)
            self._known.move_to_end(key)
            while len(self._known) > _LIMIT:
                self._known.popitem(last=False)
        return token
