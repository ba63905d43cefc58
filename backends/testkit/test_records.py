"""Object records: every field comes back from head, get, scan and listing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.api import Backend, Encryption, ObjectRecord, PartTable, Retention
from backends.testkit.harness import Box, Target, temporary_box
from backends.testkit.sources import Body, record_of

TEXT = 'plain, ü, 日本語, 😀, \u2028, "quoted" \\ and <xml> & \x01\t\n'

FIELDS: dict[str, dict[str, object]] = {
    "etag of a multipart upload": {"etag": "d41d8cd98f00b204e9800998ecf8427e-10000"},
    "etag of odd characters": {"etag": 'a "quoted" ü'},
    "headers": {
        "headers": {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "no-cache",
            "content-disposition": 'attachment; filename="ü.txt"',
            "content-encoding": "gzip",
            "content-language": "de",
            "expires": "Thu, 01 Dec 1994 16:00:00 GMT",
            "website-redirect-location": "/elsewhere",
        }
    },
    "metadata": {"metadata": {"plain": "value", "empty": "", "text": TEXT, "a.b_c-d": "x" * 2000}},
    "checksums": {"checksums": {"CRC64NVME": "AAAAAAAAAAA=", "SHA256": "4" * 44}, "checksum_type": "FULL_OBJECT"},
    "composite checksum": {"checksums": {"CRC32": "AAAAAA==-3"}, "checksum_type": "COMPOSITE"},
    "parts": {"parts": PartTable(runs=((1, 3, 5 << 20), (7, 1, 12)), algorithm="CRC32", digests=bytes(range(16)))},
    "tags": {"tags": {f"key {n} ü": f"value {n} 😀" for n in range(10)}},
    "empty tag": {"tags": {"key": ""}},
    "owner": {"owner": "0123456789abcdef" * 4},
    "acl": {"acl": '{"grants": ["FULL_CONTROL"]}' * 100},
    "storage class": {"storage_class": "GLACIER_IR"},
    "retention": {"retention": Retention("COMPLIANCE", 4_102_444_800_123_456_789)},
    "legal hold": {"legal_hold": True},
    "encryption": {
        "encryption": Encryption(
            kind="SSE-KMS",
            key_id="arn:aws:kms:eu:1:key/ü",
            sealed_key=bytes(range(256)),
            stored_size=4,
            parameters={"chunk": "65536", "nonce": "abc"},
        )
    },
    "extra": {"extra": {"testkit.number": 7, "testkit.list": ["a", 1, None, True], "testkit.map": {"a": {"b": 1.5}}}},
    "200 KiB": {"extra": {"testkit.large": "0123456789abcdef" * 12_800}},
    "200 KiB of tiny values": {"metadata": {f"key{n}": TEXT for n in range(3000)}},
    "10,000 parts with SHA-256": {
        "parts": PartTable(
            runs=((1, 10_000, 5 << 20),), algorithm="SHA256", digests=bytes(n % 251 for n in range(320_000))
        )
    },
}


def _check(box: Box, key: str, given: ObjectRecord) -> None:
    stored = box.put_body(key, Body(b"data", given))
    assert stored.replace(modified=0) == given.replace(modified=0)
    assert box.head(key) == stored
    assert box.get(key) == (stored, b"data")
    assert [entry.record for entry in box.scan(key)] == [stored]
    assert [entry.record for entry in box.page(prefix=key).objects] == [stored]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_comes_back(box: Box, field: str) -> None:
    _check(box, "dir/key", record_of(b"data", **FIELDS[field]))


def test_all_fields_together_come_back(box: Box) -> None:
    together: dict[str, object] = {}
    for field in (
        "headers",
        "metadata",
        "checksums",
        "parts",
        "tags",
        "owner",
        "acl",
        "retention",
        "legal hold",
        "extra",
    ):
        together.update(FIELDS[field])
    _check(box, "dir/key", record_of(b"data", **together))


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_set_and_taken_away_again(box: Box, field: str) -> None:
    before = box.put("dir/key", b"data")
    changed = box.update("dir/key", lambda record: record.replace(**FIELDS[field]))
    assert changed.replace(modified=0) == before.replace(modified=0, **FIELDS[field])
    assert box.get("dir/key") == (changed, b"data")
    restored = box.update("dir/key", lambda record: before.replace(modified=record.modified))
    assert restored.replace(modified=0) == before.replace(modified=0)
    assert box.get("dir/key") == (restored, b"data")


def test_the_modification_time_keeps_what_the_storage_promises(box: Box) -> None:
    """A storage may set the time, and then says so in what it returns; it never goes away or changes by itself."""
    stored = box.put("key", b"data", modified=1_234_567_890_123_456_789)
    assert stored.modified > 0
    assert box.head("key").modified == stored.modified
    assert box.scan()[0].record.modified == stored.modified


def test_another_worker_reads_large_records(shared: Target, box: Box) -> None:
    stored = box.put_body("dir/key", Body(b"data", record_of(b"data", **FIELDS["200 KiB"])))
    with shared.opened() as other:
        assert box.on(other).head("dir/key") == stored


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_MAP = st.dictionaries(_TEXT, _TEXT, max_size=4)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_RECORDS = st.builds(
    ObjectRecord,
    size=st.just(4),
    etag=_TEXT.filter(bool),
    modified=st.integers(10**18, 2 * 10**18),
    headers=_MAP,
    metadata=_MAP,
    checksums=_MAP,
    tags=_MAP,
    owner=_TEXT,
    acl=_TEXT,
    storage_class=_TEXT.filter(bool),
    retention=st.none() | st.builds(Retention, _TEXT, st.integers(0, 2**62)),
    legal_hold=st.booleans(),
    extra=st.dictionaries(_TEXT, _JSON, max_size=3),
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(records=st.lists(_RECORDS, min_size=1, max_size=4))
def test_any_record_comes_back(backend: Backend, target: Target, records: list[ObjectRecord]) -> None:
    with temporary_box(backend, target.caller) as box:
        for record in records:
            _check(box, "dir/key", record)
