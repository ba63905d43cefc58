"""Users and roles that a policy names, kept by the ids that they had when it was saved.

An ARN says a name, and who is made anew under the name of a deleted user is somebody else. As on AWS, a saved policy
means the one who was there: its entry is kept as `ARN#ID`, and `#` is in no name of a user or role. Readers see the ARN
he has now, or his id when he is gone, which no policy can be saved with again.
Source: "AWS JSON policy elements: Principal" in the IAM user guide.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from workers.iam.policy.principals import PINNED, PrincipalKey, principal_name
from workers.protocol.errors import S3Error

CurrentArn = Callable[[str, str], str | None]
"""The ARN that the user or role of a former ARN and an id has now; None when he is gone."""

_NAMES: Final = ("Principal", "NotPrincipal")


def pin_principals(text: str, key_of: PrincipalKey) -> str:
    """A checked policy as it is kept: the same text where it names no user or role.

    Raises `S3Error` MalformedPolicy for one who went a moment ago.
    """

    def pin(entry: str) -> str:
        name = principal_name("AWS", entry)
        key = "" if name is None else key_of(name)
        if key is None:
            raise S3Error("MalformedPolicy", "Invalid principal in policy", Detail=entry[:256])
        return f"{entry}#{key}" if key else entry

    return _rewritten(text, pin)


def show_principals(text: str, current: CurrentArn) -> str:
    """A kept policy as readers see it."""

    def show(entry: str) -> str:
        match = PINNED.fullmatch(entry)
        return entry if match is None else current(match["arn"], match["id"]) or match["id"]

    # Most policies name no user or role.
    return _rewritten(text, show) if "#A" in text else text


def _rewritten(text: str, change: Callable[[str], str]) -> str:
    """A policy with each entry for AWS in its principals replaced; the text itself where none differs."""
    try:
        # A number is what conditions take it for: one out of a float's range is no JSON when it is written again.
        document = json.loads(text, parse_float=lambda number: str(float(number)))
        statements = document["Statement"]
    except (ValueError, TypeError, KeyError):
        return text  # damaged in the storage: its owner has to see what is there
    changed = False
    for statement in statements if isinstance(statements, list) else [statements]:
        for principals in _principals_of(statement):
            before = principals["AWS"]
            after = [change(entry) for entry in before] if isinstance(before, list) else change(before)
            changed = changed or after != before
            principals["AWS"] = after
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) if changed else text


def _principals_of(statement: Any) -> list[dict[str, Any]]:
    found = [statement.get(name) for name in _NAMES] if isinstance(statement, dict) else []
    return [one for one in found if isinstance(one, dict) and "AWS" in one]
