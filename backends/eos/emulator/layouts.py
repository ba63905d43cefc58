"""Layout ids, checksums and the ETags made of them."""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Final, Protocol

from awscrt import checksums as crt

from backends.eos.emulator.entries import SECOND, Container, File

CHECKSUM_TYPES: Final = (
    "",
    "none",
    "adler32",
    "crc32",
    "md5",
    "sha1",
    "crc32c",
    "crc64",
    "sha256",
    "xxhash64",
    "blake3",
    "hwh64",
)
LAYOUT_TYPES: Final = ("plain", "replica", "archive", "raiddp", "raid6", "qrain", "raid5")
ERASURE_CODED: Final = frozenset({"archive", "raiddp", "raid6", "qrain", "raid5"})
# Bits 20-23: no checksums of blocks.
NO_BLOCK_CHECKSUM: Final = 0x00100000
# A commit hands over a buffer of this many bytes, whatever the digest's length.
COMMITTED_CHECKSUM_SIZE: Final = 32
DIGEST_SIZES: Final = {
    "adler32": 4,
    "crc32": 4,
    "crc32c": 4,
    "crc64": 8,
    "md5": 16,
    "sha1": 20,
    "sha256": 32,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout id taken apart."""

    type: str = "plain"
    checksum: str = "adler32"
    stripes: int = 1

    @property
    def code(self) -> int:
        """The 32 bits."""
        return (
            CHECKSUM_TYPES.index(self.checksum)
            | LAYOUT_TYPES.index(self.type) << 4
            | (self.stripes - 1) << 8
            | NO_BLOCK_CHECKSUM
        )

    @property
    def erasure_coded(self) -> bool:
        """Whether updates in place are refused to ordinary users."""
        return self.type in ERASURE_CODED

    @property
    def replicas(self) -> int:
        """How many copies are written. The emulator keeps one copy of erasure-coded data."""
        return self.stripes if self.type == "replica" else 1


def parsed(code: int) -> Layout:
    """The layout of an id; id 0 (a file made by touch) is one plain replica without a checksum."""
    kind = code >> 4 & 0xF
    return Layout(
        LAYOUT_TYPES[kind] if kind < len(LAYOUT_TYPES) else "plain",
        CHECKSUM_TYPES[code & 0xF] if 0 < code & 0xF < len(CHECKSUM_TYPES) else "none",
        (code >> 8 & 0xFF) + 1,
    )


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take in more data."""

    def digest(self) -> bytes:
        """The raw value, big-endian."""


class _Running:
    """A checksum that is a number carried from one block to the next."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._value = 1 if kind == "adler32" else 0

    def update(self, data: bytes | memoryview, /) -> None:
        if self._kind == "adler32":
            self._value = zlib.adler32(data, self._value)
        elif self._kind == "crc32":
            self._value = zlib.crc32(data, self._value)
        else:
            self._value = crt.crc32c(bytes(data), self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def hasher(kind: str) -> Hasher | None:
    """A new checksum of this type; None where there is none, or none that the emulator computes."""
    if kind in ("adler32", "crc32", "crc32c"):
        return _Running(kind)
    if kind in ("md5", "sha1", "sha256"):
        return hashlib.new(kind, usedforsecurity=False)
    return None


def empty_checksum(kind: str) -> bytes:
    """What a file has that was created and never written: the checksum of nothing, at its exact length."""
    empty = hasher(kind)
    return empty.digest() if empty is not None else b""


def committed(digest: bytes) -> bytes:
    """A checksum as a commit leaves it in the namespace."""
    return digest.ljust(COMMITTED_CHECKSUM_SIZE, b"\0") if digest else b""


def checksum_hex(file: File) -> str:
    """The file's default checksum as text, without the padding."""
    kind = parsed(file.layout).checksum
    return file.checksum[: DIGEST_SIZES.get(kind, 0)].hex()


def file_etag(file: File, *, hard_link: bool = False) -> str:
    """The ETag with its quotes, as the namespace gives it."""
    if hard_link:
        return "hardlink"
    if "sys.tmp.etag" in file.xattrs:
        return file.xattrs["sys.tmp.etag"].decode("utf-8", "replace")
    return etag_of(file.inode, parsed(file.layout).checksum, checksum_hex(file), file.ctime)


def etag_of(inode: int, kind: str, digest: str, ctime: int) -> str:
    """The ETag of a file with this checksum; without one the change time takes its place."""
    if not digest:
        return f'"{inode}:{ctime // SECOND}"'
    return f'"{digest}"' if kind == "md5" else f'"{inode}:{digest}"'


def container_etag(container: Container) -> str:
    """The ETag of a directory, which has no quotes."""
    seconds, rest = divmod(container.stime, SECOND)
    return f"{container.id:x}:{seconds}.{rest // 1_000_000:03d}"
