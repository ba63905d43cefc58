"""The stored form of records: stable, forward compatible, and honest about damage."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.records import (
    BucketRecord,
    Encryption,
    ObjectRecord,
    PartTable,
    RecordError,
    Retention,
    decode_bucket,
    decode_object,
    encode,
)

FULL = ObjectRecord(
    size=3,
    etag="e",
    modified=5,
    headers={"content-type": "text/plain"},
    metadata={"m": "ü"},
    checksums={"CRC32": "AAAAAA=="},
    checksum_type="FULL_OBJECT",
    parts=PartTable(runs=((1, 2, 10), (3, 1, 4)), algorithm="CRC32", digests=b"\x00\xff"),
    tags={"a": "b"},
    owner="o",
    acl="acl",
    storage_class="GLACIER",
    retention=Retention("GOVERNANCE", 7),
    legal_hold=True,
    encryption=Encryption(kind="SSE-C", sealed_key=b"\x01", stored_size=19, parameters={"p": "q"}),
    extra={"test.x": [1, {"y": None}]},
)


def test_a_small_record_is_small() -> None:
    assert encode(ObjectRecord(size=3, etag="e", modified=5)) == b'1 {"size":3,"etag":"e","modified":5}'
    assert encode(BucketRecord(name="b", created=1)) == b'1 {"name":"b","created":1}'


def test_everything_comes_back() -> None:
    assert decode_object(encode(FULL)) == FULL
    bucket = BucketRecord(name="b", created=1, owner="o", region="r", object_lock=True)
    assert decode_bucket(encode(bucket)) == bucket


def test_records_of_this_format_stay_readable() -> None:
    """Written down once: a change that breaks it breaks every object that is stored."""
    stored = (
        b'1 {"size":3,"etag":"e","modified":5,"headers":{"content-type":"text/plain"},"metadata":{"m":"\xc3\xbc"},'
        b'"checksums":{"CRC32":"AAAAAA=="},"checksum_type":"FULL_OBJECT","parts":{"runs":[[1,2,10],[3,1,4]],'
        b'"algorithm":"CRC32","digests":"AP8="},"tags":{"a":"b"},"owner":"o","acl":"acl","storage_class":"GLACIER",'
        b'"retention":{"mode":"GOVERNANCE","until":7},"legal_hold":true,"encryption":{"kind":"SSE-C","key_id":"",'
        b'"sealed_key":"AQ==","stored_size":19,"parameters":{"p":"q"}},"extra":{"test.x":[1,{"y":null}]}}'
    )
    assert decode_object(stored) == FULL
    assert encode(FULL) == stored


def test_fields_of_a_later_minor_version_are_passed_over() -> None:
    assert decode_object(b'1 {"size":3,"etag":"e","invented_later":{"a":[1]}}') == ObjectRecord(size=3, etag="e")
    assert decode_bucket(b'1 {"name":"b","created":1,"invented_later":2}') == BucketRecord(name="b", created=1)


def test_another_format_is_named() -> None:
    with pytest.raises(RecordError, match="unknown record format b'2 ") as caught:
        decode_object(b'2 {"size":3,"etag":"e"}')
    assert str(caught.value).endswith("this version reads 1")
    with pytest.raises(RecordError, match="unknown record format"):
        decode_bucket(b"")


@pytest.mark.parametrize(
    "damaged",
    [
        b"1 ",
        b"1 {",
        b"1 []",
        b"1 null",
        b"1 {}",
        b'1 {"size":"3","etag":"e"}',
        b'1 {"size":3}',
        b'1 {"size":3,"etag":"\xff"}',
        b'1 {"size":3,"etag":"e"} trailing',
        b"1 \x00\x00\x00",
        b'1 {"size":3,"etag":"e","tags":{"a":1}}',
    ],
)
def test_a_damaged_record_is_told_as_such(damaged: bytes) -> None:
    with pytest.raises(RecordError, match="damaged object record"):
        decode_object(damaged)
    with pytest.raises(RecordError, match="damaged bucket record"):
        decode_bucket(damaged)


@given(st.integers(0, 400), st.integers(0, 255))
def test_no_damage_escapes_as_another_exception(position: int, value: int) -> None:
    stored = bytearray(encode(FULL))
    stored[position % len(stored)] = value
    try:
        decode_object(bytes(stored))
    except RecordError:
        pass
    with pytest.raises(RecordError):
        decode_object(bytes(encode(FULL)[: position % len(stored)]))


def test_records_are_immutable_and_replaced_by_copies() -> None:
    changed = FULL.replace(tags={}, legal_hold=False)
    assert (changed.tags, changed.legal_hold, changed.etag) == ({}, False, "e")
    assert FULL.tags == {"a": "b"}
    with pytest.raises(AttributeError):
        FULL.size = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        FULL.replace(no_such_field=1)


def test_a_part_table_counts_its_parts() -> None:
    assert FULL.parts is not None
    assert FULL.parts.count == 3
    assert PartTable(runs=()).count == 0


def test_ten_thousand_parts_fit_into_a_record() -> None:
    uniform = PartTable(runs=((1, 10_000, 5 << 20),), algorithm="CRC64NVME", digests=bytes(80_000))
    assert len(encode(ObjectRecord(size=1, etag="e", parts=uniform))) < 120_000


def test_the_stored_form_is_json_behind_the_format_number() -> None:
    number, _, document = encode(FULL).partition(b" ")
    assert number == b"1"
    assert msgspec.json.decode(document)["etag"] == "e"
