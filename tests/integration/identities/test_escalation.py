"""What nobody gains by parameters that an operation does not have, or by leaving out those that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.identities.conftest import Clients, User
from tests.integration.identities.test_federation import assume, key, make_role, trusted  # noqa: F401 -- fixtures
from tests.integration.identities.test_users import READ, TRUST, new, refused
from tests.support.oidc_provider import Provider


def may(iam: Any, user: User, *statements: dict[str, Any]) -> None:
    """Let a user do something."""
    document = json.dumps({"Version": "2012-10-17", "Statement": [*statements]})
    iam.put_user_policy(UserName=user.name, PolicyName="own", PolicyDocument=document)


def allowing(action: Any, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {**statement, "Condition": condition} if condition else statement


def adding(client: Any, **parameters: str) -> Any:
    """The client, with parameters added to each request that no model knows."""

    def add(params: dict[str, Any], **_: Any) -> None:
        params["body"].update(parameters)

    client.meta.events.register("before-call", add)
    return client


@pytest.fixture
def boundary(iam: Any) -> str:
    arn: str = iam.create_policy(PolicyName=new("boundary"), PolicyDocument=READ)["Policy"]["Arn"]
    return arn


def test_a_boundary_in_a_request_without_one_is_not_the_users(
    iam: Any, client_of: Clients, user: User, boundary: str
) -> None:
    may(iam, user, allowing("iam:PutUserPolicy", StringEquals={"iam:PermissionsBoundary": boundary}))
    own = adding(client_of("iam", user), PermissionsBoundary=boundary)
    arguments = {"UserName": user.name, "PolicyName": "all", "PolicyDocument": READ}
    assert refused(own.put_user_policy, **arguments) == ("AccessDenied", 403)
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    # Now it is his, and limits him so that he may not do it at all; of another user it counts.
    other = iam.create_user(UserName=new("other"), PermissionsBoundary=boundary)["User"]["UserName"]
    iam.delete_user_permissions_boundary(UserName=user.name)
    client_of("iam", user).put_user_policy(**{**arguments, "UserName": other})


def test_a_policy_in_a_request_without_one_is_none_that_is_attached(
    iam: Any, client_of: Clients, user: User, boundary: str
) -> None:
    may(iam, user, allowing("iam:*UserPolicy", ArnEquals={"iam:PolicyARN": boundary}))
    arguments = {"UserName": user.name, "PolicyName": "all", "PolicyDocument": READ}
    own = adding(client_of("iam", user), PolicyArn=boundary)
    assert refused(own.put_user_policy, **arguments) == ("AccessDenied", 403)
    client_of("iam", user).attach_user_policy(UserName=user.name, PolicyArn=boundary)


def test_the_case_of_a_tags_name_evades_no_condition(iam: Any, client_of: Clients, user: User) -> None:
    deny = {**allowing("iam:TagUser", StringEquals={"aws:RequestTag/Team": "admins"}), "Effect": "Deny"}
    may(iam, user, allowing("iam:TagUser"), deny)
    own = client_of("iam", user)
    for name in ("Team", "team", "TEAM"):
        arguments = {"UserName": user.name, "Tags": [{"Key": name, "Value": "admins"}]}
        assert refused(own.tag_user, **arguments) == ("AccessDenied", 403)
    own.tag_user(UserName=user.name, Tags=[{"Key": "team", "Value": "users"}])


def test_a_role_without_a_users_name_gets_no_keys_of_the_account(iam: Any, client_of: Clients) -> None:
    role = iam.create_role(RoleName=new("role"), AssumeRolePolicyDocument=TRUST)["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": allowing("iam:*")})
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=document)
    account = client_of("sts", iam_user(iam, client_of, role["Arn"]))
    found = account.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    holder = User("", "", found["AccessKeyId"], found["SecretAccessKey"])
    session = client_of("iam", holder, session_token=found["SessionToken"])
    for call in (session.create_access_key, session.list_access_keys):
        assert refused(call) == ("ValidationError", 400)


def iam_user(iam: Any, client_of: Clients, role: str) -> User:
    """A user who may assume a role."""
    name = new("user")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    user = User(name, "", made["AccessKeyId"], made["SecretAccessKey"])
    may(iam, user, allowing("sts:AssumeRole"))
    return user


def test_tags_that_a_token_does_not_carry_are_none(
    make_role: Callable[..., str],  # noqa: F811
    assume: Callable[..., Any],  # noqa: F811
    client_of: Clients,
    provider: Provider,
) -> None:
    from botocore import UNSIGNED

    role = make_role(
        action=["sts:AssumeRoleWithWebIdentity", "sts:TagSession"], StringEquals={"aws:RequestTag/team": "a"}
    )
    forged = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "a", "TransitiveTagKeys.member.1": "team"}
    sts = adding(client_of("sts", signature_version=UNSIGNED), **forged)
    arguments = {"RoleArn": role, "RoleSessionName": "web"}
    plain = provider.token(aud="gateway")
    assert refused(sts.assume_role_with_web_identity, **arguments, WebIdentityToken=plain) == ("AccessDenied", 403)
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"team": ["a"]}, "transitive_tag_keys": []}}
    assume(role, provider.token(aud="gateway", **tags))
