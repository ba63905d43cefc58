"""Temporary credentials by STS, with botocore and its model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.integration.identities.conftest import Clients, User
from tests.integration.identities.test_users import new, refused
from tests.support.gateway import Gateway


@dataclass
class Session:
    """Temporary credentials, as clients are made of them."""

    access_key: str
    secret_key: str
    token: str


def session_of(answer: dict[str, Any]) -> Session:
    found = answer["Credentials"]
    return Session(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def trust(principal: Any, action: Any = "sts:AssumeRole", **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture
def make_role(iam: Any) -> Callable[..., str]:
    """Makes roles; gives their ARNs."""

    def make(document: str, policy: Any = None, **settings: Any) -> str:
        name = new("role")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, **settings)["Role"]["Arn"]
        if policy:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        return arn

    return make


def allow(*actions: str, resource: str = "*") -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": list(actions), "Resource": resource},
    }


@pytest.fixture
def sts(client_of: Clients, user: User) -> Any:
    """A user's client of STS, which leaves it to the gateway to check parameters."""
    return client_of("sts", user, parameter_validation=False)


def test_caller_identity(client_of: Clients, iam: Any, user: User) -> None:
    root = client_of("sts").get_caller_identity()
    assert root["Arn"] == f"arn:aws:iam::{root['Account']}:root"
    found = client_of("sts", user).get_caller_identity()
    assert (found["Arn"], found["Account"]) == (user.arn, root["Account"])
    assert found["UserId"] == iam.get_user(UserName=user.name)["User"]["UserId"]


def test_session_token_of_a_user(client_of: Clients, iam: Any, user: User) -> None:
    answer = client_of("sts", user).get_session_token(DurationSeconds=900)
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert 800 < left.total_seconds() <= 900
    session = session_of(answer)
    own = client_of("sts", session, session_token=session.token)
    assert own.get_caller_identity()["Arn"] == user.arn
    assert refused(own.get_session_token) == ("AccessDenied", 403)
    iam.put_user_policy(UserName=user.name, PolicyName="all", PolicyDocument=json.dumps(allow("*")))
    assert refused(client_of("iam", session, session_token=session.token).list_users) == ("AccessDenied", 403)


def test_a_role_trusts_the_user_who_was_there_and_none_who_takes_his_name(
    client_of: Clients, iam: Any, user: User, make_role: Callable[..., str]
) -> None:
    """And the policy, by every way of reading it, shows the id of who is gone."""
    arn = make_role(trust({"AWS": [user.arn]}))
    name = arn.rpartition("/")[2]

    def trusted() -> Any:
        (listed,) = (role for role in iam.list_roles()["Roles"] if role["RoleName"] == name)
        got = iam.get_role(RoleName=name)["Role"]
        assert got["AssumeRolePolicyDocument"] == listed["AssumeRolePolicyDocument"]
        return got["AssumeRolePolicyDocument"]["Statement"]["Principal"]["AWS"]

    assert trusted() == [user.arn]
    client_of("sts", user).assume_role(RoleArn=arn, RoleSessionName="first")
    former = iam.get_user(UserName=user.name)["User"]["UserId"]
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key)
    iam.delete_user(UserName=user.name)
    assert trusted() == [former]

    assert iam.create_user(UserName=user.name)["User"]["Arn"] == user.arn
    key = iam.create_access_key(UserName=user.name)["AccessKey"]
    later = User(user.name, user.arn, key["AccessKeyId"], key["SecretAccessKey"])
    sts = client_of("sts", later)
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="second") == ("AccessDenied", 403)
    assert trusted() == [former]
    document = trust({"AWS": former})
    answer = refused(iam.update_assume_role_policy, RoleName=name, PolicyDocument=document)
    assert answer == ("MalformedPolicyDocument", 400)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust({"AWS": user.arn}))
    sts.assume_role(RoleArn=arn, RoleSessionName="third")


def test_session_ends_with_the_key_that_it_was_asked_for_with(client_of: Clients, iam: Any, user: User) -> None:
    session = session_of(client_of("sts", user).get_session_token())
    own = client_of("sts", session, session_token=session.token)
    own.get_caller_identity()
    iam.update_access_key(UserName=user.name, AccessKeyId=user.access_key, Status="Inactive")
    deadline = time.monotonic() + 20
    while refused_code(own) != "InvalidClientTokenId":
        assert time.monotonic() < deadline


def refused_code(own: Any) -> str:
    from botocore.exceptions import ClientError

    try:
        own.get_caller_identity()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_session_token_of_root_works_with_s3(client_of: Clients) -> None:
    session = session_of(client_of("sts").get_session_token())
    s3 = client_of("s3", session, session_token=session.token)
    s3.list_buckets()
    url = s3.generate_presigned_url("list_buckets")
    assert requests.get(url, timeout=30).status_code == 200
    assert requests.get(url.replace("X-Amz-Security-Token=", "X-Amz-Security-Token=A"), timeout=30).status_code == 400


@pytest.mark.parametrize("change", [lambda token: "", lambda token: token[:-4] + "AAAA", lambda token: "nonsense"])
def test_forged_tokens_are_refused(client_of: Clients, change: Callable[[str], str]) -> None:
    session = session_of(client_of("sts").get_session_token())
    forged = client_of("sts", session, session_token=change(session.token) or None)
    assert refused(forged.get_caller_identity) == ("InvalidClientTokenId", 403)


def test_token_of_another_session_is_refused(client_of: Clients) -> None:
    one, other = (session_of(client_of("sts").get_session_token()) for _ in range(2))
    mixed = client_of("sts", one, session_token=other.token)
    assert refused(mixed.get_caller_identity) == ("InvalidClientTokenId", 403)


@pytest.mark.parametrize("seconds", [899, 129_601])
def test_durations_have_bounds(sts: Any, seconds: int) -> None:
    assert refused(sts.get_session_token, DurationSeconds=seconds) == ("ValidationError", 400)


def test_bucket_policies_name_sessions_that_there_can_be(
    client_of: Clients, user: User, make_role: Callable[..., str]
) -> None:
    """A statement about a session that nobody can have would be saved and never apply."""
    s3, bucket = client_of("s3"), new("sessions")
    s3.create_bucket(Bucket=bucket)
    name = make_role(trust({"AWS": user.arn})).rpartition("/")[2]
    account = user.arn.split(":")[4]

    def put(session: str) -> None:
        principal = {"AWS": f"arn:aws:sts::{account}:assumed-role/{session}"}
        statement = {"Effect": "Deny", "Principal": principal, "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))

    put(f"{name}/work")
    for session in (f"{name}/w", f"{name}/a b", f"{name}/{'w' * 65}", f"{name.upper()}/work", f"{new('role')}/work"):
        assert refused(put, session=session) == ("MalformedPolicy", 400)


def test_role_is_assumed_and_its_policies_apply(
    client_of: Clients, iam: Any, sts: Any, user: User, make_role: Callable[..., str]
) -> None:
    arn = make_role(trust({"AWS": user.arn}), allow("iam:ListUsers", "iam:GetUser"))
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="work")
    name = arn.rpartition("/")[2]
    assert answer["AssumedRoleUser"]["Arn"].endswith(f":assumed-role/{name}/work")
    session = session_of(answer)
    own = client_of("sts", session, session_token=session.token)
    assert own.get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert own.get_caller_identity()["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    acting = client_of("iam", session, session_token=session.token)
    acting.list_users(MaxItems=1)
    assert refused(acting.list_roles) == ("AccessDenied", 403)
    assert refused(own.get_session_token) == ("AccessDenied", 403)


def test_role_is_not_assumed_without_trust(iam: Any, sts: Any, user: User, make_role: Callable[..., str]) -> None:
    iam.put_user_policy(UserName=user.name, PolicyName="assume", PolicyDocument=json.dumps(allow("sts:AssumeRole")))
    foreign = make_role(trust({"Service": "ec2.amazonaws.com"}))
    assert refused(sts.assume_role, RoleArn=foreign, RoleSessionName="x1") == ("AccessDenied", 403)
    missing = foreign.rpartition("/")[0] + "/missing"
    assert refused(sts.assume_role, RoleArn=missing, RoleSessionName="x1") == ("AccessDenied", 403)
    assert refused(sts.assume_role, RoleArn="arn:aws:iam::1:role/x" + "x" * 20, RoleSessionName="x1")[0] == (
        "ValidationError"
    )


def test_trust_in_the_account_needs_the_users_own_policy(
    iam: Any, sts: Any, user: User, make_role: Callable[..., str]
) -> None:
    account = user.arn.split(":")[4]
    arn = make_role(trust({"AWS": account}))
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1") == ("AccessDenied", 403)
    iam.put_user_policy(
        UserName=user.name, PolicyName="assume", PolicyDocument=json.dumps(allow("sts:AssumeRole", resource=arn))
    )
    deadline = time.monotonic() + 20
    while True:
        try:
            sts.assume_role(RoleArn=arn, RoleSessionName="x1")
            break
        except sts.exceptions.ClientError:
            assert time.monotonic() < deadline


def test_external_id(sts: Any, user: User, make_role: Callable[..., str]) -> None:
    arn = make_role(trust({"AWS": user.arn}, StringEquals={"sts:ExternalId": "contract-5"}))
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1") == ("AccessDenied", 403)
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", ExternalId="contract-6")[0] == "AccessDenied"
    sts.assume_role(RoleArn=arn, RoleSessionName="x1", ExternalId="contract-5")
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", ExternalId="a b")[0] == "ValidationError"


def test_length_of_a_session(sts: Any, user: User, make_role: Callable[..., str]) -> None:
    arn = make_role(trust({"AWS": user.arn}), MaxSessionDuration=7200)
    sts.assume_role(RoleArn=arn, RoleSessionName="x1", DurationSeconds=7200)
    for seconds in (899, 7201, 43_201):
        assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", DurationSeconds=seconds) == (
            "ValidationError",
            400,
        )
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="a b")[0] == "ValidationError"
    code = refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", SerialNumber="1" * 9, TokenCode="123456")
    assert code == ("AccessDenied", 403)


def test_session_policies_limit(
    client_of: Clients, iam: Any, sts: Any, user: User, make_role: Callable[..., str]
) -> None:
    arn = make_role(trust({"AWS": user.arn}), allow("iam:List*", "iam:Get*"))
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="x1", Policy=json.dumps(allow("iam:ListUsers")))
    assert 1 <= answer["PackedPolicySize"] <= 100
    session = session_of(answer)
    acting = client_of("iam", session, session_token=session.token)
    acting.list_users(MaxItems=1)
    assert refused(acting.list_roles) == ("AccessDenied", 403)
    managed = iam.create_policy(PolicyName=new("limit"), PolicyDocument=json.dumps(allow("iam:ListRoles")))["Policy"]
    session = session_of(sts.assume_role(RoleArn=arn, RoleSessionName="x1", PolicyArns=[{"arn": managed["Arn"]}]))
    acting = client_of("iam", session, session_token=session.token)
    acting.list_roles(MaxItems=1)
    assert refused(acting.list_users) == ("AccessDenied", 403)
    for bad, code in (({"Policy": "{}"}, "MalformedPolicyDocument"), ({"Policy": "x" * 2049}, "PackedPolicyTooLarge")):
        assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", **bad)[0] == code
    missing = [{"arn": managed["Arn"] + "-not"}]
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="x1", PolicyArns=missing)[0] == (
        "MalformedPolicyDocument"
    )


def test_session_tags_and_source_identity(
    client_of: Clients, sts: Any, user: User, make_role: Callable[..., str]
) -> None:
    plain = make_role(trust({"AWS": user.arn}))
    tags = [{"Key": "team", "Value": "atlas"}]
    assert refused(sts.assume_role, RoleArn=plain, RoleSessionName="x1", Tags=tags) == ("AccessDenied", 403)
    assert refused(sts.assume_role, RoleArn=plain, RoleSessionName="x1", SourceIdentity="ann")[0] == "AccessDenied"
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    tagged = allow("iam:ListUsers", *actions)
    tagged["Statement"]["Condition"] = {"StringEquals": {"aws:PrincipalTag/team": "atlas"}}
    arn = make_role(trust({"AWS": user.arn}, actions), tagged)
    session = session_of(sts.assume_role(RoleArn=arn, RoleSessionName="x1"))
    assert refused(client_of("iam", session, session_token=session.token).list_users) == ("AccessDenied", 403)
    answer = sts.assume_role(
        RoleArn=arn, RoleSessionName="x1", Tags=tags, TransitiveTagKeys=["team"], SourceIdentity="ann"
    )
    assert answer["SourceIdentity"] == "ann"
    session = session_of(answer)
    client_of("iam", session, session_token=session.token).list_users(MaxItems=1)
    # From role to role: the transitive tag and the source identity go on, and last an hour at most.
    number = arn.split(":")[4]
    second = make_role(trust({"AWS": number}, actions), tagged, MaxSessionDuration=7200)
    chained = client_of("sts", session, session_token=session.token)
    answer = chained.assume_role(RoleArn=second, RoleSessionName="x2")
    assert answer["SourceIdentity"] == "ann"
    last = session_of(answer)
    client_of("iam", last, session_token=last.token).list_users(MaxItems=1)
    assert refused(chained.assume_role, RoleArn=second, RoleSessionName="x2", DurationSeconds=3601)[0] == (
        "ValidationError"
    )
    assert refused(chained.assume_role, RoleArn=second, RoleSessionName="x2", Tags=tags)[0] == "ValidationError"
    assert refused(chained.assume_role, RoleArn=second, RoleSessionName="x2", SourceIdentity="eve")[0] == "AccessDenied"


def test_sessions_of_a_deleted_role_end(client_of: Clients, iam: Any, sts: Any, user: User, make_role: Any) -> None:
    arn = make_role(trust({"AWS": user.arn}))
    session = session_of(sts.assume_role(RoleArn=arn, RoleSessionName="x1"))
    own = client_of("sts", session, session_token=session.token)
    own.get_caller_identity()
    iam.delete_role(RoleName=arn.rpartition("/")[2])
    deadline = time.monotonic() + 20
    while refused_code(own) != "InvalidClientTokenId":
        assert time.monotonic() < deadline


# -- the wire


def signed(gateway: Gateway, service: str, body: str, region: str = "", **headers: str) -> requests.Response:
    request = AWSRequest(
        "POST",
        gateway.endpoint + "/",
        data=body,
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **headers},
    )
    SigV4Auth(Credentials(gateway.access_key, gateway.secret_key), service, region or gateway.region).add_auth(request)
    return requests.post(gateway.endpoint + "/", data=body, headers=dict(request.headers), timeout=30)


CALLER = "Action=GetCallerIdentity&Version=2011-06-15"


def test_signature_has_to_be_for_the_service_of_the_operation(iam_gateway: Gateway) -> None:
    assert signed(iam_gateway, "sts", CALLER).status_code == 200
    for service, body in (("iam", CALLER), ("s3", CALLER), ("sts", "Action=ListUsers&Version=2010-05-08")):
        answer = signed(iam_gateway, service, body)
        assert answer.status_code == 403
        assert "<Code>SignatureDoesNotMatch</Code><Message>Credential should be scoped to correct" in answer.text
    elsewhere = signed(iam_gateway, "sts", CALLER, region="eu-west-7")
    assert (elsewhere.status_code, "a valid region, not 'eu-west-7'" in elsewhere.text) == (403, True)
    listing = AWSRequest("GET", iam_gateway.endpoint + "/", headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    SigV4Auth(Credentials(iam_gateway.access_key, iam_gateway.secret_key), "iam", iam_gateway.region).add_auth(listing)
    assert requests.get(iam_gateway.endpoint + "/", headers=dict(listing.headers), timeout=30).status_code == 400


def test_presigned_get_tells_who_one_is(iam_gateway: Gateway) -> None:
    request = AWSRequest("GET", f"{iam_gateway.endpoint}/?{CALLER}")
    credentials = Credentials(iam_gateway.access_key, iam_gateway.secret_key)
    SigV4QueryAuth(credentials, "sts", iam_gateway.region, expires=60).add_auth(request)
    answer = requests.get(request.url, timeout=30)
    assert (answer.status_code, ":root</Arn>" in answer.text) == (200, True)
    assert requests.get(request.url.replace("Version=2011", "Version=2010"), timeout=30).status_code == 400


def test_presigned_get_need_not_say_how_long_it_lives(iam_gateway: Gateway) -> None:
    """Only S3 asks for X-Amz-Expires."""
    request = AWSRequest("GET", f"{iam_gateway.endpoint}/?{CALLER}")

    class Unbounded(SigV4QueryAuth):
        def _modify_request_before_signing(self, request: AWSRequest) -> None:
            super()._modify_request_before_signing(request)
            request.url = request.url.replace("&X-Amz-Expires=60", "")

    Unbounded(Credentials(iam_gateway.access_key, iam_gateway.secret_key), "sts", iam_gateway.region, 60).add_auth(
        request
    )
    assert "Expires" not in request.url
    answer = requests.get(request.url, timeout=30)
    assert (answer.status_code, ":root</Arn>" in answer.text) == (200, True)
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-amz-request-id"]


def test_body_that_was_changed_on_the_way_is_refused(iam_gateway: Gateway) -> None:
    url = iam_gateway.endpoint + "/"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", url, data=CALLER, headers=headers)
    SigV4Auth(Credentials(iam_gateway.access_key, iam_gateway.secret_key), "sts", iam_gateway.region).add_auth(request)
    answer = requests.post(url, data=CALLER + "&X=1", headers=dict(request.headers), timeout=30)
    assert (answer.status_code, "<Code>SignatureDoesNotMatch</Code>" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("Action=Nonsense&Version=2010-05-08", 400, "InvalidAction"),
        ("Action=ListUsers&Version=2000-01-01", 400, "InvalidAction"),
        ("Version=2010-05-08", 400, "MissingAction"),
        ("Action=ListUsers&Version=2010-05-08", 403, "MissingAuthenticationToken"),
        ("Action=%zz", 400, "MalformedQueryString"),
        ("Action=ListUsers&Version=2010-05-08&x=" + "y" * 300_000, 400, "ValidationError"),
    ],
)
def test_requests_that_are_none(iam_gateway: Gateway, body: str, status: int, code: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(iam_gateway.endpoint + "/", data=body, headers=headers, timeout=30)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text


def test_wrong_keys_are_told_in_the_words_of_iam(iam_gateway: Gateway, client_of: Clients) -> None:
    nobody = Session("AKIANOBODYNOBODYNOBO", "x" * 40, "")
    assert refused(client_of("iam", nobody).list_users) == ("InvalidClientTokenId", 403)
    wrong = Session(iam_gateway.access_key, "x" * 40, "")
    assert refused(client_of("iam", wrong).list_users) == ("SignatureDoesNotMatch", 403)
