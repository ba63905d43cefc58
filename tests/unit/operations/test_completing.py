"""What a completion makes of parts: choice, ETag, checksums, and the table that partNumber reads use."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from backends.api import ObjectRecord, PartRecord, UploadRecord
from workers.operations.completing import chosen_parts, multipart_etag, object_checksum, part_table
from workers.operations.parts import part_checksums, part_range, parts_after
from workers.protocol.documents import CompletedPart
from workers.protocol.errors import S3Error
from workers.protocol.ranges import Range

MIN = 10


def upload(algorithm: str = "CRC64NVME", kind: str = "FULL_OBJECT", *, announced: bool = True) -> UploadRecord:
    draft = ObjectRecord(size=0, etag="")
    return UploadRecord(
        id="1", key="k", initiated=1, draft=draft, algorithm=algorithm, checksum_type=kind, announced=announced
    )


def digest(name: str, data: bytes) -> str:
    raw = {
        "CRC32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "CRC32C": lambda: crt.crc32c(data).to_bytes(4, "big"),
        "CRC64NVME": lambda: crt.crc64nvme(data).to_bytes(8, "big"),
        "SHA256": lambda: hashlib.sha256(data).digest(),
    }[name]()
    return base64.b64encode(raw).decode()


def part(number: int, data: bytes, *names: str) -> PartRecord:
    checksums = {name: digest(name, data) for name in names}
    return PartRecord(number=number, size=len(data), etag=hashlib.md5(data).hexdigest(), checksums=checksums)


def named(record: PartRecord, **checksums: str) -> CompletedPart:
    return CompletedPart(record.number, record.etag, checksums)


STORED = {number: part(number, bytes([number]) * 20, "CRC64NVME") for number in (1, 2, 3)} | {
    4: part(4, b"tail", "CRC64NVME"),
    5: part(5, b""),
}


def test_the_named_parts_are_chosen() -> None:
    parts = chosen_parts([named(STORED[1]), named(STORED[3]), named(STORED[4])], STORED, upload(), MIN)
    assert parts == [STORED[1], STORED[3], STORED[4]]


@pytest.mark.parametrize("numbers", [[4], [5], [1, 5], [1, 2, 3, 4]], ids=str)
def test_only_the_last_part_may_be_small(numbers: list[int]) -> None:
    assert len(chosen_parts([named(STORED[number]) for number in numbers], STORED, upload(), MIN)) == len(numbers)


@pytest.mark.parametrize("numbers", [[4, 5], [1, 5, 6]], ids=str)
def test_a_small_part_before_the_last_is_refused(numbers: list[int]) -> None:
    stored = {**STORED, 6: part(6, b"x" * 20)}
    with pytest.raises(S3Error) as refused:
        chosen_parts([named(stored[number]) for number in numbers], stored, upload(), MIN)
    assert refused.value.code == "EntityTooSmall"
    assert chosen_parts([named(stored[number]) for number in numbers], stored, upload(), 0)


@pytest.mark.parametrize(
    "wanted",
    [
        CompletedPart(9, STORED[1].etag, {}),
        CompletedPart(1, STORED[2].etag, {}),
        CompletedPart(1, "", {}),
        CompletedPart(0, STORED[1].etag, {}),
        CompletedPart(1, STORED[1].etag, {"CRC64NVME": digest("CRC64NVME", b"other")}),
        CompletedPart(1, STORED[1].etag, {"CRC32": digest("CRC32", bytes([1]) * 20)}),
    ],
    ids=str,
)
def test_what_is_not_stored_as_named_is_refused(wanted: CompletedPart) -> None:
    with pytest.raises(S3Error) as refused:
        chosen_parts([wanted], STORED, upload(), MIN)
    assert refused.value.code == "InvalidPart"


def test_a_composite_upload_asks_for_every_checksum() -> None:
    stored = {1: part(1, b"x" * 20, "SHA256"), 2: part(2, b"y", "SHA256")}
    composite = upload("SHA256", "COMPOSITE")
    complete = [named(record, SHA256=record.checksums["SHA256"]) for record in stored.values()]
    assert chosen_parts(complete, stored, composite, MIN) == list(stored.values())
    with pytest.raises(S3Error) as refused:
        chosen_parts([complete[0], named(stored[2])], stored, composite, MIN)
    assert refused.value.code == "InvalidRequest"
    assert "part 2" in refused.value.message


def test_the_etag_is_that_of_s3() -> None:
    """The MD5 of the MD5s of the parts, and their count."""
    expected = hashlib.md5(hashlib.md5(b"a").digest() + hashlib.md5(b"b").digest()).hexdigest()
    assert multipart_etag([part(1, b"a"), part(2, b"b")]) == f"{expected}-2"


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
@given(datas=st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_crcs_are_combined(name: str, datas: list[bytes]) -> None:
    parts = [part(number, data, name) for number, data in enumerate(datas, 1)]
    for announced in (True, False):
        found = object_checksum(parts, upload(name, announced=announced))
        assert found == ({name: digest(name, b"".join(datas))}, "FULL_OBJECT")


def test_composite_checksums_are_made_of_the_parts() -> None:
    parts = [part(1, b"a", "SHA256"), part(2, b"b", "SHA256")]
    both = hashlib.sha256(hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()).digest()
    found = object_checksum(parts, upload("SHA256", "COMPOSITE"))
    assert found == ({"SHA256": base64.b64encode(both).decode() + "-2"}, "COMPOSITE")


@pytest.mark.parametrize(
    "parts",
    [
        [part(1, b"a", "SHA256"), part(2, b"b", "SHA256")],
        [part(1, b"a", "CRC32"), part(2, b"b", "CRC64NVME")],
        [part(1, b"a", "CRC32"), part(2, b"b")],
        [part(1, b"a")],
    ],
    ids=["no sum of sums", "two algorithms", "one without", "none"],
)
def test_without_a_common_crc_there_is_no_checksum(parts: list[PartRecord]) -> None:
    assert object_checksum(parts, upload(announced=False)) == ({}, "")


@given(
    sizes=st.dictionaries(st.integers(1, 40), st.integers(0, 3), min_size=1, max_size=12),
    names=st.sampled_from([(), ("CRC32",), ("SHA256",)]),
)
def test_the_table_tells_every_part_and_its_place(sizes: dict[int, int], names: tuple[str, ...]) -> None:
    parts = [part(number, b"x" * sizes[number], *names) for number in sorted(sizes)]
    table = part_table(parts)
    assert table.count == len(parts)
    record = ObjectRecord(size=sum(sizes.values()), etag="", parts=table, checksum_type="COMPOSITE")
    offset = 0
    # A finished object's parts count without gaps.
    for place, one in enumerate(parts, 1):
        found = part_range(record, place)
        assert found is not None
        assert (found.first, found.length) == (offset, one.size)
        offset += one.size
        # Of parts without bytes there is no range to ask for.
        if one.size:
            assert part_checksums(record, found) == one.checksums
            assert part_checksums(record, Range(found.first, found.last + 1)) == {}
    assert part_range(record, 0) is None
    assert part_range(record, len(parts) + 1) is None
    for marker in (0, 1, 5, 40):
        listed = list(parts_after(table, marker))
        assert [(one.number, one.size, one.checksums) for one in listed] == [
            (place, one.size, one.checksums) for place, one in enumerate(parts, 1) if place > marker
        ]


def test_ten_thousand_regular_parts_are_one_run() -> None:
    parts = [PartRecord(number=number, size=8 << 20, etag="0" * 32) for number in range(1, 10_000)]
    parts.append(PartRecord(number=10_000, size=5, etag="0" * 32))
    assert part_table(parts).runs == ((1, 9_999, 8 << 20), (10_000, 1, 5))
