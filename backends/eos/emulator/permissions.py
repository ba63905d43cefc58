"""Who may do what: mode bits of the directory, `sys.acl` and `user.acl`, tokens.

Rights belong to directories; a file has those of the directory that it is in, which lists of its own can extend.
Look-ups ask the mode bits first and the lists if those refuse. Changes ask the lists first.
"""

from dataclasses import dataclass, replace
from typing import Final

from backends.eos.emulator import acl
from backends.eos.emulator.entries import Container, Entry, File
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.identity import DAEMON, Identity
from backends.eos.emulator.namespace import Namespace

READ: Final = 4
WRITE: Final = 2
BROWSE: Final = 1
_LETTERS: Final = ((READ, "r"), (WRITE, "w"), (BROWSE, "x"))


@dataclass(frozen=True, slots=True)
class Access:
    """Answers about one namespace. Methods tell; the caller raises with the text of its operation."""

    namespace: Namespace

    def rights(self, who: Identity, entry: Entry) -> acl.Rights:
        """What the lists of an entry say about somebody. A list that does not parse says nothing."""
        texts = [entry.xattrs.get("sys.acl", b"")]
        if "sys.eval.useracl" in entry.xattrs or isinstance(entry, File):
            texts.append(entry.xattrs.get("user.acl", b""))
        granted: set[str] = set()
        for text in filter(None, texts):
            try:
                rules = acl.parsed(text.decode("utf-8", "replace"))
            except EosError:
                continue
            for rule in rules:
                if _concerns(rule, who):
                    granted.update(rule.permissions)
        return acl.Rights(frozenset(granted))

    def looks(self, who: Identity, container: Container, bits: int, path: bytes) -> bool:
        """Whether somebody may read (`READ`) or enter (`BROWSE`) a directory, to look at `path`."""
        if who.token is not None:
            return self._token(who, path, bits)
        if by_mode(who, container, bits):
            return True
        rights = self.rights(who, container)
        return all(rights.grants(letter) for bit, letter in _LETTERS if bits & bit)

    def reads(self, who: Identity, container: Container, file: File | None, path: bytes) -> bool:
        """Whether somebody may read a file of this directory."""
        if who.token is not None:
            return self._token(who, path, READ)
        if who.is_root:
            return True
        rights = self.rights(who, container)
        if file is not None:
            rights = acl.Rights(rights.permissions | self.rights(who, file).permissions)
        if rights.denies("r"):
            return False
        return rights.grants("r") or by_mode(who, container, READ | BROWSE)

    def creates(self, who: Identity, container: Container, path: bytes) -> bool:
        """Whether somebody may make an entry in this directory."""
        if who.token is not None:
            return self._token(who, path, WRITE)
        if who.is_root:
            return True
        rights = self.rights(who, container)
        if self.frozen(who, container) or rights.denies("w"):
            return False
        return rights.grants("w") or rights.write_once or by_mode(who, container, WRITE | BROWSE)

    def forbids_writing(self, who: Identity, container: Container) -> bool:
        """Whether it is `!w` that keeps somebody from writing."""
        return not who.is_root and self.rights(who, container).denies("w")

    def updates(self, who: Identity, container: Container, file: File, path: bytes) -> bool:
        """Whether somebody may overwrite or change an existing file of this directory."""
        if who.token is not None:
            return self._token(who, path, WRITE)
        if who.is_root:
            return True
        rights = acl.Rights(self.rights(who, container).permissions | self.rights(who, file).permissions)
        if self.frozen(who, container) or rights.write_once or rights.denies("w") or rights.denies("u"):
            return False
        return rights.grants("w") or rights.grants("u") or by_mode(who, container, WRITE | BROWSE)

    def deletes(self, who: Identity, container: Container, path: bytes) -> bool:
        """Whether somebody may take an entry out of this directory."""
        if who.token is not None:
            return path_in(who, path) and _token_rights(who).grants("d") and not self.frozen(who, container)
        if who.is_root:
            return True
        rights = self.rights(who, container)
        if self.frozen(who, container) or rights.denies("d") or rights.write_once:
            return False
        if rights.denies("w") and "+d" not in rights.permissions:
            return False
        return rights.grants("w") or "+d" in rights.permissions or by_mode(who, container, WRITE | BROWSE)

    def frozen(self, who: Identity, container: Container) -> bool:
        """Whether the directory is immutable for somebody."""
        return not who.is_root and "i" in self.rights(who, container).permissions

    def changes_mode(self, who: Identity, entry: Entry) -> bool:
        """Whether somebody may chmod: root, adm, the owner unless `!m` stands, whoever has `m`."""
        if who.token is not None:
            return who.uid == entry.uid and _token_rights(who).grants("w")
        if who.is_admin:
            return True
        rights = self.rights(who, self.directory_of(entry))
        return not rights.denies("m") and (who.uid == entry.uid or rights.grants("m"))

    def changes_owner(self, who: Identity, entry: Entry, *, group: bool) -> bool:
        """Whether somebody may chown; the group is for administrators only."""
        if who.is_admin:
            return True
        return not group and who.token is None and self.rights(who, self.directory_of(entry)).grants("c")

    def changes_xattrs(self, who: Identity, entry: Entry, *, acl_key: bool, path: bytes) -> bool:
        """Whether somebody may change attributes: the owner, a sudoer, whoever has `X`; `A` for `sys.acl`."""
        if who.token is not None:
            return self._token(who, path, WRITE)
        if who.is_root or who.sudoer or who.uid == entry.uid:
            return True
        rights = self.rights(who, self.directory_of(entry))
        return rights.grants("X") or (acl_key and rights.grants("A"))

    def directory_of(self, entry: Entry) -> Container:
        """The directory whose rights an entry has: itself, or the one that a file is in."""
        return entry if isinstance(entry, Container) else self.namespace.container(entry.parent)

    def acting(self, who: Identity, container: Container) -> Identity:
        """Who somebody is in this directory: its owner, where `sys.owner.auth` names them."""
        listed = container.xattrs.get("sys.owner.auth", b"").decode("utf-8", "replace")
        if not listed or who.token is not None:
            return who
        for part in listed.split(","):
            _, _, name = part.strip().partition(":")
            if part.strip() == "*" or (name and name in (who.name, who.key)):
                return replace(who, uid=container.uid, gid=container.gid)
        return who

    def _token(self, who: Identity, path: bytes, bits: int) -> bool:
        rights = _token_rights(who)
        return path_in(who, path) and all(rights.grants(letter) for bit, letter in _LETTERS if bits & bit)


def by_mode(who: Identity, container: Container, bits: int) -> bool:
    """What the mode bits say. Root may everything, daemon may read everything."""
    if who.is_root or (who.uid == DAEMON and not bits & WRITE):
        return True
    if who.uid == container.uid:
        granted = container.mode >> 6
    elif who.gid == container.gid or container.gid in who.gids:
        granted = container.mode >> 3
    else:
        granted = container.mode
    return granted & bits == bits


def path_in(who: Identity, path: bytes) -> bool:
    """Whether a token, if there is one, speaks of this path."""
    return who.token is None or who.token.covers(path)


def _token_rights(who: Identity) -> acl.Rights:
    assert who.token is not None  # noqa: S101 (callers asked)
    try:
        (rule,) = acl.parsed(f"z:{who.token.permission}")
    except (EosError, ValueError):
        return acl.Rights()
    return acl.Rights(frozenset(rule.permissions))


def _concerns(rule: acl.Rule, who: Identity) -> bool:
    if rule.kind == "u":
        return rule.name == str(who.uid)
    if rule.kind == "g":
        return rule.name == str(who.gid) or (rule.name.isdigit() and int(rule.name) in who.gids)
    if rule.kind == "egroup":
        return rule.name in who.egroups
    if rule.kind == "k":
        return bool(who.key) and rule.name == who.key
    return True
