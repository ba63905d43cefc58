"""Redis URLs: which deployment a URL names, and how its servers are reached.

    redis://USER:PASSWORD@HOST:PORT/DB                           one server
    unix:///PATH?db=DB                                           one server on a unix socket
    redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB the master that these sentinels name
    redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT            the cluster that these nodes belong to

`rediss` in place of `redis` is TLS, with sentinels too. `OPTIONS` may follow as a query. No message holds a password.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

SCHEMES: Final = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_URL: Final = re.compile(r"([^:/?#]+)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
"""Scheme, authority, path and query (RFC 3986, appendix B). `urlsplit` is for one server: some Pythons take several of
which one is an IPv6 address for no URL."""

_PATHS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_WORDS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "ssl_cert_reqs": {"required": "required", "none": "none"},
        "ssl_check_hostname": {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False},
        "sentinel_tls": {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False},
    }
)
_TEXTS: Final = ("username", "password", "ssl_password", "sentinel_username", "sentinel_password")
OPTIONS: Final = ("db", *_PATHS, *_WORDS, *_TEXTS)
"""What may stand behind the question mark; the names are redis-py's but for those of sentinels."""


class UnsupportedRedisUrl(ValueError):
    """The URL cannot be understood, or names what is not there. The text holds no password."""


class Form(Enum):
    """How the servers behind a URL work together."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """What a URL says.

    `servers` are sentinels or nodes, or the one server; none for a unix socket, which has a `path`. `login` and
    `sentinel_login` are redis-py's arguments `username` and `password`, `tls` its arguments `ssl_…`, None without TLS.
    """

    form: Form
    servers: tuple[tuple[str, int], ...] = ()
    path: str = ""
    master: str = ""
    db: int = 0
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    sentinel_tls: bool = False


def parse_redis_url(url: str) -> RedisPlace:
    """Read a URL. Raises `UnsupportedRedisUrl`, also for files of TLS that cannot be read."""
    found = _URL.fullmatch(url.strip())
    if found is None:
        raise UnsupportedRedisUrl("not a URL: SCHEME://HOST is the least")
    scheme, authority, path, query = found[1].lower(), found[2], unquote(found[3]), found[4] or ""
    if scheme not in SCHEMES:
        supported = ", ".join(f"{name}://" for name in SCHEMES)
        raise UnsupportedRedisUrl(f"scheme {scheme!r} is not supported (supported: {supported})")
    options = _options(query)
    login, _, places = authority.rpartition("@")
    form = Form(scheme.partition("+")[2] or "single")
    with_tls = scheme.startswith("rediss")
    master, database = _path(form, scheme, path)
    db = options.get("db", database)
    if form is Form.CLUSTER and db != 0:
        raise UnsupportedRedisUrl("a cluster has no databases but 0")
    return RedisPlace(
        form=form,
        servers=() if scheme == "unix" else _servers(places, SENTINEL_PORT if form is Form.SENTINEL else REDIS_PORT),
        path=path if scheme == "unix" else "",
        master=master,
        db=db,
        login=_login(login, options),
        sentinel_login={
            name.removeprefix("sentinel_"): options[name]
            for name in ("sentinel_username", "sentinel_password")
            if name in options
        },
        tls={name: value for name, value in options.items() if name.startswith("ssl_")} if with_tls else None,
        sentinel_tls=with_tls and form is Form.SENTINEL and options.get("sentinel_tls", True),
    )


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise UnsupportedRedisUrl(f"unknown option {name!r} (known: {', '.join(OPTIONS)})")
        found[name] = _option(name, value)
    return found


def _option(name: str, value: str) -> Any:
    if name == "db":
        return _database(value)
    if name in _WORDS:
        words = _WORDS[name]
        if value.lower() not in words:
            raise UnsupportedRedisUrl(f"{name} is not one of {', '.join(words)}")
        return words[value.lower()]
    if name in _PATHS and not os.access(value, os.R_OK):
        raise UnsupportedRedisUrl(f"{name}: {value} cannot be read")
    return value


def _login(text: str, options: Mapping[str, Any]) -> dict[str, str]:
    name, _, password = text.partition(":")
    found = {"username": unquote(name), "password": unquote(password)}
    found |= {key: options[key] for key in found if key in options}
    return {key: value for key, value in found.items() if value}


def _path(form: Form, scheme: str, path: str) -> tuple[str, int]:
    """The name of a sentinels' master, and the database."""
    if scheme == "unix":
        if not path.strip("/"):
            raise UnsupportedRedisUrl("unix:// needs the path of a socket")
        return "", 0
    words = [word for word in path.split("/") if word]
    master = ""
    if form is Form.SENTINEL:
        if not words:
            raise UnsupportedRedisUrl(f"{scheme}:// needs the master's name behind the sentinels: /NAME")
        master = words.pop(0)
    if len(words) > 1:
        raise UnsupportedRedisUrl("the path holds more than a database")
    return master, _database(words[0]) if words else 0


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UnsupportedRedisUrl("the database is not a number")
    return int(text)


def _servers(text: str, port: int) -> tuple[tuple[str, int], ...]:
    found = tuple(_server(word.strip(), port) for word in text.split(",") if word.strip())
    return found or (("localhost", port),)


def _server(text: str, port: int) -> tuple[str, int]:
    host, colon, number = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, number = text, str(port)
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise UnsupportedRedisUrl("an IPv6 address stands in brackets")
    if not host or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 65536:
        raise UnsupportedRedisUrl("a server is HOST or HOST:PORT, several are separated by commas")
    return host.strip("[]"), int(number)
