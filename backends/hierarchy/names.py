"""One reversible rule between S3 keys and relative paths.

A key is cut at every `/` into segments; all but the last name directories, the last names a file. Nearly every segment
is its own name on disk. What a path cannot express is written with an escape: `%`, any number of `25`, and a word.

    =============  ==========================================  =======================================================
    word           stands for                                  where it is read
    =============  ==========================================  =======================================================
    `%00`          NUL (a storage may add characters)          anywhere in a name
    `%_`           "/", where keys may not go any deeper       anywhere in a name
    `%~`           the empty segment (`a//b`, `/a`, `a/`)      as the whole name
    `%dot`         `.`                                         as the whole name
    `%dotdot`      `..`                                        as the whole name
    `%plain`       nothing: what follows is a plain segment    in front of a prefix that the storage keeps to itself
    `%object`      nothing: marks the object `a` beside `a/b`  at the end of a file's name
    `%more`        nothing: the segment goes on below          at the end of a directory's name
    =============  ==========================================  =======================================================

A segment that itself looks like an escape gets one more `25` behind its `%`, reading takes one away: `%00` is written
`%2500`, `%2500` is written `%252500`. So no two segments share a name, and (unlike with "always escape %") `100%`,
`a%20b` and all other names that are no escapes stay what they are. It also means that every valid file name stands for
exactly one segment: files that came without the gateway are objects under their natural name. The exceptions are names
that the rule never writes, such as a directory `x%object`, a file `x%more` or `.%object`: those are no objects.

A segment whose name exceeds the limit (255 bytes) is cut into pieces; each but the last is a directory ending in
`%more`, filled up as far as it goes. A piece is cut between characters and each piece is escaped by itself.

A directory always has its natural name. The object `a` has it too unless there is a directory `a`; then it lives as
`a%object` ("displaced"). Who looks for `a` looks under the natural name first, then under the displaced one.

The empty segment has the shortest word because a key may consist of 1024 of them, and paths are at most 4096 bytes.

A storage may bound the depth of its paths. There the last segment that fits takes in the rest of the key, its `/`
written `%_`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

COMPONENT_LIMIT: Final = 255
"""Bytes of one name, on Linux's file systems and on EOS."""

KEY_LIMIT: Final = 1024
"""Bytes of a key: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

_DISPLACED: Final = "%object"
_CONTINUED: Final = "%more"
_PLAIN: Final = "%plain"
_FOLDED: Final = "_"
_WHOLE: Final = {"": "%~", ".": "%dot", "..": "%dotdot"}
_WHOLE_WORDS: Final = {"~": "", "dot": ".", "dotdot": ".."}

_WHOLE_ESCAPE: Final = re.compile(r"%((?:25)*)(~|dot|dotdot)")
_SUFFIX_ESCAPE: Final = re.compile(r"%((?:25)*)(object|more)\Z")

# No character needs more than 4 bytes, and the worst escape turns 1 byte into 3.
_ALWAYS_SHORT: Final = COMPONENT_LIMIT // 4


class Kind(enum.Enum):
    """What a name on disk says about itself."""

    PLAIN = "plain"
    DISPLACED = "displaced"
    CONTINUED = "continued"


class Names:
    """The rule of the module's text for one storage.

    Args:
        escapes: what cannot be in a name (a character or a sequence), each with its word; no word begins with "25" or
            with another one.
        reserved: prefixes of names that belong to the storage: never an object, and never written for a key.
        limit: bytes of one name.
        deepest: segments below each other, 0 for any number.
    """

    def __init__(
        self,
        escapes: Mapping[str, str] | None = None,
        reserved: tuple[str, ...] = (),
        limit: int = COMPONENT_LIMIT,
        deepest: int = 0,
    ) -> None:
        self._words = dict(escapes or {"\0": "00"})
        self._unnatural = tuple(self._words)
        self._folds = deepest - 1
        if deepest:
            self._words["/"] = _FOLDED
        self._meanings = {word: text for text, word in self._words.items()}
        self._reserved = reserved
        self._limit = limit
        words = "|".join(map(re.escape, self._meanings))
        texts = "|".join(map(re.escape, self._words))
        self._to_escape = re.compile(f"%(?=(?:25)*(?:{words}))|{texts}")
        self._escape = re.compile(f"%((?:25)*)({words})")
        self._raw = re.compile(texts)
        prefixes = "|".join(map(re.escape, reserved))
        self._plain_escape = re.compile(f"%((?:25)*)plain(?={prefixes})") if reserved else None

    # -- from keys to paths

    def path(self, key: str) -> str:
        """The natural path of the object `key`."""
        if self._is_natural(key):
            return key
        return "/".join([name for segment in key.split("/", self._folds) for name in self.components(segment)])

    def displaced(self, key: str) -> str:
        """The path of the object `key` where a directory has its natural one."""
        if self.folds(key):
            segment = key.split("/", self._folds)[-1]
            directory, slash = key[: -len(segment) - 1], "/"
        else:
            directory, slash, segment = key.rpartition("/")
        name = "/".join(self.components(segment, displaced=True))
        return f"{self.path(directory)}/{name}" if directory else f"%~/{name}" if slash else name

    def directory(self, prefix: str) -> str:
        """The path of the directory that holds the keys beginning with `prefix`, which ends in "/" or is empty."""
        if len(prefix) > 1:
            return self.path(prefix[:-1])
        return "%~" if prefix else ""

    def base(self, prefix: str) -> str:
        """The part of a prefix of keys, up to a "/", whose keys have a directory of their own."""
        if self.folds(prefix):
            return prefix[: len(prefix) - len(prefix.split("/", self._folds)[-1])]
        return prefix[: prefix.rfind("/") + 1]

    def folds(self, prefix: str) -> bool:
        """Whether keys that begin with this may have a "/" in their last segment."""
        return self._folds > 0 and prefix.count("/") >= self._folds

    def components(self, segment: str, *, displaced: bool = False) -> list[str]:
        """The names of one segment: one, or several below each other when it is too long for one."""
        names: list[str] = []
        while True:
            name = self._name(segment) + (_DISPLACED if displaced else "")
            if len(name) <= self._limit // 4 or len(name.encode()) <= self._limit:
                names.append(name)
                return names
            cut = self._cut(segment)
            names.append(self._piece(segment[:cut]) + _CONTINUED)
            segment = segment[cut:]

    def _is_natural(self, key: str) -> bool:
        # The hot path: a handful of substring searches, no regular expression.
        if "%" in key or "//" in key or "/." in key or not key or key[0] in "/." or key[-1] == "/":
            return False
        for text in self._unnatural:
            if text in key:
                return False
        if self.folds(key):
            return False
        for prefix in self._reserved:
            if prefix in key:
                return False
        if len(key) <= _ALWAYS_SHORT or (len(key) <= self._limit and key.isascii()):
            return True
        return all(len(segment.encode()) <= self._limit for segment in key.split("/"))

    def _name(self, segment: str) -> str:
        if segment in _WHOLE:
            return _WHOLE[segment]
        name = self._piece(segment)
        if "%" in name:
            if _WHOLE_ESCAPE.fullmatch(name):
                return _one_more(name, 0)
            if suffix := _SUFFIX_ESCAPE.search(name):
                name = _one_more(name, suffix.start())
        return name

    def _piece(self, segment: str) -> str:
        name = self._to_escape.sub(self._escaped, segment)
        if self._plain_escape is not None:
            if name.startswith(self._reserved):
                return _PLAIN + name
            if self._plain_escape.match(name):
                return _one_more(name, 0)
        return name

    def _escaped(self, match: re.Match[str]) -> str:
        text = match.group()
        return "%25" if text == "%" else "%" + self._words[text]

    def _cut(self, segment: str) -> int:
        """How many characters of a long segment the next piece takes: any fixed rule does, so a bisection."""
        room = self._limit - len(_CONTINUED)
        low, high = 0, min(len(segment), room) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if len(self._piece(segment[:middle]).encode()) <= room:
                low = middle
            else:
                high = middle
        return low

    # -- from paths to keys

    def keeps(self, name: str) -> bool:
        """Whether a name without "%" may be anything else than the segment it spells."""
        if self._reserved and name.startswith(self._reserved):
            return True
        return any(text in name for text in self._unnatural)

    def decode(self, name: str) -> tuple[str, Kind] | None:
        """The segment (for `CONTINUED` the piece of one) that a name on disk stands for, None when for none."""
        if "%" not in name:
            return None if self._reserved and name.startswith(self._reserved) else self._unescaped(name, Kind.PLAIN)
        kind = Kind.PLAIN
        if suffix := _SUFFIX_ESCAPE.search(name):
            if suffix[1]:
                name = _one_less(name, suffix.start())
            else:
                kind = Kind.DISPLACED if suffix[2] == "object" else Kind.CONTINUED
                name = name[: suffix.start()]
                if (name in _WHOLE) if kind is Kind.DISPLACED else not name:
                    return None
                if kind is Kind.DISPLACED and (inner := _SUFFIX_ESCAPE.search(name)):
                    if not inner[1]:
                        return None
                    name = _one_less(name, inner.start())
        if kind is not Kind.CONTINUED and (whole := _WHOLE_ESCAPE.fullmatch(name)):
            return (_one_less(name, 0) if whole[1] else _WHOLE_WORDS[whole[2]]), kind
        if self._plain_escape is not None:
            if name.startswith(self._reserved):
                return None
            if plain := self._plain_escape.match(name):
                name = _one_less(name, 0) if plain[1] else name[len(_PLAIN) :]
        return self._unescaped(name, kind)

    def _unescaped(self, name: str, kind: Kind) -> tuple[str, Kind] | None:
        if self._raw.search(name):
            return None
        return self._escape.sub(self._meaning, name), kind

    def _meaning(self, match: re.Match[str]) -> str:
        return _one_less(match.group(), 0) if match[1] else self._meanings[match[2]]

    def key(self, path: str) -> str | None:
        """The key of the object stored at `path`, None when the rule never puts one there."""
        segments: list[str] = []
        piece = ""
        names = path.split("/")
        for position, name in enumerate(names, 1):
            decoded = self.decode(name)
            if decoded is None or (decoded[1] is Kind.DISPLACED and position < len(names)):
                return None
            piece += decoded[0]
            if decoded[1] is not Kind.CONTINUED:
                segments.append(piece)
                piece = ""
        key = "/".join(segments)
        return key if key and path in (self.path(key), self.displaced(key)) else None


def _one_more(name: str, position: int) -> str:
    return f"{name[: position + 1]}25{name[position + 1 :]}"


def _one_less(name: str, position: int) -> str:
    return name[: position + 1] + name[position + 3 :]


DEFAULT_NAMES: Final = Names()
"""For storage that holds every name of 1 to 255 bytes without NUL and "/"."""
