# ruff: noqa: E501 -- data
"""Requests that nobody should send, as data. test_hostile.py sends them all and looks at what is left standing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from workers.routing import PARAMETERS, SUBRESOURCES

BUCKET = "/hostile"
SEED = f"{BUCKET}/seed"


@dataclass(frozen=True)
class Hostile:
    """One request. `raw` is sent as it is; otherwise it is made of the rest, and signed unless `sign` is false.

    Attributes:
        tail: header lines that are added behind the signed ones.
        split: a signed header whose comma-separated values are sent as lines of their own.
        cut: bytes that are left off at the end, before the sending side is closed.
        statuses: what the answer may be; by default anything below 500, and 501.
    """

    name: str
    method: str = "GET"
    target: str = SEED
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sign: bool = True
    payload: str | None = None
    length: bool = True
    tail: bytes = b""
    split: str = ""
    cut: int = 0
    raw: bytes | None = None
    statuses: tuple[int, ...] = (*range(200, 500), 501)

    def __str__(self) -> str:
        return self.name


REFUSED = (*range(400, 500), 501)

# -- paths: every one is tried with several methods

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


READ_HEADERS: list[tuple[str, str]] = [
    *(("range", value) for value in (
        "", "bytes", "bytes=", "bytes=-", "bytes=--5", "bytes=-0", "bytes=0--1", "bytes=1-0", "bytes=a-b", "bytes=0-1-2",
        "bytes=99999999999999999999999999-", "bytes=-99999999999999999999999999", "bytes=0-99999999999999999999999999",
        "bytes=" + "9" * 5000 + "-", "bytes=" + ",".join(["0-"] * 3000), "bytes=" + "," * 10_000, "bytes=\xb2-\xb3",
        "bytes=0-0," * 1024, "BYTES=0-0;x", "bytes=0x0-0x1", "bytes= 0 - 1 ", "bytes=+0-+1", "octets=0-1",
    )),
    *(("if-match", value) for value in ("", '"', "\"'", "W/", 'W/"', ",,,,", '"a', "*,*", '"' + "e" * 10_000 + '"', "\xff")),
    *(("if-none-match", value) for value in ("", '"', "W/", 'W/"x', "*" * 5000, ",".join(['"x"'] * 2000))),
    *(("if-modified-since", value) for value in ("", "0", "-1", "now", "Thu, 99 Foo 9999 99:99:99 GMT", "9" * 500, "\xb2")),
    *(("if-unmodified-since", value) for value in ("Sun, 06 Nov 1994 08:49:37", "1994-13-45T99:99:99Z", "9999-12-31T23:59:59+99:99", "0001-01-01")),
    *(("if-range", value) for value in ("", '"', "W/", "x" * 5000)),
    ("x-amz-checksum-mode", "\xff"), ("x-amz-expected-bucket-owner", "-1"), ("x-amz-expected-bucket-owner", "9" * 12),
    ("x-amz-expected-bucket-owner", "\xb2" * 12), ("x-amz-security-token", "x" * 8000), ("x-amz-security-token", "\xff"),
    ("x-amz-server-side-encryption-customer-key", "../../etc"), ("x-amz-date", "20260101T000000Z"), ("x-amz-date", "\xb2" * 16),
    ("x-amz-object-attributes", "," * 5000), ("x-amz-max-parts", "-1"), ("content-type", "\xff"), ("accept-encoding", "x" * 5000),
    ("referer", "http://a/?X-Amz-Signature=1"), ("user-agent", "\"}\\u0000\xff<script>"), ("expect", "100-continue"),
    ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-host", "evil"), ("x-http-method-override", "DELETE"), ("upgrade", "h2c"),
    ("te", "trailers"), ("forwarded", "for=x;host=.."), ("x-original-url", "/-/live"), ("cookie", "a=b"), ("date", "never"),
]  # fmt: skip

WRITE_HEADERS: list[tuple[str, str]] = [
    ("x-amz-meta-", "x"), ("x-amz-meta-a", "v" * 2049), ("x-amz-meta-" + "n" * 3000, "v"), ("x-amz-meta-a", "\xff\xfe"),
    ("x-amz-meta-a", "\t"), ("x-amz-meta-a", "=?UTF-8?B?DQpYOiB5?="), ("x-amz-meta-a", "=?UTF-8?Q?=0D=0AX:=20y?="),
    ("x-amz-meta-a", "=?x?B?" + "A" * 1900 + "?="), ("x-amz-meta-a", "=?UTF-8?B?" + "=" * 500 + "?="), ("x-amz-meta-a", "=?" * 900),
    ("x-amz-meta-a", "=?UTF-8?Q?=00=01=7F?="), ("x-amz-meta-a", "=?UTF-8?B?7aCA?="), ("x-amz-meta_a", "b"), ("x-amz-meta-__proto__", "x"),
    ("x-amz-meta-a.b", "c"), ("x-amz-meta-!#$%&'*+", "c"), ("content-type", "a/b\xff"), ("content-type", "t" * 8000),
    ("content-encoding", "aws-chunked"), ("content-encoding", "," * 3000), ("content-disposition", "x\xa0y"), ("expires", "\xff"),
    ("cache-control", "c" * 8000), ("content-md5", ""), ("content-md5", "=" * 24), ("content-md5", "\xff" * 24), ("content-md5", "A" * 5000),
    ("x-amz-checksum-crc32", "\xff"), ("x-amz-checksum-crc32c", "AAAAAAA="), ("x-amz-checksum-", "x"), ("x-amz-checksum-sha256", "-1"),
    ("x-amz-checksum-type", "COMPOSITE"), ("x-amz-checksum-algorithm", "\xff"), ("x-amz-sdk-checksum-algorithm", ""),
    ("x-amz-trailer", ""), ("x-amz-trailer", "," * 3000), ("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-trailer", "content-length"),
    ("x-amz-decoded-content-length", "-1"), ("x-amz-decoded-content-length", "\xb2"), ("x-amz-decoded-content-length", "9" * 5000),
    ("x-amz-tagging", "=" * 1000), ("x-amz-tagging", "a=%zz"), ("x-amz-tagging", "a=%00"), ("x-amz-tagging", "&" * 5000),
    ("x-amz-tagging", "&".join(f"k{n}=v" for n in range(500))), ("x-amz-tagging", "\xff=1"), ("x-amz-tagging-directive", "\xff"),
    ("x-amz-acl", "\xff"), ("x-amz-grant-read", 'id="' * 500), ("x-amz-storage-class", "../x"), ("x-amz-storage-class", "\xff"),
    ("x-amz-website-redirect-location", "javascript:alert(1)"), ("x-amz-website-redirect-location", "/" + "x" * 3000),
    ("x-amz-object-lock-retain-until-date", "9" * 500), ("x-amz-object-lock-mode", "\xff"), ("x-amz-write-offset-bytes", "-1"),
    ("x-amz-server-side-encryption", "\xff"), ("x-amz-server-side-encryption-context", "=" * 500), ("if-none-match", "\xff"),
    ("if-match", '"' * 999), ("x-amz-copy-source-range", "bytes=0-"), ("x-amz-rename-source", "../x"), ("x-amz-mfa", "\xff"),
]  # fmt: skip

COPY_SOURCES = (
    *(
        "",
        "/",
        "//",
        "///",
        "..",
        "../..",
        "/../hostile/seed",
        "hostile",
        "hostile/",
        "/hostile//../seed",
        "%",
        "%zz/%zz",
    ),
    *(
        "hostile/%00",
        "hostile/%ff",
        "%2e%2e/%2e%2e/etc/passwd",
        ".shardgate/state/x",
        "/.shardgate/x",
        "hostile%2Fseed",
    ),
    *("hostile/seed?", "hostile/seed?versionId=", "hostile/seed?versionId=../../x", "hostile/seed?versionId=%00"),
    *("hostile/seed?versionId=a?versionId=b", "hostile/seed?x=y", "hostile/" + "k" * 1025, "b" * 5000, "http://evil/x"),
    *(
        "file:///etc/passwd",
        "arn:aws:s3:::hostile/seed",
        "arn:" * 500,
        "\xff/\xff",
        "hostile/\xff",
        "hostile\\seed",
        "/etc/passwd",
    ),
    *(
        "hostile/../../../etc/passwd",
        "hostile/..%2f..%2fetc%2fpasswd",
        "HOSTILE/seed",
        "hostile/seed#x",
        "-/live",
        "hostile/%C0%AF",
    ),
)


def headers() -> Iterator[Hostile]:
    for name, value in READ_HEADERS:
        yield Hostile(f"header: GET {name}: {value[:40]!r} ({len(value)})", headers={name: value})
    for name, value in WRITE_HEADERS:
        yield Hostile(
            f"header: PUT {name}: {value[:40]!r} ({len(value)})", "PUT", f"{BUCKET}/w", {name: value}, b"data"
        )
    for source in COPY_SOURCES:
        yield Hostile(
            f"copy source: {source[:60]!r} ({len(source)})", "PUT", f"{BUCKET}/copy", {"x-amz-copy-source": source}
        )
        yield Hostile(
            f"rename source: {source[:60]!r} ({len(source)})", "PUT", f"{BUCKET}/moved?renameObject", {"x-amz-rename-source": source},
            statuses=REFUSED if source not in ("hostile/seed", "/hostile/seed", "hostile%2Fseed") else (200, *REFUSED),
        )  # fmt: skip
    for value in ("a,b", "a,b,c", ",", "a,"):
        yield Hostile(
            f"repeated metadata {value!r}", "PUT", f"{BUCKET}/w", {"x-amz-meta-r": value}, b"", split="x-amz-meta-r"
        )
    yield Hostile("repeated range", headers={"range": "bytes=0-1,bytes=2-3"}, split="range")
    yield Hostile("repeated attributes", target=f"{SEED}?attributes", headers={"x-amz-object-attributes": "ETag,ObjectSize"},
                  split="x-amz-object-attributes")  # fmt: skip
    yield Hostile(
        "repeated payload hash", headers={"x-amz-content-sha256": "a,b"}, payload="a,b", split="x-amz-content-sha256"
    )
    yield Hostile(
        "repeated copy source",
        "PUT",
        f"{BUCKET}/copy",
        {"x-amz-copy-source": "a/b,hostile/seed"},
        split="x-amz-copy-source",
    )
    yield Hostile("400 metadata headers", "PUT", f"{BUCKET}/w", {f"x-amz-meta-{n}": "" for n in range(400)}, b"")
    yield Hostile("2000 headers", headers={f"x-{n}": "1" for n in range(2000)})
    for tail in (b"Host: other\r\n", b"Authorization: x\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"X-Amz-Date: x\r\n",
                 b"x-amz-acl: public-read\r\n", b"x-amz-meta-unsigned: 1\r\n", b"X_Amz_Acl: x\r\n", b"x-amz-content-sha256: x\r\n"):  # fmt: skip
        yield Hostile(f"unsigned addition: {tail[:40]!r}", "PUT", f"{BUCKET}/w", body=b"", tail=tail)


DEEP = b"<a>" * 5000 + b"</a>" * 5000
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(10))
    + b"]><Tagging><TagSet><Tag><Key>&k;</Key><Value>x</Value></Tag></TagSet></Tagging>"
)
DOCUMENTS: dict[str, bytes] = {
    "empty": b"",
    "nul": b"\0",
    "text": b"hello",
    "bomb": BOMB,
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Tagging><TagSet>&e;</TagSet></Tagging>',
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:1/x">%e;]><Tagging/>',
    "external subset": b'<!DOCTYPE Tagging SYSTEM "http://127.0.0.1:1/x.dtd"><Tagging><TagSet/></Tagging>',
    "quadratic": b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 20_000 + b'">]><x>' + b"&a;" * 5000 + b"</x>",
    "deep": DEEP,
    "deep inside": b"<Tagging>" + DEEP + b"</Tagging>",
    "wide": b"<Tagging><TagSet>" + b"<Tag/>" * 9000 + b"</TagSet></Tagging>",
    "many attributes": b"<Tagging " + b" ".join(b'a%d="1"' % n for n in range(5000)) + b"/>",
    "long name": b"<" + b"a" * 50_000 + b"/>",
    "not closed": b"<Tagging><TagSet>",
    "two roots": b"<Tagging/><Tagging/>",
    "utf-16": '<?xml version="1.0" encoding="UTF-16"?><Tagging><TagSet/></Tagging>'.encode("utf-16"),
    "utf-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-Tagging/+AD4-',
    "unknown encoding": b'<?xml version="1.0" encoding="x-evil"?><Tagging><TagSet/></Tagging>',
    "bad utf-8": b"<Tagging><TagSet><Tag><Key>\xff\xfe</Key><Value/></Tag></TagSet></Tagging>",
    "control characters": b"<Tagging><TagSet><Tag><Key>\x01\x08</Key><Value/></Tag></TagSet></Tagging>",
    "character reference": b"<Tagging><TagSet><Tag><Key>&#0;&#x1;</Key><Value/></Tag></TagSet></Tagging>",
    "surrogate reference": b"<Tagging><TagSet><Tag><Key>&#xD800;</Key><Value/></Tag></TagSet></Tagging>",
    "undefined entity": b"<Tagging><TagSet>&nbsp;</TagSet></Tagging>",
    "cdata": b"<Delete><Object><Key><![CDATA[../../x]]></Key></Object></Delete>",
    "comment": b"<Delete><!-- " + b"-" * 100 + b" --><Object><Key>a</Key></Object></Delete>",
    "instruction": b"<?php system('id'); ?><Delete><Object><Key>a</Key></Object></Delete>",
    "inclusion": b'<Delete xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></Delete>',
    "parent key": b"<Delete><Object><Key>../../../etc/passwd</Key></Object><Object><Key>/etc/passwd</Key></Object></Delete>",
    "other version": b"<Delete><Object><Key>a</Key><VersionId>../../x</VersionId></Object></Delete>",
    "long key": b"<Delete><Object><Key>" + b"k" * 100_000 + b"</Key></Object></Delete>",
    "absurd size": b"<Delete><Object><Key>a</Key><Size>" + b"9" * 5000 + b"</Size></Object></Delete>",
    "absurd time": b"<Delete><Object><Key>a</Key><LastModifiedTime>99999-99-99</LastModifiedTime></Object></Delete>",
    "other namespace": b'<Delete xmlns="http://evil/"><Object><Key>a</Key></Object></Delete>',
    "json": b'{"Objects": [{"Key": "a"}]}',
    "part number": b"<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    "a megabyte of blanks": b" " * (1 << 20),
    "bucket elsewhere": b"<CreateBucketConfiguration><LocationConstraint>../..</LocationConstraint></CreateBucketConfiguration>",
}
DOCUMENT_TARGETS = (
    ("PUT", f"{SEED}?tagging"),
    ("PUT", f"{BUCKET}?tagging"),
    ("POST", f"{BUCKET}?delete"),
    ("PUT", BUCKET),
    ("POST", f"{SEED}?uploadId=x"),
)


def documents() -> Iterator[Hostile]:
    for (name, body), (method, target) in product(DOCUMENTS.items(), DOCUMENT_TARGETS):
        given = {"content-md5": "@"} if target.endswith("?delete") else {}
        yield Hostile(f"document: {method} {target}: {name}", method, target, given, body)


SIGNED, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNATURE = b";chunk-signature=" + b"0" * 64
CHUNKS: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"\r\n",
    "not a size": b"xyz\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "prefixed": b"0x5\r\nhello\r\n0\r\n\r\n",
    "huge": b"ffffffffffffffffffff\r\nhello",
    "large": b"7fffffffffffffff\r\nhello",
    "zeros": b"0" * 500 + b"5\r\nhello\r\n0\r\n\r\n",
    "endless line": b"5;" + b"x" * 100_000,
    "bare line feed": b"5\nhello\n0\n\n",
    "bare carriage return": b"5\rhello\r0\r\r",
    "missing line end": b"5\r\nhello0\r\n\r\n",
    "short": b"5\r\nhel",
    "long": b"5\r\nhello world\r\n0\r\n\r\n",
    "no end": b"5\r\nhello\r\n",
    "extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "false signature": b"5" + SIGNATURE + b"\r\nhello\r\n0" + SIGNATURE + b"\r\n\r\n",
    "short signature": b"5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n",
    "long signature": b"5;chunk-signature=" + b"0" * 5000 + b"\r\nhello\r\n",
    "two signatures": b"5" + SIGNATURE * 2 + b"\r\nhello\r\n0" + SIGNATURE + b"\r\n\r\n",
    "signature not in ascii": b"5;chunk-signature=" + b"\xff" * 64 + b"\r\nhello\r\n",
    "trailer without colon": b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n",
    "trailer not announced": b"5\r\nhello\r\n0\r\nx-amz-meta-a:b\r\n\r\n",
    "trailer twice": b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
    "endless trailer": b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + b"A" * 100_000,
    "many trailers": b"5\r\nhello\r\n0\r\n" + b"x-a:b\r\n" * 5000 + b"\r\n",
    "content-length as trailer": b"5\r\nhello\r\n0\r\ncontent-length:0\r\n\r\n",
    "request behind": b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\nGET /-/live HTTP/1.1\r\n\r\n",
    "size with blank": b"5 \r\nhello\r\n0\r\n\r\n",
    "size in other digits": "٥\r\nhello\r\n0\r\n\r\n".encode(),
    "nul": b"5\0\r\nhello\r\n0\r\n\r\n",
    "ten thousand small ones": b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n",
}


def chunk_framing() -> Iterator[Hostile]:
    for (name, body), payload in product(CHUNKS.items(), (SIGNED, SIGNED_TRAILER, TRAILER)):
        given = {"x-amz-decoded-content-length": "5"}
        # What stands behind a complete and right trailer is not the object's: it may be ignored.
        tolerated = (200, *REFUSED) if name in ("trailer twice", "request behind") else REFUSED
        if payload is not SIGNED:
            given["x-amz-trailer"] = "x-amz-checksum-crc32"
        yield Hostile(
            f"aws-chunked: {payload}: {name}", "PUT", f"{BUCKET}/c", given, body, payload=payload, statuses=tolerated
        )
    for name, body in CHUNKS.items():
        given = {"transfer-encoding": "chunked"}
        yield Hostile(f"chunked: {name}", "PUT", f"{BUCKET}/c", given, body, payload="UNSIGNED-PAYLOAD", length=False)
    for announced, cut in (("10", 0), ("0", 0), ("99999999999", 0), ("5", 1), ("5", 5)):
        yield Hostile(f"length {announced}, {cut} cut off", "PUT", f"{BUCKET}/c", {"content-length": announced}, b"hello",
                      payload="UNSIGNED-PAYLOAD", cut=cut)  # fmt: skip
    for value in ("-1", "+5", "0x5", "5,5", "5 5", "\xb2", "", "9" * 30, "5.0", "1e1"):
        yield Hostile(f"content-length {value!r}", "PUT", f"{BUCKET}/c", {"content-length": value}, b"hello",
                      payload="UNSIGNED-PAYLOAD", statuses=REFUSED)  # fmt: skip


END = b"\r\nHost: h\r\n\r\n"
HEADS: dict[str, bytes] = {
    "nothing but a line end": b"\r\n",
    "one byte": b"G",
    "binary": bytes(range(256)),
    "nul": b"\0" * 100,
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 100,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "socks": b"\x05\x01\x00",
    "no version": b"GET /hostile/seed\r\n\r\n",
    "http/0.9": b"GET / HTTP/0.9" + END,
    "http/1.2": b"GET / HTTP/1.2" + END,
    "http/3": b"GET / HTTP/3.0" + END,
    "lower-case method": b"get / HTTP/1.1" + END,
    "long method": b"A" * 10_000 + b" / HTTP/1.1" + END,
    "method with a blank": b"GE T / HTTP/1.1" + END,
    "connect": b"CONNECT evil:443 HTTP/1.1" + END,
    "trace": b"TRACE / HTTP/1.1" + END,
    "absolute": b"GET http://evil/../x HTTP/1.1" + END,
    "absolute, other scheme": b"GET file:///etc/passwd HTTP/1.1" + END,
    "absolute, no path": b"GET http://evil HTTP/1.1" + END,
    "authority": b"GET evil:80 HTTP/1.1" + END,
    "fragment": b"GET /hostile/seed#x HTTP/1.1" + END,
    "raw high bytes": b"GET /\xff\xfe HTTP/1.1" + END,
    "raw blank": b"GET /a b HTTP/1.1" + END,
    "raw tab": b"GET /a\tb HTTP/1.1" + END,
    "raw nul": b"GET /a\0b HTTP/1.1" + END,
    "raw delete": b"GET /\x7f HTTP/1.1" + END,
    "target of 100000 bytes": b"GET /" + b"a" * 100_000 + b" HTTP/1.1" + END,
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "host of dots": b"GET / HTTP/1.1\r\nHost: ..........\r\n\r\n",
    "host that is a domain's parent": b"GET / HTTP/1.1\r\nHost: ...s3.example.test\r\n\r\n",
    "host with a bucket of slashes": b"GET / HTTP/1.1\r\nHost: a%2fb.s3.example.test\r\n\r\n",
    "host in brackets": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "host with a port of letters": b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "host of 10000 bytes": b"GET / HTTP/1.1\r\nHost: " + b"h" * 10_000 + b"\r\n\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\nHost: h\r\nBroken\r\n\r\n",
    "header without a name": b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
    "folded header": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
    "nul in a header": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n",
    "carriage return in a header": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
    "line feeds alone": b"GET / HTTP/1.1\nHost: h\n\n",
    "header name in utf-8": b"GET / HTTP/1.1\r\nHost: h\r\n\xc3\xbc: x\r\n\r\n",
    "header of 100000 bytes": b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "10000 headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "length and chunked": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "other coding": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "coding with a tab": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in http/1.0": b"PUT /hostile/s HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    "length list": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
    "unknown expectation": b"PUT /hostile/s HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 5\r\n\r\nhello",
    "unfinished head": b"GET / HTTP/1.1\r\nHost: h\r\nA: b",
    "proxy protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1" + END,
    "proxy protocol 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\1" * 12 + b"GET / HTTP/1.1" + END,
    "upgrade": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "connection names headers": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, authorization, host\r\n\r\n",
    "icap": b"OPTIONS icap://h/x ICAP/1.0" + END,
    "rtsp": b"DESCRIBE rtsp://h/x RTSP/1.0" + END,
}  # fmt: skip


def heads() -> Iterator[Hostile]:
    for name, data in HEADS.items():
        # 200 and 403 are right for what merely looks strange.
        yield Hostile(f"head: {name}", raw=data, method=data.partition(b" ")[0].decode("latin-1"))


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


FORM = {"content-type": "multipart/form-data; boundary=b"}


def _field(name: bytes, value: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
FORMS: dict[str, bytes] = {
    "nothing": b"",
    "no boundary": b"hello",
    "only an end": b"--b--\r\n",
    "no file": _field(b"key", b"k") + b"--b--\r\n",
    "no key": FILE,
    "unsigned": _field(b"key", b"k") + FILE,
    "parent key": _field(b"key", b"../../../etc/passwd") + FILE,
    "key of dots": _field(b"key", b"..") + FILE,
    "long key": _field(b"key", b"k" * 1025) + FILE,
    "key with a nul": _field(b"key", b"a\0b") + FILE,
    "file name with a path": _field(b"key", b"${filename}") + FILE.replace(b'"f"', b'"../../x"'),
    "file name with quotes": _field(b"key", b"${filename}") + FILE.replace(b'"f"', b'"a\\"b"'),
    "fields of 30000 bytes": _field(b"key", b"k" * 30_000) + FILE,
    "name of 30000 bytes": _field(b"n" * 30_000, b"k") + FILE,
    "500 fields": b"".join(_field(b"f%d" % n, b"") for n in range(500)) + FILE,
    "twice the same": _field(b"key", b"a") + _field(b"key", b"b") + FILE,
    "names that differ in case": _field(b"key", b"a") + _field(b"KEY", b"b") + FILE,
    "field without a name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + FILE,
    "field without a header": b"--b\r\n\r\nx\r\n" + FILE,
    "bad utf-8": _field(b"key", b"\xff\xfe") + FILE,
    "header of 100000 bytes": b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\n" + FILE,
    "5000 headers": b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\n" + FILE,
    "cut off": (_field(b"key", b"k") + FILE)[:-8],
    "line feeds alone": (_field(b"key", b"k") + FILE).replace(b"\r\n", b"\n"),
    "text behind the end": _field(b"key", b"k") + FILE + b"GET / HTTP/1.1\r\n\r\n",
    "policy of garbage": _field(b"key", b"k")
    + _field(b"policy", b"!!!")
    + _field(b"x-amz-signature", b"0" * 64)
    + FILE,
    "policy without the rest": _field(b"key", b"k") + _field(b"policy", b"e30=") + FILE,
    "deep policy": _field(b"policy", b"W1tbW1tbW1tbW1tbW1tbW1tb" * 700)
    + _field(b"x-amz-algorithm", b"AWS4-HMAC-SHA256")
    + FILE,
    "redirect": _field(b"key", b"k") + _field(b"success_action_redirect", b"javascript:alert(1)\r\nX: y") + FILE,
    "status of garbage": _field(b"key", b"k") + _field(b"success_action_status", b"999") + FILE,
    "version 2": _field(b"AWSAccessKeyId", b"a") + _field(b"signature", b"b") + _field(b"policy", b"e30=") + FILE,
    "two files": _field(b"key", b"k") + FILE.replace(b"--b--\r\n", b"") + FILE,
}
FORM_TYPES = (
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data;;;;",
    ),
    *(
        "multipart/form-data; boundary=" + "b" * 5000,
        "multipart/form-data; boundary=\xff",
        "multipart/mixed; boundary=b",
        "text/plain",
    ),
    *(
        "multipart/form-data; boundary*=utf-8''b",
        "multipart/form-data; boundary=b; boundary=c",
        "application/x-www-form-urlencoded",
    ),
)


def forms() -> Iterator[Hostile]:
    """PostObject with every kind of broken form."""
    for name, body in FORMS.items():
        yield Hostile(f"form: {name}", "POST", BUCKET, FORM, body, sign=False, statuses=REFUSED)
    for kind in FORM_TYPES:
        yield Hostile(
            f"form type: {kind[:60]!r}",
            "POST",
            BUCKET,
            {"content-type": kind},
            FORMS["unsigned"],
            sign=False,
            statuses=REFUSED,
        )
    yield Hostile("form: without a length", "POST", BUCKET, FORM, sign=False, statuses=REFUSED)
    yield Hostile(
        "form: into no bucket", "POST", "/no-such-bucket-here", FORM, FORMS["unsigned"], sign=False, statuses=REFUSED
    )
    yield Hostile("form: on an object", "POST", SEED, FORM, FORMS["unsigned"], sign=False, statuses=REFUSED)
    yield Hostile(
        "form: with a selector", "POST", f"{BUCKET}?acl", FORM, FORMS["unsigned"], sign=False, statuses=REFUSED
    )


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
