"""All that nobody should send: every family of requests, and random combinations of their pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.integration.hostile.bodies import CHUNKS, DOCUMENTS, SIGNED, TRAILER, chunk_framing, documents
from tests.integration.hostile.forms import FORMS, forms
from tests.integration.hostile.headers import headers
from tests.integration.hostile.heads import heads
from tests.integration.hostile.request import BUCKET, SEED, Hostile
from tests.integration.hostile.signatures import authorizations
from tests.integration.hostile.targets import paths, queries
from workers.routing import PARAMETERS, SUBRESOURCES

CORPUS: tuple[Hostile, ...] = tuple(
    case
    for family in (paths, queries, headers, documents, chunk_framing, forms, heads, authorizations)
    for case in family()
)


_VALUES = (
    *(
        "",
        "=",
        "=x",
        "=0",
        "=-1",
        "=1",
        "=2",
        "=null",
        "=%00",
        "=%ff",
        "=../..",
        "=99999999999",
        "=true",
        "=/",
        "=%E2%82%AC",
    ),
    *("=*", "=a,b", "=1-2"),
)
_HEADER_NAMES = (
    *(
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "content-md5",
        "content-type",
    ),
    *(
        "content-encoding",
        "expires",
        "origin",
        "access-control-request-method",
        "x-amz-copy-source",
        "x-amz-copy-source-range",
    ),
    *(
        "x-amz-copy-source-if-match",
        "x-amz-rename-source",
        "x-amz-metadata-directive",
        "x-amz-tagging",
        "x-amz-checksum-crc32",
    ),
    *(
        "x-amz-checksum-algorithm",
        "x-amz-checksum-type",
        "x-amz-checksum-mode",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-trailer",
    ),
    *(
        "x-amz-decoded-content-length",
        "x-amz-object-attributes",
        "x-amz-mp-object-size",
        "x-amz-if-match-size",
        "x-amz-max-parts",
    ),
    *(
        "x-amz-if-match-last-modified-time",
        "x-amz-if-match-initiated-time",
        "x-amz-part-number-marker",
        "x-amz-storage-class",
    ),
    *(
        "x-amz-acl",
        "x-amz-bucket-object-lock-enabled",
        "x-amz-object-ownership",
        "x-amz-meta-a",
        "x-amz-website-redirect-location",
    ),
)
_HEADER_VALUES = (
    *(
        "",
        "*",
        '"x"',
        "bytes=0-1",
        "bytes=1-",
        "bytes=0-0,2-3",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "hostile/seed",
        "REPLACE",
        "COPY",
    ),
    *(
        "/hostile/seed?versionId=null",
        "a=1",
        "AAAAAA==",
        "CRC32",
        "SHA256",
        "CRC64NVME",
        "COMPOSITE",
        "FULL_OBJECT",
        "0",
        "1",
        "-1",
    ),
    *(
        "ETag,ObjectParts,Checksum",
        "5",
        "true",
        "x-amz-checksum-crc32",
        "\xff",
        "multipart/form-data; boundary=b",
        "aws-chunked",
    ),
    *("STANDARD", "private", "ENABLED", "x" * 3000),
)
_SOME_BODIES = (
    None,
    b"",
    b"x",
    b"<Delete><Object><Key>a</Key></Object></Delete>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    *(body for bodies in (DOCUMENTS, FORMS, CHUNKS) for body in bodies.values() if 0 < len(body) < 60_000),
)


def combinations(seed: int, count: int, upload_id: str) -> Iterator[Hostile]:
    """Requests put together at random, the same ones for the same seed: each piece is plausible, the whole is not."""
    chance = random.Random(seed)
    names = sorted(SUBRESOURCES | PARAMETERS)
    while count:
        method = chance.choice(("GET", "PUT", "POST", "DELETE", "HEAD"))
        path = chance.choice(("/", BUCKET, SEED, SEED, f"{BUCKET}/other"))
        query = "&".join(chance.choice(names) + chance.choice(_VALUES) for _ in range(chance.choice((0, 0, 1, 1, 2))))
        if chance.random() < 0.15:
            query = f"uploadId={upload_id}" + chance.choice(("", "&partNumber=1", "&partNumber=x"))
        if method == "DELETE" and path == BUCKET:
            continue
        headers = {
            chance.choice(_HEADER_NAMES): chance.choice(_HEADER_VALUES) for _ in range(chance.choice((0, 1, 1, 2, 3)))
        }
        body = chance.choice(_SOME_BODIES)
        if "delete" in query:
            headers["content-md5"] = "@"
        target = f"{path}?{query}" if query else path
        yield Hostile(
            f"combination {count} of seed {seed}: {method} {target} {headers} {(body or b'')[:60]!r}",
            method,
            target,
            headers,
            body,
            sign=chance.random() > 0.05,
            payload=chance.choice((None, None, None, "UNSIGNED-PAYLOAD", SIGNED, TRAILER)),
        )
        count -= 1
