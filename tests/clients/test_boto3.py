"""boto3: the client whose model defines the others' expectations."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.header import decode_header, make_header
from typing import Any

import awscrt.checksums
import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.clients.conftest import Store, make_client
from tests.clients.content import KEY_NAMES, MIB, SIZES, content, digest
from tests.clients.endpoint import Endpoint
from tests.clients.tls import TlsFront


def _crc(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: _crc(zlib.crc32(data), 4),
    "CRC32C": lambda data: _crc(awscrt.checksums.crc32c(data), 4),
    "CRC64NVME": lambda data: _crc(awscrt.checksums.crc64nvme(data), 8),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def checksum(algorithm: str, data: bytes) -> str:
    """The base64 form that S3 carries in its headers."""
    return base64.b64encode(CHECKSUMS[algorithm](data)).decode()


def error_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("size", SIZES)
def test_put_and_get_return_the_same_bytes(store: Store, size: int) -> None:
    data = content(size)
    answer = store.client.put_object(Bucket=store.bucket, Key="k", Body=data)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert answer["ETag"] == etag

    head = store.client.head_object(Bucket=store.bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (size, etag)
    assert head["ContentType"] == "binary/octet-stream"
    store.assert_holds("k", size)


@pytest.mark.parametrize("key", KEY_NAMES, ids=range(len(KEY_NAMES)))
def test_awkward_keys_are_stored_listed_and_deleted(store: Store, key: str) -> None:
    data = key.encode()
    store.put(key, data)
    assert store.get(key) == data
    assert store.keys() == [key]
    store.client.delete_object(Bucket=store.bucket, Key=key)
    assert store.keys() == []


def test_awkward_keys_live_side_by_side_in_byte_order(store: Store) -> None:
    keys = sorted(set(KEY_NAMES), key=str.encode)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, key.encode()), keys))
    assert store.keys() == keys
    assert store.digests() == {key: digest(key.encode()) for key in keys}


@pytest.mark.parametrize("control", ["\x01", "\x0b", "\x1f", "\x7f", "\n", "\r", "\t", "\ufffe"])
def test_control_characters_in_keys_are_listed_url_encoded(store: Store, control: str) -> None:
    key = f"a{control}b"
    store.put(key, b"x")
    assert store.get(key) == b"x"
    listed = store.client.list_objects_v2(Bucket=store.bucket)  # boto3 asks for encoding-type=url and decodes
    assert [entry["Key"] for entry in listed["Contents"]] == [key]
    # Not left for the fixture: no XML request could name this key in DeleteObjects.
    store.client.delete_object(Bucket=store.bucket, Key=key)


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@pytest.mark.parametrize("size", [0, 1, MIB])
def test_every_checksum_algorithm_as_header(store: Store, algorithm: str, size: int) -> None:
    data = content(size)
    member = f"Checksum{algorithm}"
    answer = store.client.put_object(Bucket=store.bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    assert answer[member] == checksum(algorithm, data)

    got = store.client.get_object(Bucket=store.bucket, Key="k", ChecksumMode="ENABLED")
    assert got[member] == checksum(algorithm, data)
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert digest(got["Body"].read()) == digest(data)
    assert member not in store.client.head_object(Bucket=store.bucket, Key="k")


@pytest.fixture
def over_tls(endpoint: Endpoint, tls_front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the TLS front: only there botocore sends unsigned bodies with trailers."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tls_front.authority))
    return make_client(Endpoint(tls_front.url, endpoint.access_key, endpoint.secret_key, endpoint.region))


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
def test_every_checksum_algorithm_as_trailer_over_tls(over_tls: Any, store: Store, algorithm: str, size: int) -> None:
    payloads: list[bytes] = []
    over_tls.meta.events.register_first(
        "before-send.s3.PutObject", lambda request, **_: payloads.append(request.headers["X-Amz-Content-SHA256"])
    )
    data = content(size)
    over_tls.put_object(Bucket=store.bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    assert payloads[-1] == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert digest(store.get("k")) == digest(data)
    head = store.client.head_object(Bucket=store.bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == checksum(algorithm, data)
    # The transfer coding is the gateway's business: it is neither stored nor shown.
    assert "ContentEncoding" not in head


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_wrong_checksum_stores_nothing(store: Store, algorithm: str) -> None:
    wrong = {f"Checksum{algorithm}": checksum(algorithm, b"other")}
    with pytest.raises(ClientError) as caught:
        store.client.put_object(Bucket=store.bucket, Key="k", Body=b"data", **wrong)
    assert error_of(caught) == ("BadDigest", 400)
    assert store.keys() == []


def test_wrong_content_md5_stores_nothing(store: Store) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(ClientError) as caught:
        store.client.put_object(Bucket=store.bucket, Key="k", Body=b"data", ContentMD5=wrong)
    assert error_of(caught) == ("BadDigest", 400)
    assert store.keys() == []


def test_presigned_get_and_put(store: Store) -> None:
    data = content(100_000)
    target = {"Bucket": store.bucket, "Key": "dir/pre signed+ü.bin"}
    url = store.client.generate_presigned_url("put_object", Params={**target, "ContentType": "text/x"}, ExpiresIn=60)
    answer = requests.put(url, data=data, headers={"Content-Type": "text/x"}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert store.client.head_object(**target)["ContentType"] == "text/x"

    overrides = {"ResponseContentType": "text/y", "ResponseContentDisposition": 'attachment; filename="a b"'}
    url = store.client.generate_presigned_url("get_object", Params={**target, **overrides}, ExpiresIn=60)
    answer = requests.get(url, timeout=30)
    assert (answer.status_code, digest(answer.content)) == (200, digest(data))
    assert answer.headers["Content-Type"] == "text/y"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a b"'

    tampered = requests.get(url.replace("signed", "s1gned"), timeout=30)
    assert tampered.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in tampered.text


def test_presigned_url_does_not_serve_another_method(store: Store) -> None:
    store.put("k", b"data")
    url = store.client.generate_presigned_url("get_object", Params={"Bucket": store.bucket, "Key": "k"})
    assert requests.delete(url, timeout=30).status_code == 403
    assert store.get("k") == b"data"


def test_conditional_writes(store: Store) -> None:
    put = store.client.put_object
    first = put(Bucket=store.bucket, Key="k", Body=b"one", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as caught:
        put(Bucket=store.bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert error_of(caught) == ("PreconditionFailed", 412)
    put(Bucket=store.bucket, Key="k", Body=b"three", IfMatch=first)
    with pytest.raises(ClientError) as caught:
        put(Bucket=store.bucket, Key="k", Body=b"four", IfMatch=first)
    assert error_of(caught) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as caught:
        put(Bucket=store.bucket, Key="missing", Body=b"five", IfMatch=first)
    assert error_of(caught) == ("NoSuchKey", 404)
    assert store.digests() == {"k": digest(b"three")}


def test_of_many_create_only_writers_exactly_one_wins(store: Store) -> None:
    def write(number: int) -> int | None:
        try:
            store.put("k", content(1000, seed=number), IfNoneMatch="*")
        except ClientError as error:
            losses.append(error.response["Error"]["Code"])
            return None
        return number

    losses: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(24)) if number is not None]
    assert len(winners) == 1
    # AWS answers 409 to a writer that lost while the winner was still being stored.
    assert set(losses) <= {"PreconditionFailed", "ConditionalRequestConflict"}
    store.assert_holds("k", 1000, seed=winners[0])


def test_conditional_reads(store: Store) -> None:
    store.put("k", b"data")
    head = store.client.head_object(Bucket=store.bucket, Key="k")
    get = store.client.get_object
    assert get(Bucket=store.bucket, Key="k", IfMatch=head["ETag"])["Body"].read() == b"data"
    assert get(Bucket=store.bucket, Key="k", IfUnmodifiedSince=head["LastModified"])["Body"].read() == b"data"
    for conditions in ({"IfNoneMatch": head["ETag"]}, {"IfModifiedSince": head["LastModified"]}):
        with pytest.raises(ClientError) as caught:
            get(Bucket=store.bucket, Key="k", **conditions)
        assert error_of(caught)[1] == 304
    with pytest.raises(ClientError) as caught:
        get(Bucket=store.bucket, Key="k", IfMatch='"0123"')
    assert error_of(caught) == ("PreconditionFailed", 412)


def test_metadata_survives_a_round_trip(store: Store) -> None:
    system = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'inline; filename="x y"',
        "ContentEncoding": "identity-ish",
        "ContentLanguage": "de-CH",
    }
    user = {"plain": "value", "empty": "", "with-dash": "a b  c", "mixed": "UPPER lower"}
    store.put("k", b"data", Metadata=user, **system)
    for answer in (
        store.client.head_object(Bucket=store.bucket, Key="k"),
        store.client.get_object(Bucket=store.bucket, Key="k"),
    ):
        assert answer["Metadata"] == user
        assert {name: answer[name] for name in system} == system


def test_unicode_metadata_in_encoded_words(store: Store) -> None:
    # Headers carry no other text than ASCII, so clients send RFC 2047 words; S3 hands them back as words.
    encoded = "=?UTF-8?B?" + base64.b64encode("grüezi дом".encode()).decode() + "?="
    store.put("k", b"data", Metadata={"greeting": encoded})
    value = store.client.head_object(Bucket=store.bucket, Key="k")["Metadata"]["greeting"]
    assert value.upper().startswith("=?UTF-8?")
    assert str(make_header(decode_header(value))) == "grüezi дом"


def test_metadata_above_two_kibibytes_is_refused(store: Store) -> None:
    store.put("fits", b"", Metadata={"a": "x" * 2000})
    with pytest.raises(ClientError) as caught:
        store.put("k", b"data", Metadata={"a": "x" * 2048})
    assert error_of(caught) == ("MetadataTooLarge", 400)
    assert store.keys() == ["fits"]


@pytest.mark.parametrize("key", ["plain", "with space", "plus+sign", "percent%41", "ünï/дом?#&"])
def test_copy_object_from_an_awkward_key(store: Store, key: str) -> None:
    store.put(key, content(70_000), Metadata={"origin": "1"}, ContentType="text/x")
    source = {"Bucket": store.bucket, "Key": key}
    answer = store.client.copy_object(Bucket=store.bucket, Key="copies/" + key, CopySource=source)
    assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(content(70_000)).hexdigest()}"'
    store.assert_holds("copies/" + key, 70_000)
    head = store.client.head_object(Bucket=store.bucket, Key="copies/" + key)
    assert (head["Metadata"], head["ContentType"]) == ({"origin": "1"}, "text/x")


def test_copy_object_onto_itself_replaces_metadata_only(store: Store) -> None:
    store.put("k", b"data", Metadata={"old": "1"})
    source = {"Bucket": store.bucket, "Key": "k"}
    with pytest.raises(ClientError) as caught:
        store.client.copy_object(Bucket=store.bucket, Key="k", CopySource=source)
    assert error_of(caught) == ("InvalidRequest", 400)
    store.client.copy_object(
        Bucket=store.bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "2"}
    )
    assert store.client.head_object(Bucket=store.bucket, Key="k")["Metadata"] == {"new": "2"}
    assert store.get("k") == b"data"


def test_copy_object_between_buckets_with_conditions(store: Store, make_bucket: Callable[[], str]) -> None:
    other = make_bucket()
    store.put("k", b"data")
    source = {"Bucket": store.bucket, "Key": "k"}
    with pytest.raises(ClientError) as caught:
        store.client.copy_object(Bucket=other, Key="k", CopySource=source, CopySourceIfMatch='"0123"')
    assert error_of(caught) == ("PreconditionFailed", 412)
    assert Store(store.client, other).keys() == []
    store.client.copy_object(Bucket=other, Key="k", CopySource=source, CopySourceIfNoneMatch='"0123"')
    assert Store(store.client, other).get("k") == b"data"


def test_delete_objects_reports_each_key(store: Store) -> None:
    keys = [f"k{number:04}" for number in range(150)] + ["sp ace", "am&p<", "ü"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    doomed = [*keys[:149], "sp ace", "am&p<", "ü", "never-there"]
    answer = store.client.delete_objects(Bucket=store.bucket, Delete={"Objects": [{"Key": key} for key in doomed]})
    assert "Errors" not in answer
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == sorted(doomed)
    assert store.keys() == ["k0149"]

    quiet = {"Objects": [{"Key": "k0149"}], "Quiet": True}
    assert "Deleted" not in store.client.delete_objects(Bucket=store.bucket, Delete=quiet)
    assert store.keys() == []


def test_delete_objects_refuses_more_than_a_thousand_keys(store: Store) -> None:
    store.put("k0", b"")
    many = [{"Key": f"k{number}"} for number in range(1001)]
    with pytest.raises(ClientError) as caught:
        store.client.delete_objects(Bucket=store.bucket, Delete={"Objects": many})
    assert error_of(caught) == ("MalformedXML", 400)
    assert store.keys() == ["k0"]


@pytest.fixture
def listing_keys(store: Store) -> list[str]:
    keys = sorted([f"d{number % 7}/f{number:03} +%" for number in range(90)] + ["top", "d1", "d1.x"], key=str.encode)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    return keys


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_pagination_returns_each_key_once(
    store: Store, listing_keys: list[str], operation: str, page_size: int
) -> None:
    if page_size == 1:
        listing_keys = [key for key in listing_keys if key.startswith("d1")]
    paginator = store.client.get_paginator(operation)
    prefix = "d1" if page_size == 1 else ""
    pages = paginator.paginate(Bucket=store.bucket, Prefix=prefix, PaginationConfig={"PageSize": page_size})
    member = "Versions" if operation == "list_object_versions" else "Contents"
    listed = [page.get(member, []) for page in pages]
    assert [entry["Key"] for entries in listed for entry in entries] == listing_keys
    assert all(len(entries) <= page_size for entries in listed)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_pagination_with_a_delimiter(store: Store, listing_keys: list[str], operation: str) -> None:
    pages = store.client.get_paginator(operation).paginate(
        Bucket=store.bucket, Delimiter="/", PaginationConfig={"PageSize": 3}
    )
    member = "Versions" if operation == "list_object_versions" else "Contents"
    keys: list[str] = []
    prefixes: list[str] = []
    for page in pages:
        keys += [entry["Key"] for entry in page.get(member, [])]
        prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    assert keys == [key for key in listing_keys if "/" not in key]
    assert prefixes == sorted({key.split("/")[0] + "/" for key in listing_keys if "/" in key})


def test_listing_counts_and_start_after(store: Store, listing_keys: list[str]) -> None:
    page = store.client.list_objects_v2(Bucket=store.bucket, Delimiter="/", MaxKeys=4)
    assert page["KeyCount"] == len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) == 4
    assert page["IsTruncated"] is True
    page = store.client.list_objects_v2(Bucket=store.bucket, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"], "Contents" in page) == (0, False, False)
    page = store.client.list_objects_v2(Bucket=store.bucket, StartAfter=listing_keys[50], FetchOwner=True)
    assert [entry["Key"] for entry in page["Contents"]] == listing_keys[51:]
    assert all(entry["Owner"]["ID"] for entry in page["Contents"])


@pytest.mark.parametrize("size", SIZES)
def test_transfer_manager_below_the_multipart_threshold(store: Store, size: int) -> None:
    config = TransferConfig(multipart_threshold=8 * MIB)
    store.client.upload_fileobj(io.BytesIO(content(size)), store.bucket, "k", Config=config)
    sink = io.BytesIO()
    store.client.download_fileobj(store.bucket, "k", sink, Config=config)
    assert digest(sink.getvalue()) == digest(content(size))
    store.assert_holds("k", size)


def test_ranged_reads(store: Store) -> None:
    data = content(MIB)
    store.put("k", data)
    for header, (first, last) in {
        "bytes=0-0": (0, 0),
        "bytes=1000-1999": (1000, 1999),
        "bytes=1048000-": (1_048_000, MIB - 1),
        "bytes=-17": (MIB - 17, MIB - 1),
        "bytes=1048575-9999999": (MIB - 1, MIB - 1),
    }.items():
        answer = store.client.get_object(Bucket=store.bucket, Key="k", Range=header)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"] == f"bytes {first}-{last}/{MIB}"
        assert digest(answer["Body"].read()) == digest(data[first : last + 1])
    with pytest.raises(ClientError) as caught:
        store.client.get_object(Bucket=store.bucket, Key="k", Range=f"bytes={MIB}-")
    assert error_of(caught) == ("InvalidRange", 416)


def test_object_and_bucket_tags(store: Store) -> None:
    tags = [{"Key": "colour", "Value": "grün + a=b:c/d@e"}, {"Key": "empty", "Value": ""}]
    store.put("k", b"data", Tagging="from=put&a=b%20c")
    assert _by_key(store.client.get_object_tagging(Bucket=store.bucket, Key="k")["TagSet"]) == [
        {"Key": "a", "Value": "b c"},
        {"Key": "from", "Value": "put"},
    ]
    assert store.client.get_object(Bucket=store.bucket, Key="k")["TagCount"] == 2
    store.client.put_object_tagging(Bucket=store.bucket, Key="k", Tagging={"TagSet": tags})
    assert _by_key(store.client.get_object_tagging(Bucket=store.bucket, Key="k")["TagSet"]) == tags
    store.client.delete_object_tagging(Bucket=store.bucket, Key="k")
    assert store.client.get_object_tagging(Bucket=store.bucket, Key="k")["TagSet"] == []

    store.client.put_bucket_tagging(Bucket=store.bucket, Tagging={"TagSet": tags})
    assert _by_key(store.client.get_bucket_tagging(Bucket=store.bucket)["TagSet"]) == tags
    store.client.delete_bucket_tagging(Bucket=store.bucket)
    with pytest.raises(ClientError) as caught:
        store.client.get_bucket_tagging(Bucket=store.bucket)
    assert error_of(caught) == ("NoSuchTagSet", 404)
    assert store.get("k") == b"data"


def _by_key(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(tags, key=lambda tag: tag["Key"])


def test_object_attributes(store: Store) -> None:
    data = content(5000)
    store.put("k", data, ChecksumAlgorithm="CRC32C")
    answer = store.client.get_object_attributes(
        Bucket=store.bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
    )
    assert answer["ETag"] == hashlib.md5(data).hexdigest()  # the one answer whose ETag has no quotes
    assert answer["ObjectSize"] == 5000
    assert answer["StorageClass"] == "STANDARD"
    assert answer["Checksum"] == {"ChecksumCRC32C": checksum("CRC32C", data), "ChecksumType": "FULL_OBJECT"}


@pytest.mark.parametrize("source", ["old%20name%2B", "/old%20name%2B"])
def test_rename_object_moves_the_content(store: Store, source: str) -> None:
    # Both forms are in AWS's samples: the source is a key, URL encoded, after an optional slash.
    store.put("old name+", b"data", Metadata={"a": "b"})
    store.client.rename_object(Bucket=store.bucket, Key="dir/new name%", RenameSource=source)
    assert store.keys() == ["dir/new name%"]
    assert store.get("dir/new name%") == b"data"
    assert store.client.head_object(Bucket=store.bucket, Key="dir/new name%")["Metadata"] == {"a": "b"}


def test_missing_things_are_named(store: Store) -> None:
    with pytest.raises(ClientError) as caught:
        store.client.get_object(Bucket=store.bucket, Key="missing")
    assert error_of(caught) == ("NoSuchKey", 404)
    assert caught.value.response["Error"]["Key"] == "missing"
    with pytest.raises(ClientError) as caught:
        store.client.list_objects_v2(Bucket=store.bucket + "-missing")
    assert error_of(caught) == ("NoSuchBucket", 404)
    assert caught.value.response["Error"]["BucketName"] == store.bucket + "-missing"
    with pytest.raises(ClientError) as caught:
        store.client.head_object(Bucket=store.bucket, Key="missing")
    assert error_of(caught) == ("404", 404)


def test_buckets_are_created_listed_and_deleted(endpoint: Endpoint, reference: Any, bucket: str) -> None:
    assert bucket in [entry["Name"] for entry in reference.list_buckets(Prefix=bucket)["Buckets"]]
    assert reference.head_bucket(Bucket=bucket)["BucketRegion"] == endpoint.region
    reference.put_object(Bucket=bucket, Key="k", Body=b"")
    with pytest.raises(ClientError) as caught:
        reference.delete_bucket(Bucket=bucket)
    assert error_of(caught) == ("BucketNotEmpty", 409)
    reference.delete_object(Bucket=bucket, Key="k")
    reference.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        reference.head_bucket(Bucket=bucket)
    assert error_of(caught) == ("404", 404)


def test_wrong_secret_and_unknown_key_are_refused(endpoint: Endpoint, store: Store) -> None:
    store.put("k", b"data")
    wrong = make_client(Endpoint(endpoint.url, endpoint.access_key, "wrong" * 8))
    with pytest.raises(ClientError) as caught:
        wrong.get_object(Bucket=store.bucket, Key="k")
    assert error_of(caught) == ("SignatureDoesNotMatch", 403)
    unknown = make_client(Endpoint(endpoint.url, "AKIAUNKNOWNUNKNOWN00", endpoint.secret_key))
    with pytest.raises(ClientError) as caught:
        unknown.get_object(Bucket=store.bucket, Key="k")
    assert error_of(caught) == ("InvalidAccessKeyId", 403)
