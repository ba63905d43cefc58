"""What the MGM does when a file is opened: checks, side effects, and the capability for the FST."""

import errno
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backends.eos.emulator import layouts, paths, removal, versions, xattrs
from backends.eos.emulator.capabilities import LIFETIME, Capability
from backends.eos.emulator.entries import SECOND, Container, File
from backends.eos.emulator.failures import EosError, NotFound, printable, unable_file
from backends.eos.emulator.faults import Call
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance

FILE_MODE: Final = 0o644
# Accounts up to this uid may update erasure-coded files.
LAST_PRIVILEGED: Final = 3


class PreconditionFailed(Exception):
    """`If-Match` names another ETag than the file has."""


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """An open for writing. `size` was announced (0: nothing was), `partial` is a range PUT, `query` the opaque."""

    size: int = 0
    partial: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    if_match: str = ""


def open_for_reading(instance: Instance, who: Identity, path: bytes, tried: str = "") -> tuple[File, Capability | None]:
    """The file and the capability to read it, None when it is empty. Raises `EosError`."""
    namespace = instance.namespace
    with namespace.transaction():
        try:
            file = namespace.find(path)
        except EosError as error:
            raise unable_file("open file", error.code, path) from error
        if isinstance(file, Container):
            raise unable_file("open file", errno.EISDIR, path)
        if not instance.access.reads(who, namespace.container(file.parent), file, path):
            raise unable_file("open file", errno.EACCES, path)
        if file.size == 0:
            return file, None
        fsids = instance.placement.readable(file.locations, tried.split(","))
        if not fsids or instance.faults.take("replica_offline", Call("mgm.GET", path, who.uid)):
            raise unable_file("open file", errno.ENETUNREACH, path)
        return file, _capability(instance, who, file, path, "read", fsids)


def open_for_writing(instance: Instance, who: Identity, path: bytes, request: WriteRequest) -> Capability:
    """The capability to write, after all side effects of the open.

    Raises `EosError`, `PreconditionFailed`.
    """
    namespace = instance.namespace
    with namespace.transaction():
        parent, name, existing = _place(instance, path)
        if request.if_match and (existing is None or request.if_match != layouts.file_etag(existing)):
            raise PreconditionFailed
        _check_rights(instance, who, parent, existing, path, request)
        layout = _layout(parent, instance.layout, request.query)
        instance.quota.check(who, parent, request.size, layout.replicas, path)
        if instance.faults.take("quota", Call("mgm.PUT", path, who.uid)):
            raise unable_file("get quota space - quota not defined or exhausted", errno.EDQUOT, path)
        max_size = _number(xattrs.forced(parent, "maxsize"))
        if max_size and request.size > max_size:
            raise unable_file("open file - the size exceeds the directory's maximum", errno.ENOSPC, path)
        if request.partial and existing is not None:
            return _update(instance, who, existing, path, request)
        return _create(instance, who, parent, name, existing, path, layout, request)


def _place(instance: Instance, path: bytes) -> tuple[Container, bytes, File | None]:
    """The directory, the name and the file that are meant; a link at the end is followed."""
    namespace = instance.namespace
    parent_path, name = paths.split(path)
    try:
        parent = namespace.directory(parent_path)
        if not name:
            raise EosError(errno.EISDIR, "")
        found = namespace.child(parent, name)
        if isinstance(found, File) and found.link:
            found = namespace.find(path)
            parent, name = namespace.container(found.parent), found.name
    except NotFound as error:
        raise unable_file("open file - the parent does not exist", errno.ENOENT, path) from error
    except EosError as error:
        raise unable_file("open file", error.code, path) from error
    if isinstance(found, Container):
        raise unable_file("open file", errno.EISDIR, path)
    return parent, name, found


def _check_rights(
    instance: Instance, who: Identity, parent: Container, existing: File | None, path: bytes, request: WriteRequest
) -> None:
    access = instance.access
    if existing is None:
        allowed = access.creates(who, parent, path)
    else:
        allowed = access.updates(who, parent, existing, path)
    if not allowed:
        raise unable_file("open file", errno.EACCES, path)
    if not (request.partial and existing is not None):
        return
    coded = layouts.parsed(existing.layout).erasure_coded and not instance.quirks.rain_update
    call = Call("mgm.PUT", path, who.uid)
    refused = existing.size > 0 and who.uid > LAST_PRIVILEGED
    if refused and (coded or instance.faults.take("rain_layout", call)):
        raise EosError(
            errno.EPERM,
            "Unable to update RAIN layout file - you have to be a priviledged user for updates"
            f" {printable(path)}; Operation not permitted",
        )


def _update(instance: Instance, who: Identity, file: File, path: bytes, request: WriteRequest) -> Capability:
    fsids = list(file.locations)
    offline = len(instance.placement.online(fsids)) < len(fsids)
    if instance.faults.take("replica_offline", Call("mgm.PUT", path, who.uid)):
        offline = True
    if offline and file.size > 0:
        raise unable_file("open file", errno.ENETUNREACH, path)
    if offline or not fsids:
        # Nothing was stored yet: the file is placed anew. Only a commit attaches the place.
        fsids = instance.placement.choose(layouts.parsed(file.layout), path, _tried(request))
    return _capability(instance, who, file, path, "update", fsids, request)


def _create(
    instance: Instance,
    who: Identity,
    parent: Container,
    name: bytes,
    existing: File | None,
    path: bytes,
    layout: layouts.Layout,
    request: WriteRequest,
) -> Capability:
    namespace = instance.namespace
    fsids = instance.placement.choose(layout, path, _tried(request))
    count = _number(request.query.get("eos.versioning", "")) or xattrs.number(parent, "versioning")
    atomic = request.query.get("eos.atomic") == "1" or xattrs.forced(parent, "atomic") == "1"
    kept: dict[str, bytes] = {}
    if existing is not None and not atomic:
        if count:
            kept = {key: value for key, value in existing.xattrs.items() if not key.startswith("sys.")}
            versions.keep(instance, existing, count)
        else:
            removal.discard(instance, existing, replaced=True)
    hidden = name
    if atomic:
        prefix = paths.ATOMIC_VERSION_PREFIX if count else paths.ATOMIC_PREFIX
        hidden = prefix + name + b"." + str(uuid.UUID(int=instance.random.getrandbits(128))).encode()
    owner = instance.access.acting(who, parent)
    file = namespace.add_file(parent, hidden, owner.uid, owner.gid, FILE_MODE)
    if atomic:
        instance.uploads.setdefault((parent.id, name), set()).add(file.id)
    file.layout = layout.code
    file.xattrs.update(kept)
    file.xattrs.update(xattrs.from_query(request.query.get("eos.xattr", "")))
    file.xattrs["sys.fs.tracking"] = b"".join(b"+%d" % fsid for fsid in fsids)
    if "eos.etag" in request.query:
        file.xattrs["sys.tmp.etag"] = request.query["eos.etag"].encode("utf-8", "surrogateescape")
    if "eos.mtime" in request.query:
        file.mtime = nanoseconds(request.query["eos.mtime"])
    if "eos.ctime" in request.query:
        file.ctime = nanoseconds(request.query["eos.ctime"])
    if request.size == 0:
        file.locations = list(fsids)
        file.checksum = layouts.empty_checksum(layout.checksum)
    return _capability(
        instance, who, file, path, "create", fsids, request, parent=parent, atomic=name if atomic else b"", count=count
    )


def _capability(
    instance: Instance,
    who: Identity,
    file: File,
    path: bytes,
    access: str,
    fsids: list[int],
    request: WriteRequest | None = None,
    *,
    parent: Container | None = None,
    atomic: bytes = b"",
    count: int = 0,
) -> Capability:
    request = request or WriteRequest()
    parent = parent or instance.namespace.container(file.parent)
    expired = instance.faults.take("cap_expired", Call("mgm.GET" if access == "read" else "mgm.PUT", path, who.uid))
    asked = parent.xattrs.get("sys.altxs", b"").decode("utf-8", "replace")
    forced_mtime = request.query.get("eos.mtime", "")
    return Capability(
        access=access,
        fid=file.id,
        path=path,
        uid=who.uid,
        gid=who.gid,
        layout=file.layout,
        fsids=fsids,
        valid=instance.seconds() + (-1 if expired is not None else LIFETIME),
        nonce=f"{instance.random.getrandbits(96):024x}",
        ctime=file.ctime,
        etag=layouts.file_etag(file),
        mtime=file.mtime if access == "read" else nanoseconds(forced_mtime) if forced_mtime else 0,
        size=file.size,
        target=request.size,
        min_size=_number(xattrs.forced(parent, "minsize")),
        max_size=_number(xattrs.forced(parent, "maxsize")),
        atomic=atomic,
        versions=count,
        checksum=request.query.get("eos.checksum", "").lower(),
        altxs=[kind.strip() for kind in asked.split(",") if kind.strip()] if instance.quirks.altxs else [],
    )


def _layout(parent: Container, default: layouts.Layout, query: Mapping[str, str]) -> layouts.Layout:
    """The instance's layout, or what the request asks for, or what the directory forces."""

    def chosen(name: str) -> str:
        return xattrs.forced(parent, name) or query.get(f"eos.layout.{name}", "")

    kind = xattrs.forced(parent, "layout") or query.get("eos.layout.type", "")
    checksum, stripes = chosen("checksum"), _number(chosen("nstripes"))
    kind = kind if kind in layouts.LAYOUT_TYPES else default.type
    if not stripes:
        stripes = default.stripes if kind == default.type else 1 if kind == "plain" else 2
    checksum = checksum if checksum in layouts.CHECKSUM_TYPES[1:] else default.checksum
    return layouts.Layout(kind, checksum, 1 if kind == "plain" else stripes)


def _tried(request: WriteRequest) -> list[str]:
    return request.query.get("tried", "").split(",")


def nanoseconds(text: str) -> int:
    """A time such as `1700000000` or `1700000000.5`. Raises `EosError` with EINVAL."""
    seconds, _, fraction = text.partition(".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()):
        raise EosError(errno.EINVAL, f"error: invalid time '{text}'")
    return int(seconds) * SECOND + int(fraction[:9].ljust(9, "0"))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
