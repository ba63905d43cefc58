"""The people of a site's directory who have an access key there: who they are, as far as accounts go.

The names of attributes, the place and the filter are the site's; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from workers.iam.ldap import LdapPool
from workers.iam.records import IamError, check_access_key, check_email, check_name, check_numbers, check_secret

USER, USERPLUS, ADMIN = "user", "userplus", "admin"
_ROLES: Final = (USER, USERPLUS, ADMIN)
"""The first may not create buckets, the second may, and so may who has no role; the last may do everything."""


class PeopleOptions(NamedTuple):
    """Where people are, and what their attributes are called; "" for one that there is none of.

    Attributes:
        base: DN below which they are, at any depth.
        filter: which entries are people.
        name: of the attribute with the account's name; and so on.
    """

    base: str
    filter: str = "(objectClass=posixAccount)"
    name: str = "uid"
    access_key: str = "uid"
    secret: str = ""
    role: str = ""
    email: str = "mail"
    uid: str = "uidNumber"
    gid: str = "gidNumber"


@dataclass(frozen=True, slots=True)
class Person:
    """A person with an access key. `role` is None where the site has no attribute for it."""

    name: str
    access_key: str
    secret: str = field(repr=False)
    email: str = ""
    uid: int | None = None
    gid: int | None = None
    role: str | None = None


def read_people(pool: LdapPool, options: PeopleOptions) -> tuple[list[Person], list[str]]:
    """All people, and a line for each entry that cannot be one. Raises `StorageUnavailable`.

    Who has no access key or no secret is left out silently: not everybody in a directory uses the gateway.
    """
    wanted = [name for name in options[2:] if name]
    people: dict[str, Person] = {}
    complaints = []
    for entry in pool.search(options.base, options.filter, sorted(set(wanted))):
        try:
            person = _person(entry["raw_attributes"], options)
        except (IamError, ValueError) as error:
            complaints.append(f"{entry['dn']}: {error}")
            continue
        if person is None:
            continue
        if person.name.lower() in people:
            complaints.append(f"{entry['dn']}: there is another {person.name}")
        else:
            people[person.name.lower()] = person
    return list(people.values()), complaints


def _person(values: dict[str, Any], options: PeopleOptions) -> Person | None:
    """Raises `IamError`, `ValueError` with a text that tells no secret."""
    lowered = {name.lower(): value for name, value in values.items()}

    def first(attribute: str) -> str:
        found = lowered.get(attribute.lower()) if attribute else None
        return found[0].decode() if found else ""

    access_key, secret = first(options.access_key), first(options.secret)
    if not access_key or not secret:
        return None
    role = first(options.role).lower()
    if role and role not in _ROLES:
        raise ValueError(f"{options.role} is {role[:64]!r}, none of {', '.join(_ROLES)}")
    uid, gid = (_number(name, first(name)) for name in (options.uid, options.gid))
    check_numbers(uid, gid, None)
    return Person(
        name=check_name(first(options.name), 64, options.name),
        access_key=check_access_key(access_key),
        secret=check_secret(secret),
        email=check_email(first(options.email)),
        uid=uid,
        gid=gid,
        role=(role or USERPLUS) if options.role else None,
    )


def _number(attribute: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{attribute} is no number")
    return int(text)
