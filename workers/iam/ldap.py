"""Connections to LDAP servers: few, kept, encrypted, bounded in time. Needs the extra `shardgate[ldap]`."""

from __future__ import annotations

import math
import queue
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from backends.errors import StorageUnavailable

_SUCCESS: Final = 0
_TRANSIENT: Final = frozenset({51, 52})  # busy, unavailable (RFC 4511, appendix A)
PAGE: Final = 500
"""Entries that a server is asked for at a time: servers refuse to send all of many at once."""


class LdapOptions(NamedTuple):
    """Which servers, and who asks.

    Attributes:
        urls: `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`, in the order in which they are tried.
        start_tls: encrypt the connections of `ldap://`, and refuse those that cannot be.
        ca: file with the certificates of the authorities that a server's is checked against, None for the system's.
        bind_dn, bind_password: "" for anonymous.
        timeout: seconds for connecting, and for each answer.
        connections: kept open at most; more wait.
    """

    urls: tuple[str, ...]
    start_tls: bool = True
    ca: Path | None = None
    bind_dn: str = ""
    bind_password: str = ""
    timeout: float = 5.0
    connections: int = 8


class Result(NamedTuple):
    """What a server answered: a code of RFC 4511, its name, and the entries that were found."""

    code: int
    description: str
    entries: list[dict[str, Any]]
    cookie: bytes


class LdapPool:
    """A pool of bound connections to the first server that answers."""

    def __init__(self, options: LdapOptions) -> None:
        self._options = options
        self._preferred = 0
        # Connections to be used, newest first, so that idle ones go out of use; None for one that is yet to be made.
        self._free: queue.LifoQueue[ldap3.Connection | None] = queue.LifoQueue()
        for _ in range(options.connections):
            self._free.put(None)
        self._closed = False

    def ask(self, question: Callable[[ldap3.Connection], object], *, repeatable: bool) -> Result:
        """The answer to `question(connection)`, which makes one request. Raises `StorageUnavailable`.

        A request that is `repeatable` is sent once more when a connection turns out to be broken; any other may have
        been carried out.
        """
        with self._connection() as holder:
            for last in (False, True):
                fresh = holder[0] is None
                connection = holder[0] or self._connect()
                holder[0] = connection
                try:
                    question(connection)
                    result = _result(connection)
                except (LDAPException, OSError, ValueError) as error:
                    holder[0] = None
                    _discard(connection)
                    if fresh or last or not repeatable:
                        raise StorageUnavailable(f"ldap: {connection.server.host}: {_reason(error)}") from None
                    continue
                if result.code in _TRANSIENT:
                    raise StorageUnavailable(f"ldap: {connection.server.host}: {result.description}")
                return result
        raise AssertionError("not reached")

    def search(self, base: str, filter_: str, attributes: list[str], scope: str = ldap3.SUBTREE) -> Iterator[Any]:
        """The entries below `base` that fit a filter, page by page. Raises `StorageUnavailable`, also without base."""
        cookie: bytes | None = None
        while True:
            page = cookie
            result = self.ask(
                lambda connection: connection.search(
                    base,
                    filter_,
                    search_scope=scope,
                    attributes=attributes,
                    paged_size=PAGE,
                    paged_cookie=page,  # noqa: B023
                ),
                repeatable=cookie is None,
            )
            if result.code != _SUCCESS:
                raise StorageUnavailable(f"ldap: searching {base}: {result.description}")
            yield from result.entries
            cookie = result.cookie
            if not cookie:
                return

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._closed = True
        while True:
            try:
                connection = self._free.get_nowait()
            except queue.Empty:
                return
            if connection is not None:
                _discard(connection)

    @contextmanager
    def _connection(self) -> Iterator[list[ldap3.Connection | None]]:
        try:
            holder = [self._free.get(timeout=self._options.timeout)]
        except queue.Empty:
            raise StorageUnavailable("ldap: all connections are in use") from None
        try:
            yield holder
        except BaseException:
            # A time-out of the caller's, too, may have left an answer on its way that belongs to nobody.
            if holder[0] is not None:
                _discard(holder[0])
                holder[0] = None
            raise
        finally:
            self._free.put(holder[0])

    def _connect(self) -> ldap3.Connection:
        reasons = []
        urls = self._options.urls
        for number in range(len(urls)):
            index = (self._preferred + number) % len(urls)
            # A new one each time: the library remembers for five minutes that a server was away.
            server = self._server(urls[index])
            try:
                connection = self._bound(server)
            except (LDAPException, OSError, ValueError) as error:
                reasons.append(f"{server.host}: {_reason(error)}")
            else:
                self._preferred = index
                return connection
        self._preferred = 0
        raise StorageUnavailable(f"ldap: {'; '.join(reasons)}")

    def _bound(self, server: ldap3.Server) -> ldap3.Connection:
        options = self._options
        connection = ldap3.Connection(
            server,
            user=options.bind_dn or None,
            password=options.bind_password or None,
            authentication=ldap3.SIMPLE if options.bind_dn else ldap3.ANONYMOUS,
            auto_bind=ldap3.AUTO_BIND_NONE,
            client_strategy=ldap3.SYNC,
            # A referral would take the password to a server that nobody named.
            auto_referrals=False,
            check_names=False,
            raise_exceptions=False,
            receive_timeout=math.ceil(options.timeout),
        )
        try:
            connection.open(read_server_info=False)
            if options.start_tls and not server.ssl and not connection.start_tls(read_server_info=False):
                raise LDAPException("StartTLS failed")
            if not connection.bind(read_server_info=True):
                raise LDAPException(f"bind: {connection.result['description']}")
        except BaseException:
            _discard(connection)
            raise
        return connection

    def _server(self, url: str) -> ldap3.Server:
        parts = urlsplit(url)
        host = parts.hostname or ""
        tls = ldap3.Tls(
            validate=ssl.CERT_REQUIRED,
            ca_certs_file=None if self._options.ca is None else str(self._options.ca),
            sni=None if _is_address(host) else host,
        )
        return ldap3.Server(
            host,
            port=parts.port,
            use_ssl=parts.scheme == "ldaps",
            tls=tls,
            get_info=ldap3.DSA,
            connect_timeout=self._options.timeout,
        )


def _result(connection: ldap3.Connection) -> Result:
    answer = connection.result
    found = connection.response or []
    paging = (answer.get("controls") or {}).get("1.2.840.113556.1.4.319")
    return Result(
        answer["result"],
        answer["description"],
        [entry for entry in found if entry.get("type") == "searchResEntry"],
        paging["value"]["cookie"] if paging else b"",
    )


def _discard(connection: ldap3.Connection) -> None:
    try:
        connection.unbind()
    except (LDAPException, OSError, ValueError):
        pass


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return " ".join(text.split())
