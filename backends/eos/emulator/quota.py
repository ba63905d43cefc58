"""Quota nodes: limits and use of bytes and files below a directory, by user, group and project."""

import errno
import json
from dataclasses import dataclass, field
from typing import Final

from backends.eos.emulator.entries import Container, File
from backends.eos.emulator.failures import EosError, unable_file
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.layouts import parsed
from backends.eos.emulator.namespace import Namespace

# Limits of this group are those of the whole node.
PROJECT_GID: Final = 99
_KEPT: Final = "quota nodes"


@dataclass(slots=True)
class Limits:
    """0 means that nothing is set."""

    bytes: int = 0
    files: int = 0


@dataclass(slots=True)
class Used:
    """Bytes are counted with all replicas, logical bytes once."""

    bytes: int = 0
    logical: int = 0
    files: int = 0


@dataclass(slots=True)
class Node:
    """One quota node. Keys are `u:UID` and `g:GID`; `g:99` is the project."""

    limits: dict[str, Limits] = field(default_factory=dict)
    used: dict[str, Used] = field(default_factory=dict)


class Quota:
    """The nodes of a namespace, by directory id. Use is counted with every change and once when loading."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._nodes: dict[int, Node] = {}
        for number, limits in json.loads(namespace.kept(_KEPT) or b"{}").items():
            self._nodes[int(number)] = Node({who: Limits(*pair) for who, pair in limits.items()})
        namespace.on_account = self._account
        for number in list(self._nodes):
            self._count(number)

    def node_of(self, container: Container) -> tuple[Container, Node] | None:
        """The nearest node at or above a directory."""
        if not self._nodes:
            return None
        for above in self._namespace.ancestors(container):
            if above.id in self._nodes:
                return above, self._nodes[above.id]
        return None

    def is_node(self, container: Container) -> bool:
        """Whether the directory itself is a node."""
        return container.id in self._nodes

    def nodes(self) -> list[tuple[Container, Node]]:
        """All nodes."""
        return [(self._namespace.container(number), node) for number, node in sorted(self._nodes.items())]

    def limit(self, container: Container, who: str, maxbytes: int | None, maxfiles: int | None) -> None:
        """Set limits of `u:UID` or `g:GID` at a directory, which becomes a node; None leaves one as it is."""
        fresh = container.id not in self._nodes
        node = self._nodes.setdefault(container.id, Node())
        limits = node.limits.setdefault(who, Limits())
        limits.bytes = limits.bytes if maxbytes is None else maxbytes
        limits.files = limits.files if maxfiles is None else maxfiles
        if fresh:
            # Files below belonged to a node further up until now.
            self._recount()
        self._keep()

    def unlimit(self, container: Container, who: str) -> bool:
        """Take away limits; False if there were none."""
        removed = container.id in self._nodes and self._nodes[container.id].limits.pop(who, None) is not None
        self._keep()
        return removed

    def remove(self, container: Container) -> bool:
        """Take away a node; False if there is none."""
        removed = self._nodes.pop(container.id, None) is not None
        self._recount()
        self._keep()
        return removed

    def check(self, who: Identity, container: Container, size: int, replicas: int, path: bytes) -> None:
        """Raise `EosError` with EDQUOT unless one more file of `size` bytes fits. Root is never refused."""
        found = self.node_of(container)
        if found is None or who.is_root:
            return
        node = found[1]
        personal = [key for key in (f"u:{who.uid}", f"g:{who.gid}") if key in node.limits and key != "g:99"]
        asked = personal or [key for key in ("g:99",) if key in node.limits]
        if not asked or any(self._exhausted(node, key, size * replicas) for key in asked):
            raise unable_file("get quota space - quota not defined or exhausted", errno.EDQUOT, path)

    def _exhausted(self, node: Node, key: str, size: int) -> bool:
        limits, used = node.limits[key], self.used(node, key)
        full = limits.bytes and (used.bytes >= limits.bytes or used.bytes + size > limits.bytes)
        return bool(full or (limits.files and used.files >= limits.files))

    def used(self, node: Node, key: str) -> Used:
        """What a user, a group or the project uses."""
        if key != f"g:{PROJECT_GID}":
            return node.used.get(key, Used())
        users = [used for name, used in node.used.items() if name.startswith("u:")]
        return Used(
            sum(used.bytes for used in users), sum(used.logical for used in users), sum(used.files for used in users)
        )

    def _account(self, file: File, sign: int) -> None:
        if self._nodes:
            found = self.node_of(self._namespace.container(file.parent))
            if found is not None:
                _add(found[1], file, sign)

    def _recount(self) -> None:
        for number in self._nodes:
            self._count(number)

    def _count(self, number: int) -> None:
        node = self._nodes[number]
        node.used = {}
        try:
            top = self._namespace.container(number)
        except EosError:
            del self._nodes[number]
            return
        self._add_below(top, node)

    def _add_below(self, container: Container, node: Node) -> None:
        for file in self._namespace.files_of(container):
            _add(node, file, 1)
        for directory in self._namespace.directories_of(container):
            if directory.id not in self._nodes:
                self._add_below(directory, node)

    def _keep(self) -> None:
        limits = {
            number: {who: [limits.bytes, limits.files] for who, limits in node.limits.items()}
            for number, node in self._nodes.items()
        }
        self._namespace.keep(_KEPT, json.dumps(limits).encode())


def _add(node: Node, file: File, sign: int) -> None:
    for key in (f"u:{file.uid}", f"g:{file.gid}"):
        used = node.used.setdefault(key, Used())
        used.bytes += sign * file.size * parsed(file.layout).replicas
        used.logical += sign * file.size
        used.files += sign
