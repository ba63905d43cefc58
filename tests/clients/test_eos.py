"""The clients' usual round trips with EOS behind the gateway: trees, multipart uploads, conditions.

A selection, for each run of the tests. All that the clients do runs over EOS by `pytest tests/clients --backend eos`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import minio
import obstore
import pytest
import urllib3
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.clients.backends import endpoint_on_emulator
from tests.clients.conftest import Store, make_client
from tests.clients.content import FILE_NAMES, MIB, content, digest, make_tree, read_tree
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.tools import node_project, program

LARGE = 11 * MIB + 1
"""More than two parts of the size that clients take."""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A gateway in front of EOS, instead of the one that all client tests share."""
    with endpoint_on_emulator(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def reference(endpoint: Endpoint) -> Any:
    return make_client(endpoint)


def test_aws_syncs_a_tree(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    digests = make_tree(source, len(FILE_NAMES))
    (source / "large").write_bytes(content(LARGE))
    digests["large"] = digest(content(LARGE))
    url, aws = f"s3://{store.bucket}/base dir+/", [program("awscli", "aws"), "s3", "sync", "--only-show-errors"]
    run([*aws, source, url], endpoint.environment())
    assert store.digests() == {f"base dir+/{name}": sha for name, sha in digests.items()}
    (source / "plain.txt").unlink()
    (source / "added # one").write_bytes(b"new")
    run([*aws, "--delete", source, url], endpoint.environment())
    run([*aws, url, down], endpoint.environment())
    assert read_tree(down) == read_tree(source)


def test_s5cmd_copies_a_tree(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    digests = make_tree(source, 2 * len(FILE_NAMES))
    s5cmd = [program("commands", "s5cmd"), "--endpoint-url", endpoint.url, "--retry-count", "0", "--numworkers", "8"]
    run([*s5cmd, "cp", f"{source}/", f"s3://{store.bucket}/base dir+/"], endpoint.environment())
    assert store.keys() == sorted((f"base dir+/{name}" for name in digests), key=str.encode)
    run([*s5cmd, "cp", f"s3://{store.bucket}/base dir+/*", f"{down}/"], endpoint.environment())
    assert read_tree(down) == digests
    run([*s5cmd, "rm", f"s3://{store.bucket}/base dir+/group*"], endpoint.environment())
    assert store.keys() == sorted((f"base dir+/{name}" for name in FILE_NAMES), key=str.encode)


def test_rclone_syncs_and_checks_a_tree(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    make_tree(source, len(FILE_NAMES))
    (source / "large").write_bytes(content(LARGE))
    (tmp_path / "empty.conf").touch()
    variables = {
        **endpoint.environment(),
        "RCLONE_CONFIG": str(tmp_path / "empty.conf"),
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENDPOINT": endpoint.url,
        "RCLONE_CONFIG_S_REGION": endpoint.region,
        "RCLONE_CONFIG_S_ENV_AUTH": "true",
        "RCLONE_S3_UPLOAD_CUTOFF": "5Mi",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    rclone, remote = program("commands", "rclone"), f"s:{store.bucket}/base dir+"
    run([rclone, "sync", source, remote], variables)
    run([rclone, "check", source, remote], variables)
    (source / "plain.txt").unlink()
    run([rclone, "sync", source, remote], variables)
    run([rclone, "sync", remote, down], variables)
    assert read_tree(down) == read_tree(source)


def test_minio_puts_gets_lists_and_copies(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    client = minio.Minio(
        endpoint.address,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=urlsplit(endpoint.url).scheme == "https",
        region=endpoint.region,
        http_client=urllib3.PoolManager(retries=False, timeout=60),
    )
    for key, size in (("dir/large ü", LARGE), ("dir/small", 500), ("dir/empty", 0)):
        (tmp_path / "up").write_bytes(content(size))
        client.fput_object(store.bucket, key, str(tmp_path / "up"), part_size=5 * MIB)
        store.assert_holds(key, size)
        client.fget_object(store.bucket, key, str(tmp_path / "down"))
        assert digest((tmp_path / "down").read_bytes()) == digest(content(size))
    found = [entry.object_name for entry in client.list_objects(store.bucket, prefix="dir/")]
    assert found == ["dir/empty", "dir/large ü", "dir/small"]
    client.copy_object(store.bucket, "copy", minio.commonconfig.CopySource(store.bucket, "dir/large ü"))
    store.assert_holds("copy", LARGE)


def test_obstore_creates_once_and_reads_ranges(endpoint: Endpoint, store: Store) -> None:
    remote = S3Store(
        store.bucket,
        endpoint=endpoint.url,
        access_key_id=endpoint.access_key,
        secret_access_key=endpoint.secret_key,
        region=endpoint.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    obstore.put(remote, "k", b"one", mode="create", use_multipart=False)
    with pytest.raises(AlreadyExistsError):
        obstore.put(remote, "k", b"two", mode="create", use_multipart=False)
    assert store.get("k") == b"one"
    obstore.put(remote, "dir/large", content(LARGE), use_multipart=True, chunk_size=5 * MIB)
    store.assert_holds("dir/large", LARGE)
    wanted = [(0, 10), (MIB - 1, 2 * MIB), (LARGE - 5, LARGE)]
    pieces = obstore.get_ranges(remote, "dir/large", starts=[one for one, _ in wanted], ends=[end for _, end in wanted])
    assert [bytes(piece) for piece in pieces] == [content(LARGE)[one:end] for one, end in wanted]


def test_s3fs_puts_and_gets_a_tree(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    for number in range(12):
        path = source / f"dir {number % 3}" / f"ü+{number:02}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(200, seed=number))
    steps: list[str | Path] = [program("s3fs", "python"), Path(__file__).with_name("s3fs_steps.py")]
    found = json.loads(run([*steps, "put_tree", store.bucket, source, "base"], endpoint.environment()))
    assert found == sorted(f"{store.bucket}/base/{name}" for name in read_tree(source))
    run([*steps, "get_tree", store.bucket, "base", down], endpoint.environment())
    assert read_tree(down) == read_tree(source)


def test_javascript_uploads_parts_and_streams(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(content(LARGE))
    variables = {**endpoint.environment(), "NODE_PATH": str(node_project() / "node_modules")}
    steps: list[str | Path] = [program("commands", "node"), Path(__file__).parent / "js" / "steps.cjs"]
    run([*steps, "putParts", store.bucket, "parts", tmp_path / "up", str(5 * MIB)], variables)
    store.assert_holds("parts", LARGE)
    run([*steps, "upload", store.bucket, "managed", tmp_path / "up", str(5 * MIB)], variables)
    store.assert_holds("managed", LARGE)
    run([*steps, "putStream", store.bucket, "stream", tmp_path / "up", tmp_path / "down", "CRC32C"], variables)
    assert digest((tmp_path / "down").read_bytes()) == digest(content(LARGE))
    store.assert_holds("stream", LARGE)
