"""EOS's namespace: what the plugin asks of it, as calls with the contract's errors.

All paths are absolute and without a slash at their end. Each call acts as a `Role`, which is never 0:0: EOS takes that
for no role at all, and acts as root (MD) or as the account of the key (the others).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import grpc

from backends.api import KeyNotStorable, NoSuchBucket, PermissionDenied, StorageUnavailable
from backends.eos.channel import Channels, Uncertain
from backends.eos.failures import Exists, InUse, Missing, NotEmpty, StateRefused, raise_for
from backends.eos.interfaces import Entry, Role
from backends.eos.options import Options
from backends.eos.proto import namespace_pb2 as rpc

DIRECTORY_MODE: Final = 0o755
_SECOND: Final = 1_000_000_000
_MISSING: Final = ("no such file", "not a directory", "does not exist")
_TRIES: Final = 10
_SLAVES: Final = 8
"""How often in one call another MGM is asked because one may not write. A new master may still be on its way up."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0

# The length of a checksum's value; EOS pads it with zeros to 32 bytes.
_DIGEST: Final = {
    "adler32": 4, "crc32": 4, "crc32c": 4, "crc64": 8, "xxhash64": 8, "hwh64": 8, "md5": 16, "sha1": 20, "sha256": 32,
    "blake3": 32,
}  # fmt: skip


class Namespace:
    """The MGM's gRPC service."""

    def __init__(self, options: Options, channels: Channels) -> None:
        self._options: Final = options
        self._channels: Final = channels
        self._key: Final = options.authkey
        self._service: Final = (options.service.uid, options.service.gid)

    # -- looking

    def stat(self, role: Role, path: str) -> Entry | None:
        """The file or directory at a path, links followed; None when there is none. Raises `PermissionDenied`."""
        try:
            answer = self._look(role, path, rpc.STAT)
        except Missing:
            return None
        return None if answer is None else entry_of(answer)

    def file_by_id(self, role: Role, fid: int) -> Entry | None:
        """The file of this id, wherever it is."""
        try:
            answer = self._look(role, "", rpc.FILE, fid)
        except Missing:
            return None
        return None if answer is None else entry_of(answer)

    def _look(self, role: Role, path: str, kind: Any, number: int = 0) -> Any:
        identity = rpc.MDId(id=number, type=kind) if number else rpc.MDId(path=path.encode())
        request = rpc.MDRequest(type=kind, id=identity, authkey=self._key, role=rpc.RoleId(uid=role.uid, gid=role.gid))
        try:
            return self._channels.call("MD", request, repeatable=True)
        except grpc.RpcError as error:
            text = (error.details() or "").lower()
            if kind == rpc.STAT and error.code() is grpc.StatusCode.UNKNOWN and not text:
                # "Missing" nearly always has a text. Without one the question is asked so that it cannot be mistaken.
                return self._look(role, path, rpc.FILE) or self._look(role, path, rpc.CONTAINER)
            self._raise_for_status(role, error)

    def find(self, role: Role, path: str, *, pattern: str = "") -> list[Entry]:
        """What a directory holds, itself not included, in no order. Raises `Missing`, `PermissionDenied`.

        With `pattern`, only names in which that POSIX extended regular expression is found.
        """
        request = self._find_request(role, path, rpc.LISTING)
        if pattern:
            chosen = pattern.encode()
            request.selection.CopyFrom(rpc.MDSelection(select=True, regexp_filename=chosen, regexp_dirname=chosen))
        try:
            answers = self._channels.find(request)
        except grpc.RpcError as error:
            self._raise_for_status(role, error)
        start = path + "/"
        entries = [entry_of(answer) for answer in answers]
        return [entry for entry in entries if not (entry.directory and entry.path + "/" == start)]

    def holds(self, role: Role, path: str, *, ignoring: tuple[str, ...]) -> bool:
        """Whether a directory directly holds a file whose name begins with none of `ignoring`. Raises like `find`."""

        def counts(answer: Any) -> bool:
            return bool(answer.type == rpc.FILE and not answer.fmd.name.decode("utf-8", "replace").startswith(ignoring))

        try:
            return self._channels.first(self._find_request(role, path, rpc.FILE), counts)
        except grpc.RpcError as error:
            self._raise_for_status(role, error)

    def _find_request(self, role: Role, path: str, kind: Any) -> rpc.FindRequest:
        return rpc.FindRequest(
            type=kind,
            id=rpc.MDId(path=path.encode()),
            authkey=self._key,
            role=rpc.RoleId(uid=role.uid, gid=role.gid),
            maxdepth=1,
        )

    def is_sudoer(self, timeout: float) -> bool:
        """Whether the key's account may act for others. Raises `StorageUnavailable`."""
        try:
            answer = self._channels.call(
                "NsStat", rpc.NsStatRequest(authkey=self._key), repeatable=True, timeout=timeout
            )
        except grpc.RpcError as error:
            raise StorageUnavailable(f"EOS refuses NsStat: {error.details()}") from None
        return bool(answer.code == 0)

    # -- changing

    def make_directory(self, role: Role, path: str) -> bool:
        """Make one directory; False when there is one already. Raises `Missing` (the parent), `Exists` (a file).

        EOS makes it and then changes its mode. Where an access list has `!m` it refuses the second step, and says EPERM
        of a directory that it has made.
        """
        request = rpc.NSRequest.MkdirRequest(id=_at(path), mode=DIRECTORY_MODE)
        for _ in range(_TRIES):
            try:
                self._exec(role, mkdir=request)
            except (Exists, Uncertain, PermissionDenied) as error:
                found = self.stat(role, path)
                if found is None:
                    if isinstance(error, PermissionDenied):
                        raise
                    # Somebody who removes empty directories was here between the two looks.
                    continue
                if not found.directory:
                    raise Exists(path) from None
                return False
            return True
        raise StorageUnavailable(f"a directory comes and goes: {path}", retry_after=1)

    def make_directories(self, role: Role, path: str, *, below: str) -> None:
        """Make a directory and its parents, down from `below`, which must exist: else `NoSuchBucket`.

        Raises `Exists` with the path of a file that is in the way. mkdir's own recursion is not used: it would make
        `below` too, and it changes the mode of what is there.
        """
        if path == below:
            # A file cannot have been refused for want of this directory unless that has gone.
            if self.stat(role, below) is None:
                raise NoSuchBucket(below)
            return
        try:
            self.make_directory(role, path)
        except Missing:
            self.make_directories(role, path.rpartition("/")[0], below=below)
            try:
                self.make_directory(role, path)
            except Missing:
                # Somebody removes empty directories at this moment. The caller begins again.
                return

    def remove_directory(self, role: Role, path: str) -> bool:
        """Remove an empty directory; False when it is missing, not empty, a quota node, or may not be removed."""
        try:
            self._exec(role, repeatable=True, rmdir=rpc.NSRequest.RmdirRequest(id=_at(path)))
        except (Missing, NotEmpty, InUse, PermissionDenied, StateRefused):
            return False
        return True

    def unlink(self, role: Role, path: str) -> bool:
        """Remove a file; False when there was none. Raises `NotAFile` for a directory.

        A repetition after a broken connection may remove what another writer has put there in between: for S3 both
        happened at once, so either order is one.
        """
        try:
            self._exec(role, repeatable=True, unlink=rpc.NSRequest.UnlinkRequest(id=_at(path)))
        except Missing:
            return False
        return True

    def remove_by_id(self, role: Role, fid: int) -> None:
        """Remove a file by its id, wherever it is; a missing one is no error.

        `unlink` takes no file's id, so this is the console's `rm`, which expands wildcards in the name that the file
        has: the caller makes sure that there are none.
        """
        request = rpc.NSRequest.RmRequest(id=rpc.MDId(id=fid, type=rpc.FILE), noglobbing=True)
        try:
            self._exec(role, repeatable=True, rm=request)
        except (Missing, PermissionDenied):
            # Of an id that is unknown EOS says that only root may remove what is pending.
            if self.file_by_id(role, fid) is not None:
                raise

    def touch(self, role: Role, path: str) -> None:
        """Make a file that never has data, if it is not there."""
        self._exec(role, repeatable=True, touch=rpc.NSRequest.TouchRequest(id=_at(path)))

    def rename(self, role: Role, path: str, target: str) -> None:
        """Rename a file; never overwrites. Raises `Missing`, `Exists`.

        A target that is a directory would take the file in: the caller makes sure that it is none, and the answer is
        checked. EOS may also answer 0 without having renamed (stall rules): the text tells.
        """
        request = rpc.NSRequest.RenameRequest(id=_at(path), target=target.encode())
        try:
            text = self._exec(role, rename=request)
        except Uncertain:
            if self.stat(role, path) is not None or self.stat(role, target) is None:
                raise
            return
        if not text.startswith("info: renamed"):
            raise StorageUnavailable(f"EOS did not rename: {text}")

    def set_attributes(
        self,
        role: Role,
        target: str | int,
        values: Mapping[str, bytes] | None = None,
        remove: Sequence[str] = (),
        *,
        create: bool = False,
    ) -> None:
        """Set and remove `user.*` attributes by path, or by a file's id. One attribute changes in one step.

        With `create`, `Exists` when one is there already. Raises `Missing`, `NoAttribute`.
        """
        identity = _at(target) if isinstance(target, str) else rpc.MDId(id=target, type=rpc.FILE)
        request = rpc.NSRequest.SetXAttrRequest(
            id=identity, xattrs=dict(values or {}), keystodelete=list(remove), create=create
        )
        self._exec(role, repeatable=not (create or remove), xattr=request)

    def issue_token(self, role: Role, path: str, rights: str, expires: int) -> str:
        """A token for a directory and all below it, until `expires` (seconds since the epoch).

        Raises `PermissionDenied` when the role lacks the rights there, or the instance gives out no tokens.
        """
        content = rpc.ShareProto(path=path, permission=rights, expires=expires, allowtree=True)
        request = rpc.NSRequest.TokenRequest(token=rpc.ShareToken(token=content))
        return self._exec(role, repeatable=True, token=request)

    def _exec(self, role: Role, *, repeatable: bool = False, **command: Any) -> str:
        """Run a command; its text. Raises what its code means."""
        request = rpc.NSRequest(authkey=self._key, role=rpc.RoleId(uid=role.uid, gid=role.gid), **command)
        for attempt in range(_SLAVES):
            try:
                answer = self._channels.call("Exec", request, repeatable=repeatable)
            except grpc.RpcError as error:
                self._raise_for_status(role, error)
            outcome = answer.error
            if outcome.code != errno.EROFS or attempt == _SLAVES - 1 or len(self._options.grpc) == 1:
                break
            # A slave serves reads only, and has changed nothing.
            self._channels.next_mgm()
            time.sleep(min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE))
        if outcome.code:
            with self._blaming(role):
                raise_for(abs(outcome.code), outcome.msg)
        return str(outcome.msg)

    def _raise_for_status(self, role: Role, error: grpc.RpcError) -> NoReturn:
        with self._blaming(role):
            raise_for_status(error)
        raise AssertionError("unreachable")

    @contextmanager
    def _blaming(self, role: Role) -> Iterator[None]:
        """Tells what EOS refuses the gateway's own account from what it refuses a client's."""
        try:
            yield
        except PermissionDenied as error:
            if (role.uid, role.gid) == self._service:
                raise StateRefused(f"EOS refuses the gateway's own account: {error}") from None
            raise


def _at(path: str) -> rpc.MDId:
    return rpc.MDId(path=path.encode())


def raise_for_status(error: grpc.RpcError) -> NoReturn:
    """Raise what a failed MD or Find means: EOS puts an errno in the place of gRPC's status."""
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.PERMISSION_DENIED:
        raise PermissionDenied(text) from None
    if code is grpc.StatusCode.UNKNOWN and any(sign in text.lower() for sign in _MISSING):
        raise Missing(text) from None
    if code is grpc.StatusCode.UNKNOWN and "too long" in text.lower():
        raise KeyNotStorable(text) from None
    raise StorageUnavailable(f"EOS failed: {code.name} {text}") from None


def entry_of(answer: Any) -> Entry:
    """A message of MD or Find."""
    if answer.type == rpc.FILE:
        return _file(answer.fmd)
    found = answer.cmd
    return Entry(
        path=_text(found.path).rstrip("/"),
        id=found.id,
        directory=True,
        uid=found.uid,
        gid=found.gid,
        mtime=found.mtime.sec * _SECOND + found.mtime.n_sec,
        ctime=found.ctime.sec * _SECOND + found.ctime.n_sec,
        etag=found.etag,
        children=found.files + found.containers,
        attributes={name: value for name, value in found.xattrs.items() if name.startswith("user.")},
    )


def _file(found: Any) -> Entry:
    kind, digest = "", ""
    md5 = ""
    if found.checksums:
        first = found.checksums[0]
        kind, digest = _checksum(first.type, first.value)
        for other in found.checksums[1:]:
            if other.type == "md5":
                md5 = other.value.decode("ascii", "replace")
    else:
        kind, digest = _checksum(found.checksum.type, found.checksum.value)
    return Entry(
        path=_text(found.path),
        id=found.id,
        directory=False,
        uid=found.uid,
        gid=found.gid,
        size=found.size,
        mtime=found.mtime.sec * _SECOND + found.mtime.n_sec,
        ctime=found.ctime.sec * _SECOND + found.ctime.n_sec,
        etag=found.etag.strip('"'),
        layout=found.layout_id,
        replicas=len(found.locations),
        checksum=(kind, digest),
        md5=digest if kind == "md5" else md5,
        link=bool(found.link_name),
        attributes={name: value for name, value in found.xattrs.items() if name.startswith("user.")},
    )


def _checksum(kind: str, value: bytes) -> tuple[str, str]:
    length = _DIGEST.get(kind)
    return (kind, value[:length].hex()) if length and len(value) >= length else ("", "")


def _text(path: bytes) -> str:
    # Names that are no UTF-8 are no keys; the surrogates say so to whoever looks.
    return path.decode("utf-8", "surrogateescape")
