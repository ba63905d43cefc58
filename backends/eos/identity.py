"""Who acts in EOS for a caller of the gateway."""

from __future__ import annotations

from typing import Final

from backends.api import Caller, PermissionDenied
from backends.eos.interfaces import Role
from backends.eos.options import Account, Options


class Identities:
    """Roles for callers. No role is ever 0:0: to EOS that is no role, and the call would run as root."""

    def __init__(self, options: Options) -> None:
        self.service: Final = _role(options.service, "")
        self._administrator: Final = options.administrator
        self._anonymous: Final = options.anonymous

    def role(self, caller: Caller) -> Role:
        """The role of a caller. Raises `PermissionDenied` for one that has no account in EOS.

        uid or gid 0 is the gateway's own administrator, who is nobody in EOS unless `administrator` says otherwise.
        """
        uid, gid = caller.uid, caller.gid
        if uid is None or gid is None:
            if self._anonymous is None:
                raise PermissionDenied("the account has no uid and gid, and no anonymous account is configured")
            return _role(self._anonymous, "")
        if uid == 0 or gid == 0:
            if self._administrator is None:
                raise PermissionDenied("uid and gid 0 act as nobody: no administrator account is configured")
            return _role(self._administrator, "")
        return Role(uid, gid, caller.user_name)


def _role(account: Account, name: str) -> Role:
    return Role(account.uid, account.gid, account.name or name)
