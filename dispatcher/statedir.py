"""The state directory: private, used by one gateway at a time, holding what must survive a restart."""

import fcntl
import json
import os
import secrets
import stat
import string
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from dispatcher.processes import SupervisionError
from workers.iam.master_keys import ensure_key_file
from workers.iam.sealing import MasterKeyError
from workers.settings import MASTER_KEY_FILE, ROOT_CREDENTIALS_FILE, read_root_credentials

# sun_path holds 108 bytes with its end; redis-server and HAProxy (97 bytes) make a temporary name from the path, too.
LONGEST_SOCKET_PATH: Final = 95

_LOCK_PATIENCE: Final = 5.0
_KEY_CHARACTERS: Final = string.ascii_uppercase + string.digits
_SECRET_CHARACTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class RootCredentials:
    """The root account's key pair; `new` when it was generated just now."""

    access_key: str
    secret_key: str
    new: bool


def socket_path(state_dir: Path, name: str) -> Path:
    """Where a unix socket called `name` of that state directory is or goes, whoever uses the directory.

    In the directory itself, or in a private one when the path is too long. Raises SupervisionError.
    """
    here = state_dir / "run" / name
    if len(os.fsencode(here)) <= LONGEST_SOCKET_PATH:
        return here
    digest = sha256(os.fsencode(state_dir)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"shardgate-{os.getuid()}-{digest}"
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
    except OSError as error:
        raise SupervisionError(f"state_dir: no place for a socket in {private}: {error.strerror}") from None
    # Anybody may have made that name in a shared directory before.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SupervisionError(f"state_dir: {private} is not a private directory of this user; remove it")
    path = private / name
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise SupervisionError(f"state_dir: {state_dir} is too long for a unix socket, and so is TMPDIR")
    return path


class StateDirectory:
    """A prepared and locked state directory. `lock_fd` may be inherited by processes that write in it."""

    def __init__(self, path: Path) -> None:
        """Make the directory when missing and lock it. Raises SupervisionError."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.run.mkdir(mode=0o700, exist_ok=True)
            self.lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SupervisionError(f"state_dir: cannot use {path}: {error.strerror}") from None
        self._lock()

    @property
    def run(self) -> Path:
        """Directory for what belongs to one run."""
        return self.path / "run"

    @property
    def redis(self) -> Path:
        """Directory of the embedded Redis."""
        return self.path / "redis"

    def close(self) -> None:
        """Give the lock up."""
        os.close(self.lock_fd)

    def socket_path(self, name: str) -> Path:
        """Where a unix socket called `name` goes: here, or in a private directory when the path is too long."""
        return socket_path(self.path, name)

    def root_credentials(self) -> RootCredentials:
        """The generated root credentials; made and kept at the first call. Raises SettingsError."""
        path = self.path / ROOT_CREDENTIALS_FILE
        pair = read_root_credentials(path)
        if pair is not None:
            return RootCredentials(*pair, new=False)
        made = RootCredentials(
            "".join(secrets.choice(_KEY_CHARACTERS) for _ in range(20)),
            "".join(secrets.choice(_SECRET_CHARACTERS) for _ in range(40)),
            new=True,
        )
        document = {"access_key": made.access_key, "secret_key": made.secret_key}
        self._keep(path, json.dumps(document, indent=2) + "\n")
        return made

    def ensure_master_key(self) -> None:
        """Generate the master key unless an earlier start did. Raises SupervisionError."""
        try:
            ensure_key_file(self.path / MASTER_KEY_FILE)
        except MasterKeyError as error:
            raise SupervisionError(f"state_dir: {error}") from None

    def _keep(self, path: Path, text: str) -> None:
        """Write a private file whole or not at all, on disk when this returns."""
        temporary = path.with_name(path.name + ".new")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise SupervisionError(f"state_dir: cannot write {path}: {error.strerror}") from None

    def _lock(self) -> None:
        """Take the lock. A holder that just died may leave children that end within moments: wait for those."""
        give_up = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(self.lock_fd, 32, 0).decode("ascii", "replace").strip()
                if _alive(holder) or time.monotonic() > give_up:
                    os.close(self.lock_fd)
                    text = f"state_dir: {self.path} is in use by another gateway (process {holder or 'unknown'})"
                    raise SupervisionError(text) from None
                time.sleep(0.05)
        os.ftruncate(self.lock_fd, 0)
        os.pwrite(self.lock_fd, f"{os.getpid()}\n".encode("ascii"), 0)


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
