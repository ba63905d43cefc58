"""Which bucket and key a request names: path style and virtual-host style."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from workers.protocol.target import decode_key
from workers.routing import Level


class Address(NamedTuple):
    """What a request names; `bucket` and `key` are "" where its level has none."""

    level: Level
    bucket: str
    key: str


class Addressing:
    """Finds the bucket and key of a request.

    Args:
        domains: host names (without port) whose sub-domains are buckets, such as "s3.example.org".
    """

    def __init__(self, domains: Iterable[str]) -> None:
        # The longest first, so that of "s3.example.org" and "example.org" the closer one decides.
        self._domains = frozenset(domain.lower().strip(".") for domain in domains)
        self._suffixes = tuple("." + domain for domain in sorted(self._domains, key=len, reverse=True))

    def locate(self, raw_path: str, host: str) -> Address:
        """The address of a request target's path, as sent, and of its Host header. Raises `S3Error` InvalidURI."""
        if self._suffixes:
            bucket = self._bucket_of_host(host)
            if bucket:
                key = decode_key(raw_path[1:])
                return Address(Level.OBJECT if key else Level.BUCKET, bucket, key)
        slash = raw_path.find("/", 1)
        if slash < 0:
            bucket, key = raw_path[1:], ""
        else:
            bucket, key = raw_path[1:slash], raw_path[slash + 1 :]
        if "%" in bucket:
            bucket = decode_key(bucket)
        if key:
            return Address(Level.OBJECT, bucket, decode_key(key))
        return Address(Level.BUCKET if bucket else Level.SERVICE, bucket, "")

    def is_virtual(self, host: str) -> bool:
        """Whether the Host header names a bucket."""
        return bool(self._suffixes) and bool(self._bucket_of_host(host))

    def _bucket_of_host(self, host: str) -> str:
        name = host.partition(":")[0].lower().rstrip(".")
        if name in self._domains:  # and not a bucket of a wider domain
            return ""
        for suffix in self._suffixes:
            if name.endswith(suffix):
                return name[: -len(suffix)]
        return ""
