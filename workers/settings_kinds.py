"""The kinds of values that settings have: each reads a value from any source and writes it back as text.

`parse` takes what a source gave, always text from the environment and the command line, text, numbers, booleans
or arrays from TOML, and raises ValueError with a reason that fits behind the setting's name.
"""

import os
import re
import string
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from workers.state.redis_urls import parse_redis_url


class Kind(Protocol):
    """How one kind of value is read and written."""

    @property
    def repeated(self) -> bool:
        """Whether the command line's flag may be given several times."""

    @property
    def hint(self) -> str:
        """What the manual shows as the kind."""

    def parse(self, raw: object, base: Path) -> Any:
        """The value; relative paths count from `base`. Raises ValueError."""

    def show(self, value: Any) -> str:
        """The value as text that `parse` reads back."""


@dataclass(frozen=True, slots=True)
class _Single:
    repeated: ClassVar[bool] = False

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Text(_Single):
    """Text, one of `choices` or matching the whole of `pattern` when given. Empty text unsets."""

    choices: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def hint(self) -> str:
        return " \\| ".join(f"`{choice}`" for choice in self.choices) if self.choices else "text"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw)
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
        if text and self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} does not match {self.pattern}")
        return text


@dataclass(frozen=True, slots=True)
class Secret(_Single):
    """Printable ASCII whose value never appears in a message."""

    shortest: int = 8
    longest: int = 128
    hint: ClassVar[str] = "secret"

    def parse(self, raw: object, base: Path) -> str:
        if not isinstance(raw, str):
            raise ValueError("must be text")
        if raw and not self.shortest <= len(raw) <= self.longest:
            raise ValueError(f"must have {self.shortest} to {self.longest} characters")
        if any(character not in _SECRET_CHARACTERS for character in raw):
            raise ValueError("must be printable ASCII without blanks")
        return raw


@dataclass(frozen=True, slots=True)
class Password(Secret):
    """A secret of somebody else's, in which there may be anything but control characters."""

    shortest: int = 1
    longest: int = 1024

    def parse(self, raw: object, base: Path) -> str:
        if not isinstance(raw, str):
            raise ValueError("must be text")
        if len(raw) > self.longest or any(ord(character) < 32 or ord(character) == 127 for character in raw):
            raise ValueError(f"must be up to {self.longest} printable characters")
        return raw


@dataclass(frozen=True, slots=True)
class MasterKeys(Secret):
    """Several secrets, separated by blanks or line ends; kept one a line."""

    hint: ClassVar[str] = "secret"

    def parse(self, raw: object, base: Path) -> str:
        if not isinstance(raw, str):
            raise ValueError("must be text")
        # Not super(): its class is made anew for the slots, and the name in here still means the old one.
        return "\n".join(Secret.parse(self, word, base) for word in raw.split())


@dataclass(frozen=True, slots=True)
class Url(_Single):
    """A URL of one of some schemes, with a host. Empty text unsets."""

    schemes: tuple[str, ...]
    hint: ClassVar[str] = "URL"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw).strip()
        if not text:
            return ""
        named = " or ".join(f"{scheme}://" for scheme in self.schemes)
        try:
            parts = urlsplit(text)
            usable = parts.scheme in self.schemes and parts.hostname and parts.port != 0 and parts.username is None
        except ValueError:
            usable = False
        if not usable:
            # Not the URL itself: it may hold a password.
            raise ValueError(f"must be {named}HOST[:PORT], without a user or password")
        return text


@dataclass(frozen=True, slots=True)
class Whole(_Single):
    """A whole number within bounds."""

    lowest: int = 0
    highest: int = 2**63 - 1
    hint: ClassVar[str] = "number"

    def parse(self, raw: object, base: Path) -> int:
        if isinstance(raw, bool) or not isinstance(raw, (int, str)):
            raise ValueError("must be a whole number")
        try:
            number = int(raw)
        except ValueError:
            raise ValueError(f"{raw!r} is not a whole number") from None
        if not self.lowest <= number <= self.highest:
            raise ValueError(f"{number} is not within {self.lowest} and {self.highest}")
        return number


@dataclass(frozen=True, slots=True)
class Seconds(_Single):
    """A length of time within bounds."""

    lowest: float = 0.0
    highest: float = 86400.0
    hint: ClassVar[str] = "seconds"

    def parse(self, raw: object, base: Path) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
            raise ValueError("must be a number of seconds")
        try:
            number = float(raw)
        except ValueError:
            raise ValueError(f"{raw!r} is not a number of seconds") from None
        # A NaN fails this comparison, too.
        if not self.lowest <= number <= self.highest:
            raise ValueError(f"{number:g} is not within {self.lowest:g} and {self.highest:g} seconds")
        return number

    def show(self, value: Any) -> str:
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Switch(_Single):
    """Yes or no."""

    hint: ClassVar[str] = "yes/no"

    def parse(self, raw: object, base: Path) -> bool:
        if isinstance(raw, bool):
            return raw
        word = raw.strip().lower() if isinstance(raw, str) else None
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off", ""):
            return False
        raise ValueError(f"{raw!r} is neither yes nor no")

    def show(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class FilePath(_Single):
    """A path, made absolute. Empty text unsets. With `dash`, `-` stands for standard output."""

    dash: bool = False
    hint: ClassVar[str] = "path"

    def parse(self, raw: object, base: Path) -> Path | str | None:
        text = os.fspath(raw) if isinstance(raw, os.PathLike) else raw
        text = _text(text)
        if not text:
            return None
        if "\0" in text:
            raise ValueError("a path cannot contain a zero byte")
        if self.dash:
            return text if text == "-" else str(_absolute(text, base))
        return _absolute(text, base)


@dataclass(frozen=True, slots=True)
class BackendName(_Single):
    """A registered plugin's name, `module:Class`, or `FILE.py` or `FILE.py:Class` with the path made absolute."""

    hint: ClassVar[str] = "name"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw)
        file, extension, class_name = text.partition(".py")
        if extension and re.fullmatch(r"(:[A-Za-z_]\w*)?", class_name):
            return str(_absolute(file + extension, base)) + class_name
        if not re.fullmatch(r"[A-Za-z_][\w.-]*(:[A-Za-z_]\w*)?", text):
            raise ValueError(f"{text!r} is neither a name, nor module:Class, nor a .py file")
        return text


@dataclass(frozen=True, slots=True)
class HostName(_Single):
    """A host name or an IP address, in lower case and without brackets. Empty text unsets when `optional`."""

    optional: bool = False
    hint: ClassVar[str] = "host"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw).strip().lower().rstrip(".")
        if text.startswith("[") and text.endswith("]"):
            text = text[1:-1]
        if not text and self.optional:
            return ""
        if not re.fullmatch(r"[0-9a-z_.-]+|[0-9a-f:.]+(%[0-9a-z]+)?", text):
            raise ValueError(f"{text!r} is not a host name or address")
        return text


@dataclass(frozen=True, slots=True)
class Network(_Single):
    """An IP address or a network in CIDR notation, as text in its usual form."""

    hint: ClassVar[str] = "network"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw).strip()
        try:
            network = ip_network(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address or network: {error}") from None
        return str(network.network_address) if network.num_addresses == 1 else str(network)


@dataclass(frozen=True, slots=True)
class RedisUrl(_Single):
    """A URL of Redis as `workers.state.redis_urls` describes them; its messages hold no password."""

    hint: ClassVar[str] = "URL"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw)
        if text:
            parse_redis_url(text)
        return text


@dataclass(frozen=True, slots=True)
class IssuerUrl(_Single):
    """The URL of an issuer of tokens: https, or http on this very host."""

    hint: ClassVar[str] = "URL"

    def parse(self, raw: object, base: Path) -> str:
        text = _text(raw).strip()
        try:
            parts = urlsplit(text)
            plain = parts.hostname and not (parts.query or parts.fragment or "@" in parts.netloc) and parts.port != 0
        except ValueError:
            raise ValueError(f"{text!r} is not a URL") from None
        if not plain or not text.isascii() or any(mark in text for mark in ' *?#"<>\\'):
            raise ValueError(f"{text!r} is not a URL of the form https://HOST/PATH")
        if parts.scheme != "https" and (parts.scheme, parts.hostname) not in _LOCAL_HTTP:
            raise ValueError(f"{text!r} must begin with https://")
        return text


@dataclass(frozen=True, slots=True)
class Names:
    """Several values: an array in TOML, separated by commas elsewhere, repeated flags on the command line."""

    each: Kind
    repeated: ClassVar[bool] = True

    @property
    def hint(self) -> str:
        return f"list of {self.each.hint}"

    def parse(self, raw: object, base: Path) -> tuple[Any, ...]:
        if isinstance(raw, str):
            parts: list[object] = [part for part in raw.split(",") if part.strip()]
        elif isinstance(raw, (list, tuple)):
            parts = list(raw)
        else:
            raise ValueError("must be a list")
        return tuple(dict.fromkeys(self.each.parse(part, base) for part in parts))

    def show(self, value: Any) -> str:
        return ",".join(self.each.show(part) for part in value)


_LOCAL_HTTP = frozenset(("http", host) for host in ("localhost", "127.0.0.1", "::1"))
_SECRET_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)


def _text(raw: object) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise ValueError("must be text")
    return raw


def _absolute(text: str, base: Path) -> Path:
    # Not resolve(): a symbolic link in the path may be meant to change while the gateway runs.
    return Path(os.path.normpath(base / Path(text).expanduser()))
