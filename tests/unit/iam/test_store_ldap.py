"""The store in a directory: encrypted or not at all, bounded in time, on the next server when one is gone."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest

from backends.errors import DocumentChanged, StorageUnavailable
from tests.support.directory import Directory
from tests.support.gateway import free_port
from workers.iam.ldap import LdapPool
from workers.iam.stores.ldap import LdapDocuments

NAME = "iam/keys/akiaexample"

Open = Callable[..., LdapDocuments]


@pytest.fixture
def open_store(directory: Directory) -> Iterator[Open]:
    """Opens stores below ou=gateway; `form`, `base` and `LdapOptions` by name. What they wrote is removed."""
    opened: list[LdapDocuments] = []

    def make(*, form: str = "device", base: str = f"ou=gateway,{directory.base}", **options: Any) -> LdapDocuments:
        made = LdapDocuments(LdapPool(directory.options(**options)), base, form)
        opened.append(made)
        return made

    yield make
    for store in opened:
        store.close()
    connection = manager(directory)
    connection.search(f"ou=gateway,{directory.base}", "(cn=*)", search_scope=ldap3.LEVEL)
    for entry in list(connection.entries):
        connection.delete(entry.entry_dn)
    connection.unbind()


def manager(directory: Directory) -> ldap3.Connection:
    return ldap3.Connection(ldap3.Server(directory.url), directory.manager, directory.password, auto_bind=True)


def entries(directory: Directory) -> list[Any]:
    connection = manager(directory)
    connection.search(f"ou=gateway,{directory.base}", "(cn=*)", search_scope=ldap3.LEVEL, attributes=["*"])
    found = list(connection.entries)
    connection.unbind()
    return found


def test_a_deleted_document_leaves_no_entry(directory: Directory, open_store: Open) -> None:
    store = open_store()
    store.delete(NAME, store.put(NAME, b"x", None))
    assert entries(directory) == []


def test_without_the_assertion_control_a_deleted_document_stays_unseen(
    directory: Directory, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.iam.stores.ldap._ASSERTION", "1.2.3.4")
    store = open_store()
    first = store.put(NAME, b"one", None)
    store.delete(NAME, first)
    assert [len(entry.description.values) for entry in entries(directory)] == [1]
    assert store.get(NAME) is None
    assert store.names("") == []
    mark = str(entries(directory)[0].serialNumber)
    for revision in (first, mark):
        with pytest.raises(DocumentChanged):
            store.put(NAME, b"two", revision)
        with pytest.raises(DocumentChanged):
            store.delete(NAME, revision)
    again = store.put(NAME, b"three", None)
    assert store.get(NAME) == (b"three", again)
    with pytest.raises(DocumentChanged):
        store.put(NAME, b"four", None)


def test_a_document_that_came_back_is_not_removed_by_a_slow_deletion(directory: Directory, open_store: Open) -> None:
    store = open_store()
    removals: list[tuple[str, str]] = []
    remove, store._remove = store._remove, lambda name, mark: removals.append((name, mark))  # type: ignore[method-assign]
    store.delete(NAME, store.put(NAME, b"one", None))
    revision = store.put(NAME, b"two", None)
    remove(*removals[0])
    assert store.get(NAME) == (b"two", revision)


def test_more_names_than_a_server_sends_at_once(directory: Directory, open_store: Open) -> None:
    ldif = [
        f"dn: cn=iam/users/{number:04},ou=gateway,{directory.base}\nobjectClass: device\n"
        f"cn: iam/users/{number:04}\nserialNumber: a{number}\ndescription: AQ==\n"
        for number in range(700)
    ]
    directory.add("\n".join(ldif))
    assert open_store().names("iam/users/") == [f"iam/users/{number:04}" for number in range(700)]


@pytest.mark.parametrize("name", ["a*", "a)(cn=*", "a\\2a", "a,ou=people", "a+cn=b", "#a", " a ", 'a"<>;='])
def test_names_are_escaped_in_filters_and_distinguished_names(
    directory: Directory, open_store: Open, name: str
) -> None:
    store = open_store(form="shardgate")
    store.put("abc", b"1", None)
    assert store.get(name) is None
    assert store.names(name) == []
    revision = store.put(name, b"2", None)
    assert store.get(name) == (b"2", revision)
    assert store.get("abc") is not None
    assert len(entries(directory)) == 2


def test_an_entry_of_somebody_else_is_no_missing_document(directory: Directory, open_store: Open) -> None:
    store = open_store()
    directory.add(f"dn: cn=x,ou=gateway,{directory.base}\nobjectClass: device\ncn: x\n")
    with pytest.raises(StorageUnavailable, match="not a document"):
        store.get("x")


# -- connections


@pytest.mark.parametrize("scheme", ["StartTLS", "ldaps"])
def test_a_server_that_cannot_prove_who_it_is_gets_no_password(
    directory: Directory, open_store: Open, tmp_path: Path, scheme: str
) -> None:
    urls = (directory.url if scheme == "StartTLS" else directory.tls_url,)
    assert open_store(urls=urls).get(NAME) is None
    with pytest.raises(StorageUnavailable, match="certificate"):
        open_store(urls=urls, ca=None).get(NAME)
    by_address = (urls[0].replace("localhost", "127.0.0.1"),)
    with pytest.raises(StorageUnavailable, match="certificate"):
        open_store(urls=by_address).get(NAME)
    other = tmp_path / "other.pem"
    _certificate(other)
    with pytest.raises(StorageUnavailable, match="certificate"):
        open_store(urls=urls, ca=other).get(NAME)


def _certificate(path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", "/dev/null", "-out", str(path)], check=True, capture_output=True)


def test_a_wrong_password_is_told_without_it(open_store: Open) -> None:
    with pytest.raises(StorageUnavailable, match="invalidCredentials") as caught:
        open_store(bind_password="wrong password").get(NAME)
    assert "wrong password" not in str(caught.value)


def test_what_the_account_may_not_do_is_no_missing_document(directory: Directory, open_store: Open) -> None:
    store = open_store(bind_dn="", bind_password="")
    assert store.get(NAME) is None
    with pytest.raises(StorageUnavailable, match=r"strongerAuth|insufficientAccess"):
        store.put(NAME, b"x", None)


def test_a_base_that_is_not_there_is_told(directory: Directory, open_store: Open) -> None:
    store = open_store(base=f"ou=missing,{directory.base}")
    with pytest.raises(StorageUnavailable, match="noSuchObject"):
        store.names("")
    with pytest.raises(StorageUnavailable, match="noSuchObject"):
        store.put(NAME, b"x", None)


def test_the_next_server_answers_when_one_is_gone(directory: Directory, open_store: Open) -> None:
    gone = f"ldap://localhost:{free_port()}"
    assert open_store(urls=(gone, directory.url)).get(NAME) is None
    with pytest.raises(StorageUnavailable, match="refused"):
        open_store(urls=(gone,)).get(NAME)


def test_a_server_that_says_nothing_is_given_up(open_store: Open) -> None:
    with socket.create_server(("localhost", 0)) as silent:
        url = f"ldap://localhost:{silent.getsockname()[1]}"
        with pytest.raises(StorageUnavailable):
            open_store(urls=(url,), timeout=1.0, start_tls=False).get(NAME)


def test_a_restarted_server_is_found_again(tmp_path: Path) -> None:
    with Directory(tmp_path / "directory") as own:
        store = LdapDocuments(LdapPool(own.options()), f"ou=gateway,{own.base}")
        revision = store.put(NAME, b"x", None)
        own.stop()
        with pytest.raises(StorageUnavailable):
            store.get(NAME)
        own.start()
        assert store.get(NAME) == (b"x", revision)
        store.close()


def test_many_callers_share_few_connections(directory: Directory, open_store: Open) -> None:
    store = open_store(connections=2)
    revision = store.put(NAME, b"x", None)
    wrong: list[object] = []

    def run() -> None:
        wrong.extend(found for _ in range(20) if (found := store.get(NAME)) != (b"x", revision))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
