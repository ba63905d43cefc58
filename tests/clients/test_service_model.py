"""Every answer of the gateway, checked against the service model of S3 (tests/support/service_model.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.clients.conftest import make_client
from tests.clients.content import KEY_NAMES
from tests.clients.endpoint import Endpoint
from tests.support.service_model import NAMESPACE, checked, mismatches


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Any:
    return checked(make_client(endpoint))


def code_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, int]:
    """The error code and status that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_buckets(client: Any, bucket: str, endpoint: Endpoint) -> None:
    client.list_buckets()
    client.list_buckets(Prefix=bucket, MaxBuckets=1)
    name = f"{bucket}-made"
    client.create_bucket(Bucket=name)
    assert client.head_bucket(Bucket=name)["BucketRegion"] == endpoint.region
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    client.delete_bucket(Bucket=name)
    assert code_of(client.head_bucket, Bucket=name) == ("404", 404)
    assert code_of(client.get_bucket_location, Bucket=name) == ("NoSuchBucket", 404)
    assert code_of(client.delete_bucket, Bucket=name) == ("NoSuchBucket", 404)


def test_list_buckets_in_pages(client: Any, make_bucket: Callable[[], str]) -> None:
    made = sorted(make_bucket() for _ in range(3))
    pages = list(client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}))
    names = [entry["Name"] for page in pages for entry in page["Buckets"]]
    assert set(made) <= set(names)
    assert names == sorted(set(names))


# What AWS answers for a bucket of which nothing was ever configured. Default encryption is the exception: AWS has
# encrypted all new buckets since 2023, and an answer that says so has to be true.
FRESH: dict[str, dict[str, Any] | str] = {
    "get_bucket_accelerate_configuration": {},
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_logging": {},
    "get_bucket_notification_configuration": {},
    "get_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_request_payment": {"Payer": "BucketOwner"},
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_versioning": {},
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_public_access_block": {
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
    },
    "list_bucket_analytics_configurations": {"IsTruncated": False},
    "list_bucket_intelligent_tiering_configurations": {"IsTruncated": False},
    "list_bucket_inventory_configurations": {"IsTruncated": False},
    "list_bucket_metrics_configurations": {"IsTruncated": False},
}


@pytest.mark.parametrize("operation", FRESH)
def test_configuration_of_a_fresh_bucket(client: Any, bucket: str, operation: str) -> None:
    expected = FRESH[operation]
    call = getattr(client, operation)
    if isinstance(expected, str):
        assert code_of(call, Bucket=bucket) == (expected, 404)
    else:
        answer = call(Bucket=bucket)
        del answer["ResponseMetadata"]
        assert answer == expected
    assert code_of(call, Bucket=f"{bucket}-missing") == ("NoSuchBucket", 404)


def test_access_control_of_fresh_buckets_and_objects(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"data")
    for answer in (client.get_bucket_acl(Bucket=bucket), client.get_object_acl(Bucket=bucket, Key="k")):
        (grant,) = answer["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"]["Type"] == "CanonicalUser"
        assert grant["Grantee"]["ID"] == answer["Owner"]["ID"]


def test_bucket_tags(client: Any, bucket: str) -> None:
    client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert client.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    client.delete_bucket_tagging(Bucket=bucket)
    bad = {"TagSet": [{"Key": "aws:reserved", "Value": "b"}]}
    assert code_of(client.put_bucket_tagging, Bucket=bucket, Tagging=bad) == ("InvalidTag", 400)


@pytest.mark.parametrize("encoding", [{}, {"EncodingType": "url"}])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_listings(client: Any, bucket: str, operation: str, encoding: dict[str, str]) -> None:
    keys = sorted({*KEY_NAMES[:32], "dir/a", "dir/b", "other/c"}, key=str.encode)
    call = getattr(client, operation)
    call(Bucket=bucket, **encoding)
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    member = "Versions" if operation == "list_object_versions" else "Contents"
    whole = call(Bucket=bucket, **encoding)
    assert whole["MaxKeys"] == 1000
    assert len(whole[member]) == len(keys)
    call(Bucket=bucket, Delimiter="/", **encoding)
    call(Bucket=bucket, Prefix="dir/", MaxKeys=1, **encoding)
    call(Bucket=bucket, MaxKeys=0, **encoding)
    truncated = call(Bucket=bucket, Delimiter="/", MaxKeys=3, **encoding)
    assert truncated["IsTruncated"] is True
    assert code_of(call, Bucket=f"{bucket}-missing") == ("NoSuchBucket", 404)


def test_listing_with_all_options(client: Any, bucket: str) -> None:
    for number in range(5):
        client.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x", ChecksumAlgorithm="CRC32")
    page = client.list_objects_v2(Bucket=bucket, MaxKeys=2, StartAfter="k0", FetchOwner=True)
    assert [entry["Key"] for entry in page["Contents"]] == ["k1", "k2"]
    token = page["NextContinuationToken"]
    rest = client.list_objects_v2(Bucket=bucket, ContinuationToken=token, FetchOwner=True)
    assert rest["ContinuationToken"] == token
    assert [entry["Key"] for entry in rest["Contents"]] == ["k3", "k4"]
    client.list_objects(Bucket=bucket, Marker="k2")
    client.list_object_versions(Bucket=bucket, KeyMarker="k2")
    assert code_of(client.list_objects_v2, Bucket=bucket, ContinuationToken="garbage") == ("InvalidArgument", 400)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_objects(client: Any, bucket: str, algorithm: str) -> None:
    target = {"Bucket": bucket, "Key": "dir/k ü"}
    client.put_object(
        **target,
        Body=b"data",
        ChecksumAlgorithm=algorithm,
        Metadata={"a": "b"},
        CacheControl="no-cache",
        ContentLanguage="de",
        Tagging="a=b",
    )
    client.get_object(**target)["Body"].read()
    client.get_object(**target, ChecksumMode="ENABLED", Range="bytes=1-2")["Body"].read()
    client.head_object(**target, ChecksumMode="ENABLED")
    client.head_object(**target, Range="bytes=0-0")
    attributes = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    answer = client.get_object_attributes(**target, ObjectAttributes=attributes)
    assert answer["ETag"] == hashlib.md5(b"data").hexdigest()
    client.get_object_tagging(**target)
    client.put_object_tagging(**target, Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    client.delete_object_tagging(**target)
    client.copy_object(Bucket=bucket, Key="copy", CopySource=target)
    client.rename_object(Bucket=bucket, Key="renamed", RenameSource="/copy")
    client.delete_object(Bucket=bucket, Key="renamed")
    client.delete_object(Bucket=bucket, Key="never-there")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "dir/k ü"}, {"Key": "never-there"}]})


def test_refusals_of_object_operations(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"data")
    missing = {"Bucket": bucket, "Key": "missing"}
    assert code_of(client.get_object, **missing) == ("NoSuchKey", 404)
    assert code_of(client.head_object, **missing) == ("404", 404)
    assert code_of(client.get_object_tagging, **missing) == ("NoSuchKey", 404)
    assert code_of(client.get_object_attributes, **missing, ObjectAttributes=["ETag"]) == ("NoSuchKey", 404)
    assert code_of(client.copy_object, Bucket=bucket, Key="x", CopySource=missing) == ("NoSuchKey", 404)
    held = {"Bucket": bucket, "Key": "k"}
    assert code_of(client.get_object, **held, Range="bytes=9-") == ("InvalidRange", 416)
    assert code_of(client.get_object, **held, IfMatch='"0"') == ("PreconditionFailed", 412)
    assert code_of(client.get_object, **held, IfNoneMatch=client.head_object(**held)["ETag"]) == ("304", 304)
    assert code_of(client.head_object, **held, IfMatch='"0"') == ("412", 412)
    assert code_of(client.put_object, **held, Body=b"", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert code_of(client.put_object, **held, Body=b"", ChecksumCRC32="AAAAAQ==") == ("BadDigest", 400)
    assert code_of(client.put_object, Bucket=f"{bucket}-missing", Key="k", Body=b"") == ("NoSuchBucket", 404)
    assert code_of(client.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == ("KeyTooLongError", 400)


@pytest.mark.parametrize("algorithm", [None, "CRC32C", "CRC64NVME", "SHA256"])
def test_multipart_uploads(client: Any, bucket: str, algorithm: str | None) -> None:
    target = {"Bucket": bucket, "Key": "dir/k ü"}
    chosen = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    upload = {
        **target,
        "UploadId": client.create_multipart_upload(**target, **chosen, ContentType="text/x")["UploadId"],
    }
    client.put_object(Bucket=bucket, Key="source", Body=bytes(5 << 20))
    client.upload_part_copy(**upload, PartNumber=1, CopySource={"Bucket": bucket, "Key": "source"})
    client.upload_part(**upload, PartNumber=2, Body=b"tail", **chosen)
    client.list_parts(**upload, MaxParts=1)
    parts = client.list_parts(**upload)["Parts"]
    encodings: tuple[dict[str, str], ...] = ({}, {"EncodingType": "url"})
    for encoding in encodings:
        listed = client.list_multipart_uploads(Bucket=bucket, **encoding)
        assert [entry["UploadId"] for entry in listed["Uploads"]] == [upload["UploadId"]]
        client.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=1, **encoding)
    named = ("PartNumber", "ETag", f"Checksum{algorithm}")
    chosen_parts = [{name: part[name] for name in named if name in part} for part in parts]
    assert len(client.complete_multipart_upload(**upload, MultipartUpload={"Parts": chosen_parts})["ETag"]) > 34
    client.head_object(**target, ChecksumMode="ENABLED")
    assert client.get_object(**target, PartNumber=2)["Body"].read() == b"tail"
    attributes = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    client.get_object_attributes(**target, ObjectAttributes=attributes)

    upload = {**target, "UploadId": client.create_multipart_upload(**target)["UploadId"]}
    client.abort_multipart_upload(**upload)
    assert code_of(client.list_parts, **upload) == ("NoSuchUpload", 404)
    assert code_of(client.upload_part, **upload, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)


# The check itself.


@lru_cache(maxsize=1)
def _model() -> Any:
    return botocore.session.get_session().get_service_model("s3")


HEADERS = {
    "x-amz-request-id": "R",
    "x-amz-id-2": "H",
    "Date": "Fri, 02 Jan 2026 03:04:05 GMT",
    "Content-Type": "application/xml",
}
CONTENTS = (
    "<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    "<Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
LISTING = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{NAMESPACE}"><Name>b</Name><Prefix></Prefix>'
    f"<KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{CONTENTS}</ListBucketResult>"
)
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>m</Message><Key>k</Key>'
    "<RequestId>R</RequestId><HostId>H</HostId></Error>"
)


def findings(text: str, *, operation: str = "ListObjectsV2", status: int = 200, **headers: str) -> str:
    shown = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "\n".join(mismatches(_model().operation_model(operation), status, shown, text.encode()))


def test_check_accepts_good_answers() -> None:
    assert findings(LISTING) == ""
    assert findings(ERROR, status=404) == ""
    assert findings("", operation="HeadObject", status=404) == ""


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("<KeyCount>1</KeyCount>", "", "KeyCount: missing"),
        ("<StorageClass>STANDARD</StorageClass>", "", "Contents/StorageClass: missing"),
        ("<Size>1</Size>", "<Size>one</Size>", "Contents/Size: not a number"),
        ("<Size>1</Size>", "<Size>1</Size><Size>1</Size>", "Contents/Size: comes more than once"),
        ("<Size>1</Size>", "<Size>1</Size><Extra/>", "Contents/Extra: not in the model"),
        ("STANDARD", "FAST", "Contents/StorageClass: 'FAST' is not one of"),
        ("05.000Z", "05Z", "LastModified: not a time in the form iso8601"),
        (">false<", ">False<", "IsTruncated: not a boolean"),
        (NAMESPACE, "urn:other", "root element"),
        ("ListBucketResult", "ListObjectsResult", "root element"),
        (CONTENTS, CONTENTS.replace(">a<", ">b<") + CONTENTS, "Contents/Key: out of order"),
        (CONTENTS, CONTENTS * 2, "Contents/Key: a name comes twice"),
        ("<Key>a</Key>", "<Key><a/></Key>", "Contents/Key: elements where text belongs"),
        ('<?xml version="1.0" encoding="UTF-8"?>', "", "body: no XML declaration"),
        ("</ListBucketResult>", "", "body: not well-formed"),
        ("<Key>a</Key>", "<Key>a b</Key>", ""),
        (
            "<MaxKeys>",
            "<EncodingType>url</EncodingType><Delimiter> </Delimiter><MaxKeys>",
            "Delimiter: not url-encoded",
        ),
    ],
)
def test_check_finds_what_is_wrong_with_a_listing(old: str, new: str, finding: str) -> None:
    assert old in LISTING
    found = findings(LISTING.replace(old, new))
    assert finding in found
    assert bool(found) == bool(finding)


@pytest.mark.parametrize(
    ("finding", "arguments"),
    [
        ("status: 204", {"text": LISTING, "status": 204}),
        ("header content-type", {"text": LISTING, "Content_Type": "text/xml"}),
        ("header x-amz-invented: not in the model", {"text": LISTING, "x_amz_invented": "1"}),
        ("header date", {"text": LISTING, "Date": "2026-01-02"}),
        ("headers: no x-amz-request-id", {"text": LISTING, "x_amz_request_id": ""}),
        ("header etag: missing", {"text": "", "operation": "PutObject"}),
        ("header etag: not quoted", {"text": "", "operation": "PutObject", "ETag": "abc"}),
        ("body: 1 bytes where none", {"text": "x", "operation": "PutObject", "ETag": '"abc"'}),
        ("body: 1 bytes in an answer that has none", {"text": "x", "operation": "HeadObject", "status": 404}),
        ("Error/RequestId", {"text": ERROR.replace(">R<", ">other<"), "status": 404}),
        ("0 elements HostId", {"text": ERROR.replace("<HostId>H</HostId>", ""), "status": 404}),
        ("not Error", {"text": ERROR.replace("Error>", "Fault>"), "status": 404}),
    ],
)
def test_check_finds_what_is_wrong_around_it(finding: str, arguments: dict[str, Any]) -> None:
    assert finding in findings(**arguments)
