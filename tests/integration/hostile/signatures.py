"""Signatures in headers and queries."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.hostile.request import REFUSED, SEED, Hostile

AUTHORIZATIONS = (
    *(
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=////,SignedHeaders=,Signature=",
    ),
    *("AWS4-HMAC-SHA256 " + "," * 5000, "AWS4-HMAC-SHA256 " + "Credential=a/20260101/us-east-1/s3/aws4_request," * 100),
    *(
        "AWS4-HMAC-SHA256 Credential=\xff/\xff/\xff/s3/aws4_request, SignedHeaders=host, Signature=\xff",
        "AWS :",
        "AWS a:b",
        "AWS",
    ),
    *(
        "Basic Og==",
        "Bearer " + "x" * 8000,
        "Negotiate",
        "\xff",
        "AWS4-X-AMZ-ECDSA-P256-SHA256 x",
        "AWS4-HMAC-SHA512 Credential=x",
    ),
    "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f/g/h, SignedHeaders="
    + ";".join(["host"] * 2000)
    + ", Signature="
    + "0" * 64,
    "AWS4-HMAC-SHA256 Credential=../../x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
)
PRESIGNED = (
    *("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Signature=" + "0" * 64, "X-Amz-Algorithm=", "X-Amz-Credential=%ff"),
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb%2Fc%2Fd%2Fe&X-Amz-Date=x&X-Amz-Expires=-1&X-Amz-SignedHeaders=&X-Amz-Signature=",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Credential=b",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z"
    "&X-Amz-Expires=99999999999999999999999999&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64,
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=99999999T999999Z"
    "&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=%C2%B2",
    *("AWSAccessKeyId=a&Expires=1&Signature=b", "Signature=", "X-Amz-Security-Token=" + "t" * 8000),
)


def authorizations() -> Iterator[Hostile]:
    sent = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": "20260101T000000Z"}
    for value in AUTHORIZATIONS:
        yield Hostile(
            f"authorization: {value[:50]!r} ({len(value)})",
            headers={**sent, "authorization": value},
            sign=False,
            statuses=REFUSED,
        )
    for query in PRESIGNED:
        yield Hostile(f"presigned: {query[:60]} ({len(query)})", target=f"{SEED}?{query}", sign=False, statuses=REFUSED)
        yield Hostile(f"presigned and signed: {query[:60]} ({len(query)})", target=f"{SEED}?{query}")
