"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation, tags, and what a fresh bucket's configuration says."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.wire import Answer, Wire
from workers.iam.accounts import ROOT_ACCOUNT

Put = Callable[..., Answer]
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def fresh() -> str:
    return f"/raw-{uuid4().hex[:16]}"


def create(wire: Wire, inner: str, headers: dict[str, str] | None = None, path: str = "") -> Answer:
    body = f"<CreateBucketConfiguration {XMLNS}>{inner}</CreateBucketConfiguration>".encode()
    return wire.call("PUT", path or fresh(), headers, body)


def test_create_bucket_and_again(wire: Wire) -> None:
    path = fresh()
    made = wire.call("PUT", path)
    assert (made.status, made.headers["location"], made.body) == (200, path, b"")
    assert made.headers["x-amz-bucket-arn"] == "arn:aws:s3:::" + path.strip("/")
    assert wire.call("PUT", path).status == 200  # us-east-1, as with AWS


@pytest.mark.parametrize(
    "name",
    [
        *("ab", "a" * 64, "UPPER", "under_score", "-a-b", "a-b-", "a..b", ".abc", "abc.", "192.168.1.1", "xn--abc"),
        *(
            "abc-s3alias",
            "abc--ol-s3",
            "sthree-x",
            "a%2Fb",
            "..",
            "%2e%2e",
            ".shardgate",
            "%C3%BCber",
            "a%00b",
            "a b c",
        ),
    ],
)
def test_bad_bucket_names(wire: Wire, name: str) -> None:
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        answer = wire.call(method, f"/{name}".replace(" ", "%20"))
        assert answer.status == 400
        assert method == "HEAD" or answer.code == "InvalidBucketName"


@pytest.mark.parametrize(
    ("inner", "outcome"),
    [
        ("", (200, "")),
        ("<LocationConstraint>us-east-1</LocationConstraint>", (200, "")),
        ("<LocationConstraint>eu-west-1</LocationConstraint>", (400, "IllegalLocationConstraintException")),
        ("<LocationConstraint>no where!</LocationConstraint>", (400, "InvalidLocationConstraint")),
        ("<LocationConstraint></LocationConstraint>", (400, "InvalidLocationConstraint")),
        ("<Bucket><Type>Directory</Type></Bucket>", (501, "NotImplemented")),
        ("<Unknown/>", (400, "MalformedXML")),
        ("<LocationConstraint>", (400, "MalformedXML")),
    ],
)
def test_create_bucket_documents(wire: Wire, inner: str, outcome: tuple[int, str]) -> None:
    assert create(wire, inner).outcome == outcome


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"x-amz-acl": "private"}, (200, "")),
        ({"x-amz-acl": "public-read"}, (400, "InvalidBucketAclWithObjectOwnership")),
        ({"x-amz-acl": "nobody"}, (400, "InvalidArgument")),
        ({"x-amz-grant-write": "id=1"}, (400, "InvalidBucketAclWithObjectOwnership")),
        ({"x-amz-object-ownership": "BucketOwnerEnforced"}, (200, "")),
        ({"x-amz-object-ownership": "Mine"}, (400, "InvalidArgument")),
        ({"x-amz-bucket-object-lock-enabled": "false"}, (200, "")),
        ({"x-amz-bucket-object-lock-enabled": "perhaps"}, (400, "InvalidArgument")),
    ],
)
def test_create_bucket_headers(wire: Wire, headers: dict[str, str], outcome: tuple[int, str]) -> None:
    path = fresh()
    assert wire.call("PUT", path, headers).outcome == outcome
    assert wire.call("HEAD", path).status == (200 if outcome[0] == 200 else 404)


def test_create_bucket_with_tags(wire: Wire) -> None:
    path = fresh()
    made = create(wire, "<Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags>", path=path)
    assert made.status == 200
    assert wire.call("GET", f"{path}?tagging").texts("TagSet/Tag/Value") == ["1"]


def test_create_bucket_with_a_chunked_or_huge_document(wire: Wire) -> None:
    huge = wire.call("PUT", fresh(), {}, b"<CreateBucketConfiguration>" + b" " * 70_000)
    assert huge.outcome == (400, "MaxMessageLengthExceeded")
    empty = wire.call(
        "PUT", fresh(), {"transfer-encoding": "chunked"}, b"0\r\n\r\n", length=False, payload="UNSIGNED-PAYLOAD"
    )
    assert empty.status == 200


def test_head_bucket(wire: Wire, box: str) -> None:
    answer = wire.call("HEAD", box)
    assert (answer.status, answer.headers["x-amz-bucket-region"], answer.body) == (200, "us-east-1", b"")
    assert answer.headers["x-amz-bucket-arn"] == "arn:aws:s3:::" + box.strip("/")
    missing = wire.call("HEAD", "/no-such-bucket-here")
    assert (missing.status, missing.body) == (404, b"")


def test_who_may_not_see_a_bucket_learns_its_region_by_head(wire: Wire, box: str) -> None:
    answer = wire.call("HEAD", box, sign=False)
    assert (answer.status, answer.headers["x-amz-bucket-region"], answer.body) == (403, "us-east-1", b"")
    assert "x-amz-bucket-region" not in wire.call("GET", box, sign=False).headers


def test_delete_bucket(wire: Wire, box: str, put: Put) -> None:
    put("k")
    assert wire.call("DELETE", box).outcome == (409, "BucketNotEmpty")
    assert wire.call("DELETE", f"{box}/k").status == 204
    assert wire.call("DELETE", box).status == 204
    assert wire.call("DELETE", box).outcome == (404, "NoSuchBucket")


def test_tags_go_with_their_bucket(wire: Wire) -> None:
    path = fresh()
    create(wire, "<Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags>", path=path)
    assert wire.call("DELETE", path).status == 204
    assert wire.call("PUT", path).status == 200
    assert wire.call("GET", f"{path}?tagging").outcome == (404, "NoSuchTagSet")


def test_get_bucket_location(wire: Wire, box: str) -> None:
    answer = wire.call("GET", f"{box}?location")
    assert (answer.status, answer.tree.tag, answer.tree.text) == (200, "LocationConstraint", None)


def tagging(*tags: tuple[str, str]) -> bytes:
    inner = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging {XMLNS}><TagSet>{inner}</TagSet></Tagging>".encode()


def test_get_put_and_delete_bucket_tagging(wire: Wire, box: str) -> None:
    target = f"{box}?tagging"
    assert wire.call("GET", target).outcome == (404, "NoSuchTagSet")  # GetBucketTagging
    assert wire.call("PUT", target, body=tagging(("a", "1"), ("ü", ""))).status == 204
    answer = wire.call("GET", target)
    assert (answer.texts("TagSet/Tag/Key"), answer.texts("TagSet/Tag/Value")) == (["a", "ü"], ["1", ""])
    assert wire.call("PUT", target, body=tagging(*((f"k{n}", "v") for n in range(50)))).status == 204
    assert wire.call("DELETE", target).status == 204
    assert wire.call("GET", target).outcome == (404, "NoSuchTagSet")
    assert wire.call("DELETE", target).status == 204  # DeleteBucketTagging of none


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (tagging(*((f"k{n}", "v") for n in range(51))), (400, "BadRequest")),
        (tagging(("a", "1"), ("a", "2")), (400, "InvalidTag")),
        (tagging(("aws:a", "1")), (400, "InvalidTag")),
        (tagging(("", "1")), (400, "InvalidTag")),
        (tagging(("a", "?")), (400, "InvalidTag")),
        (b"<Tagging/>", (400, "MalformedXML")),
        (b"not xml", (400, "MalformedXML")),
        (b"", (400, "MissingRequestBodyError")),
        (b" " * 70_000, (400, "MaxMessageLengthExceeded")),
    ],
)
def test_bad_put_bucket_tagging(wire: Wire, box: str, body: bytes, outcome: tuple[int, str]) -> None:
    assert wire.call("PUT", f"{box}?tagging", body=body).outcome == outcome
    assert wire.call("GET", f"{box}?tagging").status == 404


def test_put_bucket_tagging_without_a_length(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}?tagging").outcome == (411, "MissingContentLength")


def test_put_bucket_tagging_checks_its_digests(wire: Wire, box: str) -> None:
    body = tagging(("a", "1"))
    bad_md5 = {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert wire.call("PUT", f"{box}?tagging", bad_md5, body).outcome == (400, "BadDigest")
    bad_crc = {"x-amz-checksum-crc32": "AAAAAA=="}
    assert wire.call("PUT", f"{box}?tagging", bad_crc, body).outcome == (400, "BadDigest")


ABSENT = {
    "policy": "NoSuchBucketPolicy",  # GetBucketPolicy
    "policyStatus": "NoSuchBucketPolicy",  # GetBucketPolicyStatus
    "cors": "NoSuchCORSConfiguration",  # GetBucketCors
    "object-lock": "ObjectLockConfigurationNotFoundError",  # GetObjectLockConfiguration
    "lifecycle": "NoSuchLifecycleConfiguration",  # GetBucketLifecycleConfiguration
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",  # GetBucketEncryption
    "website": "NoSuchWebsiteConfiguration",  # GetBucketWebsite
    "replication": "ReplicationConfigurationNotFoundError",  # GetBucketReplication
}
PRESENT = {
    "acl": "AccessControlPolicy",  # GetBucketAcl
    "ownershipControls": "OwnershipControls",  # GetBucketOwnershipControls
    "publicAccessBlock": "PublicAccessBlockConfiguration",  # GetPublicAccessBlock
    "versioning": "VersioningConfiguration",  # GetBucketVersioning
    "notification": "NotificationConfiguration",  # GetBucketNotificationConfiguration
    "logging": "BucketLoggingStatus",  # GetBucketLogging
    "requestPayment": "RequestPaymentConfiguration",  # GetBucketRequestPayment
    "accelerate": "AccelerateConfiguration",  # GetBucketAccelerateConfiguration
    "analytics": "ListBucketAnalyticsConfigurationResult",  # ListBucketAnalyticsConfigurations
    "inventory": "ListInventoryConfigurationsResult",  # ListBucketInventoryConfigurations
    "metrics": "ListMetricsConfigurationsResult",  # ListBucketMetricsConfigurations
    # ListBucketIntelligentTieringConfigurations
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
}


@pytest.mark.parametrize("name", ABSENT)
def test_configuration_that_a_fresh_bucket_lacks(wire: Wire, box: str, name: str) -> None:
    answer = wire.call("GET", f"{box}?{name}")
    assert answer.outcome == (404, ABSENT[name])
    assert answer.text("BucketName") == box[1:]


@pytest.mark.parametrize("name", PRESENT)
def test_configuration_that_a_fresh_bucket_has(wire: Wire, box: str, name: str) -> None:
    answer = wire.call("GET", f"{box}?{name}")
    assert (answer.status, answer.tree.tag) == (200, PRESENT[name])


@pytest.mark.parametrize("name", [*ABSENT, *PRESENT, "location", "tagging", "versions"])
def test_configuration_of_a_missing_bucket(wire: Wire, name: str) -> None:
    assert wire.call("GET", f"/no-such-bucket-here?{name}").outcome == (404, "NoSuchBucket")


@pytest.mark.parametrize("name", ["analytics", "inventory", "metrics", "intelligent-tiering"])
def test_configuration_by_id(wire: Wire, box: str, name: str) -> None:
    assert wire.call("GET", f"{box}?{name}&id=x").outcome == (404, "NoSuchConfiguration")


def test_fresh_access_control_list_grants_all_to_the_owner(wire: Wire, box: str) -> None:
    answer = wire.call("GET", f"{box}?acl")
    assert answer.text("AccessControlList/Grant/Grantee/ID") == answer.text("Owner/ID")
    assert answer.text("AccessControlList/Grant/Permission") == "FULL_CONTROL"


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE"])
def test_configuration_with_another_method_leaves_the_bucket_alone(wire: Wire, box: str, method: str) -> None:
    answer = wire.call(method, f"{box}?torrent")
    assert answer.status == 501
    assert wire.call("HEAD", box).status == 200


def test_expected_owner_is_checked(wire: Wire, box: str) -> None:
    wrong = {"x-amz-expected-bucket-owner": "000000000000"}
    for method, query in (("GET", ""), ("GET", "?location"), ("GET", "?acl"), ("DELETE", ""), ("GET", "?tagging")):
        assert wire.call(method, box + query, wrong).outcome == (403, "AccessDenied")
    assert wire.call("HEAD", box, wrong).status == 403
    assert wire.call("HEAD", box, {"x-amz-expected-bucket-owner": ROOT_ACCOUNT.number}).status == 200
