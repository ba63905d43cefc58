"""ListObjects, ListObjectsV2 (list_objects_v2), ListObjectVersions and ListBuckets with all of their parameters."""

from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest

from tests.support.wire import Answer, Wire

KEYS = ["a", "a/1", "a/2", "a/b/3", "b", "b-/x", "c//d", "ü", "日本/1"]


@pytest.fixture
def filled(wire: Wire, box: str) -> str:
    """A bucket with KEYS."""
    for key in KEYS:
        assert wire.call("PUT", f"{box}/{quote(key)}", body=key.encode()).status == 200
    return box


def listed(wire: Wire, target: str) -> Answer:
    answer = wire.call("GET", target)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/xml"
    return answer


def keys(answer: Answer) -> list[str]:
    return answer.texts("Contents/Key")


def prefixes(answer: Answer) -> list[str]:
    return answer.texts("CommonPrefixes/Prefix")


def test_list_objects_v2_of_everything(wire: Wire, filled: str) -> None:
    answer = listed(wire, f"{filled}?list-type=2")
    assert keys(answer) == sorted(KEYS)
    assert answer.text("Name") == filled[1:]
    assert (answer.text("KeyCount"), answer.text("MaxKeys"), answer.text("IsTruncated")) == ("9", "1000", "false")
    assert answer.text("Prefix") == ""
    for absent in ("Delimiter", "StartAfter", "ContinuationToken", "NextContinuationToken", "EncodingType", "Marker"):
        assert answer.tree.find(absent) is None
    first = answer.tree.find("Contents")
    assert first is not None
    assert [child.tag for child in first] == [
        *("Key", "LastModified", "ETag", "ChecksumAlgorithm", "ChecksumType", "Size", "StorageClass"),
    ]
    assert first.findtext("Size") == "1"


def test_list_objects_of_everything(wire: Wire, filled: str) -> None:
    answer = listed(wire, filled)
    assert keys(answer) == sorted(KEYS)
    assert answer.text("Marker") == ""
    assert answer.tree.find("KeyCount") is None
    assert len(answer.texts("Contents/Owner/ID")[0]) == 64
    assert listed(wire, filled + "/").text("Name") == filled[1:]


@pytest.mark.parametrize(
    ("query", "contents", "common"),
    [
        ("prefix=a", ["a", "a/1", "a/2", "a/b/3"], []),
        ("delimiter=/", ["a", "b", "ü"], ["a/", "b-/", "c/", "日本/"]),
        ("delimiter=/&prefix=a/", ["a/1", "a/2"], ["a/b/"]),
        ("delimiter=/&prefix=a", ["a"], ["a/"]),
        ("delimiter=//", ["a", "a/1", "a/2", "a/b/3", "b", "b-/x", "ü", "日本/1"], ["c//"]),
        ("delimiter=-/&prefix=b", ["b"], ["b-/"]),
        ("delimiter=%C3%BC", sorted(set(KEYS) - {"ü"}), ["ü"]),
        ("delimiter=zz", sorted(KEYS), []),
        ("delimiter=", sorted(KEYS), []),
        ("prefix=nothing", [], []),
        ("prefix=%E6%97%A5", ["日本/1"], []),
    ],
)
@pytest.mark.parametrize("version", ["", "list-type=2&"])
def test_prefix_and_delimiter(
    wire: Wire, filled: str, version: str, query: str, contents: list[str], common: list[str]
) -> None:
    answer = listed(wire, f"{filled}?{version}{query}")
    assert (keys(answer), prefixes(answer)) == (contents, common)
    if version:
        assert answer.text("KeyCount") == str(len(contents) + len(common))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("delimiter", ["", "/", "//"])
def test_pages_of_v2_make_the_whole(wire: Wire, filled: str, size: int, delimiter: str) -> None:
    whole = listed(wire, f"{filled}?list-type=2&delimiter={quote(delimiter, safe='')}")
    found: list[str] = []
    token = ""
    for _ in range(20):
        answer = listed(wire, f"{filled}?list-type=2&max-keys={size}&delimiter={quote(delimiter, safe='')}{token}")
        page = keys(answer) + prefixes(answer)
        assert len(page) == int(answer.text("KeyCount")) <= size
        found += page
        if answer.text("IsTruncated") == "false":
            assert answer.tree.find("NextContinuationToken") is None
            break
        token = "&continuation-token=" + quote(answer.text("NextContinuationToken"), safe="")
        assert len(page) == size
    assert sorted(found) == sorted(keys(whole) + prefixes(whole))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_of_v1_make_the_whole(wire: Wire, filled: str, size: int) -> None:
    whole = listed(wire, f"{filled}?delimiter=/")
    found: list[str] = []
    marker = ""
    for _ in range(20):
        answer = listed(wire, f"{filled}?max-keys={size}&delimiter=/&marker={quote(marker)}")
        found += keys(answer) + prefixes(answer)
        if answer.text("IsTruncated") == "false":
            break
        marker = answer.text("NextMarker")
        assert marker == max(keys(answer) + prefixes(answer))
    assert sorted(found) == sorted(keys(whole) + prefixes(whole))


def test_v1_without_delimiter_has_no_next_marker(wire: Wire, filled: str) -> None:
    answer = listed(wire, f"{filled}?max-keys=2")
    assert (answer.text("IsTruncated"), answer.tree.find("NextMarker")) == ("true", None)
    assert keys(listed(wire, f"{filled}?marker={quote(keys(answer)[-1])}")) == sorted(KEYS)[2:]


def test_start_after_gives_way_to_the_token(wire: Wire, filled: str) -> None:
    answer = listed(wire, f"{filled}?list-type=2&start-after=a/2&max-keys=2")
    assert (keys(answer), answer.text("StartAfter")) == (["a/b/3", "b"], "a/2")
    token = quote(answer.text("NextContinuationToken"))
    following = listed(wire, f"{filled}?list-type=2&start-after=zzz&continuation-token={token}")
    assert keys(following) == ["b-/x", "c//d", "ü", "日本/1"]
    assert following.text("ContinuationToken") == answer.text("NextContinuationToken")


@pytest.mark.parametrize("query", ["?max-keys=0", "?list-type=2&max-keys=0", "?versions&max-keys=0"])
def test_no_keys_asked(wire: Wire, filled: str, query: str) -> None:
    answer = listed(wire, filled + query)
    assert (answer.text("MaxKeys"), answer.text("IsTruncated")) == ("0", "false")
    assert keys(answer) == answer.texts("Version/Key") == []


def test_fetch_owner(wire: Wire, filled: str) -> None:
    owners = listed(wire, f"{filled}?list-type=2&fetch-owner=true").texts("Contents/Owner/ID")
    assert len(owners) == len(KEYS)
    assert listed(wire, f"{filled}?list-type=2&fetch-owner=false").texts("Contents/Owner/ID") == []


@pytest.mark.parametrize("value", ["5000", "1000", "2147483647"])
def test_more_than_a_thousand_keys_are_a_thousand(wire: Wire, filled: str, value: str) -> None:
    assert listed(wire, f"{filled}?max-keys={value}").text("MaxKeys") == "1000"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("max-keys=-1", "max-keys"),
        ("max-keys=x", "max-keys"),
        ("max-keys=1.5", "max-keys"),
        ("max-keys=99999999999999999999", "max-keys"),
        ("max-keys=2147483648", "max-keys"),
        ("max-keys=%C2%B2", "max-keys"),
        ("encoding-type=base64", "encoding-type"),
        ("list-type=2&continuation-token=garbage", "continuation-token"),
        ("list-type=2&continuation-token=", "continuation-token"),
        ("list-type=2&continuation-token=%00", "continuation-token"),
        ("list-type=2&continuation-token=Mf8%3D", "continuation-token"),
        ("list-type=2&continuation-token=" + "A" * 2000, "continuation-token"),
        ("list-type=2&fetch-owner=maybe", "fetch-owner"),
        ("list-type=3", "list-type"),
        ("versions&version-id-marker=x", "version-id-marker"),
    ],
)
def test_bad_parameters(wire: Wire, filled: str, query: str, name: str) -> None:
    answer = wire.call("GET", f"{filled}?{query}")
    assert answer.outcome == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == name


ODD = ["a\x01b", "c\ufffe", "d\re", "f&<>g", "h i+j", "k/\x00/l"]


@pytest.fixture
def odd(wire: Wire, box: str) -> str:
    """A bucket with keys that XML cannot hold, or only just."""
    for key in ODD:
        assert wire.call("PUT", f"{box}/{quote(key)}", body=b"").status == 200
    return box


@pytest.mark.parametrize("query", ["?list-type=2&", "?", "?versions&"])
def test_keys_that_xml_cannot_hold(wire: Wire, odd: str, query: str) -> None:
    plain = wire.call("GET", f"{odd}{query}")
    assert plain.outcome == (400, "InvalidRequest")
    assert "encoding-type=url" in plain.text("Message")
    answer = listed(wire, f"{odd}{query}encoding-type=url&delimiter=/")
    found = keys(answer) or answer.texts("Version/Key")
    assert [unquote(key.replace("+", " ")) for key in found] == sorted(key for key in ODD if "/" not in key)
    assert [unquote(prefix) for prefix in prefixes(answer)] == ["k/"]
    assert (answer.text("EncodingType"), unquote(answer.text("Delimiter"))) == ("url", "/")


def test_keys_that_xml_just_holds_come_back(wire: Wire, odd: str) -> None:
    assert keys(listed(wire, f"{odd}?prefix=d")) == ["d\re"]
    assert keys(listed(wire, f"{odd}?prefix=f")) == ["f&<>g"]


def test_prefix_that_xml_cannot_hold(wire: Wire, odd: str) -> None:
    assert wire.call("GET", f"{odd}?prefix=%01").outcome == (400, "InvalidRequest")
    assert listed(wire, f"{odd}?prefix=%01&encoding-type=url").text("Prefix") == "%01"


def test_list_object_versions(wire: Wire, filled: str) -> None:
    answer = listed(wire, f"{filled}?versions")
    assert answer.texts("Version/Key") == sorted(KEYS)
    assert set(answer.texts("Version/VersionId")) == {"null"}
    assert set(answer.texts("Version/IsLatest")) == {"true"}
    assert answer.tree.tag == "ListVersionsResult"
    rolled = listed(wire, f"{filled}?versions&delimiter=/&prefix=a")
    assert (rolled.texts("Version/Key"), prefixes(rolled)) == (["a"], ["a/"])


def test_pages_of_versions_make_the_whole(wire: Wire, filled: str) -> None:
    found: list[str] = []
    markers = ""
    for _ in range(20):
        answer = listed(wire, f"{filled}?versions&max-keys=2{markers}")
        found += answer.texts("Version/Key")
        if answer.text("IsTruncated") == "false":
            break
        assert answer.text("NextVersionIdMarker") == "null"
        markers = f"&key-marker={quote(answer.text('NextKeyMarker'))}&version-id-marker=null"
    assert found == sorted(KEYS)


@pytest.mark.parametrize("query", ["", "?list-type=2", "?versions", "?list-type=2&max-keys=0"])
def test_list_of_a_missing_bucket(wire: Wire, query: str) -> None:
    answer = wire.call("GET", f"/no-such-bucket-here{query}")
    assert answer.outcome == (404, "NoSuchBucket")
    assert answer.text("BucketName") == "no-such-bucket-here"


def test_list_buckets(wire: Wire, new_bucket: Callable[[], str]) -> None:
    names = sorted(new_bucket() for _ in range(3))
    answer = listed(wire, "/")
    assert set(names) <= set(answer.texts("Buckets/Bucket/Name"))
    assert len(answer.text("Owner/ID")) == 64
    assert answer.texts("Buckets/Bucket/CreationDate")[0].endswith("Z")
    only = listed(wire, f"/?prefix={names[0]}")
    assert (only.texts("Buckets/Bucket/Name"), only.text("Prefix")) == ([names[0]], names[0])


def test_list_buckets_in_pages(wire: Wire, new_bucket: Callable[[], str]) -> None:
    names = {new_bucket() for _ in range(3)}
    found: list[str] = []
    token = ""
    for _ in range(1000):
        answer = listed(wire, f"/?prefix=raw-&max-buckets=2{token}")
        found += answer.texts("Buckets/Bucket/Name")
        assert set(answer.texts("Buckets/Bucket/BucketRegion")) <= {"us-east-1"}
        if not answer.text("ContinuationToken"):
            break
        token = "&continuation-token=" + quote(answer.text("ContinuationToken"))
    assert found == sorted(found)
    assert names <= set(found)


@pytest.mark.parametrize(
    "query", ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=x", "bucket-region=eu-west-9"]
)
def test_bad_parameters_of_list_buckets(wire: Wire, query: str) -> None:
    assert wire.call("GET", f"/?{query}").outcome == (400, "InvalidArgument")
