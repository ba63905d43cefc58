"""The accounts, users and requests that the tests of authorization speak of."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.iam.accounts import ROOT_ACCOUNT_ID, account_number
from workers.iam.acl import Acl, Grant, Ownership, canned_acl
from workers.iam.decision import EVERY_BUCKET, BucketAccess, ObjectAccess, bucket_arn, decide, object_arn
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.model import Kind
from workers.iam.policy.outcome import Decision
from workers.iam.policy.principals import (
    ANONYMOUS,
    Principal,
    account_principal,
    role_principal,
    service_principal,
    user_principal,
)
from workers.iam.public_access import PublicAccessBlock

OWNER = "a" * 64
OTHER = "b" * 64
THIRD = "c" * 64
BUCKET = "b"
NOON = 1_782_043_200  # 2026-06-21T12:00:00Z

NAMES: Mapping[str, str] = {
    "{O}": account_number(OWNER),
    "{X}": account_number(OTHER),
    "{T}": account_number(THIRD),
    "{owner}": OWNER,
    "{other}": OTHER,
    "{third}": THIRD,
}


def filled(text: str) -> str:
    """A text with the ids of the accounts in it."""
    for name, value in NAMES.items():
        text = text.replace(name, value)
    return text


def document(statements: Sequence[str], version: str = "2012-10-17") -> str:
    """A policy of statements that are JSON texts."""
    return json.dumps({"Version": version, "Statement": [json.loads(filled(one)) for one in statements]})


@dataclass
class Scene:
    """The documents of a group of cases."""

    version: str = "2012-10-17"
    bucket_policy: Sequence[str] = ()
    identity: Sequence[str] = ()
    boundary: Sequence[str] = ()
    session: Sequence[str] = ()
    ownership: str = "BucketOwnerEnforced"
    block: Sequence[str] = ()
    bucket_acl: Sequence[str] = ()
    object_acl: Sequence[str] = ()
    object_owner: str = ""
    initiator: str = ""
    name: str = ""
    cases: Sequence[str] = field(default_factory=list)

    def identity_policy(self, kind: str) -> tuple[CompiledPolicy, ...]:
        """The policies of one kind of a caller."""
        statements = getattr(self, kind)
        if not statements:
            return ()
        return (compile_policy(document(statements, self.version), Kind.IDENTITY, f"{kind} policy"),)

    def bucket(self) -> BucketAccess:
        """The bucket with its documents."""
        policy = None
        if self.bucket_policy:
            text = document(self.bucket_policy, self.version)
            policy = compile_policy(text, Kind.BUCKET, "bucket policy", bucket=BUCKET)
        return BucketAccess(
            owner=OWNER,
            policy=policy,
            acl=acl_of(self.bucket_acl, OWNER, None),
            ownership=Ownership(self.ownership),
            block=PublicAccessBlock(**dict.fromkeys(self.block, True)),
        )

    def object(self) -> ObjectAccess:
        """The object, or the upload."""
        owner = filled(self.object_owner)
        return ObjectAccess(owner, acl_of(self.object_acl, owner or OWNER, OWNER), filled(self.initiator))

    def principal(self, name: str) -> Principal:
        """A caller of the table by his name there."""
        policies = self.identity_policy("identity")
        session = self.identity_policy("session") or None
        boundary = next(iter(self.identity_policy("boundary")), None)
        all_of = {"policies": policies, "boundary": boundary}
        sessions = {**all_of, "session": session}
        tags = {"Team": "red", "Level": "3"}
        made: dict[str, Any] = {
            "anonymous": lambda: ANONYMOUS,
            "root": lambda: account_principal(ROOT_ACCOUNT_ID, name="root", root=True),
            "owner": lambda: account_principal(OWNER, **all_of),
            "other": lambda: account_principal(OTHER, **all_of),
            "third": lambda: account_principal(THIRD, **all_of),
            "alice": lambda: user_principal(OWNER, "alice", user_id="AIDAALICE", tags=tags, **sessions),
            "carol": lambda: user_principal(OWNER, "carol", path="/eng/", **sessions),
            "bob": lambda: user_principal(OTHER, "bob", user_id="AIDABOB", **sessions),
            "temp": lambda: user_principal(OWNER, "alice", token_issued=NOON - 60, **sessions),
            "mfa": lambda: user_principal(OWNER, "alice", token_issued=NOON - 60, multi_factor=NOON - 60, **sessions),
            "role": lambda: role_principal(
                OWNER, "app", "s1", role_id="AROAAPP", tags=tags, token_issued=NOON - 60, **sessions
            ),
            "web": lambda: role_principal(
                OWNER, "web", "s2", path="/svc/", provider="login.example.org/oidc", token_issued=NOON - 60, **sessions
            ),
            "xrole": lambda: role_principal(OTHER, "app", "s1", **sessions),
            "logs": lambda: service_principal("logging.s3.amazonaws.com"),
        }
        return made[name]()


def acl_of(entries: Sequence[str], owner: str, bucket_owner: str | None) -> Acl | None:
    """An ACL of a canned name, or of `grantee:PERMISSION` entries."""
    if not entries:
        return None
    if ":" not in entries[0]:
        return canned_acl(entries[0], owner, bucket_owner=bucket_owner)
    pairs = [filled(entry).rpartition(":") for entry in entries]
    return Acl(owner, tuple(Grant(grantee, permission) for grantee, _, permission in pairs))


def context_of(principal: Principal, settings: Mapping[str, str]) -> RequestContext:
    """The request of a case: `ip=`, `now=`, `secure=`, `header.x=`, `query.x=`, `tag.x=`, `btag.x=`, `body.x=` …"""

    def under(prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}

    tags = under("tag.")
    known = ("ip", "now", "secure", "tls", "auth", "signed", "version", "region", "account", "notags", "noobject")
    for name in settings:
        assert name in known or name.split(".")[0] in ("header", "query", "tag", "btag", "body", "claim"), name
    return RequestContext(
        principal,
        now=float(settings.get("now", NOON)),
        source_ip=settings.get("ip", "192.0.2.1"),
        secure=settings.get("secure") == "true",
        header=under("header.").get,
        query=under("query."),
        region=settings.get("region", "us-east-1"),
        resource_account=settings.get("account", account_number(OWNER)),
        auth_type=settings.get("auth", ""),
        signed_at=float(settings["signed"]) if "signed" in settings else None,
        tls_version=settings.get("tls", ""),
        version_id=settings.get("version"),
        object_tags=lambda: tags,
        body_values=under("body.") or None,
        body_tags=under("btag.") or ({} if "notags" in settings else None),
        claims=under("claim."),
    )


@dataclass(frozen=True)
class Case:
    """One line: `allow|deny PRINCIPAL ACTION RESOURCE [name=value …] [# reason]`."""

    expected: str
    principal: str
    action: str
    resource: str
    settings: Mapping[str, str]
    reason: str


def parse_case(line: str) -> Case:
    """A line of the table."""
    text, _, reason = line.partition(" # ")
    expected, principal, action, resource, *rest = shlex.split(filled(text))
    assert expected in ("allow", "deny", "pending"), line
    pairs = [entry.partition("=") for entry in rest]
    assert all(equals for _, equals, _ in pairs), line
    return Case(expected, principal, action, resource, {name: value for name, _, value in pairs}, reason.strip())


def run(scene: Scene, case: Case) -> tuple[Decision, RequestContext]:
    """Decide a case."""
    principal = scene.principal(case.principal)
    context = context_of(principal, case.settings)
    if case.resource == "*":
        return decide(case.action, EVERY_BUCKET, principal, context), context
    if case.resource.startswith("arn:"):
        return decide(case.action, case.resource, principal, context), context
    bucket, slash, key = case.resource.partition("/")
    arn = object_arn(bucket, key) if slash else bucket_arn(bucket)
    access = scene.bucket() if bucket == BUCKET else None

    def lookup() -> ObjectAccess | None:
        return None if "noobject" in case.settings else scene.object()

    return decide(case.action, arn, principal, context, access, lookup if slash else None), context
