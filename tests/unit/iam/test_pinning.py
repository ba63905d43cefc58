"""Policies mean the users and roles who were there when they were saved."""

import json
from typing import Any

import pytest

from workers.iam.policy.compiler import compile_policy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.model import Kind
from workers.iam.policy.parser import MAX_KEPT_BYTES, MAX_POLICY_BYTES
from workers.iam.policy.pinning import pin_principals, show_principals
from workers.iam.policy.principals import DIRECT, NONE, Principal, principal_name, role_principal, user_principal
from workers.protocol.errors import S3Error

ACCOUNT = "ab" * 32
BUCKET = "box"
FORMER, LATER = "AIDA" + "A" * 17, "AIDA" + "B" * 17
ROLE = "AROA" + "C" * 17


def user(unique_id: str, path: str = "/") -> Principal:
    return user_principal(ACCOUNT, "ann", path=path, user_id=unique_id)


ANN = user(FORMER).arn
WRITER = role_principal(ACCOUNT, "writer", "s", role_id=ROLE).role_arn
KEYS = {ANN: FORMER, WRITER: ROLE}


def policy(principal: Any, name: str = "Principal", effect: str = "Allow", **more: Any) -> str:
    resource = f"arn:aws:s3:::{BUCKET}/*"
    statement = {"Effect": effect, name: principal, "Action": "s3:GetObject", "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement}, indent=1)


def key_of(name: str) -> str | None:
    return KEYS.get(name) if name.startswith("arn:") else ""


def strength(text: str, principal: Principal) -> int:
    compiled = compile_policy(text, Kind.BUCKET, "policy", bucket=BUCKET, limit=MAX_KEPT_BYTES)
    context = RequestContext(principal=principal)
    return compiled.evaluate("s3:GetObject", f"arn:aws:s3:::{BUCKET}/k", principal, context)[0]


def test_a_later_user_of_the_name_is_not_meant():
    kept = pin_principals(policy({"AWS": ANN}), key_of)
    assert strength(kept, user(FORMER)) == DIRECT
    assert strength(kept, user(FORMER, "/moved/")) == DIRECT
    assert strength(kept, user(LATER)) == NONE


def test_a_later_role_of_the_name_is_not_meant():
    kept = pin_principals(policy({"AWS": [WRITER]}), key_of)
    assert strength(kept, role_principal(ACCOUNT, "writer", "s", role_id=ROLE)) == DIRECT
    assert strength(kept, role_principal(ACCOUNT, "writer", "s", role_id="AROA" + "D" * 17)) == NONE


def test_an_exception_is_for_who_was_there():
    account = f"arn:aws:iam::{user(FORMER).account_number}:root"
    kept = pin_principals(policy({"AWS": [ANN, account]}, "NotPrincipal", "Deny"), key_of)
    assert strength(kept, user(FORMER)) == NONE
    assert strength(kept, user(LATER)) != NONE


def test_what_is_kept_without_an_id_goes_by_the_arn():
    assert strength(policy({"AWS": ANN}), user(LATER)) == DIRECT


def test_readers_see_the_arn_of_now_or_the_id():
    text = policy({"AWS": [ANN, "*"], "CanonicalUser": ACCOUNT})
    kept = pin_principals(text, key_of)
    assert kept != text
    assert json.loads(show_principals(kept, lambda arn, _: arn)) == json.loads(text)
    moved = user(FORMER, "/moved/").arn
    assert json.loads(show_principals(kept, lambda arn, key: moved))["Statement"]["Principal"]["AWS"] == [moved, "*"]
    gone = json.loads(show_principals(kept, lambda arn, key: None))
    assert gone["Statement"]["Principal"]["AWS"] == [FORMER, "*"]


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": "123456789012"}, {"CanonicalUser": ACCOUNT}])
def test_a_policy_without_users_is_kept_as_it_was_put(principal: Any):
    text = policy(principal)
    assert pin_principals(text, key_of) is text
    assert show_principals(text, lambda arn, key: None) is text


def test_numbers_of_conditions_stay_what_they_are_taken_for():
    condition = {"NumericLessThan": {"s3:max-keys": [1.50, 7]}, "StringEquals": {"aws:UserAgent": "café"}}
    kept = pin_principals(policy({"AWS": ANN}, Condition=condition), key_of)
    assert json.loads(kept)["Statement"]["Condition"] == {
        "NumericLessThan": {"s3:max-keys": ["1.5", 7]},
        "StringEquals": {"aws:UserAgent": "café"},
    }


def test_who_goes_while_a_policy_is_saved_is_nobody():
    with pytest.raises(S3Error) as caught:
        pin_principals(policy({"AWS": ANN}), lambda name: None)
    assert caught.value.code == "MalformedPolicy"


@pytest.mark.parametrize("text", ["{", "[]", '{"Statement":[1]}', '"#A"', '{"a":"#A"}'])
def test_a_damaged_policy_is_shown_as_it_is(text: str):
    assert show_principals(text, lambda arn, key: None) == text


def test_the_largest_policy_can_still_be_read():
    number = 0
    entries: list[str] = []
    while len(policy({"AWS": entries})) < MAX_POLICY_BYTES - 60:
        entries.append(f"arn:aws:iam::{user(FORMER).account_number}:user/{number}")
        number += 1
    kept = pin_principals(policy({"AWS": entries}), lambda name: FORMER)
    assert len(kept) > MAX_POLICY_BYTES
    assert strength(kept, user(FORMER)) == DIRECT


def test_nobody_is_named_by_an_id_alone():
    assert principal_name("AWS", FORMER) is None
