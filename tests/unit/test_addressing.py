"""Which bucket and key a request names."""

import pytest

from workers.addressing import Addressing
from workers.protocol.errors import S3Error
from workers.routing import Level

PATHS = Addressing(())
HOSTS = Addressing(["example.org", "S3.example.org.", "minio"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", (Level.SERVICE, "", "")),
        ("*", (Level.SERVICE, "", "")),
        ("/b", (Level.BUCKET, "b", "")),
        ("/b/", (Level.BUCKET, "b", "")),
        ("/b/k", (Level.OBJECT, "b", "k")),
        ("/b//", (Level.OBJECT, "b", "/")),
        ("/b//k/", (Level.OBJECT, "b", "/k/")),
        ("/b/../c/./d", (Level.OBJECT, "b", "../c/./d")),
        ("/b/%2e%2e/x", (Level.OBJECT, "b", "../x")),
        ("/b/a%2Fb%00+%2B", (Level.OBJECT, "b", "a/b\0++")),
        ("/%62/k", (Level.OBJECT, "b", "k")),
        ("/a%2Fb", (Level.BUCKET, "a/b", "")),
        ("/a%2Fb/k", (Level.OBJECT, "a/b", "k")),
        ("//k", (Level.OBJECT, "", "k")),
        ("/b/%C3%BC", (Level.OBJECT, "b", "ü")),
        ("/b/\xc3\xbc", (Level.OBJECT, "b", "ü")),
    ],
)
def test_path_style(path: str, expected: tuple[Level, str, str]) -> None:
    assert PATHS.locate(path, "bucket.s3.example.org") == expected


@pytest.mark.parametrize(
    "path", ["/b/%", "/b/%4", "/b/%zz", "/b/%FF", "/b/\xff", "/%FF/k", "/b/%C0%AF", "/b/%ED%A0%80"]
)
def test_what_is_no_utf8_is_invalid(path: str) -> None:
    with pytest.raises(S3Error) as caught:
        PATHS.locate(path, "")
    assert caught.value.code == "InvalidURI"


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("b.s3.example.org", "/", (Level.BUCKET, "b", "")),
        ("b.s3.example.org:9000", "/k", (Level.OBJECT, "b", "k")),
        ("B.S3.Example.ORG.", "/k//l", (Level.OBJECT, "b", "k//l")),
        ("a.b.s3.example.org", "/a/b", (Level.OBJECT, "a.b", "a/b")),
        ("b.example.org", "/-/live", (Level.OBJECT, "b", "-/live")),
        ("b.minio", "/%2F", (Level.OBJECT, "b", "/")),
        ("s3.example.org", "/b/k", (Level.OBJECT, "b", "k")),  # not a bucket of the wider domain
        ("example.org", "/b/k", (Level.OBJECT, "b", "k")),
        ("other.net", "/b/k", (Level.OBJECT, "b", "k")),
        ("", "/b", (Level.BUCKET, "b", "")),
        ("notminio", "/b", (Level.BUCKET, "b", "")),
        (".minio", "/b", (Level.BUCKET, "b", "")),
    ],
)
def test_virtual_host_style(host: str, path: str, expected: tuple[Level, str, str]) -> None:
    assert HOSTS.locate(path, host) == expected


def test_is_virtual_says_whether_the_host_names_a_bucket() -> None:
    assert HOSTS.is_virtual("b.minio:80")
    assert not HOSTS.is_virtual("minio:80")
    assert not PATHS.is_virtual("b.minio")
