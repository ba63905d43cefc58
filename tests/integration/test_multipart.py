"""Multipart uploads over two workers: every operation, by boto3."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from awscrt import checksums as crt
from botocore.exceptions import ClientError
from redis import Redis

from tests.support.fast_client import Client, path_of
from tests.support.gateway import Gateway, RedisServer
from tests.support.multipart import SMALL_PARTS, ClientUpload, body, content_of, etag_of, open_uploads

MIB = 1 << 20
Begin = Callable[..., ClientUpload]


@pytest.fixture(scope="module")
def small_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("multipart") / "data", *SMALL_PARTS, "--durability", "relaxed") as running:
        yield running
        log = running.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log


@pytest.fixture
def s3(small_gateway: Gateway) -> Any:
    # Without it boto3 would choose an algorithm by itself.
    return small_gateway.s3(request_checksum_calculation="when_required", max_pool_connections=20)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"mp-{uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def begin(s3: Any, bucket: str) -> Begin:
    def begin(key: str = "dir/key", **options: Any) -> ClientUpload:
        return ClientUpload(s3, bucket, key).begin(**options)

    return begin


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def crc(name: str, data: bytes) -> str:
    value, size = {
        "CRC32": lambda: (zlib.crc32(data), 4),
        "CRC32C": lambda: (crt.crc32c(data), 4),
        "CRC64NVME": lambda: (crt.crc64nvme(data), 8),
    }[name]()
    return base64.b64encode(value.to_bytes(size, "big")).decode()


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


# -- the usual way


def test_an_upload_from_beginning_to_end(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin(
        Metadata={"a": "b"}, ContentType="text/x", CacheControl="no-cache", ContentEncoding="x", Tagging="t=1&u=2",
        ContentDisposition="inline", ContentLanguage="de",
    )  # fmt: skip
    assert refused(s3.head_object, Bucket=bucket, Key="dir/key") == (404, "404")
    for number in (3, 1, 2):
        upload.put(number, body(100_000 if number < 3 else 5, number))
    answer = upload.complete()
    assert answer["ETag"] == etag_of(upload.datas[number] for number in (1, 2, 3))
    assert (answer["Bucket"], answer["Key"]) == (bucket, "dir/key")
    assert answer["Location"].endswith(f"/{bucket}/dir/key")
    got = s3.get_object(Bucket=bucket, Key="dir/key")
    assert got["Body"].read() == upload.content
    assert got["ETag"] == answer["ETag"]
    assert got["Metadata"] == {"a": "b"}
    assert (got["ContentType"], got["CacheControl"], got["ContentEncoding"]) == ("text/x", "no-cache", "x")
    assert (got["ContentDisposition"], got["ContentLanguage"], got["TagCount"]) == ("inline", "de", 2)
    assert open_uploads(s3, bucket) == []
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["dir/key"]


def test_parts_at_the_same_time_through_all_workers(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: upload.put(number, body(70_000, number)), [*range(40, 0, -2), *range(1, 41, 2)]))
    assert upload.complete()["ETag"] == etag_of(upload.datas[number] for number in range(1, 41))
    assert content_of(s3, bucket, "dir/key") == upload.content


KEYS = ["ä/ö\u00fc", "a b+c&d=e%25", "日本/\U0001f600", "..//./", "k\x01\x7f", "x" * 1000, "trailing/"]


@pytest.mark.parametrize("key", KEYS)
def test_any_key(s3: Any, bucket: str, begin: Begin, key: str) -> None:
    upload = begin(key)
    upload.put(1, b"one")
    listed = s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")
    assert [entry["UploadId"] for entry in listed["Uploads"]] == [upload.id]
    assert len(upload.listed()["Parts"]) == 1
    upload.complete()
    assert content_of(s3, bucket, key) == b"one"


@pytest.mark.parametrize("sizes", [[0], [1], [5, 0], [3, 3, 3], [1, 200_000, 7]], ids=str)
def test_sizes(s3: Any, bucket: str, begin: Begin, sizes: list[int]) -> None:
    upload = begin()
    for number, size in enumerate(sizes, 1):
        upload.put(number, body(size, number))
    upload.complete()
    assert content_of(s3, bucket, "dir/key") == upload.content
    start = 0
    for number, size in enumerate(sizes, 1):
        part = s3.get_object(Bucket=bucket, Key="dir/key", PartNumber=number)
        assert part["Body"].read() == upload.datas[number]
        assert part["PartsCount"] == len(sizes)
        head = s3.head_object(Bucket=bucket, Key="dir/key", PartNumber=number)
        assert head["ContentLength"] == size
        if size:
            assert part["ContentRange"] == f"bytes {start}-{start + size - 1}/{sum(sizes)}"
        start += size
    assert refused(s3.get_object, Bucket=bucket, Key="dir/key", PartNumber=len(sizes) + 1)[0] == 416


# -- refusals


def test_what_a_completion_refuses(s3: Any, begin: Begin) -> None:
    upload = begin()
    for number in (1, 2, 4):
        upload.put(number, body(10, number))
    whole = upload.etags[1]

    def complete(*parts: tuple[int, str]) -> tuple[int, str]:
        manifest = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        return refused(s3.complete_multipart_upload, **upload.name, MultipartUpload=manifest)

    assert complete((3, whole)) == (400, "InvalidPart")
    assert complete((1, '"' + "0" * 32 + '"')) == (400, "InvalidPart")
    assert complete((1, upload.etags[2])) == (400, "InvalidPart")
    assert complete((2, upload.etags[2]), (1, whole)) == (400, "InvalidPartOrder")
    assert complete((1, whole), (1, whole)) == (400, "InvalidPartOrder")
    assert complete() == (400, "MalformedXML")
    assert refused(s3.complete_multipart_upload, **upload.name) == (400, "MalformedXML")
    assert refused(upload.complete, MpuObjectSize=31) == (400, "InvalidRequest")
    assert refused(upload.complete, ChecksumType="COMPOSITE") == (400, "InvalidRequest")
    assert refused(upload.complete, ChecksumCRC32="bad") == (400, "InvalidRequest")
    assert refused(upload.complete, ChecksumCRC64NVME=crc("CRC64NVME", b"?")) == (400, "BadDigest")
    assert upload.complete(MpuObjectSize=30, ChecksumCRC64NVME=crc("CRC64NVME", upload.content))["ETag"]


@pytest.mark.parametrize("value", [{"ChecksumCRC32": "AAAAAA=="}, {"ChecksumSHA256": sha256(b"?") + "-3"}])
def test_a_completion_ignores_a_checksum_that_its_upload_does_not_have(begin: Begin, value: dict[str, str]) -> None:
    upload = begin()
    upload.put(1, b"one")
    assert upload.complete(**value)["ETag"]
    announced = begin(ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT")
    announced.put(1, b"one")
    assert refused(announced.complete, **value) == (400, "InvalidRequest")


def test_parts_but_the_last_have_five_mebibytes_at_least(gateway: Gateway) -> None:
    s3 = gateway.s3()
    bucket = f"mp-{uuid4().hex[:20]}"
    s3.create_bucket(Bucket=bucket)
    upload = ClientUpload(s3, bucket, "k").begin()
    upload.put(1, bytes(5 * MIB - 1))
    upload.put(2, b"x")
    assert refused(upload.complete) == (400, "EntityTooSmall")
    upload.put(1, body(5 * MIB, 1))
    upload.complete()
    assert content_of(s3, bucket, "k") == upload.content


@pytest.mark.parametrize("number", [0, -1, 10_001, 10**9])
def test_part_numbers_have_limits(s3: Any, begin: Begin, number: int) -> None:
    assert refused(begin().put, number, b"x") == (400, "InvalidArgument")


def test_unknown_uploads(s3: Any, bucket: str, begin: Begin) -> None:
    real = begin()
    for key, upload_id in (("dir/key", "nonsense"), ("dir/key", "0" * 48), ("other", real.id)):
        upload = ClientUpload(s3, bucket, key, upload_id, {1: '"' + "0" * 32 + '"'})
        for call in (lambda: upload.put(1, b"x"), upload.complete, upload.abort, upload.listed):  # noqa: B023
            assert refused(call) == (404, "NoSuchUpload")
    assert refused(s3.create_multipart_upload, Bucket="no-such-bucket-here", Key="k") == (404, "NoSuchBucket")
    assert refused(s3.list_multipart_uploads, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


# -- parts that are sent again, left out, late


def test_the_last_part_of_a_number_counts(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    upload.put(1, body(50_000, 1))
    upload.put(2, body(50_000, 2))
    first = upload.etags[1]
    for size in (50_000, 10, 90_000, 50_000):
        upload.put(1, body(size, size + 7))
    assert [part["Size"] for part in upload.listed()["Parts"]] == [50_000, 50_000]
    stale = {"Parts": [{"PartNumber": 1, "ETag": first}]}
    assert refused(s3.complete_multipart_upload, **upload.name, MultipartUpload=stale) == (400, "InvalidPart")
    upload.complete()
    assert content_of(s3, bucket, "dir/key") == upload.content


def test_a_subset_may_be_named(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    for number in range(1, 7):
        upload.put(number, body(30_000, number))
    assert upload.complete(2, 3, 6)["ETag"] == etag_of(upload.datas[number] for number in (2, 3, 6))
    assert content_of(s3, bucket, "dir/key") == b"".join(upload.datas[number] for number in (2, 3, 6))
    # The object's parts count without gaps.
    for place, number in enumerate((2, 3, 6), 1):
        part = s3.get_object(Bucket=bucket, Key="dir/key", PartNumber=place)
        assert (part["Body"].read(), part["PartsCount"]) == (upload.datas[number], 3)
    assert refused(s3.get_object, Bucket=bucket, Key="dir/key", PartNumber=6) == (416, "InvalidPartNumber")
    attributes = s3.get_object_attributes(Bucket=bucket, Key="dir/key", ObjectAttributes=["ObjectParts"])
    assert attributes["ObjectParts"] == {"TotalPartsCount": 3}
    for number in (0, 10_001):
        with pytest.raises(ClientError, match="Part number must be an integer between 1 and 10000, inclusive"):
            s3.get_object(Bucket=bucket, Key="dir/key", PartNumber=number)


def test_a_completed_upload_answers_again_and_takes_no_more(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    upload.put(1, b"one")
    answers = [upload.complete() for _ in range(4)]
    assert len({(answer["ETag"], answer["Location"]) for answer in answers}) == 1
    assert refused(upload.put, 2, b"late") == (404, "NoSuchUpload")
    assert refused(upload.listed) == (404, "NoSuchUpload")
    assert refused(upload.abort) == (404, "NoSuchUpload")
    assert content_of(s3, bucket, "dir/key") == b"one"


def test_a_completed_upload_answers_again_for_the_same_parts_only(
    start_gateway: Callable[..., Gateway], redis_server: RedisServer, redis_client: Redis
) -> None:
    s3 = start_gateway(*SMALL_PARTS, "--redis-url", redis_server.url).s3()
    s3.create_bucket(Bucket="bucket")
    upload = ClientUpload(s3, "bucket", "key").begin()
    for number in (1, 2, 4):
        upload.put(number, b"%d" % number)
    first = upload.complete(2, 4)

    def answers_for_the_same_parts_only() -> None:
        again = upload.complete(2, 4)
        assert (again["ETag"], again["Location"]) == (first["ETag"], first["Location"])
        for numbers in ((1, 2, 4), (2,), (1, 2)):
            assert refused(upload.complete, *numbers) == (404, "NoSuchUpload")
        for etag in (upload.etags[1], '""', '"no hexadecimal"', '"é"'):
            parts = [{"PartNumber": 2, "ETag": etag}, {"PartNumber": 4, "ETag": upload.etags[4]}]
            outcome = refused(s3.complete_multipart_upload, **upload.name, MultipartUpload={"Parts": parts})
            assert outcome == (404, "NoSuchUpload")

    answers_for_the_same_parts_only()
    redis_client.flushall()
    # Now only the object itself tells.
    answers_for_the_same_parts_only()
    s3.delete_object(Bucket="bucket", Key="key")
    assert refused(upload.complete, 2, 4) == (404, "NoSuchUpload")


def test_a_completed_upload_whose_object_is_deleted_is_gone(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    upload.put(1, b"one")
    upload.complete()
    s3.put_object(Bucket=bucket, Key="dir/key", Body=b"another")
    # It was published once; that it was replaced does not make it a failure.
    assert upload.complete()["ETag"] == etag_of([b"one"])
    assert content_of(s3, bucket, "dir/key") == b"another"
    s3.delete_object(Bucket=bucket, Key="dir/key")
    assert refused(upload.complete) == (404, "NoSuchUpload")


def test_completions_at_the_same_time_answer_alike(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    for number in (1, 2, 3):
        upload.put(number, body(60_000, number))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: upload.complete(IfNoneMatch="*"), range(8)))
    assert len({answer["ETag"] for answer in answers}) == 1
    assert content_of(s3, bucket, "dir/key") == upload.content


# -- conditions


def test_conditions_of_a_completion(s3: Any, bucket: str, begin: Begin) -> None:
    old = s3.put_object(Bucket=bucket, Key="dir/key", Body=b"old")["ETag"]
    upload = begin()
    upload.put(1, b"new")
    assert refused(upload.complete, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(upload.complete, IfMatch='"' + "0" * 32 + '"') == (412, "PreconditionFailed")
    assert content_of(s3, bucket, "dir/key") == b"old"
    assert len(upload.listed()["Parts"]) == 1
    upload.complete(IfMatch=old)
    assert content_of(s3, bucket, "dir/key") == b"new"
    absent = begin("absent")
    absent.put(1, b"x")
    assert refused(absent.complete, IfMatch=old) == (404, "NoSuchKey")
    absent.complete(IfNoneMatch="*")
    assert absent.complete(IfNoneMatch="*")["ETag"] == etag_of([b"x"])


def test_of_two_uploads_that_must_create_one_wins(s3: Any, bucket: str, begin: Begin) -> None:
    uploads = [begin() for _ in range(4)]
    for number, upload in enumerate(uploads):
        upload.put(1, body(1000, number))

    def attempt(upload: ClientUpload) -> str:
        try:
            upload.complete(IfNoneMatch="*")
        except ClientError as error:
            code: str = error.response["Error"]["Code"]
            return code
        return "won"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, uploads))
    assert sorted(outcomes) == ["PreconditionFailed"] * 3 + ["won"]
    assert content_of(s3, bucket, "dir/key") == uploads[outcomes.index("won")].content


# -- abortion


def test_an_aborted_upload_is_gone(s3: Any, bucket: str, begin: Begin) -> None:
    upload, other = begin(), begin()
    upload.put(1, b"x")
    assert upload.abort()["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (upload.abort, upload.complete, upload.listed, lambda: upload.put(2, b"y")):
        assert refused(call) == (404, "NoSuchUpload")
    assert open_uploads(s3, bucket) == [("dir/key", other.id)]


def test_an_abortion_on_condition_of_the_time(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    initiated = s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["Initiated"]
    late = initiated + timedelta(seconds=1)
    assert refused(upload.abort, IfMatchInitiatedTime=late) == (412, "PreconditionFailed")
    upload.abort(IfMatchInitiatedTime=initiated)
    assert open_uploads(s3, bucket) == []


def test_a_bucket_with_open_uploads_can_be_deleted(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    upload.put(1, b"x")
    s3.delete_bucket(Bucket=bucket)
    assert refused(upload.put, 2, b"x")[0] == 404
    s3.create_bucket(Bucket=bucket)
    assert open_uploads(s3, bucket) == []
    assert refused(upload.listed) == (404, "NoSuchUpload")


# -- lists


def test_parts_are_listed_in_pages(s3: Any, begin: Begin) -> None:
    upload = begin(ChecksumAlgorithm="SHA256")
    for number in (5, 1, 9, 10_000, 3):
        upload.put(number, body(number, number), ChecksumSHA256=sha256(body(number, number)))
    page = upload.listed(MaxParts=2)
    assert [part["PartNumber"] for part in page["Parts"]] == [1, 3]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 3, 2)
    assert (page["ChecksumAlgorithm"], page["ChecksumType"]) == ("SHA256", "COMPOSITE")
    page = upload.listed(MaxParts=2, PartNumberMarker=3)
    assert [part["PartNumber"] for part in page["Parts"]] == [5, 9]
    page = upload.listed(MaxParts=2, PartNumberMarker=9)
    assert [part["PartNumber"] for part in page["Parts"]] == [10_000]
    assert not page["IsTruncated"]
    assert all(part["ETag"] == upload.etags[part["PartNumber"]] for part in page["Parts"])
    assert page["Parts"][0]["ChecksumSHA256"] == sha256(upload.datas[10_000])
    assert page["StorageClass"] == "STANDARD"
    assert page["Owner"]["ID"] == page["Initiator"]["ID"]
    assert "Parts" not in upload.listed(PartNumberMarker=10_000)


def test_uploads_are_listed_by_key_and_time(s3: Any, bucket: str, begin: Begin) -> None:
    keys = ["b", "a/1", "a/2", "a/1", "c/1/2", "a"]
    begun = [begin(key) for key in keys]
    expected = sorted(((upload.key, index, upload.id) for index, upload in enumerate(begun)))
    assert open_uploads(s3, bucket) == [(key, upload_id) for key, _, upload_id in expected]
    seen: list[str] = []
    markers: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=1, **markers)
        seen += [upload["UploadId"] for upload in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert seen == [upload_id for _, _, upload_id in expected]
    rolled = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [group["Prefix"] for group in rolled["CommonPrefixes"]] == ["a/", "c/"]
    assert [upload["Key"] for upload in rolled["Uploads"]] == ["a", "b"]
    inner = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", Prefix="c/")
    assert [group["Prefix"] for group in inner["CommonPrefixes"]] == ["c/1/"]
    behind = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a/1")
    assert [upload["Key"] for upload in behind["Uploads"]] == ["a/2", "b", "c/1/2"]


# -- checksums

FULL = ["CRC32", "CRC32C", "CRC64NVME"]


@pytest.mark.parametrize("name", FULL)
def test_full_object_checksums_are_combined(s3: Any, bucket: str, begin: Begin, name: str) -> None:
    upload = begin(ChecksumAlgorithm=name, ChecksumType="FULL_OBJECT")
    datas = [body(100_001, 1), body(65_536, 2), body(3, 3)]
    for number, data in enumerate(datas, 1):
        answer = upload.put(number, data, ChecksumAlgorithm=name)
        assert answer[f"Checksum{name}"] == crc(name, data)
    whole = crc(name, upload.content)
    wrong = {f"Checksum{name}": crc(name, b"other")}
    assert refused(upload.complete, **wrong, ChecksumType="FULL_OBJECT") == (400, "BadDigest")
    answer = upload.complete(**{f"Checksum{name}": whole}, ChecksumType="FULL_OBJECT")
    assert (answer[f"Checksum{name}"], answer["ChecksumType"]) == (whole, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="dir/key", ChecksumMode="ENABLED")
    assert (head[f"Checksum{name}"], head["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_composite_checksums(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin(ChecksumAlgorithm="SHA256")
    datas = [body(100_001, 1), body(3, 3)]
    for number, data in enumerate(datas, 1):
        upload.put(number, data, ChecksumSHA256=sha256(data))
    whole = sha256(b"".join(hashlib.sha256(data).digest() for data in datas)) + "-2"
    assert refused(upload.complete) == (400, "InvalidRequest")
    manifest = upload.manifest()
    for part in manifest["Parts"]:
        part["ChecksumSHA256"] = sha256(upload.datas[part["PartNumber"]])
    wrong = {"Parts": [{**part, "ChecksumSHA256": sha256(b"?")} for part in manifest["Parts"]]}
    assert refused(s3.complete_multipart_upload, **upload.name, MultipartUpload=wrong) == (400, "InvalidPart")
    answer = s3.complete_multipart_upload(**upload.name, MultipartUpload=manifest, ChecksumSHA256=whole)
    assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (whole, "COMPOSITE")
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="dir/key", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize"]
    )
    assert attributes["Checksum"]["ChecksumSHA256"] == whole.removesuffix("-2")
    assert s3.head_object(Bucket=bucket, Key="dir/key", ChecksumMode="ENABLED")["ChecksumSHA256"] == whole
    target = {"Bucket": bucket, "Key": "dir/key", "ChecksumMode": "ENABLED"}
    for number, found in ((1, "bytes=0-100000"), (2, "bytes=-3")):
        # boto3 checks what it reads against the checksum.
        by_number = s3.get_object(**target, PartNumber=number)
        assert by_number["Body"].read() == datas[number - 1]
        for answer in (by_number, s3.head_object(**target, Range=found)):
            assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (sha256(datas[number - 1]), "COMPOSITE")
    for other in ("bytes=0-99999", "bytes=1-100000", "bytes=0-", "bytes=100001-100002"):
        assert "ChecksumSHA256" not in s3.head_object(**target, Range=other)
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert [part["ChecksumSHA256"] for part in attributes["ObjectParts"]["Parts"]] == [sha256(data) for data in datas]
    page = s3.get_object_attributes(
        Bucket=bucket, Key="dir/key", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=1
    )["ObjectParts"]
    assert ([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"]) == ([2], False)


def test_a_part_with_another_checksum_than_announced_is_refused(begin: Begin) -> None:
    upload = begin(ChecksumAlgorithm="SHA256")
    assert refused(upload.put, 1, b"x", ChecksumCRC32=crc("CRC32", b"x")) == (400, "InvalidRequest")
    assert refused(upload.put, 1, b"x") == (400, "InvalidRequest")  # as AWS asks of each part of a composite one
    assert refused(upload.put, 1, b"x", ChecksumSHA256=sha256(b"y")) == (400, "BadDigest")
    digests = {"ChecksumSHA256": sha256(b"x"), "ContentMD5": base64.b64encode(bytes(16)).decode()}
    assert refused(upload.put, 1, b"x", **digests) == (400, "BadDigest")
    assert "Parts" not in upload.listed()


def test_unannounced_checksums(s3: Any, bucket: str, begin: Begin) -> None:
    upload = begin()
    upload.put(1, b"one" * 1000)
    upload.put(2, b"two", ChecksumCRC64NVME=crc("CRC64NVME", b"two"))
    unknown = {
        "Parts": [{"PartNumber": 1, "ETag": upload.etags[1], "ChecksumSHA1": base64.b64encode(bytes(20)).decode()}]
    }
    assert refused(s3.complete_multipart_upload, **upload.name, MultipartUpload=unknown) == (400, "InvalidPart")
    upload.complete()
    head = s3.head_object(Bucket=bucket, Key="dir/key", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (crc("CRC64NVME", upload.content), "FULL_OBJECT")
    assert "ChecksumAlgorithm" not in begin().listed()


@pytest.mark.parametrize(
    "options",
    [
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumType": "FULL_OBJECT"},
    ],
    ids=str,
)
def test_impossible_checksum_types(begin: Begin, options: dict[str, str]) -> None:
    assert refused(begin, **options) == (400, "InvalidRequest")


# -- copies


def test_parts_are_copied_from_objects(s3: Any, bucket: str, begin: Begin) -> None:
    source = body(300_000, 9)
    etag = s3.put_object(Bucket=bucket, Key="source ä+b", Body=source)["ETag"]
    upload = begin()
    where = {"CopySource": {"Bucket": bucket, "Key": "source ä+b"}}
    ranges = {1: "bytes=0-99999", 2: "bytes=100000-199999", 3: "bytes=200000-299999"}
    for number, copied in ranges.items():
        answer = s3.upload_part_copy(**upload.name, PartNumber=number, **where, CopySourceRange=copied)
        upload.etags[number] = answer["CopyPartResult"]["ETag"]
    upload.etags[4] = s3.upload_part_copy(**upload.name, PartNumber=4, **where, CopySourceIfMatch=etag)[
        "CopyPartResult"
    ]["ETag"]
    upload.complete()
    assert content_of(s3, bucket, "dir/key") == source * 2
    for options, outcome in [
        ({"CopySourceRange": "bytes=0-300000"}, (400, "InvalidArgument")),
        ({"CopySourceRange": "bytes=5-"}, (400, "InvalidArgument")),
        ({"CopySourceIfNoneMatch": etag}, (412, "PreconditionFailed")),
        ({"CopySourceIfMatch": '"' + "0" * 32 + '"'}, (412, "PreconditionFailed")),
        ({"CopySource": {"Bucket": bucket, "Key": "absent"}}, (404, "NoSuchKey")),
        ({"CopySource": {"Bucket": "no-such-bucket-here", "Key": "k"}}, (404, "NoSuchBucket")),
    ]:
        other = begin()
        assert refused(s3.upload_part_copy, **other.name, PartNumber=1, **{**where, **options}) == outcome
        assert "Parts" not in other.listed()


# -- many parts


def test_ten_thousand_parts_are_listed_and_completed(
    small_gateway: Gateway, s3: Any, bucket: str, begin: Begin
) -> None:
    upload = begin()

    def put_every_fourth(first: int) -> None:
        with Client(small_gateway) as client:
            for number in range(first, 10_001, 4):
                data = b"%05d" % number
                query = {"partNumber": str(number), "uploadId": upload.id}
                reply = client.request("PUT", path_of(bucket, "dir/key"), query, body=data)
                assert reply.status == 200, reply
                upload.datas[number], upload.etags[number] = data, reply.headers["etag"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_every_fourth, range(1, 5)))
    pages = list(s3.get_paginator("list_parts").paginate(**upload.name))
    assert len(pages) == 10
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == list(range(1, 10_001))
    assert upload.complete()["ETag"] == etag_of(upload.datas[number] for number in range(1, 10_001))
    assert content_of(s3, bucket, "dir/key") == upload.content
    part = s3.get_object(Bucket=bucket, Key="dir/key", PartNumber=7_777)
    assert (part["Body"].read(), part["PartsCount"]) == (b"07777", 10_000)
    s3.put_object_tagging(Bucket=bucket, Key="dir/key", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.head_object(Bucket=bucket, Key="dir/key", PartNumber=10_000)["ContentLength"] == 5
