"""Accounts for the people of a directory: made, kept in step, disabled when they leave, found when they return."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from backends.errors import StorageUnavailable
from tests.support.directory import Directory
from workers.iam.account_sync import AccountSync
from workers.iam.ldap import LdapPool
from workers.iam.opening import open_people
from workers.iam.people import PeopleOptions, read_people
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments
from workers.settings import load_settings

_numbers = count()


class Site:
    """A branch of the directory with people, and a registry that is kept in step with it."""

    def __init__(self, directory: Directory, **options: Any) -> None:
        self.directory = directory
        self.base = f"ou=site{next(_numbers)},{directory.base}"
        directory.add(f"dn: {self.base}\nobjectClass: organizationalUnit\n")
        self.pool = LdapPool(directory.options())
        self.options = PeopleOptions(
            self.base, "(objectClass=inetOrgPerson)", secret="employeeNumber", role="employeeType", **options
        )
        sealer = Sealer(["m" * 32])
        self.store = MemoryDocuments()
        self.registry = Registry(self.store, sealer)
        self.sync = AccountSync(self.registry, lambda: read_people(self.pool, self.options), self.base)

    def person(self, name: str, secret: str = "a long secret", **attributes: str) -> None:
        given = {"uid": name, "cn": name, "sn": name, "uidNumber": "1000", "gidNumber": "100", **attributes}
        given |= {"homeDirectory": "/", "employeeNumber": secret}
        lines = [f"dn: uid={name},{self.base}", "objectClass: inetOrgPerson", "objectClass: posixAccount"]
        self.directory.add("\n".join([*lines, *(f"{key}: {value}" for key, value in given.items() if value)]) + "\n")

    def change(self, name: str, attribute: str, value: str) -> None:
        self.directory.modify(
            f"dn: uid={name},{self.base}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
        )

    def remove(self, name: str) -> None:
        self.directory.modify(f"dn: uid={name},{self.base}\nchangetype: delete\n")

    def secret(self, access_key: str) -> str | None:
        found = self.registry.find_key(access_key)
        return None if found is None or not found.account.enabled else self.registry.secret_of(found.record)


@pytest.fixture
def site(directory: Directory) -> Iterator[Site]:
    made = Site(directory)
    yield made
    made.pool.close()


def test_people_become_accounts(site: Site) -> None:
    site.person("alice", "the secret of alice", mail="alice@example.org", employeeType="userplus")
    site.person("bob", "the secret of bob", uidNumber="1001", employeeType="user")
    site.person("carol", "")
    report = site.sync.run()
    assert sorted(report.created) == ["alice", "bob"]
    assert report.complaints == []
    alice, bob = site.registry.find_account("alice"), site.registry.find_account("bob")
    assert alice is not None
    assert bob is not None
    assert (alice.email, alice.uid, alice.gid, alice.may_create_buckets) == ("alice@example.org", 1000, 100, True)
    assert (bob.uid, bob.may_create_buckets, bob.admin) == (1001, False, False)
    assert (site.secret("alice"), site.secret("bob")) == ("the secret of alice", "the secret of bob")
    assert site.registry.find_account("carol") is None
    before = dict(site.store.documents)
    assert site.sync.run() == type(report)()
    assert site.store.documents == before


def test_changes_are_taken_over_and_what_is_the_accounts_own_stays(site: Site) -> None:
    site.person("alice")
    site.sync.run()
    account = site.registry.find_account("alice")
    assert account is not None
    site.registry.update_account(account.id, lambda old: replace(old, limits=replace(old.limits, requests=5)))
    site.registry.users.create(account.id, "robot")
    site.change("alice", "employeeNumber", "another secret")
    site.change("alice", "uidNumber", "2000")
    assert site.sync.run().changed == ["alice"]
    again = site.registry.find_account("alice")
    assert again is not None
    assert (again.id, again.uid, again.limits.requests) == (account.id, 2000, 5)
    assert site.secret("alice") == "another secret"
    assert site.registry.users.find(account.id, "robot") is not None


def test_roles_follow_the_directory_where_it_has_them(site: Site) -> None:
    site.person("alice", employeeType="admin")
    site.sync.run()
    assert site.registry.find_account("alice").admin  # type: ignore[union-attr]
    site.change("alice", "employeeType", "user")
    site.sync.run()
    account = site.registry.find_account("alice")
    assert account is not None
    assert (account.admin, account.may_create_buckets) == (False, False)
    site.options = site.options._replace(role="")
    site.registry.update_account(account.id, lambda old: replace(old, admin=True))
    site.sync.run()
    assert site.registry.find_account("alice").admin  # type: ignore[union-attr]


def test_who_leaves_is_shut_out_and_who_comes_back_finds_his_account(site: Site) -> None:
    site.person("alice")
    site.person("bob")
    site.sync.run()
    account = site.registry.find_account("alice")
    site.remove("alice")
    assert site.sync.run().disabled == ["alice"]
    assert site.secret("alice") is None
    assert site.registry.find_account("alice") is not None
    assert site.sync.run().disabled == []
    site.person("alice", "a new secret")
    assert site.sync.run().changed == ["alice"]
    assert site.secret("alice") == "a new secret"
    assert site.registry.find_account("alice").id == account.id  # type: ignore[union-attr]


def test_who_was_disabled_by_hand_stays_so(site: Site) -> None:
    site.person("alice")
    site.sync.run()
    account = site.registry.find_account("alice")
    assert account is not None
    site.registry.update_account(account.id, lambda old: replace(old, enabled=False))
    site.change("alice", "uidNumber", "2000")
    site.sync.run()
    assert site.secret("alice") is None


def test_a_directory_that_names_nobody_any_more_shuts_nobody_out(site: Site) -> None:
    site.person("alice")
    site.sync.run()
    site.remove("alice")
    report = site.sync.run()
    assert report.disabled == []
    assert "nobody any more" in report.complaints[0]
    assert site.secret("alice") is not None


def test_a_directory_that_is_away_changes_nothing(site: Site, directory: Directory) -> None:
    site.person("alice")
    site.sync.run()
    before = dict(site.store.documents)
    site.options = site.options._replace(base=f"ou=missing,{directory.base}")
    with pytest.raises(StorageUnavailable):
        site.sync.run()
    assert site.store.documents == before


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"employeeType": "emperor"}, "none of user, userplus, admin"),
        ({"secret": "short"}, "SecretAccessKey"),
        ({"uidNumber": "-1"}, "no number"),
        ({"mail": "nobody"}, "e-mail"),
    ],
)
def test_who_cannot_have_an_account_is_told_without_his_secret(
    site: Site, attributes: dict[str, str], text: str
) -> None:
    site.person("alice")
    site.person("wrong", **{"secret": "the secret of nobody", **attributes})
    report = site.sync.run()
    assert report.created == ["alice"]
    assert len(report.complaints) == 1
    assert text in report.complaints[0]
    assert "uid=wrong" in report.complaints[0]
    assert "the secret" not in report.complaints[0]


def test_names_and_keys_of_others_are_not_taken(site: Site) -> None:
    other = site.registry.create_account("alice")
    owner = site.registry.create_account("owner")
    site.registry.create_key(owner.id, access_key="bob", secret="the owner's secret")
    for name in ("alice", "bob", "root"):
        site.person(name)
    report = site.sync.run()
    assert len(report.complaints) == 3
    assert site.registry.find_account("alice").id == other.id  # type: ignore[union-attr]
    assert site.secret("bob") == "the owner's secret"


def test_the_settings_name_the_attributes(site: Site, directory: Directory) -> None:
    site.person("alice", "a long secret", title="AKIAALICE")
    given = {
        "ldap_urls": (directory.tls_url,),
        "ldap_ca": str(directory.ca),
        "ldap_people_base": site.base,
        "ldap_access_attribute": "title",
        "ldap_secret_attribute": "employeeNumber",
    }
    sync = open_people(load_settings(given, {}), site.registry)
    assert sync is not None
    assert sync.run().created == ["alice"]
    assert site.secret("AKIAALICE") == "a long secret"
    assert open_people(load_settings({}, {}), site.registry) is None


def test_an_account_that_was_half_made_is_finished(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.person("alice")
    create: Callable[..., Any] = site.registry.create_key

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site.registry, "create_key", killed)
    with pytest.raises(KeyboardInterrupt):
        site.sync.run()
    monkeypatch.setattr(site.registry, "create_key", create)
    site.sync.run()
    assert site.secret("alice") == "a long secret"
