"""Where EOS's releases and set-ups differ: one switch each."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "order": ("hash", "sorted", "insertion"),
    "chunked_with_length": ("mhd", "xrootd5", "xrootd6"),
    "mgm_body": ("strict", "lenient"),
    "get_framing": ("content-length", "chunked", "buggy206"),
    "delete_on_close": ("always", "not-ranges"),
    "data": ("files", "null"),
}


@dataclass
class Quirks:
    """The switches; an administrator may change them while the emulator runs."""

    # Order of a directory's entries: EOS gives that of a hash map.
    order: str = "hash"
    # Whether gRPC knows the `file` command and `rm` its `noglobbing` (unreleased in August 2026).
    file_command: bool = False
    rm_noglobbing: bool = False
    # Whether `remote-user` may be a number (from 5.4.0).
    numeric_remote_user: bool = True
    # What an FST does with a chunked body that also has a Content-Length. `mhd` takes it, and CERN's plugin needs that.
    chunked_with_length: str = "mhd"
    # Seconds that an FST is away after a request which ends its process.
    crash_seconds: float = 1.0
    # Whether body bytes of a PUT at the MGM are left on the connection (strict) or thrown away.
    mgm_body: str = "strict"
    get_framing: str = "content-length"
    # Whether interrupted range PUTs delete too; an FST on MHD exempts them.
    delete_on_close: str = "always"
    # The space's `altxs`, and how many seconds late its checksums appear.
    altxs: bool = True
    altxs_delay: float = 0.0
    # The space's `token.generation`; 0 means that no tokens are given out.
    token_generation: int = 1
    # Seconds until sizes and times of subtrees reach the directories above.
    accounting_delay: float = 5.0
    # Seconds for which an FST keeps the data of a file that the namespace has dropped: FSTs ask every five minutes what
    # they are to delete. Who has a capability can still read it.
    deletion_delay: float = 30.0
    # Whether redirects lead to HTTPS when the client came by HTTPS.
    redirect_https: bool = False
    # EOS_ALLOW_RAIN_RWM: whether anybody may update files with an erasure-coded layout.
    rain_update: bool = False
    # How many entries a recursive deletion may find.
    find_limit: int = 100_000
    # `null` stores no bytes: reads give a pattern that is computed from the offset.
    data: str = "files"

    def change(self, values: dict[str, Any]) -> None:
        """Set switches by name; text is converted. Raises `ValueError` and changes nothing when one does not fit."""
        known = {field.name: field for field in dataclasses.fields(self)}
        converted: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no switch {name!r} (known: {', '.join(known)})")
            converted[name] = _converted(name, getattr(self, name), value)
        for name, value in converted.items():
            setattr(self, name, value)


RELEASES: Final[dict[str, dict[str, Any]]] = {
    "5.3": {"altxs": False, "numeric_remote_user": False},
    "5.4": {},
    "5.5": {"get_framing": "buggy206"},
    "master": {"get_framing": "buggy206", "file_command": True, "rm_noglobbing": True},
}


def of_release(release: str) -> Quirks:
    """The switches as a release has them. Raises `ValueError` for one that is not known."""
    if release not in RELEASES:
        raise ValueError(f"there is no release {release!r} (known: {', '.join(RELEASES)})")
    quirks = Quirks()
    quirks.change(RELEASES[release])
    return quirks


def _converted(name: str, current: Any, value: Any) -> Any:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}, not {value!r}")
        return value
    if isinstance(current, bool):
        words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        text = str(value).lower()
        if text not in words:
            raise ValueError(f"{name} is on or off, not {value!r}")
        return words[text]
    try:
        return type(current)(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is a number, not {value!r}") from error
