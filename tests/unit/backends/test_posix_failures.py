"""The posix plugin on storage that fails, is full, hangs, or lacks what others have."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.api import (
    BackendConfig,
    BackendError,
    BucketRecord,
    Caller,
    KeyNotStorable,
    PermissionDenied,
    Precondition,
    PreconditionFailed,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)
from backends.posix import PosixBackend
from backends.posix.failures import failure
from backends.testkit.harness import Box
from backends.testkit.sources import BodyBroke, BrokenBody, HookedBody, content

CALLER = Caller(account_id="test")
LARGE = {"metadata": {f"key{number}": "x" * 1000 for number in range(20)}}


def _open(root: Path, *, durable: bool = False, **options: Any) -> Box:
    backend = PosixBackend(BackendConfig(directory=str(root), durable=durable, options=options))
    backend.open()
    if not (root / "bucket").exists():
        backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    return Box(backend, CALLER, "bucket")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = _open(tmp_path)
    yield box
    box.backend.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system on a fresh directory."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount; the suite runs as root in CI")
    mounted: list[Path] = []

    def mount(kind: str, options: str = "rw") -> Path:
        point = tmp_path / f"mount{len(mounted)}"
        point.mkdir()
        subprocess.run(["mount", "-t", kind, "-o", options, "none", str(point)], check=True)
        mounted.append(point)
        return point

    yield mount
    for point in mounted:
        subprocess.run(["umount", "-l", str(point)], check=True)


def _side_records(root: Path) -> list[Path]:
    return [path for path in (root / ".shardgate/records").rglob("*") if path.is_file()]


# -- errors of the system


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EACCES, PermissionDenied),
        (errno.EPERM, PermissionDenied),
        (errno.EROFS, PermissionDenied),
        (errno.ENAMETOOLONG, KeyNotStorable),
        (errno.EIO, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
        (errno.EMFILE, StorageUnavailable),
        (errno.ENOTCONN, StorageUnavailable),
    ],
)
def test_errors_of_the_system_have_their_place_in_the_contract(number: int, kind: type[BackendError]) -> None:
    error = failure(OSError(number, os.strerror(number), "/secret/path"))
    assert type(error) is kind
    assert "/secret" not in str(error)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_a_failing_storage_is_told_by_every_call(box: Box, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    box.put("d/a", b"x")

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("backends.posix.system.Opener.open", fail)
    kind = PermissionDenied if number == errno.EACCES else StorageUnavailable
    for call in (
        lambda: box.head("d/a"),
        lambda: box.put("d/a", b"y"),
        lambda: box.delete("d/a"),
        lambda: box.update("d/a", lambda record: record),
        lambda: box.backend.rename_object(CALLER, "bucket", "d/a", "d/b"),
    ):
        with pytest.raises(kind):
            call()
    monkeypatch.undo()
    assert box.data("d/a") == b"x"


def test_errors_of_the_body_pass_unchanged(box: Box, tmp_path: Path) -> None:
    for error in (BodyBroke("x"), OSError(errno.ENOSPC, "the client's"), ConnectionResetError(104, "gone")):
        with pytest.raises(type(error)) as caught:
            box.put_body("a/b", BrokenBody(content(300_000), 200_000, error))
        assert caught.value is error
    assert os.listdir(tmp_path / "bucket") == []
    assert os.listdir(tmp_path / ".shardgate/staging") == []


def test_a_lock_that_stays_taken_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.posix.locks.PATIENCE", 0.05)
    backend = box.backend
    with backend._locks.hold(backend._place("bucket", "a").lock), pytest.raises(StorageUnavailable):  # type: ignore[attr-defined]
        box.put("a", b"x")
    box.put("a", b"x")


def _until_full(make: Callable[[str], object]) -> None:
    with pytest.raises(StorageFull):
        deque(map(make, (f"n{number}" for number in range(100))), maxlen=0)


def test_a_full_disk_changes_nothing(mount: Callable[..., Path]) -> None:
    root = mount("tmpfs", "size=1m")
    box = _open(root)
    kept = box.put("kept", content(300_000))
    with pytest.raises(StorageFull):
        box.put("kept", content(2_000_000))
    with pytest.raises(StorageFull):
        box.put("d/new", content(2_000_000))
    assert box.get("kept") == (kept, content(300_000))
    assert box.keys() == ["kept"]
    assert os.listdir(root / "bucket") == ["kept"]
    assert os.listdir(root / ".shardgate/staging") == []
    box.put("d/new", content(300_000))
    opened = box.open("kept")
    _until_full(lambda name: box.backend.copy_object(CALLER, opened, "bucket", name, opened.record))
    opened.close()
    box.backend.close()


def test_no_inodes_left(mount: Callable[..., Path]) -> None:
    box = _open(mount("tmpfs", "size=4m,nr_inodes=30"))
    _until_full(box.put)
    keys = box.keys()
    assert keys
    for key in keys:
        box.delete(key)
    box.put("again")
    _until_full(lambda name: box.backend.put_document("bucket", name, b"x"))
    box.backend.close()


_LIMITED = """
import resource, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from tests.unit.backends.test_posix_failures import _open
from backends.api import StorageFull
from backends.testkit.sources import content
box = _open(Path({root!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    box.put("a/b", content(900_000))
except StorageFull:
    box.put("small", b"x")
    print("refused", box.keys())
"""


def test_a_file_larger_than_the_system_allows(tmp_path: Path) -> None:
    script = _LIMITED.format(path=[*sys.path, "."], root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "refused ['small']\n"
    assert os.listdir(tmp_path / "bucket") == ["small"]


def test_a_read_only_file_system(mount: Callable[..., Path]) -> None:
    root = mount("tmpfs", "size=1m")
    box = _open(root)
    box.put("a", b"data")
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    assert box.data("a") == b"data"
    for call in (lambda: box.put("b", b"x"), lambda: box.delete("a"), lambda: box.update("a", lambda r: r)):
        with pytest.raises((PermissionDenied, StorageUnavailable)):
            call()
    assert box.keys() == ["a"]
    assert not box.exists("missing")
    box.backend.close()


def test_a_file_that_others_cut_short_while_it_is_read(box: Box, tmp_path: Path) -> None:
    box.put("a", content(3_000_000))
    opened = box.open("a")
    os.truncate(tmp_path / "bucket/a", 1_500_000)
    with pytest.raises(StorageUnavailable):
        list(opened.read(0, 3_000_000))
    opened.close()


# -- records that do not fit


def test_a_large_record_has_a_file_of_its_own(box: Box, tmp_path: Path) -> None:
    stored = box.put("a", b"x", **LARGE, extra={"test.x": "y" * 100_000})
    assert box.get("a") == (stored, b"x")
    assert [entry.record for entry in box.scan()] == [stored]
    assert len(_side_records(tmp_path)) == 1
    box.update("a", lambda record: record.replace(extra={"test.x": "z" * 100_000}))
    assert len(_side_records(tmp_path)) == 1
    small = box.update("a", lambda record: record.replace(extra={}, metadata={}))
    assert box.head("a") == small
    assert _side_records(tmp_path) == []
    box.update("a", lambda record: record.replace(extra={"test.x": "z" * 100_000}))
    assert len(_side_records(tmp_path)) == 1
    box.put("a", b"other")
    assert _side_records(tmp_path) == []
    box.put("a", b"other", extra={"test.x": "z" * 100_000})
    box.delete("a")
    assert _side_records(tmp_path) == []


def test_who_comes_while_a_large_record_is_replaced_gets_the_new_one(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.put("a", b"old", extra={"test.x": "1" * 100_000})
    from backends.posix.attributes import Records

    original = Records._side
    turns: list[str] = []

    def side(self: Records, name: str) -> bytes:
        turns.append(name)
        if len(turns) == 1:
            box.put("a", b"new", extra={"test.x": "2" * 100_000})
        return original(self, name)

    monkeypatch.setattr(Records, "_side", side)
    record, data = box.get("a")
    assert (data, record.extra["test.x"][0]) == (b"new", "2")


def test_a_pointer_that_leads_out_is_not_followed(box: Box, tmp_path: Path) -> None:
    box.put("a", b"x")
    for pointer in (b"@../../../etc/passwd", b"@"):
        os.setxattr(tmp_path / "bucket/a", "user.shardgate", pointer)
        with pytest.raises(StorageUnavailable):
            box.head("a")


def _check_without_attributes(box: Box, root: Path) -> None:
    stored = box.put("d/a", b"data", metadata={"m": "v"}, etag="0" * 32)
    assert box.get("d/a") == (stored, b"data")
    assert [entry.record for entry in box.scan()] == [stored]
    assert len(_side_records(root)) == 1
    updated = box.update("d/a", lambda record: record.replace(tags={"k": "v"}))
    assert box.get("d/a") == (updated, b"data")
    box.put("d/a/b", b"below")
    assert box.get("d/a") == (updated, b"data")
    renamed = box.backend.rename_object(CALLER, "bucket", "d/a", "other")
    assert box.get("other") == (renamed, b"data") == (updated, b"data")
    with pytest.raises(PreconditionFailed):
        box.put("other", b"x", Precondition(if_match=("1" * 32,)))
    opened = box.open("other")
    copy = box.backend.copy_object(CALLER, opened, "bucket", "copy", opened.record)
    opened.close()
    assert box.get("copy") == (copy, b"data")
    assert len(_side_records(root)) == 3
    time.sleep(0.02)
    (root / "bucket/other").write_bytes(b"changed")
    assert box.head("other").metadata == {}
    assert "-" in box.head("other").etag
    for entry in box.scan():
        box.delete(entry.key)
    box.backend.sweep(-1)
    assert _side_records(root) == []


def test_a_file_system_without_attributes(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr("backends.posix.attributes.get_attribute", refuse)
    _check_without_attributes(box, tmp_path)


def test_a_real_file_system_without_attributes(mount: Callable[..., Path]) -> None:
    root = mount("ramfs")
    (root / "probe").touch()
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(root / "probe", "user.x", b"")
    (root / "probe").unlink()
    box = _open(root, durable=True)
    _check_without_attributes(box, root)
    box.backend.close()


# -- readiness


def test_a_vanished_directory_is_not_ready(box: Box, tmp_path: Path) -> None:
    box.backend.check()
    os.rename(tmp_path / ".shardgate", tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        box.backend.check()
    os.rename(tmp_path / "elsewhere", tmp_path / ".shardgate")
    box.backend.check()


def test_a_hanging_storage_does_not_hang_the_check(tmp_path: Path) -> None:
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        f"import sys; sys.path[:0] = {[*sys.path, '.']!r}\n"
        "import os, time, gevent\n"
        "from pathlib import Path\n"
        "from tests.unit.backends.test_posix_failures import _open, StorageUnavailable\n"
        f"box = _open(Path({str(tmp_path)!r}), check_timeout=0.2)\n"
        "sleep = monkey.get_original('time', 'sleep')\n"
        "os.statvfs = lambda path: sleep(1.0)\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        box.backend.check()\n"
        "    except StorageUnavailable as error:\n"
        "        print(error)\n"
        "gevent.sleep(1.2)\n"
        "os.statvfs = lambda path: None\n"
        "box.backend.check()\n"
        "print('ready')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [
        "the storage has not answered for 0.2 s",
        "the storage has not answered for 0.2 s",
        "ready",
    ]


def test_those_who_check_at_the_same_time_wait_for_one_answer(tmp_path: Path) -> None:
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        f"import sys; sys.path[:0] = {[*sys.path, '.']!r}\n"
        "import os, gevent\n"
        "from pathlib import Path\n"
        "from tests.unit.backends.test_posix_failures import _open\n"
        f"box = _open(Path({str(tmp_path)!r}))\n"
        "sleep = monkey.get_original('time', 'sleep')\n"
        "asked = []\n"
        "os.statvfs = lambda path: (asked.append(path), sleep(0.3))\n"
        "checks = [gevent.spawn(box.backend.check) for _ in range(8)]\n"
        "gevent.joinall(checks, raise_error=True)\n"
        "print(len(asked))\n"
        "box.backend.check()\n"
        "print(len(asked))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["1", "2"], "")


# -- sweeping


def test_a_sweep_removes_what_the_dead_left(box: Box, tmp_path: Path) -> None:
    box.put("a", b"x", **LARGE, extra={"test.x": "y" * 100_000})
    hidden = tmp_path / ".shardgate"
    (hidden / "staging/dead-upload").write_bytes(b"x")
    (hidden / "staging/dead-bucket/documents").mkdir(parents=True)
    (hidden / "buckets/halfmade/documents").mkdir(parents=True)
    (hidden / "records/00").mkdir(parents=True, exist_ok=True)
    (hidden / "records/00/12345-6789000").write_bytes(b"1 {}")
    assert box.backend.sweep(3600.0) == 0
    assert (hidden / "staging/dead-upload").exists()
    assert box.backend.sweep(-1) == 4
    assert os.listdir(hidden / "staging") == []
    assert os.listdir(hidden / "buckets") == ["bucket"]
    assert len(_side_records(tmp_path)) == 1
    assert box.head("a").extra == {"test.x": "y" * 100_000}
    assert box.backend.sweep(-1) == 0


def test_a_sweep_leaves_the_living_alone(box: Box, tmp_path: Path) -> None:
    box.backend._nameless = False  # type: ignore[attr-defined]
    swept: list[int] = []
    box.put_body("a", HookedBody(content(300_000), lambda: swept.append(box.backend.sweep(-1))))
    assert swept == [0]
    assert box.data("a") == content(300_000)


def test_a_moved_object_keeps_its_large_record_through_a_sweep(box: Box, tmp_path: Path) -> None:
    stored = box.put("a", b"x", extra={"test.x": "y" * 100_000})
    (tmp_path / "bucket/d").mkdir()
    os.rename(tmp_path / "bucket/a", tmp_path / "bucket/d/b")
    assert box.backend.sweep(-1) == 0
    assert box.head("d/b") == stored


# -- beside others in one worker


def test_a_large_put_does_not_stall_its_neighbours(tmp_path: Path) -> None:
    """Needs a patched process, so it has one of its own."""
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        f"import sys; sys.path[:0] = {[*sys.path, '.']!r}\n"
        "import gevent, os, time\n"
        "from pathlib import Path\n"
        "from tests.unit.backends.test_posix_failures import _open\n"
        f"box = _open(Path({str(tmp_path)!r}), durable=True)\n"
        "sleep = monkey.get_original('time', 'sleep')\n"
        "original = os.fsync\n"
        "os.fsync = lambda fd: (sleep(0.3), original(fd))\n"
        "ticks = []\n"
        "def tick():\n"
        "    while True:\n"
        "        ticks.append(time.monotonic()); gevent.sleep(0.005)\n"
        "ticker = gevent.spawn(tick)\n"
        "putter = gevent.spawn(box.put, 'a/b', bytes(4_000_000))\n"
        "putter.get(); ticker.kill()\n"
        "print(max(b - a for a, b in zip(ticks, ticks[1:])) < 0.25, len(ticks) > 50)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True True\n"


def test_limits_of_open_files_are_told_and_nothing_leaks(box: Box) -> None:
    box.put("a", b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        box.put("a", b"y")
        box.put("a/b", b"y")
        box.head("a")
        box.delete("a/b")
        box.delete("a")
        box.put("c", b"x", Precondition(if_none_match=("*",)))
        with pytest.raises(PreconditionFailed):
            box.put("c", b"x", Precondition(if_none_match=("*",)))
        box.delete("c")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    filler = []
    try:
        while True:
            try:
                filler.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        with pytest.raises(StorageUnavailable):
            box.put("a", b"x")
        with pytest.raises(StorageUnavailable):
            box.head("a")
    finally:
        for descriptor in filler:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
