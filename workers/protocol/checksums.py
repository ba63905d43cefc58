"""Checksums of objects and parts: the algorithms, what a request announces of its body, and multipart combination.

Speeds on one core, 1 MiB blocks: CRC32C and CRC64NVME 62 GB/s, CRC32 6.9 (awscrt 3.4), XXHASH3 84, XXHASH64 23,
SHA1 2.1, SHA256 2.0, SHA512 1.2, MD5 0.85. All but the XXHASH family release the GIL.
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol

from awscrt import checksums as crt

from workers.protocol.errors import S3Error

Block = bytes | bytearray | memoryview
ChecksumType = Literal["FULL_OBJECT", "COMPOSITE"]
HeaderGetter = Callable[[str], str | None]

DEFAULT_ALGORITHM: Final = "CRC64NVME"
"""What S3 computes and stores when the client sends no checksum."""

HEADER_PREFIX: Final = "x-amz-checksum-"

# PERF: OpenSSL 3 looks an algorithm up by its name for each new hash (1 us); a copy of one costs half as much.
_SHA256: Final = hashlib.sha256()
_MD5: Final = hashlib.md5(usedforsecurity=False)

# Headers of the same prefix that carry no checksum.
_NO_VALUES: Final = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: Block, /) -> object:
        """Take the next block."""

    def digest(self) -> bytes:
        """Return the checksum of all blocks so far, in the byte order of its base64 form."""


class _Crc:
    """A CRC made of a function (block, previous value) -> value."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Block, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: Block, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    """An XXHASH of awscrt under the names that hashlib uses."""

    __slots__ = ("_hash",)

    def __init__(self, new: Callable[[], crt.XXHash]) -> None:
        self._hash = new()

    def update(self, data: Block, /) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        value: bytes = self._hash.finalize()
        return value


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One checksum algorithm of S3.

    Attributes:
        name: as in `x-amz-checksum-algorithm` and, after "Checksum", in XML element names.
        size: bytes of a digest.
        new: makes a running checksum.
        types: the checksum types that a multipart upload may have, the default first.
        combine: (value of A, value of B, length of B) -> value of A and B together; only CRCs can.
    """

    name: str
    size: int
    new: Callable[[], Hasher]
    types: tuple[ChecksumType, ...] = ("COMPOSITE",)
    combine: Callable[[int, int, int], int] | None = None

    @property
    def header(self) -> str:
        """The header or trailer that carries a value."""
        return HEADER_PREFIX + self.name.lower()

    @property
    def element(self) -> str:
        """The XML element that carries a value."""
        return "Checksum" + self.name


_TABLE: Final = (
    # zlib is twice as fast as awscrt for this one polynomial.
    Algorithm("CRC32", 4, lambda: _Crc(zlib.crc32, 4), ("COMPOSITE", "FULL_OBJECT"), crt.combine_crc32),
    Algorithm("CRC32C", 4, lambda: _Crc(crt.crc32c, 4), ("COMPOSITE", "FULL_OBJECT"), crt.combine_crc32c),
    Algorithm("CRC64NVME", 8, lambda: _Crc(crt.crc64nvme, 8), ("FULL_OBJECT",), crt.combine_crc64nvme),
    Algorithm("SHA1", 20, lambda: hashlib.sha1(usedforsecurity=False)),
    Algorithm("SHA256", 32, _SHA256.copy),
    Algorithm("SHA512", 64, hashlib.sha512),
    Algorithm("MD5", 16, _MD5.copy),
    Algorithm("XXHASH64", 8, lambda: _XxHash(crt.XXHash.new_xxhash64)),
    Algorithm("XXHASH3", 8, lambda: _XxHash(crt.XXHash.new_xxhash3_64)),
    Algorithm("XXHASH128", 16, lambda: _XxHash(crt.XXHash.new_xxhash3_128)),
)

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType({row.name: row for row in _TABLE})
"""Name -> algorithm: the one table; a new algorithm is one more row."""

_BY_HEADER: Final[Mapping[str, Algorithm]] = MappingProxyType({row.header: row for row in _TABLE})


def decode_digest(text: str, size: int) -> bytes | None:
    """Return the bytes of a base64 digest, or None when the text is not the one base64 form of `size` bytes."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # AWS refuses bits behind the last byte (RFC 4648 section 3.5).
    return value if len(value) == size and encode_digest(value) == text else None


def encode_digest(digest: bytes) -> str:
    """Return a digest's base64 form."""
    return binascii.b2a_base64(digest, newline=False).decode()


def parse_algorithm(name: str) -> Algorithm:
    """Return the algorithm of an `x-amz-checksum-algorithm` value. Raises S3Error InvalidRequest."""
    algorithm = ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(sorted(ALGORITHMS))}]",
        )
    return algorithm


def parse_checksum_type(value: str | None, algorithm: Algorithm | None) -> ChecksumType | None:
    """Return the checksum type of a new multipart upload from `x-amz-checksum-type`, or the algorithm's default.

    None without an algorithm. Raises S3Error InvalidRequest.
    """
    if value is None:
        return None if algorithm is None else algorithm.types[0]
    if algorithm is None:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    for kind in ("FULL_OBJECT", "COMPOSITE"):
        if value.upper() == kind:
            if kind in algorithm.types:
                return kind
            raise S3Error(
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm.",
            )
    raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")


def composite(algorithm: Algorithm, parts: Sequence[str]) -> str:
    """Return the checksum of the parts' base64 checksums, `<base64>-<number of parts>`."""
    hasher = algorithm.new()
    for part in parts:
        hasher.update(base64.b64decode(part))
    return f"{encode_digest(hasher.digest())}-{len(parts)}"


def full_object(algorithm: Algorithm, parts: Iterable[tuple[str, int]]) -> str:
    """Return the base64 checksum of an object from its parts' (base64 checksum, length in bytes).

    Only CRCs can be combined (ValueError otherwise); awscrt does it in O(log length), 2 us a part.
    """
    if algorithm.combine is None:
        raise ValueError(f"{algorithm.name} of an object does not follow from its parts")
    value = 0
    for part, length in parts:
        value = algorithm.combine(value, int.from_bytes(base64.b64decode(part), "big"), length)
    return encode_digest(value.to_bytes(algorithm.size, "big"))


def announced_checksum(
    header: HeaderGetter, header_names: Iterable[str], *, composite_parts: bool = False
) -> tuple[Algorithm, str] | None:
    """Return the algorithm and the base64 value of the one `x-amz-checksum-*` header, or None.

    `composite_parts`: the value may end in `-N`, as in CompleteMultipartUpload. Raises S3Error InvalidRequest for
    an unknown algorithm, a malformed value, or more than one header.
    """
    names = [name for name in header_names if name.startswith(HEADER_PREFIX) and name not in _NO_VALUES]
    if not names:
        return None
    if len(names) > 1:
        raise _several()
    algorithm = _BY_HEADER.get(names[0])
    if algorithm is None:
        raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    value = header(names[0]) or ""
    digest, dash, count = value.partition("-") if composite_parts else (value, "", "")
    if decode_digest(digest, algorithm.size) is None or (dash and not (count.isascii() and count.isdigit())):
        raise S3Error("InvalidRequest", f"Value for {algorithm.header} header is invalid.")
    return algorithm, value


def parse_trailer(value: str | None) -> Algorithm | None:
    """Return the algorithm whose checksum an `x-amz-trailer` announces, or None. Raises S3Error InvalidRequest.

    Like AWS this takes commas at the end of the list, and nothing else that is empty.
    """
    if not value:
        return None
    names = value.strip(" \t").rstrip(",").split(",")
    algorithms = [_BY_HEADER.get(name.strip(" \t").lower()) for name in names]
    if None in algorithms:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if len(algorithms) > 1:
        raise _several()
    return algorithms[0]


class ExpectedDigests:
    """What a request announced of its body, and the digests that are computed while the body passes.

    One object serves one body: `update` takes its blocks, `verify` compares at the end. Every value that the client
    sent is compared, and each algorithm runs only once. `algorithm` is the one whose value is stored with the object.
    """

    __slots__ = (
        "_digests",
        "_document",
        "_expected",
        "_hashers",
        "_md5",
        "_sha256",
        "_trailer",
        "algorithm",
        "verified",
    )

    def __init__(
        self,
        algorithm: Algorithm | None = None,
        *,
        expected: str | None = None,
        trailer: bool = False,
        md5: bytes | None = None,
        sha256: str | None = None,
        document: bool = False,
    ) -> None:
        """`expected` is the announced base64 value of `algorithm`, which `trailer` says will come behind the body;
        `md5` is that of Content-MD5, `sha256` the hexadecimal one of the signature as it was sent. `document`: the
        body is an XML document, of which errors tell other things.
        """
        self.algorithm = algorithm
        self.verified = False
        self._expected = expected
        self._trailer = trailer
        self._md5 = md5
        self._sha256 = sha256
        self._document = document
        self._digests: dict[str, bytes] = {}
        # MD5 is always computed: it is the ETag.
        self._hashers: dict[str, Hasher] = {"MD5": _MD5.copy()}
        if sha256 is not None:
            self._hashers["SHA256"] = _SHA256.copy()
        if algorithm is not None and algorithm.name not in self._hashers:
            self._hashers[algorithm.name] = algorithm.new()

    @classmethod
    def from_request(
        cls,
        header: HeaderGetter,
        header_names: Iterable[str],
        *,
        payload_hash: str | None,
        chunked: bool = False,
        default: str | None = DEFAULT_ALGORITHM,
        required: str | None = None,
        announce: bool = False,
        document: bool = False,
    ) -> "ExpectedDigests":
        """Read a request's headers.

        Args:
            header: value of a header by its lower-case name.
            header_names: the lower-case names of all headers.
            payload_hash: the `x-amz-content-sha256` that the signature covers; None for a request without one.
            chunked: whether the body is decoded from the coding that `payload_hash` names. Otherwise any value but
                UNSIGNED-PAYLOAD has to be the body's SHA-256.
            default: the algorithm to compute when the client announces none.
            required: the algorithm of the multipart upload that this body is a part of; another one is refused, and
                it takes the place of `default`.
            announce: whether the client has to announce a value of `required`, as S3 asks of the parts of a composite
                checksum, which is one of values that the client vouches for.
            document: whether the body is an XML document.

        Raises S3Error InvalidRequest, InvalidDigest or MalformedTrailerError, all before the body is read.
        """
        announced = announced_checksum(header, header_names)
        trailer = parse_trailer(header("x-amz-trailer"))
        if announced is not None and trailer is not None:
            raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
        algorithm, value = announced if announced is not None else (trailer, None)
        _check_sdk_algorithm(header("x-amz-sdk-checksum-algorithm"), algorithm)
        if trailer is not None and not (chunked and (payload_hash or "").endswith("-TRAILER")):
            raise S3Error("MalformedTrailerError")
        stated = None if algorithm is None else algorithm.name
        if required is not None and stated != required and (announce or stated is not None):
            raise S3Error(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {required.lower()}, "
                f"actual checksum Type: {(stated or 'null').lower()}",
            )
        if algorithm is None:
            name = required or default
            algorithm = None if name is None else ALGORITHMS[name]
        return cls(
            algorithm,
            expected=value,
            trailer=trailer is not None,
            md5=_content_md5(header("content-md5")),
            sha256=None if chunked or payload_hash == "UNSIGNED-PAYLOAD" else payload_hash,
            document=document,
        )

    def update(self, data: Block) -> None:
        """Take the next block of the body."""
        for hasher in self._hashers.values():
            hasher.update(data)

    def verify(self, trailers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Finish, and compare everything that the client announced. `trailers` have lower-case names.

        Raises S3Error BadDigest, XAmzContentSHA256Mismatch, MalformedTrailerError (an announced trailer is missing)
        or InvalidRequest (its value is malformed).
        """
        self._digests = {name: hasher.digest() for name, hasher in self._hashers.items()}
        if self._sha256 is not None:
            computed = self._digests["SHA256"].hex()
            if computed != self._sha256.lower():
                raise S3Error(
                    "XAmzContentSHA256Mismatch",
                    ClientComputedContentSHA256=self._sha256,
                    S3ComputedContentSHA256=computed,
                )
        if self._md5 is not None and self._md5 != self._digests["MD5"]:
            # AWS shows this one in hexadecimal for object data and in base64 for documents, the other in base64.
            raise S3Error(
                "BadDigest",
                ExpectedDigest=encode_digest(self._md5) if self._document else self._md5.hex(),
                CalculatedDigest=encode_digest(self._digests["MD5"]),
            )
        self._verify_checksum(trailers)
        self.verified = True

    def _verify_checksum(self, trailers: Mapping[str, str]) -> None:
        algorithm = self.algorithm
        if algorithm is None:
            return
        expected = self._expected
        if self._trailer:
            expected = trailers.get(algorithm.header)
            if expected is None:
                raise S3Error("MalformedTrailerError")
            if decode_digest(expected, algorithm.size) is None:
                raise S3Error("InvalidRequest", f"Value for {algorithm.header} trailing header is invalid.")
        if expected is not None and base64.b64decode(expected) != self._digests[algorithm.name]:
            raise S3Error("BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum.")

    @property
    def announced(self) -> bool:
        """Whether the client sent Content-MD5 or a checksum, or announced one as a trailer."""
        return self._md5 is not None or self._expected is not None or self._trailer

    @property
    def etag(self) -> str:
        """The MD5 in hexadecimal, without quotes; after `verify`."""
        return self._digests["MD5"].hex()

    @property
    def checksums(self) -> dict[str, str]:
        """What is stored with the object, {"CRC64NVME": base64}; after `verify`."""
        if self.algorithm is None:
            return {}
        return {self.algorithm.name: encode_digest(self._digests[self.algorithm.name])}

    @property
    def checksum_type(self) -> ChecksumType:
        """The checksum type of an object that was sent in one body."""
        return "FULL_OBJECT"


def _several() -> S3Error:
    return S3Error(
        "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    )


def _check_sdk_algorithm(value: str | None, present: Algorithm | None) -> None:
    if value is None:
        return
    if value.upper() not in ALGORITHMS:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if present is None:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found.",
        )
    if present.name != value.upper():
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")


def _content_md5(value: str | None) -> bytes | None:
    if value is None:
        return None
    digest = decode_digest(value.strip(" \t"), 16)
    if digest is None:
        raise S3Error("InvalidDigest").add("Content-MD5", value)
    return digest
