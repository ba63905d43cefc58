"""What is known about one setting."""

import re
from dataclasses import dataclass
from typing import Any, Final

from workers.settings_kinds import Kind, RedisUrl, Secret

ENVIRONMENT_PREFIX: Final = "SHARDGATE_"


class SettingsError(Exception):
    """A setting is wrong. The text is one line that names the setting and where its value came from."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table: everything that is known about a setting."""

    name: str
    kind: Kind
    help: str
    default: Any = None
    default_text: str = ""
    """How the manual states a default that is computed at start."""
    section: str = ""

    @property
    def variable(self) -> str:
        """The environment variable's name."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command line's flag; empty for secrets, since everybody on a host can read a command line."""
        if self.secret:
            return ""
        if self.name == "directory":
            return "DIR"
        # A repeated flag names one of several.
        single = re.sub(r"ies$", "y", self.name).removesuffix("s") if self.kind.repeated else self.name
        return "--" + single.replace("_", "-")

    @property
    def secret(self) -> bool:
        """Whether the value must not be shown."""
        return isinstance(self.kind, Secret)

    @property
    def from_file(self) -> bool:
        """Whether a variable with `_FILE` behind its name may tell the file that holds the value."""
        return self.secret or isinstance(self.kind, RedisUrl)


def section(title: str, *options: Option) -> tuple[Option, ...]:
    """The rows of one section of the manual."""
    return tuple(Option(row.name, row.kind, row.help, row.default, row.default_text, section=title) for row in options)
