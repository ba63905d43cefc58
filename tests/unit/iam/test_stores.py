"""Every store keeps documents alike: compare-and-swap with one winner, revisions that never come back."""

import multiprocessing
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.api import BackendConfig
from backends.errors import DocumentChanged, StorageUnavailable
from backends.loader import create
from workers.iam.ldap import LdapPool
from workers.iam.records import AccountRecord, AlreadyExists, Busy, NotFound
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore, exact_part, part
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.ldap import LdapDocuments
from workers.iam.stores.memory import MemoryDocuments
from workers.iam.stores.sealed import SealedRecords
from workers.iam.stores.vault import VaultDocuments
from workers.iam.vault import VaultSession

KEY, NEW_KEY = "k" * 32, "n" * 32
NAME = "iam/users/" + "a" * 64 + "/_" + "f" * 64


_numbers = count()


@pytest.fixture(params=["memory", "file", "memory backend", "posix backend", "ldap device", "ldap shardgate", "vault"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    if request.param == "memory":
        yield MemoryDocuments()
    elif request.param == "file":
        yield FileDocuments(tmp_path / "identities", Sealer([KEY]), durable=False)
    elif request.param.startswith("ldap"):
        directory = request.getfixturevalue("directory")
        place = f"ou=place{next(_numbers)},{directory.base}"
        directory.add(f"dn: {place}\nobjectClass: organizationalUnit\n")
        documents = LdapDocuments(LdapPool(directory.options()), place, request.param.split()[1])
        yield documents
        documents.close()
    elif request.param == "vault":
        secrets = VaultDocuments(
            VaultSession(request.getfixturevalue("vault").options()), "secret", f"/place{next(_numbers)}/iam/"
        )
        yield secrets
        secrets.close()
    else:
        backend = create(request.param.split()[0], BackendConfig(directory=str(tmp_path), durable=False))
        backend.open()
        yield BackendDocuments(backend)
        backend.close()


def test_write_read_delete(store: DocumentStore) -> None:
    assert store.get(NAME) is None
    first = store.put(NAME, b"one", None)
    assert store.get(NAME) == (b"one", first)
    second = store.put(NAME, b"two", first)
    assert store.get(NAME) == (b"two", second)
    assert first != second
    store.delete(NAME, second)
    assert store.get(NAME) is None
    assert store.put(NAME, b"one", None) not in (first, second)


def test_what_changed_meanwhile_is_not_overwritten(store: DocumentStore) -> None:
    first = store.put(NAME, b"one", None)
    with pytest.raises(DocumentChanged):
        store.put(NAME, b"two", None)
    second = store.put(NAME, b"one", first)
    for expected in (first, "no revision"):
        with pytest.raises(DocumentChanged):
            store.put(NAME, b"two", expected)
        with pytest.raises(DocumentChanged):
            store.delete(NAME, expected)
    store.delete(NAME, second)
    with pytest.raises(DocumentChanged):
        store.delete(NAME, second)
    with pytest.raises(DocumentChanged):
        store.put(NAME, b"two", second)


def test_names_in_order(store: DocumentStore) -> None:
    for name in ("iam/users/b/x", "iam/users/a/y", "iam/users/a/_x", "iam/keys/a", "other"):
        store.put(name, b"", None)
    assert list(store.names("iam/users/a/")) == ["iam/users/a/_x", "iam/users/a/y"]
    assert list(store.names("iam/")) == ["iam/keys/a", "iam/users/a/_x", "iam/users/a/y", "iam/users/b/x"]
    assert list(store.names("none")) == []


def test_of_concurrent_creations_one_wins(store: DocumentStore) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def run(number: int) -> None:
        gate.wait()
        try:
            store.put(NAME, b"%d" % number, None)
        except DocumentChanged:
            return
        won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    found = store.get(NAME)
    assert found is not None
    assert found.data == b"%d" % won[0]


def test_no_concurrent_change_is_lost(store: DocumentStore) -> None:
    records = SealedRecords(store, Sealer([KEY]))
    records.create(NAME, AccountRecord(id="", name=""), "it")

    def run() -> None:
        for _ in range(5):
            records.update(NAME, AccountRecord, lambda old: AccountRecord(id="", name=old.name + "x"), "it")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = records.get(NAME, AccountRecord)
    assert found is not None
    assert found[0].name == "x" * 20


# -- names


@given(st.text(), st.text())
def test_parts_are_valid_and_differ(one: str, other: str) -> None:
    for make in (part, exact_part):
        assert make(one).strip("abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
        assert 1 <= len(make(one)) <= 65
    assert (part(one) == part(other)) == (one.lower() == other.lower())
    assert (exact_part(one) == exact_part(other)) == (one == other)


def test_parts_that_look_alike() -> None:
    assert part("Alice") == part("aLICE") == "alice"
    assert len({exact_part(key) for key in ("AKIA2", "akia2", "Akia2")}) == 3
    assert part("..") != ".."
    assert len({exact_part("\ud800"), exact_part("\ud801"), exact_part("?")}) == 3


# -- the sealed file


def _add(path: Path, number: int) -> None:
    store = FileDocuments(path, Sealer([KEY]), durable=False)
    for index in range(10):
        store.put(f"p{number}/{index}", b"x", None)


def test_a_file_is_safe_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "identities"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(list(FileDocuments(path, Sealer([KEY])).names(""))) == 30


def test_a_file_is_seen_by_others_at_once(tmp_path: Path) -> None:
    one, other = (FileDocuments(tmp_path / "f", Sealer([KEY])) for _ in range(2))
    for index in range(20):
        revision = one.get("a")
        one.put("a", b"%d" % index, None if revision is None else revision.revision)
        found = other.get("a")
        assert found is not None
        assert found.data == b"%d" % index


def test_a_file_tells_nothing_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "f"
    FileDocuments(path, Sealer([KEY])).put("secretname", b"secretvalue", None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"secret" not in path.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f", "f.lock"]


@pytest.mark.parametrize("damage", [b"", b"x", b"\x01" * 100])
def test_a_damaged_file_is_not_taken_for_an_empty_one(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(damage)
    store = FileDocuments(path, Sealer([KEY]))
    with pytest.raises(StorageUnavailable):
        store.get("a")
    with pytest.raises(StorageUnavailable):
        store.put("a", b"", None)
    assert path.read_bytes() == damage


def test_a_file_under_another_master_key(tmp_path: Path) -> None:
    path = tmp_path / "f"
    FileDocuments(path, Sealer([KEY])).put("a", b"x", None)
    with pytest.raises(StorageUnavailable, match="master key"):
        FileDocuments(path, Sealer([NEW_KEY])).get("a")
    both = FileDocuments(path, Sealer([NEW_KEY, KEY]))
    found = both.get("a")
    assert found is not None
    both.put("a", b"y", found.revision)
    assert FileDocuments(path, Sealer([NEW_KEY])).get("a") is not None


def test_a_file_that_cannot_be_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "f"
    store = FileDocuments(path, Sealer([KEY]))
    store.put("a", b"x", None)
    (tmp_path / "f.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        store.put("b", b"x", None)
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "f.new").unlink()
    (tmp_path / "f.new").write_bytes(b"left by a killed writer")
    store.put("b", b"x", None)
    assert list(store.names("")) == ["a", "b"]


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="No such file"):
        FileDocuments(tmp_path / "none" / "f", Sealer([KEY])).put("a", b"", None)


# -- sealed records


def test_a_record_serves_under_its_own_name_only() -> None:
    store = MemoryDocuments()
    records = SealedRecords(store, Sealer([KEY]))
    records.create("iam/a", AccountRecord(id="x", name="n"), "it")
    store.put("iam/b", store.documents["iam/a"].data, None)
    with pytest.raises(StorageUnavailable, match="another purpose"):
        records.get("iam/b", AccountRecord)


def test_errors_of_records() -> None:
    class Restless(MemoryDocuments):
        def put(self, name: str, data: bytes, expected: str | None) -> str:
            if expected is not None:
                raise DocumentChanged(name)
            return super().put(name, data, expected)

        def delete(self, name: str, expected: str) -> None:
            raise DocumentChanged(name)

    records = SealedRecords(Restless(), Sealer([KEY]), sleep=lambda seconds: None)
    record = AccountRecord(id="x", name="n")
    records.create("iam/a", record, "It")
    with pytest.raises(AlreadyExists, match="It already exists"):
        records.create("iam/a", record, "It")
    with pytest.raises(Busy):
        records.update("iam/a", AccountRecord, lambda old: AccountRecord(id="y", name=""), "It")
    assert records.update("iam/a", AccountRecord, lambda old: old, "It") == record
    with pytest.raises(Busy):
        records.delete("iam/a", AccountRecord, lambda old: None, "It")
    assert not records.drop("iam/a", "1")
    with pytest.raises(NotFound, match="It cannot be found"):
        records.update("iam/b", AccountRecord, lambda old: old, "It")
    with pytest.raises(NotFound, match="It cannot be found"):
        records.delete("iam/b", AccountRecord, lambda old: None, "It")
