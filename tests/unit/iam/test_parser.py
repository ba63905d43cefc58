"""Which policies are accepted, and how the others are refused."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.iam.world import BUCKET, OWNER, filled
from workers.iam.accounts import account_number
from workers.iam.policy.actions import ACTIONS, VERSION_ACTIONS, expand
from workers.iam.policy.model import Effect, Kind
from workers.iam.policy.parser import MAX_POLICY_BYTES, parse_policy
from workers.operations import operation_table
from workers.protocol.errors import S3Error

DATA = Path(__file__).parent / "data" / "parser" / "refused.toml"

STATEMENT: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::b/*",
}


def statement(kind: Kind = Kind.BUCKET, **changes: Any) -> str:
    entry = {**STATEMENT, **changes}
    if kind is Kind.IDENTITY:
        del entry["Principal"]
    return json.dumps({"Version": "2012-10-17", "Statement": entry})


def refused_documents() -> Iterator[tuple[str, str, str, Kind]]:
    for entry in tomllib.loads(DATA.read_text(encoding="utf-8"))["refused"]:
        kind = Kind[entry.get("kind", "BUCKET")]
        message, detail = entry["message"], entry.get("detail", "")
        if "document" in entry:
            yield filled(entry["document"]), message, detail, kind
        elif "statement" in entry:
            yield f'{{"Version":"2012-10-17","Statement":[{filled(entry["statement"])}]}}', message, detail, kind
        for plural, name in (
            ("principals", "Principal"),
            ("actions", "Action"),
            ("resources", "Resource"),
            ("conditions", "Condition"),
        ):
            for text in entry.get(plural, ()):
                yield statement(kind, **{name: json.loads(text)}), message, f"Statement[0].{name}", kind


REFUSED = list(refused_documents())


@pytest.mark.parametrize(
    ("document", "message", "detail", "kind"), REFUSED, ids=[f"{m[:30]}: {d[:200]}" for d, m, *_ in REFUSED]
)
def test_refused(document: str, message: str, detail: str, kind: Kind):
    with pytest.raises(S3Error) as caught:
        parse_policy(document, kind, bucket=BUCKET)
    assert caught.value.code == "MalformedPolicy"
    assert caught.value.message == message
    assert detail in dict(caught.value.elements)["Detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Principal": {"AWS": ["*", account_number(OWNER), OWNER, "arn:aws:iam::123456789012:root"]}},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:user/a/b/c", "CanonicalUser": OWNER}},
        {"Principal": {"AWS": "arn:aws:sts::123456789012:assumed-role/r/s"}},
        {"Principal": {"AWS": "arn:aws:sts::123456789012:federated-user/u"}},
        {"Principal": {"Federated": ["accounts.example.org", "arn:aws:iam::123456789012:oidc-provider/x/y"]}},
        {"Principal": {"Service": "logging.s3.amazonaws.com"}},
        {"Action": "*"},
        {"Action": "s3:*"},
        {"Action": ["s3:Get*", "s3:Put?bject"]},
        {"Resource": ["arn:aws:s3:::b*", "arn:aws:s3:::b"]},
        {"Resource": "arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/team, 'none'}/*"},
        {"Sid": "any text, with spaces"},
        {"Condition": {}},
        {"Condition": {"StringEquals": {"aws:username": ["a", True, 1, 1.5]}}},
        {"Condition": {"ForAllValues:StringLikeIfExists": {"AWS:UserAgent": "x*"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": False}}},
        {
            "Condition": {
                "DateLessThan": {"aws:CurrentTime": ["2026", "2026-01", "2026-01-02T03:04+01:00", "1700000000"]}
            }
        },
        {"Condition": {"IpAddress": {"aws:SourceIp": ["10.1.2.3/8", "::1"]}}},
        {"Condition": {"StringEquals": {"s3:ExistingObjectTag/a/b c": "x"}}},
    ],
)
def test_accepted_bucket_policy(changes: dict[str, Any]):
    policy = parse_policy(statement(**changes), Kind.BUCKET, bucket=BUCKET)
    assert len(policy.statements) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"Resource": "*"},
        {"Resource": "arn:aws:s3:::*"},
        {"Resource": ["arn:aws:s3:::*/x", "arn:*:*:*:*:*", "arn:aws:iam::*:user/${aws:username}"]},
        {"Action": ["iam:Get*", "sts:AssumeRole", "s3:ListAllMyBuckets"], "Resource": "*"},
        {"Condition": {"StringEquals": {"s3:prefix": "x"}}},
    ],
)
def test_accepted_identity_policy(changes: dict[str, Any]):
    assert parse_policy(statement(Kind.IDENTITY, **changes), Kind.IDENTITY).statements


def test_accepted_trust_policy():
    document = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": "login.example.org/oidc"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"login.example.org/oidc:aud": "shardgate"}},
        },
    }
    parsed = parse_policy(json.dumps(document), Kind.TRUST).statements[0]
    assert parsed.principals == {"federated:login.example.org/oidc"}
    assert parsed.conditions[0].key == "login.example.org/oidc:aud"


def test_a_policy_is_read_into_its_parts():
    document = {"Id": "P", "Statement": [STATEMENT, {**STATEMENT, "Sid": "Two", "Effect": "Deny"}]}
    policy = parse_policy(json.dumps(document), Kind.BUCKET, bucket=BUCKET)
    assert (policy.version, policy.id, policy.variables) == ("2008-10-17", "P", False)
    assert [one.label for one in policy.statements] == ["Statement[0]", "Two"]
    assert policy.statements[1].effect is Effect.DENY
    assert policy.statements[0].actions == ("s3:getobject",)


def test_a_policy_of_20_kib_is_the_largest():
    text = statement(Sid="x")
    filler = "x" * (MAX_POLICY_BYTES - len(text) + 1)
    assert parse_policy(statement(Sid=filler), Kind.BUCKET, bucket=BUCKET)
    with pytest.raises(S3Error, match="maximum allowed document size"):
        parse_policy(statement(Sid=filler + "x"), Kind.BUCKET, bucket=BUCKET)


def test_principals_can_be_looked_up():
    known = {"account:123456789012"}
    accepted = statement(Principal={"AWS": "123456789012"})
    refused = statement(Principal={"AWS": "arn:aws:iam::123456789012:user/gone"})
    assert parse_policy(accepted, Kind.BUCKET, bucket=BUCKET, principal_key=lambda name: "" if name in known else None)
    with pytest.raises(S3Error, match="Invalid principal in policy"):
        parse_policy(refused, Kind.BUCKET, bucket=BUCKET, principal_key=lambda name: "" if name in known else None)


def test_every_operation_has_a_known_action():
    wanted = {row.action for row in operation_table().rows if row.action}
    assert wanted <= ACTIONS.keys()
    assert set(VERSION_ACTIONS) | set(VERSION_ACTIONS.values()) <= ACTIONS.keys()


def test_patterns_name_actions():
    assert expand("*") == set(ACTIONS)
    assert expand("s3:*") == {action for action in ACTIONS if action.startswith("s3:")}
    assert expand("s3:putobject") == {"s3:PutObject"}
    assert expand("s3:putobject?agging") == {"s3:PutObjectTagging"}
    assert expand("*:listusers") == {"iam:ListUsers"}
    assert expand("s*3:getobject") == {"s3:GetObject"}
    assert expand("s3:getobjects") == set()
    assert expand("s3getobject") == set()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    """* s3:* s3:GetObject arn:aws:s3:::b/* arn:aws:s3:::b ${aws:username} ${ Allow Deny 123456789012 true 10.0.0.0/8
    StringLike aws:SourceIp 2012-10-17 {} s3:prefix ForAllValues:""".split()
)
ANYTHING = JSON_VALUES | WORDS | st.lists(WORDS, max_size=3)
OPERATORS = st.sampled_from(["StringLike", "IpAddress", "Bool", "DateEquals", "NumericEquals", "ArnLike", "Null", "x"])
CONDITIONS = ANYTHING | st.dictionaries(
    OPERATORS | st.text(max_size=8),
    ANYTHING | st.dictionaries(st.sampled_from(["aws:username", "s3:prefix", "aws:SourceIp"]), ANYTHING, max_size=2),
    max_size=2,
)
STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "Sid": ANYTHING,
        "Effect": st.just("Allow") | ANYTHING,
        "Principal": st.just("*") | ANYTHING | st.dictionaries(st.sampled_from(["AWS", "Service"]), ANYTHING),
        "NotPrincipal": ANYTHING,
        "Action": st.just("s3:GetObject") | ANYTHING,
        "NotAction": ANYTHING,
        "Resource": st.just("arn:aws:s3:::b/*") | ANYTHING,
        "NotResource": ANYTHING,
        "Condition": CONDITIONS,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"Statement": STATEMENTS | st.lists(STATEMENTS | ANYTHING, max_size=2) | ANYTHING},
    optional={"Version": WORDS | ANYTHING, "Id": ANYTHING},
)


def only_malformed(document: str | bytes) -> None:
    for kind in Kind:
        try:
            parse_policy(document, kind, bucket=BUCKET)
        except S3Error as error:
            assert error.code == "MalformedPolicy"  # noqa: PT017 -- many kinds, most of which are refused


@given(DOCUMENTS | JSON_VALUES)
def test_any_json_is_a_policy_or_malformed(document: Any):
    only_malformed(json.dumps(document))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"{" + data))
def test_any_bytes_are_a_policy_or_malformed(data: bytes):
    only_malformed(data)


@pytest.mark.parametrize(
    "document",
    [
        "{" + '"a":{' * 3000,
        '{"a":' + "[" * 10_000,
        '{"a":' + "9" * 5000 + "}",
        '{"Statement":' + "[" * 400 + "]" * 400 + "}",
        b"{\xff}",
        '{"\ud800":1}',
    ],
)
def test_documents_that_are_hard_to_read(document: str | bytes):
    only_malformed(document)
