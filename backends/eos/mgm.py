"""The MGM's side of a transfer: who asks, which FST it is sent to, and commands that only HTTP has.

The shared key goes to MGMs of the configuration and nowhere else: no redirect is followed here, what it leads to is
handed out (`Redirect`), and an FST is sent the redirect's own target, which holds a capability, without any header of
ours. A redirect without a capability leads to another MGM; where that is the other one of a pair is known, so it is
asked next, and what goes round and round ends with the attempts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote, unquote

from backends.api import (
    BackendError,
    KeyNotStorable,
    NoSuchObject,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)
from backends.eos.connection import Address, Answer, Broken, NotConnected
from backends.eos.interfaces import MissingParent, NotAFile, Role
from backends.eos.pool import Pool

_UNRESERVED: Final = "/~"
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_TEXT_LIMIT: Final = 200
_IS_DIRECTORY: Final = "Is a directory"
_NO_DIRECTORY: Final = "Not a directory"
_STALLED: Final = "Access limit reached"
"""strerror(EISDIR): the one failure that has only its text, because the status is that of all others (500)."""


_DOWNGRADED: Final = (
    "the MGM redirects from https to http: eos::mgm::http::redirect-to-https=1 on the MGM makes it send clients to"
    " https, and clear_text_data allows data in clear text"
)


class Redirect(NamedTuple):
    """Where a transfer goes: `target` is sent to `address` byte for byte. `fid` is the file's id, 0 if not told."""

    address: Address
    target: str
    etag: str
    fid: int


class Credentials(Protocol):
    """How a request says on whose behalf it comes."""

    def headers(self, role: Role, path: str, *, write: bool) -> Sequence[tuple[str, str]]:
        """The headers of a request about `path`, to read or to write."""

    def query(self, role: Role) -> Mapping[str, str]:
        """What goes into the URL."""


class KeyCredentials:
    """The shared key, and the user whom the gateway's account acts for.

    `x-forwarded-for` makes the MGM look at the key at all; its value does not matter. A number in `remote-user` is
    understood from EOS 5.4 on, a name must be one that the MGM's password database knows. `eos.ruid` and `eos.rgid`
    count for a user's own ids only, so they repeat them.
    """

    def __init__(self, key: str, *, numeric: bool) -> None:
        self._key = key
        self._numeric = numeric

    def headers(self, role: Role, path: str, *, write: bool) -> Sequence[tuple[str, str]]:
        """See `Credentials`."""
        user = str(role.uid) if self._numeric or not role.name else role.name
        return (("x-forwarded-for", "gateway"), ("x-gateway-authorization", self._key), ("remote-user", user))

    def query(self, role: Role) -> Mapping[str, str]:
        """See `Credentials`."""
        return {"eos.ruid": str(role.uid), "eos.rgid": str(role.gid)}


class Retry(NamedTuple):
    """How long and how often something that is safe to repeat is tried again."""

    attempts: int = 8
    patience: float = 8.0

    @staticmethod
    def now() -> float:
        """The clock that `pause` goes by."""
        return time.monotonic()

    def pause(self, attempt: int, started: float) -> bool:
        """Sleep before another attempt; False when there is to be none."""
        if attempt + 1 >= self.attempts or self.now() - started >= self.patience:
            return False
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
        time.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads retries, guards no secret
        return True


class Mgm:
    """The HTTP ends of the MGMs; the one that answered last is asked first."""

    def __init__(
        self,
        addresses: Sequence[Address],
        pool: Pool,
        credentials: Credentials,
        retry: Retry,
        commanding: Credentials | None = None,
        *,
        clear_text: bool = False,
    ) -> None:
        """`commanding` are the credentials of commands, which may be about several directories.

        With `clear_text`, transfers may be sent from an MGM that is asked by https to FSTs that are not.
        """
        self._addresses = tuple(addresses)
        self._pool = pool
        self._credentials = credentials
        self._commanding = commanding or credentials
        self._retry = retry
        self._clear_text = clear_text
        self._current = 0

    def redirect(
        self,
        method: str,
        role: Role,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Redirect | None:
        """Where the file's data are, or go to; None for a file without any.

        It may be asked again and again: an open that nobody follows leaves a hidden entry at most.

        Raises `NoSuchObject`, `MissingParent`, `NotAFile`, `PermissionDenied`, `QuotaExceeded`, `StorageFull`,
        `KeyNotStorable`, `NotSupported`, `StorageUnavailable`.
        """
        fields = [*headers, ("Content-Length", "0")] if method == "PUT" else headers
        target = _target(path, {**self._credentials.query(role), **(query or {})})
        answer, text = self._ask(method, target, self._credentials.headers(role, path, write=method == "PUT"), fields)
        if answer.status == 307:
            return _redirect(answer)
        if answer.status == 200 and method == "GET":
            return None
        raise _failure(answer, text, method)

    def command(self, role: Role, fields: Mapping[str, str]) -> tuple[int, str]:
        """Run a console command (`/proc/user/`); its return code and its error text.

        Where the answer is lost it may have been done: then it raises `Broken`, and nothing is repeated.
        """
        query = {**self._commanding.query(role), **fields}
        identity = self._commanding.headers(role, fields.get("mgm.path", ""), write=True)
        answer, text = self._ask("GET", _target("/proc/user/", query), identity, (), once=True)
        if answer.status != 200:
            raise _failure(answer, text, "GET")
        values = dict(part.partition("=")[::2] for part in text.split("&"))
        code = values.get("mgm.proc.retc", "")
        if not code.lstrip("-").isdigit():
            raise StorageUnavailable(f"the MGM's answer to a command has no return code: {text[:_TEXT_LIMIT]}")
        return int(code), unquote(values.get("mgm.proc.stderr", ""))

    def _ask(
        self,
        method: str,
        target: str,
        identity: Sequence[tuple[str, str]],
        headers: Sequence[tuple[str, str]],
        *,
        once: bool = False,
    ) -> tuple[Answer, str]:
        """The first answer that is final: neither a failure of the moment nor a pointer to another MGM."""
        fields = [*identity, *headers]
        started = self._retry.now()
        attempt = 0
        while True:
            number = self._current
            try:
                answer, text = self._exchange(self._addresses[number], method, target, fields)
            except NotConnected as error:
                reason = str(error)
            except Broken as error:
                if once:
                    raise
                reason = str(error)
            else:
                if answer.status == 307 and "encURI=" not in answer.headers.get("location", ""):
                    reason = "the MGM points to another one"
                elif answer.status == 307 and self._downgrades(number, answer):
                    reason = _DOWNGRADED
                elif _is_passing(answer, text):
                    reason = f"the MGM answers {answer.status}: {text[:_TEXT_LIMIT]}"
                    if once:
                        raise StorageUnavailable(reason)
                else:
                    return answer, text
            self._current = (number + 1) % len(self._addresses)
            if not self._retry.pause(attempt, started):
                raise StorageUnavailable(reason)
            attempt += 1

    def _downgrades(self, number: int, answer: Answer) -> bool:
        """Whether a redirect would have in clear text what is wanted by https: the body, and the capability for it."""
        secure = self._addresses[number].secure and not self._clear_text
        return secure and not answer.headers.get("location", "").startswith("https://")

    def _exchange(
        self, address: Address, method: str, target: str, fields: Sequence[tuple[str, str]]
    ) -> tuple[Answer, str]:
        connection = self._pool.take(address)
        try:
            try:
                connection.begin(method, target, fields)
                answer = connection.answer()
            except Broken:
                if not connection.served:
                    raise
                # It was closed while it was idle: that says nothing of the server.
                connection.close()
                connection = self._pool.fresh(address)
                connection.begin(method, target, fields)
                answer = connection.answer()
            text = connection.body(answer).text(1 << 16)
            if answer.status >= 400 and method == "PUT":
                connection.reusable = False
        except BaseException:
            connection.close()
            raise
        self._pool.give(connection)
        return answer, text


def _target(path: str, query: Mapping[str, str]) -> str:
    """Path and query; an ampersand in a value is sealed as EOS asks for."""
    pairs = (f"{name}={_quoted(value.replace('&', '#AND#'), '')}" for name, value in query.items())
    return f"{_quoted(path, _UNRESERVED)}?{'&'.join(pairs)}"


def _quoted(text: str, safe: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def parsed_address(url: str) -> tuple[Address, str]:
    """An http or https URL as the server's address and the target, which stays as it is. Raises `ValueError`."""
    scheme, _, rest = url.partition("://")
    end = min((index for index in (rest.find("/"), rest.find("?")) if index >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, "443" if scheme == "https" else "80"
    host = host.removeprefix("[").removesuffix("]")
    if scheme not in ("http", "https") or not host or "@" in host or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{url[:80]!r} is no http or https URL")
    return Address(scheme == "https", host, int(port)), target or "/"


def _redirect(answer: Answer) -> Redirect:
    location = answer.headers["location"]
    try:
        address, target = parsed_address(location)
    except ValueError as error:
        raise StorageUnavailable(f"the MGM redirects nowhere: {error}") from None
    return Redirect(address, target, answer.headers.get("etag", ""), _file_id(target))


def _file_id(target: str) -> int:
    """`mgm.id` of the escaped capability: the file's id, in hexadecimal."""
    _, found, rest = target.partition("mgm.id%3D")
    digits = rest.partition("%26")[0].partition("&")[0]
    try:
        return int(digits, 16) if found else 0
    except ValueError:
        return 0


def _is_passing(answer: Answer, text: str) -> bool:
    """Whether an answer tells of the moment, and another one may come of asking again."""
    if _STALLED in text:
        return True
    return answer.status in (500, 503) and not text.rstrip().endswith((_IS_DIRECTORY, _NO_DIRECTORY))


def _failure(answer: Answer, text: str, method: str) -> BackendError:
    """The contract's error for an answer of the MGM. Texts are for operators, but where a status leaves all open."""
    reason = f"the MGM answers {answer.status}: {text[:_TEXT_LIMIT]}"
    status = answer.status
    if status == 409 and method == "PUT":
        return MissingParent(reason)
    if status == 507:
        return QuotaExceeded(reason) if "quota" in text.lower() else StorageFull(reason)
    if status == 500 and _IS_DIRECTORY in text:
        return NotAFile(reason)
    if status == 500 and _NO_DIRECTORY in text:
        return MissingParent(reason) if method == "PUT" else NoSuchObject(reason)
    return _FAILURES.get(status, StorageUnavailable)(reason)


_FAILURES: Final[Mapping[int, type[BackendError]]] = {
    401: PermissionDenied,
    403: PermissionDenied,
    404: NoSuchObject,
    422: KeyNotStorable,
    501: NotSupported,
}
