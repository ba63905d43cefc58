"""Exec: token and quota."""

import dataclasses
import errno
import json
from typing import Final

from backends.eos.emulator.commands import Command, done
from backends.eos.emulator.entries import Container
from backends.eos.emulator.failures import EosError, printable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.paths import normalised, split
from backends.eos.emulator.permissions import BROWSE
from backends.eos.emulator.quota import PROJECT_GID, Limits, Node
from backends.eos.emulator.tokens import Token
from backends.eos.proto import namespace_pb2 as rpc

YEAR: Final = 366 * 86400
_ORDINARY_PERMISSIONS: Final = frozenset("rxwd!+")


def _token(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.token.token.token
    if asked.vtoken:
        return done(json.dumps(dataclasses.asdict(instance.tokens.inspected(asked.vtoken))))
    if not instance.quirks.token_generation:
        raise EosError(errno.EPERM, "error: change the generation value != 0 to enable token creation")
    if who.token is not None:
        raise EosError(errno.EACCES, "error: tokens cannot be issued with a token")
    now = instance.seconds()
    if asked.expires <= now or (asked.expires > now + YEAR and not who.is_root):
        raise EosError(errno.EINVAL, "error: tokens are valid for at most a year, and not in the past")
    if not who.is_root and not set(asked.permission) <= _ORDINARY_PERMISSIONS:
        raise EosError(errno.EPERM, "error: only the permissions r, x, w, d, ! and + can be given")
    path = normalised(asked.path.encode("utf-8", "surrogateescape"))
    if not who.is_root and not _holds(instance, who, path, asked.permission):
        raise EosError(errno.EACCES, f"error: you do not have these rights on '{printable(path)}'")
    user = instance.identities.directory.numbered(who.uid)
    token = Token(
        path=asked.path,
        permission=asked.permission,
        expires=asked.expires,
        owner=asked.owner if who.is_root and asked.owner else user.name if user else str(who.uid),
        group=asked.group if who.is_root and asked.group else str(who.gid),
        generation=instance.quirks.token_generation,
        allowtree=asked.allowtree,
        origins=tuple((origin.host or ".*", origin.name or ".*", origin.prot or ".*") for origin in asked.origins),
    )
    return done(instance.tokens.signed(token))


def _holds(instance: Instance, who: Identity, path: bytes, permission: str) -> bool:
    """Whether somebody has the rights on the path that a token would give."""
    namespace, access = instance.namespace, instance.access
    entry = namespace.lookup(path) or namespace.lookup(split(path)[0])
    if entry is None:
        return False
    container = access.directory_of(entry)
    file = None if isinstance(entry, Container) else entry
    checks = {
        "r": access.reads(who, container, file, path),
        "w": access.creates(who, container, path),
        "x": access.looks(who, container, BROWSE, path),
        "d": access.deletes(who, container, path),
    }
    return all(checks.get(letter, True) for letter in permission)


def _quota(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.quota
    reply = rpc.NSResponse.QuotaResponse()
    try:
        with instance.namespace.transaction():
            if asked.op == rpc.GET:
                _quota_get(instance, who, asked, reply)
            else:
                _quota_change(instance, who, asked)
                reply.msg = "success: quota changed"
    except EosError as error:
        reply.code, reply.msg = -error.code, f"Quota Command Failed: {error.text}"
    return rpc.NSResponse(quota=reply)


def _quota_get(
    instance: Instance, who: Identity, asked: rpc.NSRequest.QuotaRequest, reply: rpc.NSResponse.QuotaResponse
) -> None:
    """The nodes for a path, or all; of each the entries of the asked id, or all that the caller may see."""
    nodes = instance.quota.nodes()
    if asked.path:
        path = normalised(asked.path, privileged=who.is_root)
        found = instance.quota.node_of(instance.namespace.directory(path))
        nodes = [found] if found is not None else []
    wanted = _wanted(instance, asked.id)
    for container, node in nodes:
        keys = [key for key in sorted({*node.limits, *node.used}) if wanted is None or key in wanted]
        if wanted is None and not who.is_admin:
            keys = [key for key in keys if key in (f"u:{who.uid}", f"g:{who.gid}", f"g:{PROJECT_GID}")]
        reply.quotanode.extend(_described(instance, container, node, key) for key in keys)


def _wanted(instance: Instance, role: rpc.RoleId) -> set[str] | None:
    directory = instance.identities.directory
    uid = directory.uid_of(role.username) if role.username else role.uid or None
    gid = directory.gid_of(role.groupname) if role.groupname else role.gid or None
    keys = {f"{kind}:{number}" for kind, number in (("u", uid), ("g", gid)) if number is not None}
    return keys | {f"g:{PROJECT_GID}"} if keys else None


def _described(instance: Instance, container: Container, node: Node, key: str) -> rpc.QuotaProto:
    limits, used = node.limits.get(key, Limits()), instance.quota.used(node, key)
    kind, _, number = key.partition(":")
    project = key == f"g:{PROJECT_GID}"
    user = instance.identities.directory.numbered(int(number)) if kind == "u" else None
    return rpc.QuotaProto(
        path=instance.namespace.path(container),
        name="project" if project else user.name if user else number,
        type=rpc.PROJECT if project else rpc.USER if kind == "u" else rpc.GROUP,
        usedbytes=used.bytes,
        usedlogicalbytes=used.logical,
        usedfiles=used.files,
        maxbytes=limits.bytes,
        maxlogicalbytes=limits.bytes,
        maxfiles=limits.files,
        percentageusedbytes=100.0 * used.bytes / limits.bytes if limits.bytes else 0.0,
        percentageusedfiles=100.0 * used.files / limits.files if limits.files else 0.0,
        statusbytes=_status(used.bytes, limits.bytes),
        statusfiles=_status(used.files, limits.files),
    )


def _status(used: int, limit: int) -> str:
    if not limit:
        return "ignored"
    return "exceeded" if used >= limit else "warning" if used > 0.9 * limit else "ok"


def _quota_change(instance: Instance, who: Identity, asked: rpc.NSRequest.QuotaRequest) -> None:
    container = instance.namespace.directory(normalised(asked.path, privileged=who.is_root))
    if not who.is_admin and not instance.access.rights(who, container).grants("q"):
        raise EosError(errno.EPERM, "error: you are not a quota administrator")
    if asked.op == rpc.RMNODE:
        if not instance.quota.remove(container):
            raise EosError(errno.EINVAL, "error: there is no such quota node")
        return
    keys = sorted((_wanted(instance, asked.id) or set()) - {f"g:{PROJECT_GID}"}, reverse=True)
    if asked.id.gid == PROJECT_GID:
        keys = [f"g:{PROJECT_GID}"]
    if not keys:
        raise EosError(errno.EINVAL, "error: neither a user nor a group is given")
    if asked.op == rpc.RM:
        if not instance.quota.unlimit(container, keys[0]):
            raise EosError(errno.EINVAL, "error: there is no such quota")
        return
    maxbytes = asked.maxbytes if asked.entry == rpc.VOLUME or (asked.entry == rpc.NONE and asked.maxbytes) else None
    maxfiles = asked.maxfiles if asked.entry == rpc.INODE or (asked.entry == rpc.NONE and asked.maxfiles) else None
    instance.quota.limit(container, keys[0], maxbytes, maxfiles)


COMMANDS: Final[dict[str, Command]] = {"token": _token, "quota": _quota}
