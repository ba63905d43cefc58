"""Where the master keys come from: a file, the environment, or Vault; one, or several while they are being replaced.

A file has one key a line, the present one first, and lines that begin with "#" for people. A line that Vault's transit
engine encrypted ("vault:v1:…") is decrypted by it, so that the file alone is worth nothing. In Vault's key/value engine
the keys are one secret with the field `keys`, in the same form.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from backends.errors import StorageUnavailable
from workers.iam.sealing import KEY_LENGTH, LOOK, MasterKeyError

if TYPE_CHECKING:
    from workers.iam.vault import VaultSession

FIELD: Final = "keys"
LONGEST: Final = 128
MOST: Final = 8
"""Keys that there can be at a time."""

_ENCRYPTED: Final = "vault:v"
_NOT_FOR: Final = 0o027
"""What a key file's mode must not say: writable by the group, anything for others."""


class KeySource(Protocol):
    """A place of master keys."""

    @property
    def where(self) -> str:
        """The place in words for people."""

    @property
    def look_seconds(self) -> float:
        """How often it bears to be asked whether there is a new key to seal under."""

    def read(self) -> tuple[str, ...]:
        """The keys, the present one first. Raises `MasterKeyError`."""

    def replace(self, former: Sequence[str], keys: Sequence[str]) -> None:
        """Write other keys where `former` are. Raises `MasterKeyError`, also when others did so meanwhile."""


class Transit(Protocol):
    """Encrypts keys for a file."""

    def encrypt(self, key: str) -> str:
        """What goes into the file. Raises `MasterKeyError`."""

    def decrypt(self, line: str) -> str:
        """The key. Raises `MasterKeyError`."""


class GivenKeys:
    """Keys that a setting holds, which do not change while the gateway runs."""

    look_seconds: Final = LOOK

    def __init__(self, text: str, where: str) -> None:
        self._keys = parse(text)
        self.where = where

    def read(self) -> tuple[str, ...]:
        """The keys."""
        return self._keys

    def replace(self, former: Sequence[str], keys: Sequence[str]) -> None:
        """Not here."""
        raise MasterKeyError(f"{self.where}: master keys can be replaced in a file or in Vault only")


class KeyFile:
    """Keys in a file. It is read again only when it changed.

    Args:
        transit: decrypts what Vault's transit engine encrypted, and encrypts what is written.
    """

    look_seconds: Final = LOOK

    def __init__(self, path: Path, transit: Transit | None = None) -> None:
        self._path = path
        self._transit = transit
        self._seen: tuple[tuple[int, ...], tuple[str, ...]] | None = None

    @property
    def where(self) -> str:
        """The file's path."""
        return str(self._path)

    def read(self) -> tuple[str, ...]:
        """The keys. Raises `MasterKeyError`, also for a file that others may read or write."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                mark = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
                if self._seen is not None and self._seen[0] == mark:
                    return self._seen[1]
                self._check(found)
                text = file.read(1 << 16).decode("ascii")
        except OSError as error:
            raise MasterKeyError(f"{self._path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise MasterKeyError(f"{self._path}: not a file of master keys") from None
        keys = parse(text, self._path, self._decrypt)
        self._seen = (mark, keys)
        return keys

    def replace(self, former: Sequence[str], keys: Sequence[str]) -> None:
        """Write the file anew, whole or not at all. Raises `MasterKeyError`."""
        if self.read() != tuple(former):
            raise MasterKeyError(f"{self._path}: changed by somebody else")
        write_key_file(self._path, keys, self._transit)

    def _decrypt(self, line: str) -> str:
        if self._transit is None:
            raise MasterKeyError(f"{self._path}: encrypted by Vault, but vault_transit_key is not set")
        return self._transit.decrypt(line)

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise MasterKeyError(f"{self._path}: not a file")
        if found.st_mode & _NOT_FOR:
            mode = stat.S_IMODE(found.st_mode)
            raise MasterKeyError(f"{self._path}: mode {mode:04o} lets others at the master key; chmod 600 it")
        if found.st_uid not in (0, os.geteuid()):
            raise MasterKeyError(f"{self._path}: belongs to user {found.st_uid}, neither to this one nor to root")


def write_key_file(path: Path, keys: Sequence[str], transit: Transit | None = None, *, new: bool = False) -> None:
    """Write a private file of keys, durably. With `new` it must not exist. Raises `MasterKeyError`."""
    lines = [key if transit is None else transit.encrypt(key) for key in keys]
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write("".join(line + "\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            if new:
                os.link(temporary, path)
            else:
                # It keeps its owner, who may be another one than whoever replaces the keys.
                found = path.stat()
                os.chown(temporary, found.st_uid, found.st_gid)
                os.chmod(temporary, stat.S_IMODE(found.st_mode))
                os.replace(temporary, path)
        finally:
            if temporary.exists():
                temporary.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise MasterKeyError(f"{path}: {error.strerror}") from None


def ensure_key_file(path: Path) -> None:
    """Make a file with one new key unless there is one, its directory too. Raises `MasterKeyError`.

    Safe in several processes at once: all of them read the key of the first.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key_file(path, [secrets.token_hex(32)], new=True)
    except OSError as error:
        raise MasterKeyError(f"{path}: {error.strerror}") from None
    except MasterKeyError:
        if not path.exists():
            raise


class VaultKeys:
    """Keys in Vault's key/value engine, version 2.

    Args:
        place: `MOUNT/PATH`.
    """

    look_seconds: Final = 30.0
    """Each look is a request, and one of a client's waits for it."""

    def __init__(self, session: VaultSession, place: str) -> None:
        self._session = session
        self._mount, _, self._path = place.partition("/")
        self.where = f"vault: {place}"

    def read(self) -> tuple[str, ...]:
        """The keys. Raises `MasterKeyError`."""
        return self._read()[0]

    def replace(self, former: Sequence[str], keys: Sequence[str]) -> None:
        """Write the secret anew, unless somebody else did. Raises `MasterKeyError`."""
        found, version = self._read()
        if found != tuple(former):
            raise MasterKeyError(f"{self.where}: changed by somebody else")
        self._write(keys, version)

    def create(self, key: str) -> None:
        """Write the first key. Raises `MasterKeyError`, also when there are keys."""
        self._write([key], 0)

    def _read(self) -> tuple[tuple[str, ...], int]:
        answer = self._ask(
            lambda kv: kv.read_secret_version(self._path, mount_point=self._mount, raise_on_deleted_version=True)
        )
        try:
            return parse(answer["data"]["data"][FIELD], self.where), int(answer["data"]["metadata"]["version"])
        except (KeyError, TypeError, AttributeError):
            raise MasterKeyError(f"{self.where}: the secret has no field {FIELD!r}") from None

    def _write(self, keys: Sequence[str], version: int) -> None:
        fields = {FIELD: "\n".join(keys)}
        self._ask(lambda kv: kv.create_or_update_secret(self._path, fields, cas=version, mount_point=self._mount))

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        return _asked(self._session, lambda client: question(client.secrets.kv.v2), self.where)


class VaultTransit:
    """Vault's transit engine, which encrypts keys without giving its own away.

    Args:
        place: `MOUNT/NAME` of the transit key.
    """

    def __init__(self, session: VaultSession, place: str) -> None:
        self._session = session
        self._mount, _, self._name = place.partition("/")
        self._where = f"vault: {place}"

    def encrypt(self, key: str) -> str:
        """The key as Vault encrypts it. Raises `MasterKeyError`."""
        plain = base64.b64encode(key.encode()).decode()
        answer = self._ask(lambda transit: transit.encrypt_data(self._name, plain, mount_point=self._mount))
        return str(answer["data"]["ciphertext"])

    def decrypt(self, line: str) -> str:
        """The key. Raises `MasterKeyError`."""
        answer = self._ask(lambda transit: transit.decrypt_data(self._name, line, mount_point=self._mount))
        try:
            return base64.b64decode(answer["data"]["plaintext"], validate=True).decode("ascii")
        except (KeyError, TypeError, UnicodeDecodeError, binascii.Error):
            raise MasterKeyError(f"{self._where}: what was decrypted is no master key") from None

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        return _asked(self._session, lambda client: question(client.secrets.transit), self._where)


def _asked(session: VaultSession, question: Callable[[Any], Any], where: str) -> Any:
    from hvac import exceptions

    try:
        return session.ask(question)
    except StorageUnavailable as error:
        raise MasterKeyError(f"{where}: {error}") from None
    except (exceptions.InvalidPath, exceptions.InvalidRequest) as error:
        reason = ", ".join(error.errors or ()) or "there is nothing"
        raise MasterKeyError(f"{where}: {reason}") from None


def parse(text: str, where: object = "", decrypt: Callable[[str], str] | None = None) -> tuple[str, ...]:
    """The keys that a text holds, separated by white space or line by line. Raises `MasterKeyError`."""
    lines = [line.strip() for line in text.splitlines()]
    words = [word for line in lines if not line.startswith("#") for word in line.split()]
    keys = [decrypt(word) if decrypt is not None and word.startswith(_ENCRYPTED) else word for word in words]
    prefix = f"{where}: " if where else ""
    if not 1 <= len(keys) <= MOST:
        raise MasterKeyError(f"{prefix}there must be 1 to {MOST} master keys, not {len(keys)}")
    if len(set(keys)) != len(keys):
        raise MasterKeyError(f"{prefix}a master key is given twice")
    for key in keys:
        if not KEY_LENGTH <= len(key) <= LONGEST or not key.isascii() or not key.isprintable():
            raise MasterKeyError(f"{prefix}a master key has {KEY_LENGTH} to {LONGEST} printable ASCII characters")
    return tuple(keys)


def generate() -> str:
    """A new master key: 256 random bits in hexadecimal digits."""
    return secrets.token_hex(32)
