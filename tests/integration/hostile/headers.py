# ruff: noqa: E501 -- data
"""Headers with broken, repeated, oversized and unsigned values."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.hostile.request import BUCKET, REFUSED, SEED, Hostile

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
