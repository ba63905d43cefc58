"""Users, keys, groups, policies, roles and tags by IAM's query API, with botocore and its models."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.integration.identities.conftest import Clients, User

READ = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::*"}}
)
TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}
)


def new(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:12]}"


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_life_of_a_user(iam: Any) -> None:
    name = new("user")
    made = iam.create_user(UserName=name, Path="/physics/", Tags=[{"Key": "Team", "Value": "atlas"}])["User"]
    assert made["Arn"].endswith(f":user/physics/{name}")
    assert made["UserId"].startswith("AIDA")
    found = iam.get_user(UserName=name)["User"]
    assert found == made
    assert refused(iam.create_user, UserName=name.upper()) == ("EntityAlreadyExists", 409)
    iam.update_user(UserName=name, NewPath="/chemistry/")
    assert iam.get_user(UserName=name)["User"]["Path"] == "/chemistry/"
    assert refused(iam.update_user, UserName=name, NewUserName="other") == ("NotSupported", 400)
    assert name in [one["UserName"] for one in iam.list_users(PathPrefix="/chemistry/")["Users"]]
    assert name not in [one["UserName"] for one in iam.list_users(PathPrefix="/physics/")["Users"]]
    iam.delete_user(UserName=name)
    assert refused(iam.get_user, UserName=name) == ("NoSuchEntity", 404)
    assert refused(iam.delete_user, UserName=name) == ("NoSuchEntity", 404)


def test_names_that_are_none_are_refused(iam: Any) -> None:
    assert refused(iam.create_user, UserName="a b") == ("ValidationError", 400)
    assert refused(iam.create_user, UserName=new("u"), Path="nowhere") == ("ValidationError", 400)


def test_users_come_in_pages(iam: Any) -> None:
    path = f"/{new('pages')}/"
    names = sorted(new("page") for _ in range(5))
    for name in names:
        iam.create_user(UserName=name, Path=path)
    page = iam.list_users(PathPrefix=path, MaxItems=2)
    assert page["IsTruncated"]
    assert [one["UserName"] for one in page["Users"]] == names[:2]
    pages = iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 2})
    assert [one["UserName"] for found in pages for one in found["Users"]] == names
    assert refused(iam.list_users, Marker="?") == ("ValidationError", 400)


def test_life_of_an_access_key(iam: Any, user: User) -> None:
    second = iam.create_access_key(UserName=user.name)["AccessKey"]
    assert len(second["SecretAccessKey"]) == 40
    listed = iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in listed} == {user.access_key, second["AccessKeyId"]}
    iam.update_access_key(UserName=user.name, AccessKeyId=user.access_key, Status="Inactive")
    statuses = {
        key["AccessKeyId"]: key["Status"] for key in iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]
    }
    assert statuses == {user.access_key: "Inactive", second["AccessKeyId"]: "Active"}
    used = iam.get_access_key_last_used(AccessKeyId=second["AccessKeyId"])
    assert used["UserName"] == user.name
    assert used["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    assert refused(iam.delete_user, UserName=user.name) == ("DeleteConflict", 409)
    iam.delete_access_key(UserName=user.name, AccessKeyId=second["AccessKeyId"])
    assert refused(iam.delete_access_key, UserName=user.name, AccessKeyId=second["AccessKeyId"])[0] == "NoSuchEntity"
    for _ in range(9):
        iam.create_access_key(UserName=user.name)
    assert refused(iam.create_access_key, UserName=user.name) == ("LimitExceeded", 409)
    assert refused(iam.create_access_key) == ("ValidationError", 400)
    assert refused(iam.get_access_key_last_used, AccessKeyId="AKIAAAAAAAAAAAAAAAAA") == ("AccessDenied", 403)


def test_key_of_one_user_is_not_changed_as_that_of_another(iam: Any, user: User) -> None:
    other = new("user")
    iam.create_user(UserName=other)
    assert refused(iam.update_access_key, UserName=other, AccessKeyId=user.access_key, Status="Inactive") == (
        "NoSuchEntity",
        404,
    )


def test_groups_and_members(iam: Any, user: User) -> None:
    group = new("group")
    made = iam.create_group(GroupName=group, Path="/teams/")["Group"]
    assert made["GroupId"].startswith("AGPA")
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    assert [one["UserName"] for one in iam.get_group(GroupName=group)["Users"]] == [user.name]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName=user.name)["Groups"]] == [group]
    assert group in [one["GroupName"] for one in iam.list_groups(PathPrefix="/teams/")["Groups"]]
    assert refused(iam.delete_group, GroupName=group) == ("DeleteConflict", 409)
    iam.remove_user_from_group(GroupName=group, UserName=user.name)
    assert refused(iam.remove_user_from_group, GroupName=group, UserName=user.name) == ("NoSuchEntity", 404)
    iam.update_group(GroupName=group, NewPath="/")
    iam.delete_group(GroupName=group)
    assert refused(iam.get_group, GroupName=group) == ("NoSuchEntity", 404)


@pytest.fixture(params=["user", "group", "role"])
def holder(request: pytest.FixtureRequest, iam: Any) -> tuple[str, str]:
    """A new user, group or role: its kind and name."""
    kind, name = request.param, new(request.param)
    if kind == "user":
        iam.create_user(UserName=name)
    elif kind == "group":
        iam.create_group(GroupName=name)
    else:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    return kind, name


def test_inline_policies(iam: Any, holder: tuple[str, str]) -> None:
    kind, name = holder
    named = {f"{kind.capitalize()}Name": name}
    getattr(iam, f"put_{kind}_policy")(**named, PolicyName="read", PolicyDocument=READ)
    found = getattr(iam, f"get_{kind}_policy")(**named, PolicyName="read")
    assert found["PolicyDocument"] == json.loads(READ)
    assert getattr(iam, f"list_{kind}_policies")(**named)["PolicyNames"] == ["read"]
    assert refused(getattr(iam, f"delete_{kind}"), **named) == ("DeleteConflict", 409)
    code = refused(getattr(iam, f"put_{kind}_policy"), **named, PolicyName="bad", PolicyDocument='{"Statement": []}')
    assert code == ("MalformedPolicyDocument", 400)
    getattr(iam, f"delete_{kind}_policy")(**named, PolicyName="read")
    assert refused(getattr(iam, f"get_{kind}_policy"), **named, PolicyName="read") == ("NoSuchEntity", 404)
    assert refused(getattr(iam, f"delete_{kind}_policy"), **named, PolicyName="read") == ("NoSuchEntity", 404)
    getattr(iam, f"delete_{kind}")(**named)


def test_managed_policies(iam: Any, holder: tuple[str, str]) -> None:
    kind, name = holder
    named = {f"{kind.capitalize()}Name": name}
    policy = iam.create_policy(
        PolicyName=new("policy"), PolicyDocument=READ, Description="reads", Tags=[{"Key": "a", "Value": "b"}]
    )["Policy"]
    arn = policy["Arn"]
    getattr(iam, f"attach_{kind}_policy")(**named, PolicyArn=arn)
    attached = getattr(iam, f"list_attached_{kind}_policies")(**named)["AttachedPolicies"]
    assert attached == [{"PolicyName": policy["PolicyName"], "PolicyArn": arn}]
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (found["AttachmentCount"], found["Description"]) == (1, "reads")
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [one[f"{kind.capitalize()}Name"] for one in entities[f"Policy{kind.capitalize()}s"]] == [name]
    assert refused(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    getattr(iam, f"detach_{kind}_policy")(**named, PolicyArn=arn)
    assert refused(getattr(iam, f"detach_{kind}_policy"), **named, PolicyArn=arn) == ("NoSuchEntity", 404)
    iam.delete_policy(PolicyArn=arn)
    assert refused(getattr(iam, f"attach_{kind}_policy"), **named, PolicyArn=arn) == ("NoSuchEntity", 404)


def test_versions_of_a_policy(iam: Any) -> None:
    arn = iam.create_policy(PolicyName=new("policy"), PolicyDocument=READ)["Policy"]["Arn"]
    write = READ.replace("s3:Get*", "s3:Put*")
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=write, SetAsDefault=True)["PolicyVersion"]
    assert (made["VersionId"], made["IsDefaultVersion"]) == ("v2", True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"] == json.loads(write)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(one["VersionId"], one["IsDefaultVersion"]) for one in versions] == [("v2", False), ("v1", True)]
    assert iam.list_policy_versions(PolicyArn=arn, MaxItems=1)["IsTruncated"]
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v1") == ("DeleteConflict", 409)
    for _ in range(3):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)
    assert refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=READ) == ("LimitExceeded", 409)
    assert refused(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    for version in ("v2", "v3", "v4", "v5"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    assert refused(iam.get_policy_version, PolicyArn=arn, VersionId="v2") == ("NoSuchEntity", 404)
    iam.delete_policy(PolicyArn=arn)
    assert refused(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", 404)
    assert refused(iam.get_policy, PolicyArn="nonsense-of-20-letters") == ("ValidationError", 400)


def test_list_policies_by_use(iam: Any, user: User) -> None:
    arns = [iam.create_policy(PolicyName=new("policy"), PolicyDocument=READ)["Policy"]["Arn"] for _ in range(2)]
    iam.attach_user_policy(UserName=user.name, PolicyArn=arns[0])
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=arns[1])
    assert iam.get_user(UserName=user.name)["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arns[1]

    def listed(**arguments: Any) -> set[str]:
        return {policy["Arn"] for policy in iam.list_policies(MaxItems=1000, **arguments)["Policies"]} & set(arns)

    assert listed() == listed(Scope="Local") == set(arns)
    assert listed(Scope="AWS") == set()
    assert listed(OnlyAttached=True) == {arns[0]}
    assert listed(PolicyUsageFilter="PermissionsBoundary") == {arns[1]}
    iam.delete_user_permissions_boundary(UserName=user.name)
    assert "PermissionsBoundary" not in iam.get_user(UserName=user.name)["User"]


def test_policies_of_all_accounts(iam: Any, user: User, client_of: Clients) -> None:
    arn = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    own = iam.create_policy(PolicyName=new("IAMReadOnlyAccess"), PolicyDocument=READ)["Policy"]["Arn"]
    iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    reader = client_of("iam", user)
    assert reader.list_users(MaxItems=1)["Users"]
    assert reader.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] >= 1
    assert reader.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]["Statement"]
    assert refused(reader.create_group, GroupName=new("group")) == ("AccessDenied", 403)
    names = {policy["PolicyName"] for policy in iam.list_policies(Scope="AWS")["Policies"]}
    assert {"AdministratorAccess", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess"} <= names
    listed = {policy["Arn"] for policy in iam.list_policies(MaxItems=1000)["Policies"]}
    assert {arn, own} <= listed
    assert refused(iam.delete_policy, PolicyArn=arn) == ("AccessDenied", 403)
    assert refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=READ) == ("AccessDenied", 403)
    assert refused(iam.tag_policy, PolicyArn=arn, Tags=[{"Key": "a", "Value": "b"}]) == ("AccessDenied", 403)
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == []
    iam.detach_user_policy(UserName=user.name, PolicyArn=arn)


def test_life_of_a_role(iam: Any) -> None:
    role, boundary = new("role"), iam.create_policy(PolicyName=new("bound"), PolicyDocument=READ)["Policy"]["Arn"]
    made = iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=TRUST,
        Description="for tests",
        MaxSessionDuration=7200,
        PermissionsBoundary=boundary,
        Tags=[{"Key": "a", "Value": "b"}],
    )["Role"]
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert iam.get_role(RoleName=role)["Role"] == made
    assert made["RoleLastUsed"] == {}
    assert role in [one["RoleName"] for one in iam.list_roles(MaxItems=1000)["Roles"]]
    iam.update_role(RoleName=role, Description="other", MaxSessionDuration=3600)
    iam.update_role_description(RoleName=role, Description="another")
    found = iam.get_role(RoleName=role)["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("another", 3600)
    nobody = TRUST.replace('"*"', '"arn:aws:iam::209852448250:user/nobody-at-all"')
    assert refused(iam.update_assume_role_policy, RoleName=role, PolicyDocument=nobody)[0] == "MalformedPolicyDocument"
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=TRUST.replace('"*"', '"209852448250"'))
    iam.delete_role_permissions_boundary(RoleName=role)
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=boundary)
    assert iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"] == []
    iam.delete_role(RoleName=role)
    assert refused(iam.get_role, RoleName=role) == ("NoSuchEntity", 404)


def test_tags(iam: Any, user: User) -> None:
    role = new("role")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    arn = iam.create_policy(PolicyName=new("policy"), PolicyDocument=READ)["Policy"]["Arn"]
    for kind, named in (
        ("user", {"UserName": user.name}),
        ("role", {"RoleName": role}),
        ("policy", {"PolicyArn": arn}),
    ):
        getattr(iam, f"tag_{kind}")(**named, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        getattr(iam, f"tag_{kind}")(**named, Tags=[{"Key": "a", "Value": "3"}])
        getattr(iam, f"untag_{kind}")(**named, TagKeys=["b"])
        assert getattr(iam, f"list_{kind}_tags")(**named)["Tags"] == [{"Key": "a", "Value": "3"}]
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        assert refused(getattr(iam, f"tag_{kind}"), **named, Tags=many) == ("LimitExceeded", 409)


def test_account(iam: Any) -> None:
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 0
    assert summary["AccessKeysPerUserQuota"] == 10
    assert iam.list_account_aliases()["AccountAliases"] == ["root"]
    root = iam.get_user()["User"]
    assert root["Arn"].endswith(":root")


def test_lists_of_what_there_is_none_of(iam: Any, user: User) -> None:
    assert iam.list_mfa_devices(UserName=user.name)["MFADevices"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert iam.list_saml_providers()["SAMLProviderList"] == []
    assert refused(iam.get_login_profile, UserName=user.name) == ("NoSuchEntity", 404)


def test_user_without_policies_may_do_nothing(user: User, client_of: Clients) -> None:
    own = client_of("iam", user)
    assert refused(own.list_users) == ("AccessDenied", 403)
    assert refused(own.get_user) == ("AccessDenied", 403)
    assert refused(own.create_access_key) == ("AccessDenied", 403)


def test_user_manages_his_own_keys_where_a_policy_lets_him(iam: Any, user: User, client_of: Clients) -> None:
    statement = {
        "Effect": "Allow",
        "Action": ["iam:*AccessKey*", "iam:GetUser"],
        "Resource": "arn:aws:iam::*:user/${aws:username}",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=user.name, PolicyName="own-keys", PolicyDocument=document)
    own = client_of("iam", user)
    assert own.get_user()["User"]["UserName"] == user.name
    key = own.create_access_key()["AccessKey"]
    assert key["UserName"] == user.name
    own.update_access_key(AccessKeyId=key["AccessKeyId"], Status="Inactive")
    own.delete_access_key(AccessKeyId=key["AccessKeyId"])
    assert refused(own.create_access_key, UserName=new("other")) == ("AccessDenied", 403)


def test_attachment_can_be_limited_to_one_policy(iam: Any, user: User, client_of: Clients) -> None:
    arn = iam.create_policy(PolicyName=new("policy"), PolicyDocument=READ)["Policy"]["Arn"]
    other = iam.create_policy(PolicyName=new("policy"), PolicyDocument=READ)["Policy"]["Arn"]
    statement = {
        "Effect": "Allow",
        "Action": "iam:AttachUserPolicy",
        "Resource": "*",
        "Condition": {"ArnEquals": {"iam:PolicyARN": arn}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=user.name, PolicyName="attach", PolicyDocument=document)
    own = client_of("iam", user)
    own.attach_user_policy(UserName=user.name, PolicyArn=arn)
    assert refused(own.attach_user_policy, UserName=user.name, PolicyArn=other) == ("AccessDenied", 403)
