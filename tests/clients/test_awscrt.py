"""awscrt's S3 client: the C library below the AWS CLI's fast path and PyTorch loaders.

It splits reads into ranges that it sends in parallel, and puts checksums into trailers over plain HTTP too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import awscrt.auth
import awscrt.exceptions
import awscrt.http
import awscrt.io
import awscrt.s3
import pytest

from tests.clients.conftest import Store
from tests.clients.content import MIB, SIZES, content, digest
from tests.clients.endpoint import Endpoint

ALGORITHMS = {
    "CRC32": awscrt.s3.S3ChecksumAlgorithm.CRC32,
    "CRC32C": awscrt.s3.S3ChecksumAlgorithm.CRC32C,
    "CRC64NVME": awscrt.s3.S3ChecksumAlgorithm.CRC64NVME,
    "SHA1": awscrt.s3.S3ChecksumAlgorithm.SHA1,
    "SHA256": awscrt.s3.S3ChecksumAlgorithm.SHA256,
}
PART_SIZE = 8 * MIB


class Crt:
    """Single requests through one S3Client."""

    def __init__(self, endpoint: Endpoint, *, part_size: int = PART_SIZE, threshold: int = PART_SIZE) -> None:
        group = awscrt.io.EventLoopGroup(1)
        resolver = awscrt.io.DefaultHostResolver(group)
        provider = awscrt.auth.AwsCredentialsProvider.new_static(endpoint.access_key, endpoint.secret_key)
        self._host = endpoint.address
        plain = urlsplit(endpoint.url).scheme == "http"
        self._client = awscrt.s3.S3Client(
            bootstrap=awscrt.io.ClientBootstrap(group, resolver),
            region=endpoint.region,
            tls_mode=awscrt.s3.S3RequestTlsMode.DISABLED if plain else awscrt.s3.S3RequestTlsMode.ENABLED,
            signing_config=awscrt.s3.create_default_s3_signing_config(
                region=endpoint.region, credential_provider=provider
            ),
            part_size=part_size,
            multipart_upload_threshold=threshold,
        )

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
        """Send one object; raises the client's own error when it fails."""
        headers = [("Host", self._host), ("Content-Length", str(len(data)))]
        request = self._request("PUT", bucket, key, headers, io.BytesIO(data))
        self._finish(awscrt.s3.S3RequestType.PUT_OBJECT, request, options)

    def get(self, bucket: str, key: str, *, byte_range: str = "", **options: Any) -> bytes:
        """Fetch one object, or a range of it, in order."""
        headers = [("Host", self._host)] + ([("Range", byte_range)] if byte_range else [])
        pieces: list[tuple[int, bytes]] = []
        options["on_body"] = lambda chunk, offset, **_: pieces.append((offset, bytes(chunk)))
        request = self._request("GET", bucket, key, headers, None)
        self._finish(awscrt.s3.S3RequestType.GET_OBJECT, request, options)
        return b"".join(piece for _, piece in sorted(pieces))

    def default(self, method: str, bucket: str, key: str, operation: str) -> list[int]:
        """Any other request; its statuses."""
        statuses: list[int] = []
        request = self._request(method, bucket, key, [("Host", self._host)], None)
        on_headers: Callable[..., None] = lambda status_code, **_: statuses.append(status_code)  # noqa: E731
        options = {"operation_name": operation, "on_headers": on_headers}
        self._finish(awscrt.s3.S3RequestType.DEFAULT, request, options)
        return statuses

    def _request(
        self, method: str, bucket: str, key: str, headers: list[tuple[str, str]], body: io.BytesIO | None
    ) -> awscrt.http.HttpRequest:
        path = f"/{bucket}/{quote(key, safe='/~')}"
        return awscrt.http.HttpRequest(method, path, awscrt.http.HttpHeaders(headers), body)

    def _finish(self, kind: awscrt.s3.S3RequestType, request: awscrt.http.HttpRequest, options: dict[str, Any]) -> None:
        running = self._client.make_request(type=kind, request=request, **options)
        finished: Future[None] = running.finished_future
        finished.result(60)


@pytest.fixture(scope="module")
def crt(endpoint: Endpoint) -> Crt:
    return Crt(endpoint)


@pytest.mark.parametrize("size", SIZES)
def test_put_and_get(crt: Crt, store: Store, size: int) -> None:
    crt.put(store.bucket, "dir/with space+ü", content(size))
    store.assert_holds("dir/with space+ü", size)
    assert digest(crt.get(store.bucket, "dir/with space+ü")) == digest(content(size))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("location", ["HEADER", "TRAILER"])
@pytest.mark.parametrize("size", [0, 100_000])
def test_checksums_in_headers_and_trailers(crt: Crt, store: Store, algorithm: str, location: str, size: int) -> None:
    config = awscrt.s3.S3ChecksumConfig(
        algorithm=ALGORITHMS[algorithm], location=awscrt.s3.S3ChecksumLocation[location]
    )
    crt.put(store.bucket, "k", content(size), checksum_config=config)
    store.assert_holds("k", size)
    head = store.client.head_object(Bucket=store.bucket, Key="k", ChecksumMode="ENABLED")
    assert f"Checksum{algorithm}" in head
    checked = awscrt.s3.S3ChecksumConfig(validate_response=True)
    assert digest(crt.get(store.bucket, "k", checksum_config=checked)) == digest(content(size))


def test_a_large_object_is_read_in_parallel_ranges(crt: Crt, store: Store) -> None:
    size = 2 * PART_SIZE + 12_345
    store.put("k", content(size))
    assert digest(crt.get(store.bucket, "k")) == digest(content(size))
    assert crt.get(store.bucket, "k", byte_range="bytes=8388600-8388619") == content(size)[8_388_600:8_388_620]


def test_files(crt: Crt, store: Store, tmp_path: Path) -> None:
    store.put("k", content(5 * MIB))
    crt.get(store.bucket, "k", recv_filepath=str(tmp_path / "down"))
    assert digest((tmp_path / "down").read_bytes()) == digest(content(5 * MIB))


def test_other_requests_and_errors(crt: Crt, store: Store) -> None:
    store.put("k", b"data")
    assert crt.default("HEAD", store.bucket, "k", "HeadObject") == [200]
    assert crt.default("DELETE", store.bucket, "k", "DeleteObject") == [204]
    with pytest.raises(awscrt.s3.S3ResponseError) as caught:
        crt.get(store.bucket, "k")
    assert caught.value.status_code == 404
    assert b"<Code>NoSuchKey</Code>" in caught.value.body
