"""The rows of IAM and STS in the table of operations, walked one by one, and held against botocore's models."""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from workers.iam.policy.actions import ACTIONS
from workers.operations import QUERY_MODULES, operation_table
from workers.protocol.errors import S3Error
from workers.protocol.query import Parameters, QueryError
from workers.query.constraints import RULES, check
from workers.routing import IAM, STS, Authorization, NoBody, Operation, declared_in

TABLE = operation_table()
ROWS = list(TABLE.actions.values())
TESTS = Path(__file__).parents[1] / "integration" / "identities"
SESSION = botocore.session.get_session()
MODELS = {service: SESSION.get_service_model(service.name) for service in (IAM, STS)}
READING = ("Get", "List", "Assume")


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Operation:
    return request.param


def test_row_is_an_operation_of_its_service(row: Operation) -> None:
    assert row.name in MODELS[row.service].operation_names
    assert TABLE.actions[row.service.version, row.name] is row


def test_row_has_an_action_that_policies_know(row: Operation) -> None:
    assert row.action in ACTIONS or row.anonymous or row.name in ("GetCallerIdentity", "GetSessionToken")
    assert row.resource is not None or row.service is STS


def test_row_says_whether_it_writes(row: Operation) -> None:
    assert row.writes == (not row.name.startswith(READING))
    assert isinstance(row.body, NoBody)


def test_row_has_a_docstring(row: Operation) -> None:
    assert row.handler.__doc__


def test_row_has_a_test(row: Operation) -> None:
    text = "".join(path.read_text() for path in TESTS.glob("*.py"))
    method = xform_name(row.name)
    # The operations of users, groups, roles and policies are tested by names that are put together.
    joined = {re.sub(pattern, "{kind}", method) for pattern in (r"(user|group|role)(?=_polic)", r"(user|role|policy)")}
    names = {row.name, method, *joined}
    assert any(re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z])", text) for name in names), f"no test of {row.name}"


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_is_that_of_the_service_model(name: str) -> None:
    """Lengths as in some shape of that name; the wider one, where there is one for names that are new."""
    member = {"Tags.Key": "tagKeyType", "Tags.Value": "tagValueType", "TagKeys": "tagKeyType"}.get(name)
    model = MODELS[IAM]
    if member is None:
        shapes = [
            shape.members[name]
            for operation in model.operation_names
            if (shape := model.operation_model(operation).input_shape) is not None and name in shape.members
        ]
    else:
        shapes = [model.shape_for(member)]
    rule = RULES[name]
    assert max(shape.metadata.get("max", 0) for shape in shapes) == rule.longest
    assert min(shape.metadata.get("min", 0) for shape in shapes) == rule.shortest


@pytest.mark.parametrize(
    "fields",
    [
        {"UserName": ""},
        {"UserName": "a b"},
        {"UserName": "u" * 129},
        {"RoleName": "r/x"},
        {"PathPrefix": "x"},
        {"Path": "/x"},
        {"PolicyArn": "arn:aws:iam::1"},
        {"MaxItems": "0"},
        {"MaxItems": "1001"},
        {"MaxItems": "many"},
        {"Tags.member.1.Key": ""},
        {"Tags.member.2.Key": "k?"},
        {"Tags.member.1.Value": "v" * 257},
        {"TagKeys.member.7": "k" * 129},
    ],
    ids=str,
)
def test_parameters_that_nothing_can_have_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(QueryError) as caught:
        check(Parameters(fields))
    assert caught.value.code == "ValidationError"


def test_parameters_that_something_can_have_pass() -> None:
    check(Parameters({"UserName": "a+b=c,d.e@f-g_h", "Path": "/a/b/", "PathPrefix": "/a", "MaxItems": "1000"}))
    check(Parameters({"Tags.member.1.Key": "Größe", "Tags.member.1.Value": "", "Description": "*" * 5000}))


def test_every_module_declares_something() -> None:
    assert all(list(declared_in([module])) for module in QUERY_MODULES)


def test_services_are_those_of_the_models() -> None:
    for service, model in MODELS.items():
        assert service.version == model.api_version
        assert service.namespace == model.metadata["xmlNamespace"]


def test_names_are_unique() -> None:
    assert len(TABLE.by_name) == len(TABLE.rows) + len(ROWS) + len(TABLE.calls)


def test_administration_calls_are_found_by_their_paths_alone() -> None:
    assert len(TABLE.calls) == 7
    for (method, level, path), row in TABLE.calls.items():
        assert TABLE.resolve(method, level, None, {}.get, path) is row
        assert row.handler.__doc__
        assert row.authorization is Authorization.ADMINISTRATION
        with pytest.raises(S3Error) as caught:
            TABLE.resolve(method, level, None, {}.get, path + "x")
        assert caught.value.code == "MethodNotAllowed"
        assert f"{row.name}" in (TESTS / "test_administration.py").read_text()
