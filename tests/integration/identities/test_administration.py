"""The administration calls of the Versity S3 Gateway, signed as its own tools sign them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.integration.identities.conftest import Clients, User
from tests.integration.identities.test_together import soon
from tests.integration.identities.test_users import new, refused
from tests.support.gateway import Gateway

Call = Callable[..., requests.Response]


@pytest.fixture
def call(iam_gateway: Gateway) -> Call:
    """Makes calls: call("/list-users"), call("/create-user", body, holder)."""

    def make(target: str, body: str = "", holder: Any = None, **headers: str) -> requests.Response:
        holder = holder or iam_gateway
        url = iam_gateway.endpoint + target
        request = AWSRequest("PATCH", url, data=body.encode(), headers=headers)
        S3SigV4Auth(Credentials(holder.access_key, holder.secret_key), "s3", iam_gateway.region).add_auth(request)
        return requests.patch(url, data=body.encode(), headers=dict(request.headers), timeout=30)

    return make


def account(user: User, role: str = "user", uid: int = 0, gid: int = 0, project: int = 0) -> str:
    return (
        f"<Account><Access>{user.access_key}</Access><Secret>{user.secret_key}</Secret><Role>{role}</Role>"
        f"<UserID>{uid}</UserID><GroupID>{gid}</GroupID><ProjectID>{project}</ProjectID>"
        # Sent by the commands of version 1.8.0.
        "<SessionToken></SessionToken><IsSession>false</IsSession><Arn></Arn><RoleArn></RoleArn></Account>"
    )


def somebody() -> User:
    name = new("vgw")
    return User(name, "", name, f"secret-of-{name}")


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, ElementTree.fromstring(answer.content).findtext("Code") or ""


def listed(call: Call, access_key: str) -> dict[str, str]:
    root = ElementTree.fromstring(call("/list-users").content)
    assert root.tag == "ListUserAccountsResult"
    for element in root.findall("Accounts"):
        if element.findtext("Access") == access_key:
            return {child.tag: child.text or "" for child in element}
    return {}


def test_life_of_a_user(call: Call, client_of: Clients) -> None:
    """AdminCreateUser, AdminListUsers, AdminUpdateUser, AdminDeleteUser."""
    user = somebody()
    assert call("/create-user", account(user, uid=1000, gid=100)).status_code == 201
    assert code(call("/create-user", account(user))) == (409, "XAdminUserExists")
    assert listed(call, user.access_key) == {
        "Access": user.access_key,
        "Secret": "",
        "Role": "user",
        "UserID": "1000",
        "GroupID": "100",
        "ProjectID": "0",
    }
    s3, bucket = client_of("s3", user), new("vgw")
    assert refused(s3.create_bucket, Bucket=bucket) == ("AccessDenied", 403)
    changes = "<MutableProps><Role>userplus</Role><UserID>0</UserID></MutableProps>"
    assert call(f"/update-user?access={user.access_key}", changes).status_code == 200
    assert (listed(call, user.access_key)["Role"], listed(call, user.access_key)["UserID"]) == ("userplus", "0")
    soon(lambda: s3.create_bucket(Bucket=bucket))
    call(f"/update-user?access={user.access_key}", "<MutableProps><Secret>another-secret</Secret></MutableProps>")
    soon(s3.list_buckets, "SignatureDoesNotMatch")
    soon(client_of("s3", User("", "", user.access_key, "another-secret")).list_buckets)
    assert call(f"/delete-user?access={user.access_key}").status_code == 200
    soon(s3.list_buckets, "InvalidAccessKeyId")
    assert listed(call, user.access_key) == {}
    for path in ("delete-user", "update-user"):
        answer = call(f"/{path}?access={user.access_key}", "<MutableProps/>" if path == "update-user" else "")
        assert code(answer) == (404, "XAdminUserNotFound")


def test_administrators_do_what_root_does(call: Call, client_of: Clients) -> None:
    admin, user = somebody(), somebody()
    bucket = new("vgw")
    client_of("s3").create_bucket(Bucket=bucket)
    assert call("/create-user", account(admin, "admin")).status_code == 201
    assert call("/create-user", account(user), admin).status_code == 201
    client_of("s3", admin).put_object(Bucket=bucket, Key="k", Body=b"")
    assert code(call("/list-users", "", user)) == (403, "XAdminAccessDenied")
    assert code(call("/create-user", account(somebody()), user)) == (403, "XAdminAccessDenied")
    call(f"/update-user?access={admin.access_key}", "<MutableProps><Role>user</Role></MutableProps>")
    soon(lambda: client_of("s3", admin).put_object(Bucket=bucket, Key="k", Body=b""), "AccessDenied")
    assert code(call("/list-users", "", admin)) == (403, "XAdminAccessDenied")


def test_buckets_and_their_owners(call: Call, client_of: Clients, iam_gateway: Gateway) -> None:
    """AdminCreateBucket, AdminListBuckets, AdminChangeBucketOwner."""
    one, other = somebody(), somebody()
    for user in (one, other):
        call("/create-user", account(user))
    bucket = new("vgw")

    def owner() -> str:
        root = ElementTree.fromstring(call("/list-buckets").content)
        assert root.tag == "ListBucketsResult"
        return {row.findtext("Name"): row.findtext("Owner") for row in root.findall("Buckets")}[bucket] or ""

    assert call(f"/{bucket}/create", **{"x-vgw-owner": one.access_key}).status_code == 201
    assert owner() == one.access_key
    first, second = client_of("s3", one), client_of("s3", other)
    first.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert refused(second.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    assert code(call(f"/{bucket}/create", **{"x-vgw-owner": other.access_key})) == (409, "BucketAlreadyExists")
    assert call(f"/change-bucket-owner?bucket={bucket}&owner={quote(other.access_key)}").status_code == 200
    assert owner() == other.access_key
    assert soon(lambda: second.get_object(Bucket=bucket, Key="k"))["Body"].read() == b"data"
    soon(lambda: first.get_object(Bucket=bucket, Key="k"), "AccessDenied")
    assert [row["Name"] for row in second.list_buckets()["Buckets"]] == [bucket]
    assert call(f"/change-bucket-owner?bucket={bucket}&owner={iam_gateway.access_key}").status_code == 200
    assert owner() == iam_gateway.access_key
    nobody = call(f"/change-bucket-owner?bucket={bucket}&owner=nobody")
    assert code(nobody) == (404, "XAdminUserNotFound")
    assert code(call(f"/change-bucket-owner?bucket={new('x')}&owner={one.access_key}")) == (404, "NoSuchBucket")
    assert code(call(f"/{new('x')}/create")) == (400, "XAdminInvalidRequest")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("<Role>user</Role>", "<Role>king</Role>"),
        lambda text: text.replace("<ProjectID>0", "<ProjectID>5"),
        lambda text: text.replace("<Secret>secret", "<Secret>").replace("-of-", "")[:0] + "<Account/>",
        lambda text: text.replace("<Access>vgw", "<Access>v g w"),
    ],
)
def test_arguments_that_are_none(call: Call, change: Callable[[str], str]) -> None:
    assert code(call("/create-user", change(account(somebody())))) == (400, "XAdminInvalidArgument")


def test_documents_that_are_none(call: Call) -> None:
    for body in ("<Account>", "<Other/>", "<Account><Access>a</Access><Access>b</Access></Account>", "nonsense"):
        assert code(call("/create-user", body)) == (400, "MalformedXML")
    assert code(call("/create-user"))[0] == 400


def test_keys_of_root_and_of_users_are_none_of_these_calls(call: Call, iam_gateway: Gateway, user: User) -> None:
    assert code(call(f"/delete-user?access={iam_gateway.access_key}")) == (400, "XAdminInvalidArgument")
    assert code(call(f"/delete-user?access={user.access_key}")) == (404, "XAdminUserNotFound")
    assert code(call("/delete-user")) == (400, "XAdminInvalidArgument")
    assert code(call("/create-user", account(User("", "", iam_gateway.access_key, "x" * 20))))[0] == 409


def test_account_that_has_users_is_not_deleted(call: Call, client_of: Clients) -> None:
    owner = somebody()
    call("/create-user", account(owner))
    client_of("iam", owner).create_user(UserName="bob")
    assert code(call(f"/delete-user?access={owner.access_key}")) == (400, "XAdminInvalidArgument")
    client_of("iam", owner).delete_user(UserName="bob")
    assert call(f"/delete-user?access={owner.access_key}").status_code == 200


def test_other_paths_are_no_calls(call: Call, iam_gateway: Gateway) -> None:
    assert code(call("/create-users")) == (405, "MethodNotAllowed")
    assert code(call("/bucket/created")) == (405, "MethodNotAllowed")
    unsigned = requests.patch(iam_gateway.endpoint + "/list-users", timeout=30)
    assert code(unsigned) == (403, "AccessDenied")
