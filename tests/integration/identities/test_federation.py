"""Sign-in by a token of a provider that runs in a process of its own and changes its keys: OpenID Connect to S3."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from tests.integration.identities.conftest import Clients
from tests.integration.identities.test_sts import allow, session_of
from tests.integration.identities.test_users import new, refused
from tests.support.oidc_provider import Provider

PATIENCE = 30.0


@pytest.fixture(scope="module")
def trusted(iam: Any, provider: Provider) -> Iterator[str]:
    """The ARN of the provider, which the root account trusts for the audience `gateway`."""
    made = iam.create_open_id_connect_provider(Url=provider.issuer, ClientIDList=["gateway"])
    arn = made["OpenIDConnectProviderArn"]
    yield arn
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


@pytest.fixture(scope="module")
def key(provider: Provider) -> Callable[[str], str]:
    """Names the condition key of a claim."""
    name = provider.issuer.partition("://")[2]
    return lambda claim: f"{name}:{claim}"


@pytest.fixture
def make_role(iam: Any, trusted: str) -> Callable[..., str]:
    """Makes roles for holders of tokens; gives their ARNs."""

    def make(policy: Any = None, action: Any = "sts:AssumeRoleWithWebIdentity", **condition: Any) -> str:
        statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Federated": trusted}, "Action": action}
        if condition:
            statement["Condition"] = condition
        name = new("web")
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if policy is not None:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        return arn

    return make


@pytest.fixture
def assume(client_of: Clients) -> Callable[..., Any]:
    """Exchanges a token for credentials, without any of one's own."""
    sts = client_of("sts", signature_version=UNSIGNED)

    def call(arn: str, token: str, **more: Any) -> Any:
        return sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="web", WebIdentityToken=token, **more)

    return call


def accepted(assume: Callable[..., Any], arn: str, make_token: Callable[[], str]) -> Any:
    """The answer to a token of a new key, which is asked for every few seconds at most."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return assume(arn, make_token())
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidIdentityToken" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_token_becomes_a_role_that_reads_and_writes_its_bucket(
    assume: Callable[..., Any], client_of: Clients, make_role: Callable[..., str], provider: Provider, trusted: str
) -> None:
    bucket = new("web")
    client_of("s3").create_bucket(Bucket=bucket)
    statements = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": f"arn:aws:s3:::{bucket}/ann/*"},
    ]
    arn = make_role({"Version": "2012-10-17", "Statement": statements})
    answer = assume(arn, provider.token(sub="subject-ann"))
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == ("subject-ann", "gateway")
    assert answer["Provider"] == trusted
    session = session_of(answer)
    s3 = client_of("s3", session, session_token=session.token)
    s3.put_object(Bucket=bucket, Key="ann/x", Body=b"data")
    assert s3.get_object(Bucket=bucket, Key="ann/x")["Body"].read() == b"data"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["ann/x"]
    assert refused(s3.put_object, Bucket=bucket, Key="bob/x", Body=b"") == ("AccessDenied", 403)
    assert refused(s3.delete_bucket, Bucket=bucket) == ("AccessDenied", 403)


def test_provider_changes_its_keys(
    assume: Callable[..., Any], make_role: Callable[..., str], provider: Provider
) -> None:
    arn = make_role()
    old = provider.token()
    assume(arn, old)
    provider.rotate("EC")
    accepted(assume, arn, provider.token)
    by_ec = provider.token()
    provider.rotate("RSA", keep=True)
    accepted(assume, arn, provider.token)
    accepted(assume, arn, lambda: by_ec)
    # The first key is published no more: for a worker that knows the new ones, its tokens are worth nothing.
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assume(arn, old)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            break
        assert time.monotonic() < deadline
        accepted(assume, arn, provider.token)
    assert code == "InvalidIdentityToken"


def refused_code(assume: Callable[..., Any], arn: str, token: str, **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        assume(arn, token, **more)
    return str(caught.value.response["Error"]["Code"])


def test_claims_decide_who_may(
    assume: Callable[..., Any], make_role: Callable[..., str], provider: Provider, key: Callable[[str], str]
) -> None:
    arn = make_role(
        StringEquals={key("aud"): "gateway", key("sub"): "subject-ann"},
        **{"ForAnyValue:StringLike": {key("groups"): "physics-*"}},
    )
    assume(arn, provider.token(groups=["staff", "physics-1"]))
    for claims in ({"groups": ["staff"]}, {"groups": ["physics-1"], "sub": "subject-bob"}, {}):
        assert refused_code(assume, arn, provider.token(**claims)) == "AccessDenied"


def test_tokens_that_are_not_accepted(
    assume: Callable[..., Any], make_role: Callable[..., str], provider: Provider
) -> None:
    arn = make_role()
    now = int(time.time())
    assert refused_code(assume, arn, provider.token(exp=now - 100)) == "ExpiredTokenException"
    assert refused_code(assume, arn, provider.token(aud="stranger")) == "InvalidIdentityToken"
    assert refused_code(assume, arn, provider.token(iss="https://evil.example.org")) == "InvalidIdentityToken"
    assert refused_code(assume, arn, provider.token()[:-8] + "AAAAAAAA") == "InvalidIdentityToken"
    assert refused_code(assume, arn, "not a token at all") == "InvalidIdentityToken"
    assert refused_code(assume, arn[:-2] + "zz", provider.token()) == "AccessDenied"
    assert refused_code(assume, arn, provider.token(), DurationSeconds=3601) == "ValidationError"
    assert refused_code(assume, arn, provider.token(), Policy="{}") == "MalformedPolicyDocument"


def test_tags_of_a_token_become_tags_of_the_session(
    assume: Callable[..., Any], client_of: Clients, make_role: Callable[..., str], provider: Provider
) -> None:
    tagged = allow("iam:ListUsers")
    tagged["Statement"]["Condition"] = {"StringEquals": {"aws:PrincipalTag/team": "atlas"}}
    actions = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]
    arn = make_role(tagged, actions)
    claim = {"https://aws.amazon.com/tags": {"principal_tags": {"team": ["atlas"]}, "transitive_tag_keys": ["team"]}}
    session = session_of(assume(arn, provider.token(**claim)))
    client_of("iam", session, session_token=session.token).list_users(MaxItems=1)
    untagged = make_role(tagged)
    assert refused_code(assume, untagged, provider.token(**claim)) == "AccessDenied"


def test_session_policy_limits_a_federated_session(
    assume: Callable[..., Any], client_of: Clients, make_role: Callable[..., str], provider: Provider
) -> None:
    arn = make_role(allow("iam:ListUsers", "iam:ListRoles"))
    session = session_of(assume(arn, provider.token(), Policy=json.dumps(allow("iam:ListRoles"))))
    own = client_of("iam", session, session_token=session.token)
    own.list_roles(MaxItems=1)
    assert refused(own.list_users) == ("AccessDenied", 403)


def test_known_keys_go_on_while_the_provider_is_away(
    assume: Callable[..., Any], make_role: Callable[..., str], provider: Provider
) -> None:
    arn = make_role()
    accepted(assume, arn, provider.token)
    asked = provider.asked
    provider.switch(False)
    try:
        assume(arn, provider.token())
    finally:
        provider.switch(True)
    assert provider.asked == asked
