"""CopyObject, RenameObject, DeleteObject, DeleteObjects, object tags, attributes, ACL and locks."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from email.utils import formatdate
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from tests.support.wire import Answer, Wire

Put = Callable[..., Answer]
PAST, FUTURE = formatdate(0, usegmt=True), formatdate(4102444800, usegmt=True)
ETAG = f'"{hashlib.md5(b"data").hexdigest()}"'
FILLED = {"content-type": "a/b", "x-amz-meta-m": "1", "x-amz-tagging": "t=1", "cache-control": "no-store"}


def copy(wire: Wire, source: str, target: str, headers: dict[str, str] | None = None) -> Answer:
    return wire.call("PUT", target, {"x-amz-copy-source": source, **(headers or {})})


# -- CopyObject


def test_copy_object_with_all_that_belongs_to_it(wire: Wire, box: str, put: Put) -> None:
    put("s", b"data", FILLED)
    answer = copy(wire, f"{box}/s", f"{box}/t")
    assert (answer.status, answer.tree.tag, answer.text("ETag")) == (200, "CopyObjectResult", ETAG)
    assert answer.text("LastModified").endswith("Z")
    assert answer.text("ChecksumCRC64NVME")
    found = wire.call("GET", f"{box}/t")
    assert (found.body, found.metadata(), found.headers["content-type"]) == (b"data", {"m": "1"}, "a/b")
    assert (found.headers["x-amz-tagging-count"], found.headers["cache-control"]) == ("1", "no-store")


@pytest.mark.parametrize(
    "form",
    [
        "{box}/k%20%C3%BC%2Fx%3Fy",
        "{bare}/k%20%C3%BC/x%3Fy",
        "{bare}%2Fk%20%C3%BC%2Fx%3Fy",
        "{box}/k%20%C3%BC%2Fx%3Fy?versionId=null",
    ],
)
def test_forms_of_the_copy_source(wire: Wire, box: str, put: Put, form: str) -> None:
    put(quote("k ü/x?y"), b"data")
    answer = copy(wire, form.format(box=box, bare=box[1:]), f"{box}/t")
    assert answer.status == 200
    assert wire.call("GET", f"{box}/t").body == b"data"
    assert ("x-amz-copy-source-version-id" in answer.headers) == ("versionId" in form)


def test_raw_utf8_in_the_copy_source(wire: Wire, box: str, put: Put) -> None:
    put(quote("ü"), b"data")
    assert copy(wire, f"{box}/ü".encode().decode("latin-1"), f"{box}/t").status == 200


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("bucket-only", (400, "InvalidArgument")),
        ("bucket-only/", (400, "InvalidArgument")),
        ("/UPPER/key", (400, "InvalidArgument")),
        ("/../key", (400, "InvalidArgument")),
        ("/.shardgate/state", (400, "InvalidArgument")),
        ("{box}/%zz", (400, "InvalidArgument")),
        ("{box}/%FF", (400, "InvalidArgument")),
        ("{box}/" + "k" * 1025, (400, "KeyTooLongError")),
        ("{box}/s?versionId=nope", (404, "NoSuchVersion")),
        ("{box}/missing", (404, "NoSuchKey")),
        ("/no-such-bucket-here/s", (404, "NoSuchBucket")),
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/a/object/k", (400, "InvalidArgument")),
    ],
)
def test_bad_copy_sources(wire: Wire, box: str, put: Put, source: str, outcome: tuple[int, str]) -> None:
    put("s")
    answer = copy(wire, source.format(box=box), f"{box}/t")
    assert answer.outcome == outcome
    assert wire.call("HEAD", f"{box}/t").status == 404


def test_missing_copy_source_is_named_and_the_target_is_what_was_asked(wire: Wire, box: str) -> None:
    answer = copy(wire, f"{box}/missing", f"{box}/t")
    assert (answer.text("Key"), answer.text("Resource")) == ("missing", f"{box}/t")


def test_copy_with_replaced_metadata_and_tags(wire: Wire, box: str, put: Put) -> None:
    put("s", b"data", FILLED)
    replace = {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging-directive": "REPLACE"}
    assert (
        copy(wire, f"{box}/s", f"{box}/t", {**replace, "x-amz-meta-n": "2", "x-amz-tagging": "a=1&b=2"}).status == 200
    )
    found = wire.call("HEAD", f"{box}/t")
    assert (found.metadata(), found.headers["content-type"]) == ({"n": "2"}, "binary/octet-stream")
    assert found.headers["x-amz-tagging-count"] == "2"
    assert "cache-control" not in found.headers


def test_copy_ignores_metadata_without_the_directive(wire: Wire, box: str, put: Put) -> None:
    put("s", b"data", FILLED)
    copy(wire, f"{box}/s", f"{box}/t", {"x-amz-meta-n": "2", "content-type": "x/y", "x-amz-tagging": "z=1&y=2"})
    found = wire.call("HEAD", f"{box}/t")
    assert (found.metadata(), found.headers["content-type"]) == ({"m": "1"}, "a/b")
    assert found.headers["x-amz-tagging-count"] == "1"


@pytest.mark.parametrize("name", ["x-amz-metadata-directive", "x-amz-tagging-directive"])
def test_unknown_directive(wire: Wire, box: str, put: Put, name: str) -> None:
    put("s")
    answer = copy(wire, f"{box}/s", f"{box}/t", {name: "MERGE"})
    assert answer.outcome == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == name


def test_copy_onto_itself(wire: Wire, box: str, put: Put) -> None:
    put("s", b"data", FILLED)
    assert copy(wire, f"{box}/s", f"{box}/s").outcome == (400, "InvalidRequest")
    assert copy(wire, f"{box}/s", f"{box}/s", {"x-amz-tagging-directive": "REPLACE"}).outcome == (400, "InvalidRequest")
    changed = copy(wire, f"{box}/s", f"{box}/s", {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-x": "y"})
    assert changed.status == 200
    assert wire.call("GET", f"{box}/s").metadata() == {"x": "y"}
    assert copy(wire, f"{box}/s", f"{box}/s", {"x-amz-storage-class": "STANDARD_IA"}).status == 200
    assert wire.call("GET", f"{box}/s").body == b"data"


def test_copy_with_another_checksum(wire: Wire, box: str, put: Put) -> None:
    put("s")
    answer = copy(wire, f"{box}/s", f"{box}/t", {"x-amz-checksum-algorithm": "CRC32"})
    assert answer.text("ChecksumCRC32") == base64.b64encode(zlib.crc32(b"data").to_bytes(4, "big")).decode()
    assert wire.call("GET", f"{box}/t").body == b"data"
    assert copy(wire, f"{box}/s", f"{box}/u", {"x-amz-checksum-algorithm": "CRC7"}).outcome == (400, "InvalidRequest")


P = "x-amz-copy-source-"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({P + "if-match": ETAG}, 200),
        ({P + "if-match": '"x"'}, 412),
        ({P + "if-none-match": '"x"'}, 200),
        ({P + "if-none-match": ETAG}, 412),
        ({P + "if-modified-since": PAST}, 200),
        ({P + "if-modified-since": FUTURE}, 412),
        ({P + "if-unmodified-since": FUTURE}, 200),
        ({P + "if-unmodified-since": PAST}, 412),
        ({P + "if-match": ETAG, P + "if-unmodified-since": PAST}, 200),
        ({P + "if-none-match": ETAG, P + "if-modified-since": PAST}, 412),
        ({"if-none-match": "*"}, 200),
        ({"if-match": ETAG}, 404),
        ({P + "server-side-encryption-customer-algorithm": "AES256"}, 400),
        ({P + "range": "bytes=0-1"}, 200),
    ],
)
def test_conditions_of_a_copy(wire: Wire, box: str, put: Put, headers: dict[str, str], status: int) -> None:
    put("s")
    answer = copy(wire, f"{box}/s", f"{box}/t", headers)
    assert answer.status == status
    if status == 412:
        assert answer.text("Condition").lower() in headers
    assert wire.call("HEAD", f"{box}/t").status == (200 if status == 200 else 404)


def test_condition_on_the_destination_of_a_copy(wire: Wire, box: str, put: Put) -> None:
    put("s")
    put("t", b"before")
    assert copy(wire, f"{box}/s", f"{box}/t", {"if-none-match": "*"}).outcome == (412, "PreconditionFailed")
    assert copy(wire, f"{box}/s", f"{box}/t", {"if-match": '"x"'}).outcome == (412, "PreconditionFailed")
    assert wire.call("GET", f"{box}/t").body == b"before"


def test_copy_into_a_missing_bucket(wire: Wire, box: str, put: Put) -> None:
    put("s")
    assert copy(wire, f"{box}/s", "/no-such-bucket-here/t").outcome == (404, "NoSuchBucket")


def test_owners_of_a_copy(wire: Wire, box: str, put: Put) -> None:
    put("s")
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        assert copy(wire, f"{box}/s", f"{box}/t", {name: "000000000000"}).outcome == (403, "AccessDenied")


def test_copy_with_a_sub_resource_stores_nothing(wire: Wire, box: str, put: Put) -> None:
    put("s")
    for query in ("acl", "tagging", "versionId=null", "foo"):
        assert copy(wire, f"{box}/s", f"{box}/t?{query}").status in (400, 501)
    assert wire.call("HEAD", f"{box}/t").status == 404


# -- RenameObject


def rename(wire: Wire, source: str | None, target: str, headers: dict[str, str] | None = None) -> Answer:
    given = {} if source is None else {"x-amz-rename-source": source}
    return wire.call("PUT", f"{target}?renameObject", {**given, **(headers or {})})


def test_rename_object(wire: Wire, box: str, put: Put) -> None:
    put("s%20%C3%BC", b"data", FILLED)
    assert rename(wire, f"{box}/s%20%C3%BC", f"{box}/t").status == 200
    found = wire.call("GET", f"{box}/t")
    assert (found.body, found.metadata(), found.headers["etag"]) == (b"data", {"m": "1"}, ETAG)
    assert wire.call("HEAD", f"{box}/s%20%C3%BC").status == 404


@pytest.mark.parametrize("form", ["{key}", "/{key}", "{bucket}/{key}", "/{bucket}/{key}"])
def test_rename_source_with_and_without_the_bucket(wire: Wire, box: str, put: Put, form: str) -> None:
    put("dir/s%2B", b"data")
    assert rename(wire, form.format(key="dir/s%2B", bucket=box[1:]), f"{box}/t").status == 200
    assert wire.call("GET", f"{box}/t").body == b"data"
    assert wire.call("HEAD", f"{box}/dir/s%2B").status == 404


def test_rename_source_that_begins_like_the_bucket_is_a_key_first(wire: Wire, box: str, put: Put) -> None:
    put("s", b"short")
    put(box[1:] + "/s", b"long")
    assert rename(wire, f"{box}/s", f"{box}/t").status == 200
    assert wire.call("GET", f"{box}/t").body == b"long"
    # Now the other reading is the only one; so it is for a target that is written like the source.
    assert rename(wire, f"{box}/s", f"{box}{box}/s").status == 200
    assert wire.call("GET", f"{box}{box}/s").body == b"short"
    put("s")
    assert rename(wire, f"{box}/s", f"{box}{box}/s").outcome == (400, "InvalidRequest")
    put("k" * 240 + "/" + "l" * 240, b"far")
    assert rename(wire, f"{box}/" + "k" * 240 + "/" + "l" * 240, f"{box}/t").status == 200


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (None, (400, "InvalidArgument")),
        ("", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("s", (404, "NoSuchKey")),
        ("t", (400, "InvalidRequest")),
        ("/other-bucket/s", (404, "NoSuchKey")),
        ("{box}/", (404, "NoSuchKey")),
        ("{box}/missing", (404, "NoSuchKey")),
        ("{box}/%zz", (400, "InvalidURI")),
        ("{box}/t", (400, "InvalidRequest")),
        ("{box}/" + "k" * 1025, (400, "KeyTooLongError")),
    ],
)
def test_bad_rename_sources(wire: Wire, box: str, source: str | None, outcome: tuple[int, str]) -> None:
    assert rename(wire, source and source.format(box=box), f"{box}/t").outcome == outcome


S = "x-amz-rename-source-"


@pytest.mark.parametrize(
    ("exists", "headers", "status"),
    [
        (True, {}, 200),
        (True, {"if-none-match": "*"}, 412),
        (False, {"if-none-match": "*"}, 200),
        (True, {"if-match": ETAG}, 200),
        (True, {"if-match": '"x"'}, 412),
        (False, {"if-match": ETAG}, 412),
        (True, {"if-unmodified-since": PAST}, 412),
        (True, {"if-modified-since": PAST}, 200),
        (False, {S + "if-match": ETAG}, 200),
        (False, {S + "if-match": '"x"'}, 412),
        (False, {S + "if-none-match": "*"}, 412),
        (False, {S + "if-none-match": ETAG}, 412),
        (False, {S + "if-modified-since": FUTURE}, 412),
        (False, {S + "if-unmodified-since": FUTURE}, 200),
    ],
)
def test_conditions_of_a_rename(
    wire: Wire, box: str, put: Put, exists: bool, headers: dict[str, str], status: int
) -> None:
    put("s")
    if exists:
        put("t")
    answer = rename(wire, f"{box}/s", f"{box}/t", headers)
    assert answer.status == status
    assert wire.call("HEAD", f"{box}/s").status == (404 if status == 200 else 200)


# -- DeleteObject


def test_delete_object_and_again(wire: Wire, box: str, put: Put) -> None:
    put("k")
    assert wire.call("DELETE", f"{box}/k").status == 204
    again = wire.call("DELETE", f"{box}/k")
    assert (again.status, again.body) == (204, b"")
    assert "content-length" not in again.headers
    assert wire.call("DELETE", "/no-such-bucket-here/k").outcome == (404, "NoSuchBucket")


def test_delete_of_a_version(wire: Wire, box: str, put: Put) -> None:
    put("k")
    assert wire.call("DELETE", f"{box}/k?versionId=other").status == 204
    assert wire.call("HEAD", f"{box}/k").status == 200
    gone = wire.call("DELETE", f"{box}/k?versionId=null")
    assert (gone.status, gone.headers["x-amz-version-id"]) == (204, "null")
    assert wire.call("HEAD", f"{box}/k").status == 404


def modified(wire: Wire, path: str) -> str:
    return wire.call("HEAD", path).headers["last-modified"]


@pytest.mark.parametrize(
    ("headers", "exists", "status"),
    [
        ({"if-match": ETAG}, True, 204),
        ({"if-match": "*"}, True, 204),
        ({"if-match": '"x"'}, True, 412),
        ({"if-match": ETAG}, False, 404),
        ({"x-amz-if-match-size": "4"}, True, 204),
        ({"x-amz-if-match-size": "5"}, True, 412),
        ({"x-amz-if-match-size": "5"}, False, 204),
        ({"x-amz-if-match-size": "-5"}, True, 400),
        ({"x-amz-if-match-last-modified-time": PAST}, True, 412),
        ({"x-amz-if-match-last-modified-time": PAST}, False, 204),
        ({"x-amz-if-match-last-modified-time": "soon"}, True, 400),
        ({"if-match": ETAG, "x-amz-if-match-size": "5"}, True, 412),
        ({"if-none-match": "*"}, True, 501),
    ],
)
def test_conditions_of_a_delete(
    wire: Wire, box: str, put: Put, headers: dict[str, str], exists: bool, status: int
) -> None:
    if exists:
        put("k")
    assert wire.call("DELETE", f"{box}/k", headers).status == status
    assert wire.call("HEAD", f"{box}/k").status == (200 if exists and status != 204 else 404)


def test_delete_when_the_time_is_right(wire: Wire, box: str, put: Put) -> None:
    put("k")
    headers = {"x-amz-if-match-last-modified-time": modified(wire, f"{box}/k")}
    assert wire.call("DELETE", f"{box}/k", headers).status == 204


# -- DeleteObjects


def delete_document(entries: list[str], *, quiet: bool = False) -> bytes:
    inner = "".join(f"<Object>{entry}</Object>" for entry in entries)
    return f"<Delete>{'<Quiet>true</Quiet>' if quiet else ''}{inner}</Delete>".encode()


def delete_all(wire: Wire, box: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    digest = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    return wire.call("POST", f"{box}?delete", digest if headers is None else headers, body)


def named(*keys: str) -> list[str]:
    return [f"<Key>{escape(key)}</Key>" for key in keys]


def test_delete_objects(wire: Wire, box: str, put: Put) -> None:
    keys = ["a", "b&<c>", "ü/x"]
    for key in keys:
        put(quote(key))
    answer = delete_all(wire, box, delete_document(named(*keys, "missing")))
    assert (answer.status, answer.tree.tag) == (200, "DeleteResult")
    assert answer.texts("Deleted/Key") == [*keys, "missing"]
    assert answer.texts("Error/Key") == []
    assert wire.call("GET", f"{box}?list-type=2").text("KeyCount") == "0"


def test_delete_objects_quietly_tells_failures_only(wire: Wire, box: str, put: Put) -> None:
    put("a")
    put("b")
    entries = [*named("a", "k" * 1025), "<Key>b</Key><ETag>x</ETag>", "<Key>c</Key><ETag>x</ETag>"]
    answer = delete_all(wire, box, delete_document(entries, quiet=True))
    assert answer.texts("Deleted/Key") == []
    assert answer.texts("Error/Key") == ["k" * 1025, "b", "c"]
    assert answer.texts("Error/Code") == ["KeyTooLongError", "PreconditionFailed", "NoSuchKey"]
    assert all(answer.texts("Error/Message"))
    assert wire.call("HEAD", f"{box}/b").status == 200


def test_delete_objects_with_versions_and_conditions(wire: Wire, box: str, put: Put) -> None:
    for key in "abcd":
        put(key)
    entries = [
        "<Key>a</Key><VersionId>null</VersionId>",
        "<Key>b</Key><VersionId>none-such</VersionId>",
        "<Key>c</Key><Size>4</Size>",
        "<Key>d</Key><Size>x</Size>",
        "<Key>e</Key><Size>3</Size>",
    ]
    answer = delete_all(wire, box, delete_document(entries))
    assert answer.texts("Deleted/Key") == ["a", "b", "c", "e"]
    assert answer.texts("Deleted/VersionId") == ["null", "none-such"]
    assert answer.texts("Error/Code") == ["InvalidArgument"]
    assert wire.call("GET", f"{box}").texts("Contents/Key") == ["b", "d"]


def test_a_thousand_objects_and_no_more(wire: Wire, box: str) -> None:
    keys = [f"{n:04d}" for n in range(1001)]
    assert len(delete_all(wire, box, delete_document(named(*keys[:1000]))).texts("Deleted/Key")) == 1000
    assert delete_all(wire, box, delete_document(named(*keys))).outcome == (400, "MalformedXML")


def test_the_longest_document_is_taken(wire: Wire, box: str) -> None:
    answer = delete_all(wire, box, delete_document(named(*(f"{n:04d}" + "&" * 250 for n in range(1000)))))
    assert len(answer.texts("Deleted/Key")) == 1000


@pytest.mark.parametrize(
    ("body", "headers", "outcome"),
    [
        (delete_document(named("a")), {}, (400, "InvalidRequest")),
        (delete_document(named("a")), {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "BadDigest")),
        (delete_document(named("a")), {"content-md5": "x"}, (400, "InvalidDigest")),
        (delete_document(named("a")), {"x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
        (delete_document([]), None, (400, "MalformedXML")),
        (delete_document(["<Key></Key>"]), None, (400, "MalformedXML")),
        (delete_document(["<Key>a</Key><Other/>"]), None, (400, "MalformedXML")),
        (delete_document(["<VersionId>a</VersionId>"]), None, (400, "MalformedXML")),
        (b"<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>", None, (400, "MalformedXML")),
        (b"", None, (400, "MissingRequestBodyError")),
        (b"<Delete>", None, (400, "MalformedXML")),
        (b"<Tagging/>", None, (400, "MalformedXML")),
        (b"<Delete>" + b" " * (2 << 20) + b"</Delete>", None, (400, "MaxMessageLengthExceeded")),
    ],
)
def test_bad_delete_documents(
    wire: Wire, box: str, put: Put, body: bytes, headers: dict[str, str] | None, outcome: tuple[int, str]
) -> None:
    put("a")
    assert delete_all(wire, box, body, headers).outcome == outcome
    assert wire.call("HEAD", f"{box}/a").status == 200


def test_checksum_stands_for_the_md5(wire: Wire, box: str) -> None:
    body = delete_document(named("a"))
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert delete_all(wire, box, body, {"x-amz-checksum-crc32": crc}).status == 200


def test_delete_objects_in_a_missing_bucket(wire: Wire) -> None:
    assert delete_all(wire, "/no-such-bucket-here", delete_document(named("a"))).outcome == (404, "NoSuchBucket")


def test_delete_objects_without_a_length(wire: Wire, box: str) -> None:
    assert wire.call("POST", f"{box}?delete", payload="UNSIGNED-PAYLOAD").outcome == (411, "MissingContentLength")


# -- tags


def tagging(*tags: tuple[str, str]) -> bytes:
    inner = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging><TagSet>{inner}</TagSet></Tagging>".encode()


def test_get_put_and_delete_object_tagging(wire: Wire, box: str, put: Put) -> None:
    put("k", b"data", {"x-amz-tagging": "a=1&%C3%BC=x%20y+z"})
    target = f"{box}/k?tagging"
    answer = wire.call("GET", target)  # GetObjectTagging
    assert (answer.texts("TagSet/Tag/Key"), answer.texts("TagSet/Tag/Value")) == (["a", "ü"], ["1", "x y z"])
    before = wire.call("HEAD", f"{box}/k").headers
    assert (
        wire.call("PUT", target, body=tagging(*((f"k{n}", "v") for n in range(10)))).status == 200
    )  # PutObjectTagging
    after = wire.call("HEAD", f"{box}/k").headers
    assert after["x-amz-tagging-count"] == "10"
    assert (after["etag"], after["last-modified"]) == (before["etag"], before["last-modified"])
    assert wire.call("DELETE", f"{target}&versionId=null").status == 204  # DeleteObjectTagging
    assert wire.call("GET", target).texts("TagSet/Tag") == []
    assert wire.call("GET", f"{box}/k").body == b"data"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (tagging(*((f"k{n}", "v") for n in range(11))), "BadRequest"),
        (tagging(("a", "1"), ("a", "2")), "InvalidTag"),
        (tagging(("k" * 129, "1")), "InvalidTag"),
        (tagging(("k", "v" * 257)), "InvalidTag"),
        (b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "MalformedXML"),
        (b"<Tagging><TagSet>text</TagSet></Tagging>", "MalformedXML"),
        (b'<!DOCTYPE x [<!ENTITY e "x">]><Tagging><TagSet/></Tagging>', "MalformedXML"),
    ],
)
def test_bad_object_tags(wire: Wire, box: str, put: Put, body: bytes, code: str) -> None:
    put("k", b"data", {"x-amz-tagging": "a=1"})
    assert wire.call("PUT", f"{box}/k?tagging", body=body).outcome == (400, code)
    assert wire.call("GET", f"{box}/k?tagging").texts("TagSet/Tag/Key") == ["a"]


@pytest.mark.parametrize("query", ["tagging", "acl", "retention", "legal-hold", "attributes"])
def test_sub_resources_of_what_is_missing(wire: Wire, box: str, query: str) -> None:
    headers = {"x-amz-object-attributes": "ETag"}
    assert wire.call("GET", f"{box}/missing?{query}", headers).outcome == (404, "NoSuchKey")
    assert wire.call("GET", f"/no-such-bucket-here/k?{query}", headers).outcome == (404, "NoSuchBucket")
    assert wire.call("GET", f"{box}/missing?{query}&versionId=x", headers).status == 404


def test_tags_of_a_missing_object_cannot_be_changed(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}/missing?tagging", body=tagging(("a", "1"))).outcome == (404, "NoSuchKey")
    assert wire.call("DELETE", f"{box}/missing?tagging").outcome == (404, "NoSuchKey")


# -- ACL, locks, attributes


def test_get_object_acl(wire: Wire, box: str, put: Put) -> None:
    put("k")
    answer = wire.call("GET", f"{box}/k?acl")
    assert answer.text("AccessControlList/Grant/Grantee/ID") == answer.text("Owner/ID")
    assert wire.call("PUT", f"{box}/k?acl", body=answer.body).status == 200  # PutObjectAcl
    public = {"x-amz-acl": "public-read"}
    assert wire.call("PUT", f"{box}/k?acl", public).outcome == (400, "AccessControlListNotSupported")
    assert wire.call("PUT", f"{box}/k?acl").outcome == (400, "MissingSecurityHeader")
    assert wire.call("PUT", f"{box}/k?acl", public, answer.body).outcome == (400, "UnexpectedContent")
    assert wire.call("GET", f"{box}/k").body == b"data"


@pytest.mark.parametrize("query", ["retention", "legal-hold"])  # GetObjectRetention, GetObjectLegalHold
def test_locks_where_the_bucket_has_none(wire: Wire, box: str, put: Put, query: str) -> None:
    put("k")
    assert wire.call("GET", f"{box}/k?{query}").outcome == (400, "InvalidRequest")
    assert wire.call("PUT", f"{box}/k?{query}", body=b"<x/>").status == 501


def test_get_object_attributes(wire: Wire, box: str, put: Put) -> None:
    put("k")
    wanted = {"x-amz-object-attributes": "ETag, Checksum,ObjectParts,StorageClass,ObjectSize"}
    answer = wire.call("GET", f"{box}/k?attributes", wanted)
    assert answer.tree.tag == "GetObjectAttributesResponse"
    assert [child.tag for child in answer.tree] == ["ETag", "Checksum", "StorageClass", "ObjectSize"]
    assert (answer.text("ETag"), answer.text("ObjectSize")) == (ETAG.strip('"'), "4")
    assert answer.text("Checksum/ChecksumType") == "FULL_OBJECT"
    assert answer.headers["last-modified"]
    only = wire.call("GET", f"{box}/k?attributes", {"x-amz-object-attributes": "ObjectSize"})
    assert [child.tag for child in only.tree] == ["ObjectSize"]


@pytest.mark.parametrize("value", [None, "", " , "])
def test_no_attribute_names(wire: Wire, box: str, put: Put, value: str | None) -> None:
    put("k")
    headers = {} if value is None else {"x-amz-object-attributes": value}
    assert wire.call("GET", f"{box}/k?attributes", headers).outcome == (400, "InvalidRequest")


@pytest.mark.parametrize("value", ["Etag", "ETag,Nothing"])
def test_bad_attribute_names(wire: Wire, box: str, put: Put, value: str) -> None:
    put("k")
    answer = wire.call("GET", f"{box}/k?attributes", {"x-amz-object-attributes": value})
    assert answer.outcome == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "x-amz-object-attributes"


def test_conditions_of_attributes(wire: Wire, box: str, put: Put) -> None:
    put("k")
    wanted = {"x-amz-object-attributes": "ETag"}
    assert wire.call("GET", f"{box}/k?attributes", {**wanted, "if-match": '"x"'}).outcome == (412, "PreconditionFailed")
    assert wire.call("GET", f"{box}/k?attributes", {**wanted, "if-none-match": ETAG}).status == 304
