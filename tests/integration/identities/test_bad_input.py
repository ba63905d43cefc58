"""Every action of IAM and STS with nothing, and with nonsense, for each of its parameters: a refusal, never a bug."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import botocore.session
import pytest
import requests

from tests.integration.identities.test_sts import signed
from tests.support.gateway import Gateway
from workers.operations import operation_table
from workers.routing import Operation

ROWS = list(operation_table().actions.values())
SESSION = botocore.session.get_session()
NONSENSE = ("", "*?/..\\\x00", "ü" + "x" * 3000, "arn:aws:iam::1:role/")


def names(row: Operation) -> Iterator[str]:
    """The parameters that the model has, lists with a first member."""
    shape = SESSION.get_service_model(row.service.name).operation_model(row.name).input_shape
    for name, member in ({} if shape is None else shape.members).items():
        if member.type_name != "list":
            yield name
        elif member.member.type_name == "structure":
            yield from (f"{name}.member.1.{inner}" for inner in member.member.members)
        else:
            yield f"{name}.member.1"


def ask(gateway: Gateway, row: Operation, parameters: dict[str, Any]) -> requests.Response:
    fields = {"Action": row.name, "Version": row.service.version, **parameters}
    body = "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in fields.items())
    return signed(gateway, row.service.name, body)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_nonsense_is_refused(iam_gateway: Gateway, row: Operation) -> None:
    answers = [ask(iam_gateway, row, {})]
    answers += [ask(iam_gateway, row, dict.fromkeys(names(row), value)) for value in NONSENSE]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "text/xml"


def test_lists_with_strange_numbers_are_refused(iam_gateway: Gateway) -> None:
    row = operation_table().by_name["CreateUser"]
    for member in ("0", "x", "-1", "9" * 30, "", "1.1.1"):
        answer = ask(iam_gateway, row, {"UserName": "a b", f"Tags.member.{member}.Key": "k"})
        assert answer.status_code == 400
