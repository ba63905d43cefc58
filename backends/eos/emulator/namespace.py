"""The tree: directories and files by id, kept in memory and written through to the store."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from backends.eos.emulator import paths
from backends.eos.emulator.accounting import Accounting
from backends.eos.emulator.entries import FIRST_FILE_ID, ROOT_ID, Container, Entry, File, directory_mode
from backends.eos.emulator.failures import EosError, NotFound
from backends.eos.emulator.quirks import Quirks
from backends.eos.emulator.store import Store

MAX_LINKS: Final = 40


class Namespace:
    """The tree and its lock. Whoever changes something does it inside `transaction()`, which writes it to disk.

    Entries are shared objects: a reader without the lock must copy what it needs. Permissions are none of its business.
    """

    def __init__(self, store: Store, quirks: Quirks, clock: Callable[[], int], seed: int) -> None:
        """Load the tree of `store`, or plant a root. `clock` gives nanoseconds; `seed` fixes the order of listings."""
        self._store = store
        self._quirks = quirks
        self.clock = clock
        self._salt = seed.to_bytes(8, "big", signed=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._changed: dict[tuple[type[Entry], int], Entry] = {}
        self._removed: set[tuple[type[Entry], int]] = set()
        self._values: dict[str, bytes] = {}
        self._containers: dict[int, Container] = {container.id: container for container in store.containers()}
        self._files: dict[int, File] = {file.id: file for file in store.files()}
        self._directories_in: dict[int, dict[bytes, int]] = {number: {} for number in self._containers}
        self._files_in: dict[int, dict[bytes, int]] = {number: {} for number in self._containers}
        for container in self._containers.values():
            if container.id != ROOT_ID:
                self._directories_in[container.parent][container.name] = container.id
        self.accounting = Accounting(self._containers, clock)
        for file in self._files.values():
            self._files_in[file.parent][file.name] = file.id
            self.accounting.add(file.parent, file.size)
        self._last_container = max(int(store.value("last container") or b"0"), *self._containers, ROOT_ID)
        self._last_file = max(int(store.value("last file") or b"0"), *self._files, FIRST_FILE_ID - 1)
        # Called with every file that joins (+1) or leaves (-1) a directory, or before and after it changes its size.
        self.on_account: Callable[[File, int], None] = lambda file, sign: None
        # Called with every file that is gone for good.
        self.on_drop: Callable[[File], None] = lambda file: None
        if not self._containers:
            self._plant()

    def _plant(self) -> None:
        now = self.clock()
        with self.transaction():
            root = Container(ROOT_ID, ROOT_ID, b"", 0, 0, directory_mode(0o755), now, now, now)
            self._containers[ROOT_ID] = root
            self._directories_in[ROOT_ID] = {}
            self._files_in[ROOT_ID] = {}
            self.changed(root)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock; whatever was marked as changed is on disk afterwards, also when the block raised."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and (self._changed or self._removed or self._values):
                    changed, removed, values = self._changed, self._removed, self._values
                    self._changed, self._removed, self._values = {}, set(), {}
                    self._store.write(changed.values(), removed, values)

    def changed(self, entry: Entry) -> None:
        """Have this entry written."""
        self._changed[type(entry), entry.id] = entry

    def keep(self, name: str, value: bytes) -> None:
        """Have a named value written."""
        self._values[name] = value

    def kept(self, name: str) -> bytes | None:
        """A named value that was written earlier."""
        return self._values.get(name, self._store.value(name))

    @property
    def root(self) -> Container:
        """The directory `/`."""
        return self._containers[ROOT_ID]

    def totals(self) -> tuple[int, int, int, int]:
        """Number of files, number of directories, last file id, last directory id."""
        return len(self._files), len(self._containers), self._last_file, self._last_container

    # Look-up

    def container(self, number: int) -> Container:
        """A directory by id. Raises `NotFound`."""
        try:
            return self._containers[number]
        except KeyError:
            raise NotFound(errno.ENOENT, "No such file or directory") from None

    def file(self, number: int) -> File:
        """A file by id. Raises `NotFound`."""
        try:
            return self._files[number]
        except KeyError:
            raise NotFound(errno.ENOENT, "No such file or directory") from None

    def child(self, container: Container, name: bytes) -> Entry | None:
        """The entry `name` of a directory, links not followed."""
        number = self._files_in[container.id].get(name)
        if number is not None:
            return self._files[number]
        number = self._directories_in[container.id].get(name)
        return None if number is None else self._containers[number]

    def find(self, path: bytes, *, follow: bool = True) -> Entry:
        """The entry at a normalised path; links on the way are followed, the last one if `follow`.

        Raises `NotFound` when something is missing, `EosError` with ENOTDIR or ELOOP.
        """
        with self._lock:
            return self._walk(path, follow, 0)

    def _walk(self, path: bytes, follow: bool, links: int) -> Entry:
        entry: Entry = self.root
        names = [name for name in path.split(b"/") if name]
        for position, name in enumerate(names):
            if not isinstance(entry, Container):
                raise EosError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            found = self.child(entry, name)
            if found is None:
                raise NotFound(errno.ENOENT, "No such file or directory")
            if isinstance(found, File) and found.link and (follow or position + 1 < len(names)):
                if links >= MAX_LINKS:
                    raise EosError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = found.link if found.link.startswith(b"/") else self.path(entry) + found.link
                found = self._walk(paths.normalised(target, privileged=True), True, links + 1)
                links += 1
            entry = found
        return entry

    def lookup(self, path: bytes, *, follow: bool = True) -> Entry | None:
        """As `find`, with None for what is missing."""
        try:
            return self.find(path, follow=follow)
        except NotFound:
            return None

    def directory(self, path: bytes) -> Container:
        """The directory at a normalised path. Raises `NotFound`, or `EosError` with ENOTDIR."""
        entry = self.find(path)
        if not isinstance(entry, Container):
            raise EosError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return entry

    def path(self, entry: Entry) -> bytes:
        """The full path; a directory's ends with a slash."""
        with self._lock:
            names = [entry.name] if isinstance(entry, File) else [b"", entry.name]
            number = entry.parent
            while number != ROOT_ID:
                above = self._containers[number]
                names.append(above.name)
                number = above.parent
        return b"/" if entry is self.root else b"/" + b"/".join(reversed(names))

    def ancestors(self, container: Container) -> Iterator[Container]:
        """The directory, its parent and so on up to the root."""
        while True:
            yield container
            if container.id == ROOT_ID:
                return
            container = self._containers[container.parent]

    def files_of(self, container: Container) -> list[File]:
        """A directory's files in the order that listings give."""
        with self._lock:
            return [self._files[number] for number in self._ordered(self._files_in.get(container.id, {}))]

    def directories_of(self, container: Container) -> list[Container]:
        """A directory's subdirectories in the order that listings give."""
        with self._lock:
            return [self._containers[number] for number in self._ordered(self._directories_in.get(container.id, {}))]

    def counts(self, container: Container) -> tuple[int, int]:
        """How many files and how many directories are in it, hidden ones too."""
        return len(self._files_in[container.id]), len(self._directories_in[container.id])

    def is_empty(self, container: Container) -> bool:
        """Whether nothing is in it, nothing hidden either."""
        return self.counts(container) == (0, 0)

    def below(self, container: Container) -> Iterator[Entry]:
        """Everything in the subtree, each directory before what is in it; not the directory itself."""
        yield from self.files_of(container)
        for directory in self.directories_of(container):
            yield directory
            yield from self.below(directory)

    def _ordered(self, children: dict[bytes, int]) -> list[int]:
        if self._quirks.order == "insertion":
            return list(children.values())
        if self._quirks.order == "sorted":
            return [children[name] for name in sorted(children)]
        hashes = {name: hashlib.blake2b(name, digest_size=8, key=self._salt).digest() for name in children}
        return [children[name] for name in sorted(children, key=hashes.__getitem__)]

    # Changes

    def add_container(
        self, parent: Container, name: bytes, uid: int, gid: int, mode: int, xattrs: dict[str, bytes], number: int = 0
    ) -> Container:
        """A new empty directory. `number` asks for an id, otherwise it is the next one."""
        now = self.clock()
        self._last_container = max(self._last_container, number) if number else self._last_container + 1
        self.keep("last container", b"%d" % self._last_container)
        made = Container(
            number or self._last_container, parent.id, name, uid, gid, directory_mode(mode), now, now, now, dict(xattrs)
        )
        self._containers[made.id] = made
        self._directories_in[made.id] = {}
        self._files_in[made.id] = {}
        self._directories_in[parent.id][name] = made.id
        self.changed(made)
        self.modified(parent)
        return made

    def add_file(self, parent: Container, name: bytes, uid: int, gid: int, mode: int, number: int = 0) -> File:
        """A new empty file, with an id that was never used. `number` asks for one, otherwise it is the next."""
        now = self.clock()
        self._last_file = max(self._last_file, number) if number else self._last_file + 1
        self.keep("last file", b"%d" % self._last_file)
        made = File(number or self._last_file, parent.id, name, uid, gid, mode, now, now)
        made.xattrs["sys.eos.btime"] = b"%d.%09d" % divmod(now, 1_000_000_000)
        self._files[made.id] = made
        self._files_in[parent.id][name] = made.id
        self.changed(made)
        self.modified(parent)
        self.on_account(made, 1)
        return made

    @contextmanager
    def accounted(self, file: File) -> Iterator[None]:
        """Change a file's size, owner or group inside: quota and tree sizes follow."""
        size = file.size
        self.on_account(file, -1)
        try:
            yield
        finally:
            self.on_account(file, 1)
            if file.size != size:
                self.accounting.later(file.parent, file.size - size, self._quirks.accounting_delay)
            self.changed(file)

    def remove(self, entry: Entry) -> None:
        """Take an entry out for good; a directory must be empty."""
        parent = self._containers[entry.parent]
        self._removed.add((type(entry), entry.id))
        self._changed.pop((type(entry), entry.id), None)
        if isinstance(entry, Container):
            del self._directories_in[parent.id][entry.name]
            del self._containers[entry.id], self._directories_in[entry.id], self._files_in[entry.id]
        else:
            self.on_account(entry, -1)
            self.accounting.later(entry.parent, -entry.size, self._quirks.accounting_delay)
            del self._files_in[parent.id][entry.name]
            del self._files[entry.id]
            self.on_drop(entry)
        self.modified(parent)

    def move(self, entry: Entry, parent: Container, name: bytes) -> None:
        """Give an entry another name, in the same or another directory, where the name must be free."""
        self.accounting.settle(everything=True)
        before = self._containers[entry.parent]
        moved = (
            [entry] if isinstance(entry, File) else [below for below in self.below(entry) if isinstance(below, File)]
        )
        for file in moved:
            self.on_account(file, -1)
        names = self._files_in if isinstance(entry, File) else self._directories_in
        del names[before.id][entry.name]
        size = entry.size if isinstance(entry, File) else self.accounting.tree_size(entry.id)
        self.accounting.add(before.id, -size)
        entry.parent, entry.name, entry.ctime = parent.id, name, self.clock()
        names[parent.id][name] = entry.id
        self.accounting.add(parent.id, size)
        for file in moved:
            self.on_account(file, 1)
        self.changed(entry)
        self.modified(before)
        self.modified(parent)

    def modified(self, container: Container) -> None:
        """Note that a directory's children changed: its mtime, and the stime of those that ask for it above."""
        container.mtime = container.stime = self.clock()
        self.changed(container)
        self.accounting.touch_later(container.id, container.mtime, self._quirks.accounting_delay)

    def settle(self) -> None:
        """Let sizes and times that are due reach the directories above."""
        with self.transaction():
            for container in self.accounting.settle():
                self.changed(container)

    def close(self) -> None:
        """Write what is left."""
        with self.transaction():
            for container in self.accounting.settle(everything=True):
                self.changed(container)
        with self._lock:
            self._store.close()
