"""Known answers: the AWS SigV4 test suite and the examples that the S3 API reference publishes."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.protocol.signing import ACCESS_KEY, NOW, SCOPE, SECRET, check
from workers.protocol.sigv4 import canonical_request, signing_key, string_to_sign
from workers.protocol.sigv4_canonical import sign
from workers.protocol.target import parse_query, split_target

DATA = Path(__file__).parent / "data"
SUITE = json.loads((DATA / "sigv4_suite.json").read_text())
EXAMPLES = json.loads((DATA / "s3_examples.json").read_text())
SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SUITE_SCOPE = "20150830/us-east-1/service/aws4_request"

# What the suite expects of services that normalise paths, and what S3 has instead.
PATHS_OF_S3 = {
    "normalize-path/get-relative": "/example/..",
    "normalize-path/get-relative-relative": "/example1/example2/../..",
    "normalize-path/get-slash": "//",
    "normalize-path/get-slash-dot-slash": "/./",
    "normalize-path/get-slash-pointless-dot": "/./example",
    "normalize-path/get-slashes": "//example//",
    "normalize-path/get-space": "/example%20space/",
}


def latin1(text):
    """Text as WSGI shows the bytes of its UTF-8."""
    return text.encode().decode("latin-1")


def read_request(text):
    head, _, body = text.partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, _, rest = first.partition(" ")
    headers = {}
    name = ""
    for line in lines:
        if line[0] == " ":  # folding, which a server turns into a space (RFC 9112 section 5.2)
            headers[name] += " " + latin1(line.strip())
            continue
        name, _, value = line.partition(":")
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else latin1(value)
    return method, latin1(rest.rpartition(" ")[0]), headers, body


@pytest.mark.parametrize("name", sorted(SUITE))
def test_aws_suite(name):
    case = SUITE[name]
    method, target, headers, body = read_request(case["req"])
    signed = case["authz"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    for line in case["creq"].split("\n"):
        if line.startswith("x-amz-security-token:"):  # in these cases the signer adds it
            headers.setdefault(*line.split(":"))
    path, query = split_target(target)
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = canonical_request(method, path, parse_query(query), signed, headers.get, digest)
    expected = case["creq"].split("\n")
    if name in PATHS_OF_S3:
        expected[1] = PATHS_OF_S3[name]
    assert canonical.split("\n") == expected
    # The rest is the same for every service.
    text = string_to_sign("20150830T123600Z", SUITE_SCOPE, case["creq"])
    assert text == case["sts"]
    assert case["authz"].endswith(sign(signing_key(SUITE_SECRET, "20150830", "us-east-1", "service"), text))


def test_suite_is_whole():
    assert len(SUITE) == 34
    assert PATHS_OF_S3.keys() <= SUITE.keys()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_published_header_example(name):
    case = EXAMPLES[name]
    headers = {
        **case["headers"],
        "authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE},SignedHeaders={case['signed']},"
        f"Signature={case['signature']}",
    }
    found = check(case["method"], case["target"], headers)
    assert found.signature == case["signature"]
    assert found.payload_hash == case["headers"]["x-amz-content-sha256"]


def test_published_presigned_example():
    target = (
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
        "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    assert check(target=target, now=NOW + 86400).kind == "query"


def test_published_signing_key():
    # "Deriving the signing key" in the general reference of AWS.
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
    assert SECRET != SUITE_SECRET


@pytest.mark.parametrize(
    ("target", "uri", "query"),
    [
        ("/b?b=2&a=1", "/b", "a=1&b=2"),
        ("/b?a=2&a=1&a=&A=3", "/b", "A=3&a=&a=1&a=2"),
        ("/b?acl&b=", "/b", "acl=&b="),
        ("/b?a=b+c&d=e%2Bf&g=%20", "/b", "a=b%20c&d=e%2Bf&g=%20"),
        # The order is that of the names, not of the pairs as text: "-" and "." are below "=".
        ("/b?k=1&k-x=2&k.y=3&k0=4", "/b", "k=1&k-x=2&k.y=3&k0=4"),
        ("/b?k=%c3%bc~!*'()&l=a=b&m=a:b/c", "/b", "k=%C3%BC~%21%2A%27%28%29&l=a%3Db&m=a%3Ab%2Fc"),
        ("/b/a%20b/a+b", "/b/a%20b/a%2Bb", ""),
        ("/b/%c3%bc/%E4%B8%AD", "/b/%C3%BC/%E4%B8%AD", ""),
        ("/b/!*'()~=&:@$,;", "/b/%21%2A%27%28%29~%3D%26%3A%40%24%2C%3B", ""),
        ("/b/%21%2A%27%28%29%7E%3D%26%3A", "/b/%21%2A%27%28%29~%3D%26%3A", ""),
        ("/b/%ff%00%2F", "/b/%FF%00/", ""),
        ("/b//a/./../", "/b//a/./../", ""),
    ],
)
def test_canonical_target(target, uri, query):
    path, raw_query = split_target(target)
    lines = canonical_request("GET", path, parse_query(raw_query), ["host"], {}.get, "p").split("\n")
    assert lines[:3] == ["GET", uri, query]
