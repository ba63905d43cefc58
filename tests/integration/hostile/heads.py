# ruff: noqa: E501 -- data
"""Request heads, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.hostile.request import Hostile

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
