# ruff: noqa: E501 -- data
"""Targets: broken paths, and query strings that mean nothing or too much."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.integration.hostile.request import BUCKET, SEED, Hostile

# Every one is tried with several methods.
PATHS = """
/.. /../ /../../etc/passwd /%2e%2e /%2e%2e/%2e%2e/etc/passwd /.shardgate /.shardgate/state/redis.rdb /.. /. /./
/hostile/.. /hostile/../ /hostile/../../x /hostile/..%2f..%2fx /hostile/%2e%2e/%2e%2e/x /hostile/%2e%2e%2fx
/hostile/.shardgate /hostile/.shardgate/staging /hostile/%00 /hostile/a%00b /hostile/%0d%0aSet-Cookie:%20a=b
/hostile/%ff /hostile/%c0%ae%c0%ae/x /hostile/%ed%a0%80 /hostile/%f4%90%80%80 /hostile/%e2%80%ae /hostile/%
/hostile/%4 /hostile/%zz /hostile/%25%30%30 /hostile/%252e%252e/x //hostile/seed ///// /hostile// /hostile///..///
/hostile/a/./b /hostile/a/../../../b /hostile/seed/ /hostile/seed/below /hostile/%2F /hostile/%2Fetc%2Fpasswd
/hostile/~root /hostile/$(id) /hostile/`id` /hostile/;rm /hostile/| /hostile/&x=1 /hostile/a%3Fb /hostile/con
/hostile/%5c..%5cx /hostile/%0a /hostile/%7f /hostile/%1b%5b2J /hostile%2Fseed /hostile%00/seed /HOSTILE/seed
/hostile%20/seed /host_ile/seed /-/../hostile /-/live/../.. /hostile/+ /hostile/%2B /hostile/*/x /hostile/{}/x
/hostile/%F0%9F%92%A9 /hostile/%C2%85 /hostile/%EF%BF%BE /hostile/%EF%BB%BFx /hostile/.%20. /hostile/...
""".split()

LONG_PATHS = {
    "key of 1024 bytes": "/hostile/" + "k" * 1024,
    "key of 1025 bytes": "/hostile/" + "k" * 1025,
    "key of 20000 bytes": "/hostile/" + "k" * 20_000,
    "key of 512 slashes": "/hostile/" + "/" * 512,
    "key of 500 parents": "/hostile/" + "../" * 300,
    "key of 1024 dots": "/hostile/" + "." * 1024,
    "segment of 255 bytes": "/hostile/" + "s" * 255,
    "segment of 256 bytes": "/hostile/" + "s" * 256,
    "bucket of 64 bytes": "/" + "b" * 64 + "/k",
    "bucket of 10000 bytes": "/" + "b" * 10_000 + "/k",
    "key of 1024 escaped bytes": "/hostile/" + "%FF" * 1024,
    "key of 1024 controls": "/hostile/" + "%01" * 1024,
}


def paths() -> Iterator[Hostile]:
    for path, method in product([*dict.fromkeys(PATHS), *LONG_PATHS.values()], ("GET", "PUT", "DELETE")):
        # Nothing here may remove the bucket that the tests use.
        if method == "DELETE" and path.rstrip("/") == BUCKET:
            continue
        shown = next((name for name, long in LONG_PATHS.items() if long == path), path)
        yield Hostile(f"path: {method} {shown}", method, path, body=b"x" if method == "PUT" else None)


QUERIES = """
? ?& ?&&&& ?= ?=& ?=x ?%00 ?%00=x ?%zz ?%zz=1 ?a=%zz ?a=%ff ?%ff=a ?acl=%00 ?ACL ?acl&acl ?acl&tagging&policy ?tagging=../.. ?uploads=../..
?versionId=../../etc/passwd ?versionId=%00 ?versionId=%ff ?versionId= ?versionId=null%00 ?versionId=a&versionId=b
?partNumber=-1 ?partNumber=0 ?partNumber=10001 ?partNumber=1e9 ?partNumber=99999999999999999999 ?partNumber=%D9%A1
?partNumber=1&partNumber=2 ?uploadId=.. ?uploadId=%00 ?uploadId=../../x&partNumber=1 ?list-type=2&list-type=1
?list-type=%32 ?list-type=2&max-keys=-1 ?list-type=2&max-keys=1e3 ?list-type=2&max-keys=%C2%B9 ?max-keys=0x10
?list-type=2&max-keys=9999999999999999999999 ?prefix=%00 ?prefix=%ff ?prefix=../ ?prefix=/etc/ ?delimiter=%00
?delimiter=%F0%9F%92%A9 ?prefix=..&delimiter=.. ?marker=%00 ?marker=%f4%8f%bf%bf ?start-after=%ef%bf%bf&list-type=2
?list-type=2&continuation-token=%00 ?list-type=2&continuation-token=AAAA ?list-type=2&continuation-token=MS4uLy4uLw
?encoding-type=url&prefix=%00 ?encoding-type=xml ?encoding-type= ?versions&key-marker=%00 ?versions&version-id-marker=x
?response-content-type=%0d%0aX:%20y ?response-content-type=%00 ?response-expires=%0a ?response-content-disposition=%7f
?response-cache-control=%c3%28 ?response-content-language=%E2%80%A8 ?response-content-encoding=%F0%9F%92%A9
?X-Amz-Algorithm=AWS4-HMAC-SHA256 ?X-Amz-Signature=x ?X-Amz-Credential=//// ?x-amz-security-token=x ?Signature=x&Expires=1
?X-Amz-Expires=99999999999999999999&X-Amz-Algorithm=AWS4-HMAC-SHA256 ?AWSAccessKeyId=x&Signature=y&Expires=z
?fetch-owner=%00&list-type=2 ?location=%3Cx%3E ?x-id=%3Cscript%3E ?delete ?delete=1 ?restore ?select&select-type=2 ?cors&website
?max-uploads=-1&uploads ?max-parts=x&uploadId=1 ?legal-hold&retention ?object-lock=%00 ?policy=x&policyStatus=y ?session ?append
""".split()


def queries() -> Iterator[Hostile]:
    for query in QUERIES:
        yield Hostile(f"query: bucket {query}", target=BUCKET + query)
        yield Hostile(f"query: object {query}", target=SEED + query)
    for query in (
        "?tagging",
        "?acl",
        "?uploads",
        "?delete",
        "?renameObject",
        "?restore",
        "?foo",
        "?%00",
        "?versionId=x",
    ):
        for method in ("PUT", "POST", "DELETE", "HEAD"):
            yield Hostile(f"query: {method} object {query}", method, f"{BUCKET}/other{query}", body=b"<x/>")
    yield Hostile("query: 3000 parameters", target=f"{BUCKET}?" + "&".join(f"p{n}=1" for n in range(3000)))
    yield Hostile("query: 3000 names alone", target=f"{BUCKET}?" + "&".join(f"p{n}" for n in range(3000)))
    yield Hostile("query: prefix of 20000 bytes", target=f"{BUCKET}?prefix=" + "p" * 20_000)
    yield Hostile("query: delimiter of 2000 bytes", target=f"{BUCKET}?delimiter=" + "/" * 2000)
    yield Hostile("query: token of 20000 bytes", target=f"{BUCKET}?list-type=2&continuation-token=" + "A" * 20_000)
    yield Hostile("query: version of 20000 bytes", target=f"{SEED}?versionId=" + "v" * 20_000)
