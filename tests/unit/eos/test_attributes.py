"""Records in attributes: which belong to the data that are there, and what is derived for the others."""

import zlib
from typing import Any

import msgspec
import pytest

from backends.api import Encryption, ObjectRecord
from backends.eos.attributes import ATTRIBUTE, derived_record, encoded, re_encoded, record_of, recorded
from backends.eos.interfaces import Entry

DATA = b"some data"
ADLER = f"{zlib.adler32(DATA):08x}"
MD5 = "0123456789abcdef" * 2
RECORD = ObjectRecord(
    size=len(DATA), etag=MD5, modified=5, tags={"a": "b"}, metadata={"ü": "#&="}, checksums={"CRC32": "AAAA"}
)


def entry(value: str | None = None, **changes: Any) -> Entry:
    found = Entry(
        path="/eos/a/key",
        id=77,
        directory=False,
        uid=1,
        gid=1,
        size=len(DATA),
        mtime=9,
        checksum=("adler32", ADLER),
        attributes={} if value is None else {ATTRIBUTE: value.encode()},
    )
    return msgspec.structs.replace(found, **changes)


def test_a_value_can_stand_in_a_query() -> None:
    assert not set(encoded(RECORD, ADLER)) & set("#&=+/% \0")


@pytest.mark.parametrize("known", [ADLER, None])
@pytest.mark.parametrize(
    "checksum", [("adler32", ADLER), ("adler32", "00000001"), ("", ""), ("md5", MD5), ("crc32c", "12345678")]
)
def test_a_record_of_these_data_is_believed(known: str | None, checksum: tuple[str, str]) -> None:
    assert record_of(entry(encoded(RECORD, known), checksum=checksum)) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"size": 8, "checksum": ("adler32", "00000001")},
        {"checksum": ("adler32", "12345678")},
        {"checksum": ("md5", "f" * 32)},
    ],
    ids=str,
)
def test_a_record_of_other_data_keeps_what_does_not_depend_on_them(change: dict[str, Any]) -> None:
    found = record_of(entry(encoded(RECORD, ADLER), **change))
    assert (found.tags, found.metadata) == (RECORD.tags, RECORD.metadata)
    assert found.etag != RECORD.etag
    assert not found.checksums
    assert found.modified == 9
    assert found.size == change.get("size", len(DATA))


def test_a_size_that_the_checksum_of_the_data_disproves_is_an_old_one() -> None:
    short = entry(encoded(RECORD, ADLER), size=len(DATA) - 1)
    assert record_of(short) == RECORD
    assert recorded(short).size == len(DATA)
    other = entry(encoded(RECORD, ADLER), size=8, checksum=("adler32", "12345678"))
    assert recorded(other) == other
    empty = entry(encoded(RECORD.replace(size=0), "00000001"), checksum=("adler32", "00000001"))
    assert recorded(empty) == empty


def test_what_decrypts_is_never_dropped() -> None:
    sealed = RECORD.replace(size=3, encryption=Encryption(kind="SSE-S3", stored_size=len(DATA)))
    assert record_of(entry(encoded(sealed, ADLER))) == sealed
    replaced = record_of(entry(encoded(sealed, ADLER), size=50, checksum=("adler32", "12345678")))
    assert replaced.encryption == sealed.encryption


@pytest.mark.parametrize("value", ["", "1", "2.9.x.y", "1.9.-.!!", "1.zz.-.e30", f"1.9.{ADLER}.e30", "\xff"])
def test_a_damaged_record_does_not_hide_the_data(value: str) -> None:
    assert record_of(entry(value)) == derived_record(entry())


def test_derived_etags_are_md5_where_it_is_known_and_never_look_like_it_otherwise() -> None:
    assert derived_record(entry(md5=MD5)).etag == MD5
    derived = derived_record(entry()).etag
    assert len(derived) != 32
    assert derived != derived_record(entry(mtime=10)).etag
    # The checksum of nothing beside data: EOS has not computed any yet, and its MD5 is as old.
    assert derived_record(entry(md5=MD5, checksum=("adler32", "00000001"))).etag != MD5


def test_a_changed_record_is_still_bound_to_its_data() -> None:
    before = entry(encoded(RECORD, ADLER))
    after = entry(re_encoded(RECORD.replace(tags={}), before))
    assert record_of(after) == RECORD.replace(tags={})
    assert record_of(msgspec.structs.replace(after, checksum=("adler32", "12345678"))).etag != RECORD.etag
    foreign = re_encoded(derived_record(entry()).replace(tags={"a": "b"}), entry())
    assert record_of(entry(foreign, mtime=99, checksum=("adler32", "12345678"))).modified == 99
