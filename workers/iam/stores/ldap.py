"""Documents in an LDAP directory, one entry each directly below a base DN.

Every write gives an entry a new random revision, and takes the former one away by value: a server refuses to delete a
value that is not there (RFC 4511, section 4.6), and makes all the changes of one request or none, so that any server
compares and sets. A deletion marks the entry in the same way. Where the server has the assertion control (RFC 4528) the
marked entry is removed then, unless it came into use again; elsewhere it stays, and nobody sees it.

Two forms of entries are known. `device` needs no schema of its own: cn, serialNumber (the revision) and description
(the document in base64) of X.521's device, which every server knows. `shardgate` uses the schema of
`deploy/ldap/shardgate.ldif`, whose attributes can be given rights of their own.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import ldap3
from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn, parse_dn

from backends.errors import DocumentChanged, StorageUnavailable
from workers.iam.ldap import LdapPool, Result
from workers.iam.stores.api import Stored


class Form(NamedTuple):
    """How an entry is written: its class, and the attributes of name, revision and document."""

    object_class: str
    revision: str
    document: str
    name: str = "cn"
    text: bool = False
    """Whether the document has to be text."""


FORMS: Final = {
    "device": Form("device", "serialNumber", "description", text=True),
    "shardgate": Form("shardgateDocument", "shardgateRevision", "shardgateContent"),
}

_MARK: Final = b"\x01"
"""Comes before a document: the number of this form, without which an empty one would be no value at all."""

_DELETED: Final = "deleted"
_ASSERTION: Final = "1.3.6.1.1.12"

_SUCCESS, _NO_SUCH_ATTRIBUTE, _NO_SUCH_OBJECT, _ALREADY_EXISTS = 0, 16, 32, 68


class LdapDocuments:
    """Documents in a directory; see `DocumentStore`.

    Args:
        base: DN of the entry below which they are; it must exist.
        form: a key of `FORMS`.
    """

    def __init__(self, pool: LdapPool, base: str, form: str = "device") -> None:
        """Raises `ValueError` for what is no DN."""
        try:
            parse_dn(base)
        except LDAPInvalidDnError:
            raise ValueError(f"{base!r} is not a distinguished name") from None
        self._pool = pool
        self._base = base
        self._form = FORMS[form]

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        found = self._find(name)
        return None if found is None or found.revision.startswith(_DELETED) else found

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        revision = secrets.token_hex(12)
        if expected is None:
            self._create(name, data, revision)
        else:
            self._change(name, data, _given(name, expected), revision)
        return revision

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        # The mark holds something random, so that a deleted document that came back and went again is another one.
        mark = f"{_DELETED}-{secrets.token_hex(12)}"
        self._change(name, b"", _given(name, expected), mark)
        self._remove(name, mark)

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        form = self._form
        start = escape_filter_chars(prefix)
        entries = self._pool.search(
            self._base,
            f"(&(objectClass={form.object_class})({form.name}={start}*)(!({form.revision}={_DELETED}-*)))",
            [form.name],
            ldap3.LEVEL,
        )
        # A server may compare without regard to case or blanks.
        return sorted(name for entry in entries for name in _texts(entry, form.name) if name.startswith(prefix))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _find(self, name: str) -> Stored | None:
        """What the entry of a name says; of a deleted one, the mark is the revision."""
        form = self._form
        result = self._pool.ask(
            lambda connection: connection.search(
                self._dn(name),
                f"(objectClass={form.object_class})",
                search_scope=ldap3.BASE,
                attributes=[form.revision, form.document],
            ),
            repeatable=True,
        )
        if result.code == _NO_SUCH_OBJECT:
            return None
        if result.code != _SUCCESS:
            raise self._refused(name, result)
        if not result.entries:
            return None
        values = result.entries[0]["raw_attributes"]
        try:
            (revision,), (data,) = values[form.revision], values[form.document]
            marked = base64.b64decode(data, validate=True) if form.text else data
            if marked[:1] != _MARK:
                raise ValueError("unknown form")
            return Stored(marked[1:], revision.decode())
        except (KeyError, ValueError):
            raise StorageUnavailable(f"ldap: {name}: not a document of this gateway") from None

    def _create(self, name: str, data: bytes, revision: str) -> None:
        form = self._form
        result = self._pool.ask(
            lambda connection: connection.add(
                self._dn(name),
                [form.object_class],
                {form.name: name, form.revision: revision, form.document: self._value(data)},
            ),
            repeatable=False,
        )
        if result.code == _ALREADY_EXISTS:
            found = self._find(name)
            if found is None or not found.revision.startswith(_DELETED):
                raise DocumentChanged(name)
            self._change(name, data, found.revision, revision)
        elif result.code != _SUCCESS:
            raise self._refused(name, result)

    def _change(self, name: str, data: bytes, former: str, revision: str) -> None:
        form = self._form
        changes = {
            form.revision: [(ldap3.MODIFY_DELETE, [former]), (ldap3.MODIFY_ADD, [revision])],
            form.document: [(ldap3.MODIFY_REPLACE, [self._value(data)])],
        }
        result = self._pool.ask(lambda connection: connection.modify(self._dn(name), changes), repeatable=False)
        if result.code in (_NO_SUCH_ATTRIBUTE, _NO_SUCH_OBJECT):
            raise DocumentChanged(name)
        if result.code != _SUCCESS:
            raise self._refused(name, result)

    def _remove(self, name: str, mark: str) -> None:
        """Remove an entry that bears a mark, where one step can do it. Whatever comes of it, it counts as deleted."""

        def question(connection: ldap3.Connection) -> object:
            information = connection.server.info
            if information is None or _ASSERTION not in {one[0] for one in information.supported_controls or ()}:
                return connection.search(self._dn(name), "(objectClass=*)", search_scope=ldap3.BASE)
            return connection.delete(self._dn(name), controls=[_assertion(self._form.revision, mark)])

        try:
            self._pool.ask(question, repeatable=False)
        except StorageUnavailable:
            pass

    def _dn(self, name: str) -> str:
        return f"{self._form.name}={escape_rdn(name)},{self._base}"

    def _value(self, data: bytes) -> bytes:
        marked = _MARK + data
        return base64.b64encode(marked) if self._form.text else marked

    @staticmethod
    def _refused(name: str, result: Result) -> StorageUnavailable:
        return StorageUnavailable(f"ldap: {name}: {result.description}")


def _given(name: str, revision: str) -> str:
    """A revision that this store may have given, which is nobody's mark."""
    if revision.startswith(_DELETED) or not revision.isalnum():
        raise DocumentChanged(name)
    return revision


def _assertion(attribute: str, value: str) -> tuple[str, bool, bytes]:
    """The control that lets a request through only where an attribute has a value: a filter in BER (RFC 4528)."""
    parts = b"".join(b"\x04" + bytes([len(part)]) + part for part in (attribute.encode(), value.encode()))
    return _ASSERTION, True, b"\xa3" + bytes([len(parts)]) + parts


def _texts(entry: dict[str, Any], attribute: str) -> list[str]:
    return [value.decode() for value in entry["raw_attributes"].get(attribute, ())]
