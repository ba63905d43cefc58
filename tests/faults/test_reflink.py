"""Copies on file systems whose files can share blocks: nothing is moved, nothing is taken twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.api import BackendConfig, BucketRecord, Caller
from backends.posix import PosixBackend
from backends.testkit.harness import Box
from backends.testkit.sources import content
from backends.testkit.uploading import Upload

MIB = 1 << 20
CALLER = Caller(account_id="test")
MAKE = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q", "--data", "single", "--metadata", "single"],
}


@pytest.fixture(scope="module", params=MAKE)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh file system of that kind in a sparse file."""
    command = MAKE[request.param]
    if os.geteuid() != 0:
        pytest.skip("only root may mount; the suite runs as root in CI")
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"there is no {command[0]}; script/test installs it")
    if request.param not in Path("/proc/filesystems").read_text().split():
        pytest.skip(f"the kernel has no {request.param}")
    home = tmp_path_factory.mktemp(request.param)
    image, point = home / "image", home / "mounted"
    image.touch()
    os.truncate(image, 512 * MIB)
    point.mkdir()
    subprocess.run([program, *command[1:], str(image)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)
    image.unlink()


@pytest.fixture
def box(root: Path) -> Iterator[Box]:
    """An empty bucket."""
    backend = PosixBackend(BackendConfig(directory=str(root), durable=False))
    backend.open()
    name = f"box{len(backend.list_buckets(CALLER))}"
    backend.create_bucket(CALLER, BucketRecord(name=name, created=1))
    yield Box(backend, CALLER, name)
    backend.close()


def used(root: Path) -> int:
    """Bytes that are taken, once everything is written."""
    subprocess.run(["sync", "-f", str(root)], check=True)
    status = os.statvfs(root)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.parametrize("size", [32 * MIB, 32 * MIB - 1234])
def test_a_copy_takes_no_space_and_goes_its_own_way(box: Box, root: Path, size: int) -> None:
    box.put("source", content(size))
    before = used(root)
    opened = box.open("source")
    box.backend.copy_object(box.caller, opened, box.name, "copy", opened.record)
    opened.close()
    assert used(root) - before < MIB
    box.put("source", content(size, 1))
    assert box.data("copy") == content(size)
    box.delete("copy")
    assert box.data("source") == content(size, 1)


def test_an_upload_of_irregular_parts_is_joined_without_a_second_copy(box: Box, root: Path) -> None:
    datas = [content(size, number) for number, size in enumerate((8 * MIB, 6 * MIB, 8 * MIB, 5 * MIB + 4096, 777))]
    upload = Upload.begin(box, "key")
    parts = upload.put_all(datas)
    before = used(root)
    upload.complete(parts)
    # The parts are still there: what the object took beside them is what was copied.
    assert used(root) - before < MIB
    upload.abort()
    assert box.data("key") == b"".join(datas)


def test_parts_that_share_no_blocks_are_joined_all_the_same(box: Box) -> None:
    datas = [content(size, number) for number, size in enumerate((5 * MIB + 1, 5 * MIB + 3, 999))]
    upload = Upload.begin(box, "key")
    upload.complete(upload.put_all(datas))
    upload.abort()
    assert box.data("key") == b"".join(datas)
