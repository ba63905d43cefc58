"""GetObject and HeadObject: headers, conditions, ranges, parts, overrides, refusals."""

import hashlib
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.support.wire import Answer, Wire

Put = Callable[..., Answer]
DATA = bytes(range(256)) * 4
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
PAST, FUTURE = formatdate(0, usegmt=True), formatdate(4102444800, usegmt=True)


@pytest.fixture
def obj(box: str, put: Put) -> str:
    """The path of an object with DATA."""
    put("o", DATA, {"content-type": "text/x-test", "cache-control": "max-age=5", "x-amz-meta-colour": "blue"})
    return f"{box}/o"


def both(wire: Wire, target: str, headers: dict[str, str] | None = None, **options: object) -> Answer:
    """The answer to a GET, after a look that HEAD says the same without a body."""
    get = wire.call("GET", target, headers, **options)
    head = wire.call("HEAD", target, headers, **options)
    assert head.status == get.status
    assert head.body == b""
    names = set(get.headers) - {"x-amz-request-id", "x-amz-id-2", "date", "content-length"}
    for name in names:
        if not get.headers[name].startswith("multipart/byteranges"):
            assert head.headers[name] == get.headers[name], name
    if get.status < 300:
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.body))
    return get


def test_get_object_describes_and_sends_it(wire: Wire, obj: str) -> None:
    answer = both(wire, obj)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["content-type"] == "text/x-test"
    assert answer.headers["cache-control"] == "max-age=5"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.metadata() == {"colour": "blue"}
    assert parsedate_to_datetime(answer.headers["last-modified"])
    assert len(answer.headers["x-amz-request-id"]) == 16
    assert answer.headers["x-amz-id-2"]
    assert not [name for name in answer.headers if name.startswith("x-amz-checksum")]


def test_object_without_a_type_is_binary(wire: Wire, box: str, put: Put) -> None:
    put("plain", b"")
    answer = both(wire, f"{box}/plain")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "binary/octet-stream")


def test_checksum_mode_gives_the_checksum_of_the_whole_but_not_of_a_range(wire: Wire, obj: str) -> None:
    mode = {"x-amz-checksum-mode": "ENABLED"}
    whole = both(wire, obj, mode)
    assert whole.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert whole.headers["x-amz-checksum-crc64nvme"]
    assert "x-amz-checksum-crc64nvme" not in both(wire, obj, {**mode, "range": "bytes=0-1"}).headers
    for answer in (both(wire, obj, {**mode, "range": "bytes=0-"}), both(wire, f"{obj}?partNumber=1", mode)):
        assert answer.status == 206
        assert answer.headers["x-amz-checksum-crc64nvme"] == whole.headers["x-amz-checksum-crc64nvme"]


@pytest.mark.parametrize(
    ("target", "outcome", "element"),
    [
        ("/no-such-bucket-here/k", (404, "NoSuchBucket"), ("BucketName", "no-such-bucket-here")),
        ("{box}/missing%20key", (404, "NoSuchKey"), ("Key", "missing key")),
        ("{box}/o?versionId=abc", (404, "NoSuchVersion"), ("Key", "o")),
        ("{box}/o?versionId=", (400, "InvalidArgument"), ("ArgumentName", "versionId")),
        ("{box}/o?partNumber=2", (416, "InvalidPartNumber"), ("ActualPartCount", "1")),
        ("{box}/o?partNumber=0", (400, "InvalidArgument"), ("ArgumentName", "partNumber")),
        ("{box}/o?partNumber=x", (400, "InvalidArgument"), ("ArgumentName", "partNumber")),
        ("{box}/missing?partNumber=10001", (400, "InvalidArgument"), ("ArgumentName", "partNumber")),
        ("{box}/o?response-content-type=a%0D%0Ab", (400, "InvalidArgument"), ("ArgumentName", "response-content-type")),
        ("/UPPER/k", (400, "InvalidBucketName"), ("BucketName", "UPPER")),
        ("{box}/" + "k" * 1025, (400, "KeyTooLongError"), ("Size", "1025")),
    ],
)
def test_refusals(
    wire: Wire, obj: str, box: str, target: str, outcome: tuple[int, str], element: tuple[str, str]
) -> None:
    answer = both(wire, target.format(box=box))
    assert answer.outcome == outcome
    assert answer.headers["content-type"] == "application/xml"
    assert answer.text(element[0]) == element[1]
    assert answer.text("RequestId") == answer.headers["x-amz-request-id"]
    assert answer.text("HostId") == answer.headers["x-amz-id-2"]
    assert answer.text("Message")


def test_null_version_is_the_object(wire: Wire, obj: str) -> None:
    assert both(wire, f"{obj}?versionId=null").body == DATA


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": ETAG}, 200),
        ({"if-match": ETAG.strip('"')}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": f'"x", {ETAG}'}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": "W/" + ETAG}, 412),
        ({"if-none-match": '"x"'}, 200),
        ({"if-none-match": ETAG}, 304),
        ({"if-none-match": f'"x",W/{ETAG}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-modified-since": PAST}, 200),
        ({"if-modified-since": FUTURE}, 304),
        ({"if-modified-since": "nonsense"}, 200),
        ({"if-unmodified-since": PAST}, 412),
        ({"if-unmodified-since": FUTURE}, 200),
        ({"if-unmodified-since": ""}, 200),
        # The table of RFC 9110 section 13.2.2 and of GetObject's page: the ETag beats the date.
        ({"if-match": ETAG, "if-unmodified-since": PAST}, 200),
        ({"if-match": '"x"', "if-unmodified-since": FUTURE}, 412),
        ({"if-none-match": ETAG, "if-modified-since": PAST}, 304),
        ({"if-none-match": '"x"', "if-modified-since": FUTURE}, 200),
        ({"if-match": ETAG, "if-none-match": ETAG}, 304),
        ({"if-match": '"x"', "if-none-match": ETAG}, 412),
        ({"if-match": ETAG, "if-modified-since": FUTURE}, 304),
        ({"if-none-match": '"x"', "if-unmodified-since": PAST}, 412),
    ],
)
def test_conditions(wire: Wire, obj: str, headers: dict[str, str], status: int) -> None:
    answer = both(wire, obj, headers)
    assert answer.status == status
    if status == 304:
        assert answer.body == b""
        assert answer.headers["etag"] == ETAG
        assert answer.headers["cache-control"] == "max-age=5"
        assert "content-type" not in answer.headers
    elif status == 412:
        assert answer.code == "PreconditionFailed"
        assert answer.text("Condition").lower() in headers


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=1000-", 1000, 1023),
        ("bytes=1000-99999999999999999999999999", 1000, 1023),
        ("bytes=-1", 1023, 1023),
        ("bytes=-5000", 0, 1023),
        ("BYTES=0-1", 0, 1),
        ("bytes=3-4 , ", 3, 4),
        ("bytes=5-6,9999-", 5, 6),
    ],
)
def test_single_range(wire: Wire, obj: str, value: str, first: int, last: int) -> None:
    answer = both(wire, obj, {"range": value})
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["etag"] == ETAG


@pytest.mark.parametrize(
    "value",
    [
        "bytes=5-4",
        "bytes=a-b",
        "lines=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=--1",
        "bytes=0x1-2",
        "0-1",
        "bytes= 0-1",
    ],
)
def test_malformed_range_is_ignored(wire: Wire, obj: str, value: str) -> None:
    assert both(wire, obj, {"range": value}).status == 200


@pytest.mark.parametrize("value", ["bytes=1024-", "bytes=5000-6000", "bytes=-0", "bytes=2000-,3000-"])
def test_range_past_the_end(wire: Wire, obj: str, value: str) -> None:
    answer = both(wire, obj, {"range": value})
    assert answer.outcome == (416, "InvalidRange")
    assert answer.headers["content-range"] == "bytes */1024"
    assert (answer.text("ActualObjectSize"), answer.text("RangeRequested")) == ("1024", value)


def test_range_of_an_empty_object(wire: Wire, box: str, put: Put) -> None:
    put("empty", b"")
    assert both(wire, f"{box}/empty", {"range": "bytes=0-"}).outcome == (416, "InvalidRange")


def parts_of(answer: Answer) -> list[tuple[str, bytes]]:
    """(Content-Range, bytes) of the parts of multipart/byteranges."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    pieces = (b"\r\n" + answer.body).split(b"\r\n--" + boundary)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    found = []
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().strip().splitlines())
        assert fields["Content-Type"] == "text/x-test"
        found.append((fields["Content-Range"], data))
    return found


def test_several_ranges(wire: Wire, obj: str) -> None:
    answer = both(wire, obj, {"range": "bytes=0-4,1000-,5-9,-3,0-4"})
    assert answer.status == 206
    assert "content-range" not in answer.headers
    assert parts_of(answer) == [
        ("bytes 0-4/1024", DATA[0:5]),
        ("bytes 1000-1023/1024", DATA[1000:]),
        ("bytes 5-9/1024", DATA[5:10]),
        ("bytes 1021-1023/1024", DATA[-3:]),
        ("bytes 0-4/1024", DATA[0:5]),
    ]


@pytest.mark.parametrize(("count", "status"), [(1024, 206), (1025, 200)])
def test_a_thousand_ranges_are_answered_and_more_ignored(wire: Wire, obj: str, count: int, status: int) -> None:
    answer = both(wire, obj, {"range": "bytes=" + ",".join(f"{n % 1000}-{n % 1000}" for n in range(count))})
    assert answer.status == status
    if status == 206:
        assert [data for _, data in parts_of(answer)] == [DATA[n % 1000 : n % 1000 + 1] for n in range(count)]


@pytest.mark.parametrize(("count", "status"), [(16, 206), (17, 200)])
def test_ranges_that_ask_for_the_object_many_times_over_are_ignored(
    wire: Wire, obj: str, count: int, status: int
) -> None:
    answer = both(wire, obj, {"range": "bytes=" + ",".join(["0-"] * count)})
    assert answer.status == status
    assert (answer.body == DATA) is (status == 200)


@pytest.mark.parametrize(
    ("if_range", "status"), [(ETAG, 206), ('"x"', 200), ("W/" + ETAG, 200), (PAST, 200), ("nonsense", 200)]
)
def test_if_range(wire: Wire, obj: str, if_range: str, status: int) -> None:
    assert both(wire, obj, {"range": "bytes=0-1", "if-range": if_range}).status == status


def test_if_range_with_the_date(wire: Wire, obj: str) -> None:
    date = wire.call("HEAD", obj).headers["last-modified"]
    assert both(wire, obj, {"range": "bytes=0-1", "if-range": date}).status == 206


def test_range_with_a_failed_condition_is_not_looked_at(wire: Wire, obj: str) -> None:
    assert both(wire, obj, {"range": "bytes=9999-", "if-none-match": ETAG}).status == 304
    assert both(wire, obj, {"range": "bytes=9999-", "if-match": '"x"'}).status == 412


def test_part_of_an_object_that_came_in_one(wire: Wire, obj: str) -> None:
    answer = both(wire, f"{obj}?partNumber=1")
    assert (answer.status, answer.body) == (206, DATA)
    assert answer.headers["content-range"] == "bytes 0-1023/1024"
    assert both(wire, f"{obj}?partNumber=1", {"range": "bytes=0-1"}).outcome == (400, "InvalidRequest")


OVERRIDES = {
    "response-cache-control": "no-cache",
    "response-content-disposition": 'attachment; filename="a b.txt"',
    "response-content-encoding": "identity",
    "response-content-language": "de",
    "response-content-type": "text/other",
    "response-expires": "Thu, 01 Dec 1994 16:00:00 GMT",
}


def test_response_overrides(wire: Wire, obj: str) -> None:
    presigned = wire.presign("GET", obj, OVERRIDES)
    answer = wire.call("GET", presigned, sign=False)
    assert (answer.status, answer.body) == (200, DATA)
    for name, value in OVERRIDES.items():
        assert answer.headers[name.removeprefix("response-")] == value


def test_customer_key_for_a_plain_object_is_refused(wire: Wire, obj: str) -> None:
    answer = both(wire, obj, {"x-amz-server-side-encryption-customer-algorithm": "AES256"})
    assert answer.outcome == (400, "InvalidRequest")


def test_get_object_torrent_and_others_are_not_implemented(wire: Wire, obj: str) -> None:
    for name in ("torrent", "restore", "foo"):
        assert both(wire, f"{obj}?{name}").outcome == (501, "NotImplemented")


def test_expected_owner_is_checked(wire: Wire, obj: str) -> None:
    assert both(wire, obj, {"x-amz-expected-bucket-owner": "123456789012"}).outcome == (403, "AccessDenied")
    refused = both(wire, obj, {"x-amz-expected-bucket-owner": "me"})
    assert refused.outcome == (400, "InvalidBucketOwnerAWSAccountID")


KEYS = [
    "a b",
    "ü/日本",
    "a//b",
    "/",
    "//",
    "..",
    "a/../b",
    "x?y#z",
    "%",
    "+",
    "a\n\x01\x7f",
    "k" * 1024,
    "é" * 512,
    "-/live",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key[:12]))
def test_every_key_is_stored_and_read(wire: Wire, box: str, key: str) -> None:
    path = f"{box}/" + "".join(f"%{byte:02X}" for byte in key.encode())
    assert wire.call("PUT", path, body=key.encode()).status == 200
    assert wire.call("GET", path).body == key.encode()
    assert wire.call("DELETE", path).status == 204
    missing = wire.call("GET", path)
    assert missing.outcome == (404, "NoSuchKey")


def test_head_object_says_what_a_get_would(wire: Wire, obj: str) -> None:
    answer = wire.call("HEAD", obj)
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "1024", b"")
