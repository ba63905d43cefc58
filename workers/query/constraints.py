"""What the parameters of IAM have to be like, checked before anything is looked for.

AWS says of a name that none can have that it is not valid, and never that there is no such thing.
Source: the shapes of the service model that the AWS SDKs ship. Access keys are not among them: theirs may have other
lengths and characters here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from workers.protocol.query import Parameters, QueryError, violation

MAX_ITEMS: Final = 1000

_MEMBER: Final = re.compile(r"\.member\.\d+", re.ASCII)
_NAME: Final = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH: Final = re.compile(r"/|/[\x21-\x7e]+/", re.ASCII)
_PREFIX: Final = re.compile(r"/[\x21-\x7f]*", re.ASCII)
_TAG: Final = re.compile(r"[\w\s.:/=+\-@]*")
_NAME_HINT: Final = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
_PATH_HINT: Final = "It must begin and end with / and contain only alphanumeric characters and/or / characters."
_PREFIX_HINT: Final = "It must begin with / and contain only printable ASCII characters."
_TAG_HINT: Final = "It must contain only letters, digits, white space and the following: _.:/=+-@"


class Rule(NamedTuple):
    """Bounds of a text's length, and its form, for which `hint` has the words."""

    shortest: int
    longest: int
    form: re.Pattern[str] | None = None
    hint: str = ""


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "UserName": Rule(1, 128, _NAME, _NAME_HINT),
        "NewUserName": Rule(1, 64, _NAME, _NAME_HINT),
        "GroupName": Rule(1, 128, _NAME, _NAME_HINT),
        "RoleName": Rule(1, 64, _NAME, _NAME_HINT),
        "PolicyName": Rule(1, 128, _NAME, _NAME_HINT),
        "Path": Rule(1, 512, _PATH, _PATH_HINT),
        "NewPath": Rule(1, 512, _PATH, _PATH_HINT),
        "PathPrefix": Rule(1, 512, _PREFIX, _PREFIX_HINT),
        "PolicyArn": Rule(20, 2048),
        "PermissionsBoundary": Rule(20, 2048),
        "OpenIDConnectProviderArn": Rule(20, 2048),
        "Tags.Key": Rule(1, 128, _TAG, _TAG_HINT),
        "Tags.Value": Rule(0, 256, _TAG, _TAG_HINT),
        "TagKeys": Rule(1, 128, _TAG, _TAG_HINT),
    }
)
"""By the parameter's name; `List.Name` is that of each member of a list."""


def check(parameters: Parameters) -> None:
    """Raise `QueryError` ValidationError for a parameter that no operation could do anything with."""
    for name, value in parameters.items():
        rule = RULES.get(_MEMBER.sub("", name) if ".member." in name else name)
        if rule is not None:
            _check_text(name, value, rule)
    parameters.integer("MaxItems", MAX_ITEMS, 1, MAX_ITEMS)


def _check_text(name: str, value: str, rule: Rule) -> None:
    if len(value) < rule.shortest:
        raise violation(value, name, f"Member must have length greater than or equal to {rule.shortest}")
    if len(value) > rule.longest:
        raise violation(value, name, f"Member must have length less than or equal to {rule.longest}")
    if rule.form is not None and not rule.form.fullmatch(value):
        shown = name[:1].lower() + name[1:]
        raise QueryError("ValidationError", f"The specified value for {shown} is invalid. {rule.hint}")
