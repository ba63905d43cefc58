"""Looks for secrets in everything that a gateway leaves behind: files, their attributes, Redis, logs."""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def forms(secret: str | bytes) -> dict[str, bytes]:
    """The forms in which a secret gives itself away, by name: plain, hexadecimal, base64 at each alignment, escaped."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {"plain": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(), "reversed": raw[::-1]}
    for shift in range(3):
        # Within a longer text the first and last characters depend on what is around.
        coded = base64.b64encode(b"\0" * shift + raw)
        inner = coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]
        found[f"base64 +{shift}"] = inner
        found[f"base64url +{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    found["escaped"] = raw.replace(b"/", b"%2F").replace(b"+", b"%2B")
    found["json"] = raw.replace(b"/", b"\\/")
    return {name: form for name, form in found.items() if len(form) >= 8}


def signing_keys(secret: str, date: str, region: str, service: str) -> list[bytes]:
    """The keys that Signature Version 4 derives from a secret, which sign as well as it does for a day."""
    keys = []
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        keys.append(key)
    return keys


def texts_of_files(*places: Path, without: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """The contents of all files below some places, and their names and extended attributes; `without` by file name."""
    for place in places:
        for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
            yield f"name of {path}", os.fsencode(path.name)
            if path.is_symlink() or path.is_socket():
                continue
            for name in os.listxattr(path):
                yield f"{name} of {path}", os.getxattr(path, name)
            if path.is_file() and path.name not in without:
                yield str(path), path.read_bytes()


def texts_of_redis(client: Any) -> Iterator[tuple[str, bytes]]:
    """All keys and values of a Redis."""
    for key in client.scan_iter(count=1000):
        yield "a key of Redis", key
        kind = client.type(key)
        where = f"Redis: {key!r}"
        if kind == b"string":
            yield where, client.get(key) or b""
        elif kind == b"hash":
            for pair in client.hgetall(key).items():
                yield where, b" ".join(pair)
        elif kind == b"zset":
            yield where, b" ".join(client.zrange(key, 0, -1))
        elif kind == b"set":
            yield where, b" ".join(client.smembers(key))
        elif kind == b"list":
            yield where, b" ".join(client.lrange(key, 0, -1))
        elif kind != b"none":  # it may have expired
            raise AssertionError(f"{where}: a {kind!r} that nobody looks into")


def leaks(texts: Iterator[tuple[str, bytes]], secrets: dict[str, str | bytes]) -> list[str]:
    """Where which secret shows in which form. Never the secret itself."""
    wanted = [(name, form, data) for name, secret in secrets.items() for form, data in forms(secret).items()]
    return [f"{where}: {name} ({form})" for where, text in texts for name, form, data in wanted if data in text]
