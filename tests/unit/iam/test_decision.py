"""What surrounds a decision: who is asked, what is told, and which actions a request needs."""

import json
from dataclasses import replace

import pytest

from tests.unit.iam.world import BUCKET, NAMES, OTHER, OWNER, Scene
from workers.iam.acl import Ownership, canned_acl
from workers.iam.decision import (
    BucketAccess,
    Decision,
    ObjectAccess,
    Reason,
    bucket_arn,
    decide,
    decide_assume_role,
    denial_message,
    object_arn,
)
from workers.iam.policy.actions import ACTIONS
from workers.iam.policy.actions import BUCKET as ON_BUCKET
from workers.iam.policy.actions import OBJECT as ON_OBJECT
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.model import Kind
from workers.iam.policy.principals import account_principal, user_principal, web_identity_principal
from workers.iam.policy.requirements import copy_source_actions, required_actions

ALICE = Scene().principal("alice")
ENFORCED = BucketAccess(owner=OWNER)
WRITER = BucketAccess(owner=OWNER, ownership=Ownership.OBJECT_WRITER)


class Asked:
    """A lookup that counts."""

    def __init__(self, found: ObjectAccess | None) -> None:
        self.found = found
        self.count = 0

    def __call__(self) -> ObjectAccess | None:
        self.count += 1
        return self.found


@pytest.mark.parametrize(
    ("action", "bucket", "count"),
    [
        ("s3:GetObject", ENFORCED, 0),
        ("s3:GetObject", WRITER, 1),
        ("s3:GetObjectAcl", WRITER, 1),
        ("s3:PutObject", WRITER, 0),
        ("s3:ListBucket", WRITER, 0),
        ("s3:DeleteObject", WRITER, 0),
        ("s3:AbortMultipartUpload", ENFORCED, 1),
    ],
)
def test_the_object_is_looked_up_only_where_it_counts(action: str, bucket: BucketAccess, count: int):
    lookup = Asked(ObjectAccess(OWNER, canned_acl("private", OWNER)))
    other = account_principal(OTHER)
    assert not decide(action, object_arn(BUCKET, "k"), other, RequestContext(other), bucket, lookup).allowed
    assert lookup.count == count


def test_a_denial_asks_for_no_object():
    lookup = Asked(None)
    text = '{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}]}'
    bucket = BucketAccess(
        owner=OWNER,
        ownership=Ownership.OBJECT_WRITER,
        policy=compile_policy(text, Kind.BUCKET, "bucket policy", bucket=BUCKET),
    )
    decision = decide("s3:GetObject", object_arn(BUCKET, "k"), ALICE, RequestContext(ALICE), bucket, lookup)
    assert decision == Decision(False, Reason.EXPLICIT_DENY, "bucket policy", "Statement[0]")
    assert lookup.count == 0


def test_tags_are_looked_up_only_when_a_condition_asks():
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::b/tagged/*",
        "Condition": {"StringEquals": {"s3:ExistingObjectTag/a": "b"}},
    }
    policy = compile_policy(json.dumps({"Statement": statement}), Kind.IDENTITY, "p")
    alice = user_principal(OWNER, "alice", policies=(policy,))
    calls: list[str] = []

    def tags() -> dict[str, str]:
        calls.append("tags")
        return {"a": "b"}

    def allowed(key: str) -> bool:
        context = RequestContext(alice, object_tags=tags)
        return decide("s3:GetObject", object_arn(BUCKET, key), alice, context, ENFORCED).allowed

    assert not allowed("k")
    assert calls == []
    assert allowed("tagged/k")
    assert calls == ["tags"]


def statement(effect: str, action: str, **more: str) -> dict[str, str]:
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


def identity_policy(name: str, *statements: dict[str, str]) -> CompiledPolicy:
    return compile_policy(json.dumps({"Statement": statements}), Kind.IDENTITY, name)


def test_the_decision_names_document_and_statement():
    lists = identity_policy("users/alice/lists", statement("Allow", "s3:List*"))
    reads = identity_policy("groups/readers", statement("Allow", "s3:Put*"), statement("Allow", "s3:Get*", Sid="R"))
    alice = user_principal(OWNER, "alice", policies=(lists, reads))
    decision = decide("s3:GetObject", object_arn(BUCKET, "k"), alice, RequestContext(alice), ENFORCED)
    assert (decision.document, decision.statement) == ("groups/readers", "R")
    assert str(decision) == "allowed: identity policy (R, groups/readers)"


def test_every_statement_that_applies_is_told():
    policy = identity_policy(
        "p", statement("Allow", "s3:*"), statement("Allow", "s3:PutObject"), statement("Deny", "s3:Get*", Sid="No")
    )
    applying = policy.applying("s3:GetObject", object_arn(BUCKET, "k"), ALICE, RequestContext(ALICE))
    assert [one.label for one, _ in applying] == ["Statement[0]", "No"]


def test_an_action_that_no_policy_can_name_is_denied_where_everything_is():
    text = '{"Statement":[{"Effect":"Deny","NotAction":"s3:GetObject","Resource":"*"}]}'
    policy = compile_policy(text, Kind.IDENTITY, "p")
    owner = account_principal(OWNER, policies=(policy,))
    decision = decide("s3:NewAction", bucket_arn(BUCKET), owner, RequestContext(owner), ENFORCED)
    assert decision.reason is Reason.EXPLICIT_DENY


DENIALS = [
    Reason.EXPLICIT_DENY,
    Reason.NOT_ALLOWED,
    Reason.NO_IDENTITY_POLICY,
    Reason.NO_RESOURCE_POLICY,
    Reason.BOUNDARY,
    Reason.SESSION_POLICY,
    Reason.PUBLIC_BUCKET_RESTRICTED,
]


@pytest.mark.parametrize("reason", DENIALS)
def test_every_denial_has_a_text(reason: Reason):
    message = denial_message(Decision(False, reason), ALICE, "s3:GetObject", object_arn(BUCKET, "k"))
    assert message.startswith(
        f"User: arn:aws:iam::{NAMES['{O}']}:user/alice is not authorized to perform: s3:GetObject"
    )
    assert '"arn:aws:s3:::b/k" ' in message
    assert " because " in message or message.endswith(" with an explicit deny in a resource-based policy")


def test_an_explicit_deny_is_told_with_the_kind_of_its_policy():
    def policy(name: str) -> CompiledPolicy:
        entry = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
        return compile_policy(json.dumps({"Version": "2012-10-17", "Statement": entry}), Kind.IDENTITY, name)

    who = replace(ALICE, policies=(policy("own"),), boundary=policy("limit"), session=(policy("session"),))
    kinds = {
        "own": "an identity-based policy",
        "limit": "a permissions boundary",
        "session": "a session policy",
        "bucket policy": "a resource-based policy",
    }
    for name, kind in kinds.items():
        message = denial_message(Decision(False, Reason.EXPLICIT_DENY, name), who, "s3:GetObject", bucket_arn(BUCKET))
        assert message.endswith(f"with an explicit deny in {kind}")


ROLE = f"arn:aws:iam::{NAMES['{O}']}:role/web"


def trust(action: str, who: object, condition: object = None) -> CompiledPolicy:
    entry = {"Effect": "Allow", "Principal": who, "Action": action, "Condition": condition or {}}
    return compile_policy(json.dumps({"Version": "2012-10-17", "Statement": entry}), Kind.TRUST, "trust policy")


@pytest.mark.parametrize(
    "who", ["login.example.org/oidc", f"arn:aws:iam::{NAMES['{O}']}:oidc-provider/login.example.org/oidc"]
)
def test_a_role_is_assumed_by_a_token(who: str):
    claim = "login.example.org/oidc:"
    policy = trust(
        "sts:AssumeRoleWithWebIdentity",
        {"Federated": who},
        {"StringEquals": {f"{claim}aud": "shardgate"}, "StringLike": {f"{claim}sub": "project:*"}},
    )

    def reason(provider: str = "login.example.org/oidc", **claims: str | tuple[str, ...]) -> Reason:
        asking = web_identity_principal(OWNER, provider)
        named = {claim + name: value for name, value in claims.items()}
        context = RequestContext(asking, claims=named)
        return decide_assume_role("sts:AssumeRoleWithWebIdentity", ROLE, OWNER, policy, asking, context).reason

    assert reason(aud="shardgate", sub="project:x") is Reason.TRUST_POLICY
    assert reason(aud=("other", "shardgate"), sub="project:x") is Reason.TRUST_POLICY
    assert reason(aud="other", sub="project:x") is Reason.NO_RESOURCE_POLICY
    assert reason(sub="project:x") is Reason.NO_RESOURCE_POLICY
    assert reason("evil.example.org", aud="shardgate", sub="project:x") is Reason.NO_RESOURCE_POLICY


OWN, FOREIGN = NAMES["{O}"], NAMES["{X}"]


@pytest.mark.parametrize(
    ("caller", "who", "identity", "reason"),
    [
        ("alice", f"arn:aws:iam::{OWN}:user/alice", False, Reason.TRUST_POLICY),
        ("alice", f"arn:aws:iam::{OWN}:root", False, Reason.NO_IDENTITY_POLICY),
        ("alice", f"arn:aws:iam::{OWN}:root", True, Reason.IDENTITY_POLICY),
        ("alice", f"arn:aws:iam::{FOREIGN}:root", True, Reason.NO_RESOURCE_POLICY),
        ("bob", f"arn:aws:iam::{FOREIGN}:user/bob", False, Reason.NO_IDENTITY_POLICY),
        ("bob", f"arn:aws:iam::{FOREIGN}:user/bob", True, Reason.TRUST_POLICY),
        ("bob", FOREIGN, True, Reason.TRUST_POLICY),
        ("other", FOREIGN, False, Reason.TRUST_POLICY),
        ("owner", FOREIGN, False, Reason.NO_RESOURCE_POLICY),
        ("root", FOREIGN, False, Reason.NO_RESOURCE_POLICY),
        ("anonymous", FOREIGN, False, Reason.NO_RESOURCE_POLICY),
    ],
)
def test_a_role_is_assumed_by_those_whom_it_trusts(caller: str, who: str, identity: bool, reason: Reason):
    scene = Scene(identity=['{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}'] if identity else ())
    asking = scene.principal(caller)
    policy = trust("sts:AssumeRole", {"AWS": who})
    decision = decide_assume_role("sts:AssumeRole", ROLE, OWNER, policy, asking, RequestContext(asking))
    assert decision.reason is reason


def test_a_denial_keeps_from_a_role():
    scene = Scene(identity=['{"Effect":"Deny","Action":"sts:*","Resource":"*"}'])
    asking = scene.principal("alice")
    policy = trust("sts:AssumeRole", {"AWS": asking.arn})
    decision = decide_assume_role("sts:AssumeRole", ROLE, OWNER, policy, asking, RequestContext(asking))
    assert decision.reason is Reason.EXPLICIT_DENY


def test_a_context_looks_at_another_object():
    context = RequestContext(ALICE, now=5, version_id="v1", body_tags={"a": "b"})
    other = context.for_object("v2", lambda: {"t": "u"}, "123456789012")
    assert (other.now, other.version_id, other.resource_account) == (5, "v2", "123456789012")
    assert other.object_tags is not None
    assert other.object_tags() == {"t": "u"}
    assert context.version_id == "v1"


# Which actions a request needs


def needed(action: str, *headers: str, version_named: bool = False) -> tuple[str, ...]:
    return required_actions(action, dict.fromkeys(headers, "x").get, version_named=version_named)


@pytest.mark.parametrize(
    ("action", "headers", "expected"),
    [
        ("s3:GetObject", ["x-amz-acl"], ["s3:GetObject"]),
        ("s3:PutObject", [], ["s3:PutObject"]),
        ("s3:PutObject", ["x-amz-acl"], ["s3:PutObject", "s3:PutObjectAcl"]),
        (
            "s3:PutObject",
            ["x-amz-grant-read", "x-amz-tagging"],
            ["s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging"],
        ),
        ("s3:PutObject", ["x-amz-object-lock-mode"], ["s3:PutObject", "s3:PutObjectRetention"]),
        ("s3:PutObject", ["x-amz-object-lock-legal-hold"], ["s3:PutObject", "s3:PutObjectLegalHold"]),
        ("s3:GetObjectAttributes", [], ["s3:GetObjectAttributes", "s3:GetObject"]),
        ("s3:CreateBucket", ["x-amz-acl"], ["s3:CreateBucket", "s3:PutBucketAcl"]),
        ("s3:CreateBucket", ["x-amz-object-ownership"], ["s3:CreateBucket", "s3:PutBucketOwnershipControls"]),
        (
            "s3:CreateBucket",
            ["x-amz-bucket-object-lock-enabled"],
            ["s3:CreateBucket", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"],
        ),
    ],
)
def test_actions_of_a_request(action: str, headers: list[str], expected: list[str]):
    assert needed(action, *headers) == tuple(expected)


def test_actions_of_a_request_that_names_a_version():
    assert needed("s3:GetObject", version_named=True) == ("s3:GetObjectVersion",)
    assert needed("s3:DeleteObject", version_named=True) == ("s3:DeleteObjectVersion",)
    assert needed("s3:GetObjectRetention", version_named=True) == ("s3:GetObjectRetention",)
    expected = ("s3:GetObjectVersionAttributes", "s3:GetObjectVersion")
    assert needed("s3:GetObjectAttributes", version_named=True) == expected


def test_actions_on_the_source_of_a_copy():
    assert copy_source_actions(version_named=False) == ("s3:GetObject",)
    assert copy_source_actions(version_named=True) == ("s3:GetObjectVersion",)
    assert copy_source_actions(version_named=True, tags_copied=True) == (
        "s3:GetObjectVersion",
        "s3:GetObjectVersionTagging",
    )


def test_every_needed_action_is_known():
    headers = ["x-amz-acl", "x-amz-tagging", "x-amz-object-lock-mode", "x-amz-object-lock-legal-hold"]
    for action in [*needed("s3:PutObject", *headers), *needed("s3:CreateBucket", "x-amz-bucket-object-lock-enabled")]:
        assert ACTIONS[action] in (ON_BUCKET, ON_OBJECT)
