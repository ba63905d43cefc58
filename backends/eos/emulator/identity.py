"""Who a call acts as: registered gateways, keys, accounts, roles and tokens."""

import errno
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from backends.eos.emulator.failures import EosError
from backends.eos.emulator.tokens import Token

ROOT: Final = 0
DAEMON: Final = 2
ADM_UID: Final = 3
ADM_GID: Final = 4
REFUSAL: Final = "Ask an admin to map your auth key to a sudo'er account - permission denied"


@dataclass(frozen=True, slots=True)
class User:
    """An account of the instance's passwd."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    egroups: tuple[str, ...] = ()
    home_mode: int | None = 0o755


@dataclass(frozen=True, slots=True)
class Key:
    """A shared key and the account that it is mapped to, for `grpc`, `https` or both."""

    key: str
    user: str
    protocols: tuple[str, ...] = ("grpc", "https")


@dataclass(frozen=True, slots=True)
class Directory:
    """What an administrator has set with `eos vid`: accounts, keys, gateways and sudoers."""

    users: tuple[User, ...]
    keys: tuple[Key, ...] = ()
    sudoers: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset({"*"})
    # Gateways for HTTPS need no key at all, so there are none unless somebody says so.
    https_gateways: frozenset[str] = frozenset()
    groups: dict[str, int] = field(default_factory=dict)
    nobody: int = 99

    def named(self, name: str) -> User | None:
        """An account by name."""
        return next((user for user in self.users if user.name == name), None)

    def numbered(self, uid: int) -> User | None:
        """An account by uid."""
        return next((user for user in self.users if user.uid == uid), None)

    def uid_of(self, name: str) -> int | None:
        """The uid of a name."""
        user = self.named(name)
        return None if user is None else user.uid

    def gid_of(self, name: str) -> int | None:
        """The gid of a group, or of the account of that name."""
        user = self.named(name)
        return self.groups.get(name, None if user is None else user.gid)


def default_directory(authkey: str) -> Directory:
    """The accounts that there are without a file: root, daemon, a gateway with `authkey`, alice and bob."""
    return Directory(
        users=(
            User("root", 0, 0, home_mode=None),
            User("daemon", 2, 2, home_mode=None),
            User("adm", 3, 4, home_mode=None),
            User("gateway", 900, 900),
            User("alice", 1000, 1000),
            User("bob", 1001, 1001),
        ),
        keys=(Key(authkey, "gateway"),),
        sudoers=frozenset({"gateway"}),
    )


def read_directory(path: Path, authkey: str | None) -> Directory:
    """The accounts of a TOML file; docs/eos-emulator.md has its form. Raises `ValueError` with one line."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        return _from_document(document, authkey)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error


def _from_document(document: dict[str, Any], authkey: str | None) -> Directory:
    users = tuple(
        User(
            str(row["name"]),
            int(row["uid"]),
            int(row["gid"]),
            tuple(int(group) for group in row.get("groups", ())),
            tuple(str(group) for group in row.get("egroups", ())),
            int(str(row["home"]), 8) if "home" in row else None,
        )
        for row in document["user"]
    )
    keys = [
        Key(str(row["key"]), str(row["user"]), tuple(row.get("protocols", ("grpc", "https"))))
        for row in document.get("key", ())
    ]
    if authkey is not None:
        keys.append(Key(authkey, str(document.get("authkey_user", "gateway"))))
    names = {user.name for user in users}
    unknown = sorted(({key.user for key in keys} | set(document.get("sudoers", ()))) - names)
    if unknown:
        raise KeyError(f"there is no user {', '.join(unknown)}")
    return Directory(
        users,
        tuple(keys),
        frozenset(document.get("sudoers", ())),
        frozenset(document.get("gateways", ("*",))),
        frozenset(document.get("https_gateways", ())),
        {str(name): int(number) for name, number in document.get("groups", {}).items()},
        int(document.get("nobody", 99)),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What EOS calls a virtual identity."""

    uid: int
    gid: int
    uids: frozenset[int]
    gids: frozenset[int]
    sudoer: bool = False
    name: str = ""
    key: str = ""
    egroups: frozenset[str] = frozenset()
    token: Token | None = None

    @property
    def is_root(self) -> bool:
        """Whether nothing is refused; a token is never root."""
        return self.uid == ROOT and self.token is None

    @property
    def is_admin(self) -> bool:
        """Whether this is root or the account adm."""
        return self.is_root or (self.token is None and (self.uid == ADM_UID or self.gid == ADM_GID))


class Identities:
    """Maps credentials to identities, as the reference's sections on gRPC and HTTP identity say."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    @property
    def nobody(self) -> Identity:
        """Whoever EOS does not know."""
        number = self.directory.nobody
        return Identity(number, number, frozenset({number}), frozenset({number}), name="nobody")

    def of_user(self, user: User, key: str = "") -> Identity:
        """An account with all its groups."""
        nobody = self.directory.nobody
        return Identity(
            user.uid,
            user.gid,
            frozenset({user.uid, nobody}),
            frozenset({user.gid, nobody, *user.groups}),
            user.name in self.directory.sudoers or user.uid == ROOT,
            user.name,
            key,
            frozenset(user.egroups),
        )

    def of_number(self, uid: int, gid: int) -> Identity:
        """Somebody impersonated: no secondary groups, no sudo. E-groups go by the user's name."""
        user = self.directory.numbered(uid)
        nobody = self.directory.nobody
        return Identity(
            uid,
            gid,
            frozenset({uid, nobody}),
            frozenset({gid, nobody}),
            name=user.name if user else str(uid),
            egroups=frozenset(user.egroups) if user else frozenset(),
        )

    def of_token(self, token: Token) -> Identity:
        """The owner of a token, who may what the token says and nothing else."""
        user = self.directory.named(token.owner)
        uid = user.uid if user else _number(token.owner, self.directory.nobody)
        gid = self.directory.gid_of(token.group)
        identity = self.of_number(uid, gid if gid is not None else _number(token.group, self.directory.nobody))
        return replace(identity, token=token)

    def of_key(self, key: str, protocol: str, peer: str) -> Identity:
        """The account of a shared key; nobody for an unknown key or, by gRPC, a peer that is no gateway."""
        if protocol == "grpc" and not self.is_gateway(peer):
            return self.nobody
        mapped = next((row for row in self.directory.keys if row.key == key and protocol in row.protocols), None)
        user = self.directory.named(mapped.user) if mapped is not None else None
        return self.nobody if user is None else self.of_user(user, key)

    def has_key(self, key: str, protocol: str) -> bool:
        """Whether the key is mapped for this protocol."""
        return any(row.key == key and protocol in row.protocols for row in self.directory.keys)

    def is_gateway(self, peer: str, protocol: str = "grpc") -> bool:
        """Whether the address is registered as a gateway for a protocol."""
        registered = self.directory.gateways if protocol == "grpc" else self.directory.https_gateways
        return not registered.isdisjoint({"*", peer})

    def remote_user(self, name: str, *, numeric: bool) -> Identity:
        """The account that `remote-user` names; nobody, silently, if there is none."""
        name = name.partition("@")[0]
        user = self.directory.named(name)
        if user is not None:
            return self.of_user(user)
        if numeric and name.isdigit():
            user = self.directory.numbered(int(name))
            # A uid without an account still is a uid; its group is nobody's until eos.rgid names an allowed one.
            return self.of_user(user) if user else self.of_number(int(name), self.directory.nobody)
        return self.nobody


def metadata_role(caller: Identity, uid: int, gid: int, identities: Identities) -> Identity:
    """Who an MD call for one entry acts as: the empty role of a sudoer is root. Raises `EosError` with EPERM."""
    if (uid, gid) == (caller.uid, caller.gid):
        return caller
    if caller.token is not None and (uid, gid) == (ROOT, ROOT):
        return caller
    return _impersonated(caller, uid, gid, identities)


def role(caller: Identity, uid: int, gid: int, identities: Identities) -> Identity:
    """Who a listing or a command acts as: the empty role is the key's own account. Raises `EosError` with EPERM."""
    if (uid, gid) in ((ROOT, ROOT), (caller.uid, caller.gid)):
        return caller
    return _impersonated(caller, uid, gid, identities)


def http_role(caller: Identity, uid: str, gid: str, identities: Identities) -> Identity:
    """Who an HTTP request with `eos.ruid` and `eos.rgid` acts as; what is not allowed becomes nobody."""
    nobody = identities.directory.nobody
    if caller.token is not None or not (uid or gid):
        return caller
    wanted_uid = _number(uid, nobody) if uid else caller.uid
    wanted_gid = _number(gid, nobody) if gid else caller.gid
    if caller.sudoer:
        own = (wanted_uid, wanted_gid) == (caller.uid, caller.gid)
        return caller if own else identities.of_number(wanted_uid, wanted_gid)
    if wanted_uid not in caller.uids:
        return identities.nobody
    return replace(caller, uid=wanted_uid, gid=wanted_gid if wanted_gid in caller.gids else nobody)


def _impersonated(caller: Identity, uid: int, gid: int, identities: Identities) -> Identity:
    if not caller.sudoer:
        raise EosError(errno.EPERM, REFUSAL)
    return identities.of_number(uid, gid)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdigit() else otherwise
