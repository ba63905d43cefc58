"""Uploads by a form (PostObject)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.hostile.request import BUCKET, REFUSED, SEED, Hostile

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
