"""What is measured: where it listens, whose keys it takes, which processes it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

RECIPES = ("shardgate", "rclone", "seaweedfs", "versitygw")
_LABEL = re.compile(rf"([^=,/:]+)=(?=(?:{'|'.join(RECIPES)})(?:,|$)|https?://)")


class SpecError(ValueError):
    """An endpoint that nobody understands; the text says why."""


@dataclass(frozen=True)
class Target:
    """A running server, as `tests.support.fast_client` takes it. `pid` is the root of its processes if it runs here."""

    name: str
    host: str
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    pid: int | None = None
    stores: bool = True
    """False when it keeps nothing, so that nothing can be read back from it or listed."""
    ours: bool = False
    """Whether it was started here and goes with all its data."""
    version: str = ""

    @property
    def url(self) -> str:
        """Where wrk sends."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class Spec:
    """An endpoint of the command line: `[LABEL=]RECIPE[,OPTION=VALUE…]` or `[LABEL=]http://KEY:SECRET@HOST:PORT[,…]`."""

    label: str
    what: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Raises `SpecError`."""
        found = _LABEL.match(text)
        rest = text[found.end() :] if found else text
        what, *pairs = rest.split(",")
        options = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not (name and equals and value):
                raise SpecError(f"{text}: {pair!r} is not OPTION=VALUE")
            options[name] = value
        if what not in RECIPES and not what.startswith("http://"):
            raise SpecError(f"{text}: neither one of {', '.join(RECIPES)} nor an http:// URL")
        label = found[1] if found else rest if what in RECIPES else urlsplit(what).netloc.rpartition("@")[2]
        return cls(label, what, options)

    @property
    def is_recipe(self) -> bool:
        """Whether it is to be started here."""
        return self.what in RECIPES


def running(spec: Spec) -> Target:
    """The target of a URL with keys in it. Raises `SpecError`."""
    options = dict(spec.options)
    url = urlsplit(spec.what)
    try:
        port = url.port or 80
        pid = int(options.pop("pid")) if "pid" in options else None
    except ValueError as error:
        raise SpecError(f"{spec.label}: {error}") from None
    if url.scheme != "http" or not url.hostname:
        raise SpecError(f"{spec.label}: only plain HTTP is measured")
    if not (url.username and url.password):
        raise SpecError(f"{spec.label}: the URL needs keys: http://ACCESS_KEY:SECRET_KEY@{url.netloc}, percent-encoded")
    region = options.pop("region", "us-east-1")
    if options:
        raise SpecError(f"{spec.label}: unknown option {', '.join(options)}; there are pid and region")
    return Target(spec.label, url.hostname, port, unquote(url.username), unquote(url.password), region, pid)
