# ruff: noqa: E501 -- data
"""XML documents, and bodies whose framing is broken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.integration.hostile.request import BUCKET, REFUSED, SEED, Hostile

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
