"""Who may do what, over HTTP: identities, bucket policies, ACLs, ownership, public access, anonymous requests.

The rows tested here: PutBucketPolicy, DeleteBucketPolicy, GetBucketPolicy, GetBucketPolicyStatus, PutPublicAccessBlock,
DeletePublicAccessBlock, GetPublicAccessBlock, PutBucketAcl, GetBucketAcl, PutObjectAcl, GetObjectAcl,
PutBucketOwnershipControls, DeleteBucketOwnershipControls, GetBucketOwnershipControls.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from click.testing import CliRunner

from dispatcher.cli import cli
from tests.support.gateway import Gateway, wait_until
from tests.support.identities import Identities, Person
from workers.iam.acl import ALL_USERS


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("access") / "data") as running:
        yield running
        log = running.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log


@pytest.fixture(scope="module")
def people(home: Gateway) -> Iterator[Identities]:
    opened = Identities(home)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def alice(people: Identities) -> Person:
    return people.account("alice", email="alice@example.org")


@pytest.fixture(scope="module")
def bob(people: Identities) -> Person:
    return people.account("bob", email="bob@example.org")


@pytest.fixture(scope="module")
def a(alice: Person) -> Any:
    return alice.s3()


@pytest.fixture(scope="module")
def b(bob: Person) -> Any:
    return bob.s3()


@pytest.fixture(scope="module")
def nobody(home: Gateway) -> Any:
    return home.s3(signature_version=UNSIGNED)


def new_bucket(client: Any, *, open_to_acls: bool = False, **options: Any) -> str:
    name = f"access-{uuid4().hex[:16]}"
    if open_to_acls:
        options["ObjectOwnership"] = "ObjectWriter"
    client.create_bucket(Bucket=name, **options)
    if open_to_acls:
        client.delete_public_access_block(Bucket=name)
        known_everywhere(client, name, lambda: "NoSuchPublicAccessBlockConfiguration")
    client.put_object(Bucket=name, Key="k", Body=b"data")
    return name


def known_everywhere(client: Any, bucket: str, expected: Any) -> None:
    """Both workers have heard of a change when they have said so a few times in a row."""

    def heard() -> bool:
        return all(code(client.get_public_access_block, Bucket=bucket) == expected() for _ in range(6))

    wait_until(heard, what="the change on all workers")


def code(call: Any, **arguments: Any) -> str:
    """The error code of a call, "" for a success."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def eventually(expected: str, call: Any, **arguments: Any) -> None:
    """Several answers in a row, so that all workers have been asked."""
    wait_until(
        lambda: all(code(call, **arguments) == expected for _ in range(6)), what=f"{expected or 'success'} everywhere"
    )


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(bucket: str, action: Any, principal: Any, **more: Any) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resources, **more}


# -- accounts and users


def test_accounts_keep_to_themselves(a: Any, b: Any, alice: Person) -> None:
    bucket = new_bucket(a)
    assert a.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    for call, arguments in (
        (b.get_object, {"Key": "k"}),
        (b.put_object, {"Key": "k", "Body": b"x"}),
        (b.delete_object, {"Key": "k"}),
        (b.list_objects_v2, {}),
        (b.get_bucket_policy, {}),
        (b.put_bucket_policy, {"Policy": policy(allow(bucket, "s3:*", "*"))}),
        (b.get_bucket_acl, {}),
        (b.delete_bucket, {}),
        (b.create_multipart_upload, {"Key": "m"}),
    ):
        assert code(call, Bucket=bucket, **arguments) == "AccessDenied", call
    assert code(b.head_bucket, Bucket=bucket) == "403"
    assert code(b.create_bucket, Bucket=bucket) == "BucketAlreadyExists"
    assert bucket not in [entry["Name"] for entry in b.list_buckets()["Buckets"]]
    own = a.list_buckets()
    assert bucket in [entry["Name"] for entry in own["Buckets"]]
    assert own["Owner"] == {"ID": alice.account, "DisplayName": "alice"}
    listed = a.list_objects(Bucket=bucket)["Contents"][0]
    assert listed["Owner"] == {"ID": alice.account, "DisplayName": "alice"}


def test_root_may_do_everything(home: Gateway, a: Any) -> None:
    bucket = new_bucket(a)
    root = home.s3()
    assert root.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    assert bucket in [entry["Name"] for entry in root.list_buckets()["Buckets"]]


def test_a_user_may_do_what_his_policies_say(people: Identities, a: Any, alice: Person) -> None:
    bucket = new_bucket(a)
    user = people.user(alice, f"u{uuid4().hex[:8]}")
    s3 = user.s3()
    denied = code(s3.get_object, Bucket=bucket, Key="k")
    assert denied == "AccessDenied"
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/k"}
    people.set_policy(alice, user.name, {"Version": "2012-10-17", "Statement": [read]})
    eventually("", s3.get_object, Bucket=bucket, Key="k")
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x") == "AccessDenied"
    # Who may not list does not learn what is not there.
    assert code(s3.get_object, Bucket=bucket, Key="missing") == "AccessDenied"
    assert code(a.get_object, Bucket=bucket, Key="missing") == "NoSuchKey"
    assert code(s3.list_buckets) == "AccessDenied"
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    people.set_policy(alice, user.name, {"Version": "2012-10-17", "Statement": [read, listing]})
    eventually("", s3.list_objects_v2, Bucket=bucket)
    assert [entry["Name"] for entry in s3.list_buckets()["Buckets"]] == [bucket]


def test_the_refusal_says_why_within_the_account(people: Identities, a: Any, alice: Person, b: Any) -> None:
    bucket = new_bucket(a)
    user = people.user(alice, f"u{uuid4().hex[:8]}")
    with pytest.raises(ClientError) as caught:
        user.s3().get_object(Bucket=bucket, Key="k")
    message = caught.value.response["Error"]["Message"]
    assert user.arn in message
    assert "s3:GetObject" in message
    with pytest.raises(ClientError) as caught:
        b.get_object(Bucket=bucket, Key="k")
    assert caught.value.response["Error"]["Message"] == "Access Denied"


def test_what_a_request_carries_needs_actions_of_its_own(people: Identities, a: Any, alice: Person) -> None:
    bucket = new_bucket(a)
    put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [put]})
    s3 = user.s3()
    assert code(s3.put_object, Bucket=bucket, Key="x", Body=b"") == ""
    assert code(s3.put_object, Bucket=bucket, Key="x", Body=b"", Tagging="a=1") == "AccessDenied"
    acl = "bucket-owner-full-control"
    assert code(s3.put_object, Bucket=bucket, Key="x", Body=b"", ACL=acl) == "AccessDenied"
    # The source of a copy has to be readable.
    source = {"Bucket": bucket, "Key": "k"}
    assert code(s3.copy_object, Bucket=bucket, Key="y", CopySource=source) == "AccessDenied"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = {"Bucket": bucket, "Key": "m", "UploadId": upload}
    assert code(s3.upload_part_copy, **part, PartNumber=1, CopySource=source) == "AccessDenied"
    assert code(s3.upload_part, **part, PartNumber=1, Body=b"x") == ""
    # Who began an upload is its initiator, but a user acts for his account only by his policies.
    assert code(s3.list_parts, **part) == "AccessDenied"
    assert code(a.abort_multipart_upload, **part) == ""


def test_deletions_are_decided_one_by_one(people: Identities, a: Any, alice: Person) -> None:
    bucket = new_bucket(a)
    for key in ("mine/1", "yours/1"):
        a.put_object(Bucket=bucket, Key=key, Body=b"")
    statement = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/mine/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})
    keys = [{"Key": "mine/1"}, {"Key": "yours/1"}, {"Key": "mine/2"}]
    answer = user.s3().delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == ["mine/1", "mine/2"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("yours/1", "AccessDenied")]
    assert [entry["Key"] for entry in a.list_objects_v2(Bucket=bucket)["Contents"]] == ["k", "yours/1"]


def test_conditions_of_what_only_the_body_tells(people: Identities, a: Any, alice: Person) -> None:
    bucket = new_bucket(a)
    statement = {
        "Effect": "Allow",
        "Action": "s3:PutObjectTagging",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"StringEquals": {"s3:RequestObjectTag/color": "red"}},
    }
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})
    s3 = user.s3()

    def tag(value: str) -> str:
        tags = {"TagSet": [{"Key": "color", "Value": value}]}
        return code(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=tags)

    assert tag("red") == ""
    assert tag("blue") == "AccessDenied"
    assert a.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "color", "Value": "red"}]


def test_an_account_that_may_make_no_buckets(people: Identities) -> None:
    person = people.account(f"n{uuid4().hex[:8]}", may_create_buckets=False)
    assert code(person.s3().create_bucket, Bucket=f"access-{uuid4().hex[:16]}") == "AccessDenied"


def test_an_account_has_as_many_buckets_as_it_may(people: Identities) -> None:
    from workers.iam.records import AccountLimits

    s3 = people.account(f"l{uuid4().hex[:8]}", limits=AccountLimits(buckets=1)).s3()
    new_bucket(s3)
    assert code(s3.create_bucket, Bucket=f"access-{uuid4().hex[:16]}") == "TooManyBuckets"


def test_a_condition_on_where_a_bucket_is_made(people: Identities, alice: Person) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "s3:CreateBucket",
        "Resource": "*",
        "Condition": {"Null": {"s3:LocationConstraint": "true"}},
    }
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})
    s3 = user.s3()
    assert code(s3.create_bucket, Bucket=f"access-{uuid4().hex[:16]}") == ""
    where = {"LocationConstraint": "us-east-1"}
    name = f"access-{uuid4().hex[:16]}"
    assert code(s3.create_bucket, Bucket=name, CreateBucketConfiguration=where) == "AccessDenied"


# -- bucket policies


def test_a_bucket_policy_opens_a_bucket_to_another_account(a: Any, b: Any, alice: Person, bob: Person) -> None:
    bucket = new_bucket(a)
    text = policy(allow(bucket, ["s3:GetObject", "s3:ListBucket"], {"AWS": bob.number}))
    a.put_bucket_policy(Bucket=bucket, Policy=text)
    eventually("", b.get_object, Bucket=bucket, Key="k")
    assert a.get_bucket_policy(Bucket=bucket)["Policy"] == text
    assert a.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    assert code(b.put_object, Bucket=bucket, Key="k", Body=b"") == "AccessDenied"
    assert bucket in [entry["Name"] for entry in b.list_buckets()["Buckets"]]
    copy = {"Bucket": bucket, "Key": "k"}
    mine = new_bucket(b)
    b.copy_object(Bucket=mine, Key="copy", CopySource=copy)
    a.delete_bucket_policy(Bucket=bucket)
    eventually("AccessDenied", b.get_object, Bucket=bucket, Key="k")
    assert code(a.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert code(a.get_bucket_policy_status, Bucket=bucket) == "NoSuchBucketPolicy"


def test_a_denial_binds_even_root_but_not_the_repair(home: Gateway, a: Any) -> None:
    bucket = new_bucket(a)
    statement = {**allow(bucket, "s3:*", "*"), "Effect": "Deny"}
    a.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    eventually("AccessDenied", a.get_object, Bucket=bucket, Key="k")
    eventually("AccessDenied", home.s3().get_object, Bucket=bucket, Key="k")
    assert code(a.get_bucket_policy, Bucket=bucket) == ""
    a.delete_bucket_policy(Bucket=bucket)
    eventually("", a.get_object, Bucket=bucket, Key="k")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"Version":"2012-10-17","Statement":[]}',
        policy({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::other/*"}),
        policy({"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "s3:*", "Resource": "*"}),
        policy({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "x" * 21_000}),
    ],
)
def test_what_is_not_understood_is_refused(a: Any, text: str) -> None:
    bucket = new_bucket(a)
    assert code(a.put_bucket_policy, Bucket=bucket, Policy=text) == "MalformedPolicy"
    assert code(a.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"


def test_a_principal_that_is_not_there_is_refused(a: Any, bob: Person) -> None:
    bucket = new_bucket(a)
    for principal in (f"arn:aws:iam::{bob.number}:user/nobody", "000000000000", "f" * 64):
        text = policy(allow(bucket, "s3:GetObject", {"AWS": principal}))
        assert code(a.put_bucket_policy, Bucket=bucket, Policy=text) == "MalformedPolicy"
    text = policy(allow(bucket, "s3:GetObject", {"AWS": f"arn:aws:iam::{bob.number}:root"}))
    assert code(a.put_bucket_policy, Bucket=bucket, Policy=text) == ""


def test_a_stored_policy_that_says_nothing_any_more_closes_the_bucket(people: Identities, a: Any) -> None:
    bucket = new_bucket(a)
    people.backend.put_document(bucket, "policy", b"damaged")
    people.redis.publish("shardgate:v1:changes", f"bucket/{bucket}")
    eventually("AccessDenied", a.get_object, Bucket=bucket, Key="k")
    a.delete_bucket_policy(Bucket=bucket)
    eventually("", a.get_object, Bucket=bucket, Key="k")


# -- anonymous requests and the public access block


def test_a_public_bucket(home: Gateway, a: Any, b: Any, nobody: Any) -> None:
    bucket = new_bucket(a)
    text = policy(allow(bucket, ["s3:GetObject", "s3:ListBucket"], "*"))
    assert code(a.put_bucket_policy, Bucket=bucket, Policy=text) == "AccessDenied"  # blocked, as in a fresh bucket
    block = a.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    a.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    wait_until(lambda: code(a.put_bucket_policy, Bucket=bucket, Policy=text) == "", what="the policy being let in")
    assert a.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": True}
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    a.delete_public_access_block(Bucket=bucket)
    eventually("", nobody.get_object, Bucket=bucket, Key="k")
    assert code(a.get_public_access_block, Bucket=bucket) == "NoSuchPublicAccessBlockConfiguration"
    assert requests.get(home.url(f"/{bucket}/k"), timeout=30).content == b"data"
    assert code(nobody.get_object, Bucket=bucket, Key="missing") == "NoSuchKey"
    assert code(nobody.put_object, Bucket=bucket, Key="k", Body=b"") == "AccessDenied"
    assert code(nobody.get_object, Bucket=f"access-{uuid4().hex}", Key="k") == "NoSuchBucket"
    assert code(nobody.list_buckets) == "AccessDenied"
    assert bucket in [entry["Name"] for entry in b.list_buckets()["Buckets"]]


# -- ACLs and ownership


def test_canned_and_granted_acls_of_a_bucket(a: Any, b: Any, nobody: Any, alice: Person, bob: Person) -> None:
    bucket = new_bucket(a, open_to_acls=True)
    a.put_bucket_acl(Bucket=bucket, ACL="public-read")
    eventually("", nobody.list_objects_v2, Bucket=bucket)
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    a.put_bucket_acl(Bucket=bucket, GrantWrite='emailAddress="bob@example.org"', GrantFullControl=f"id={alice.account}")
    eventually("", b.put_object, Bucket=bucket, Key="theirs", Body=b"of bob")
    assert code(b.list_objects_v2, Bucket=bucket) == "AccessDenied"
    grants = a.get_bucket_acl(Bucket=bucket)["Grants"]
    assert [(grant["Grantee"]["ID"], grant["Grantee"]["DisplayName"], grant["Permission"]) for grant in grants] == [
        (alice.account, "alice", "FULL_CONTROL"),
        (bob.account, "bob", "WRITE"),
    ]
    # What the writer owns the bucket's owner cannot read.
    assert b.get_object(Bucket=bucket, Key="theirs")["Body"].read() == b"of bob"
    assert code(a.get_object, Bucket=bucket, Key="theirs") == "AccessDenied"
    owners = {entry["Key"]: entry["Owner"]["DisplayName"] for entry in a.list_objects(Bucket=bucket)["Contents"]}
    assert owners == {"k": "alice", "theirs": "bob"}
    # With ACLs disabled all is the bucket owner's.
    a.put_bucket_acl(Bucket=bucket, ACL="private")
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    wait_until(
        lambda: code(a.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=rules) == "", what="the change"
    )
    eventually("", a.get_object, Bucket=bucket, Key="theirs")
    eventually("AccessDenied", b.get_object, Bucket=bucket, Key="theirs")
    assert code(a.put_bucket_acl, Bucket=bucket, ACL="public-read") == "AccessControlListNotSupported"
    a.delete_bucket_ownership_controls(Bucket=bucket)
    eventually("OwnershipControlsNotFoundError", a.get_bucket_ownership_controls, Bucket=bucket)


def test_acls_of_objects(a: Any, b: Any, nobody: Any, alice: Person, bob: Person) -> None:
    bucket = new_bucket(a, open_to_acls=True)
    a.put_object(Bucket=bucket, Key="open", Body=b"open", ACL="public-read")
    assert nobody.get_object(Bucket=bucket, Key="open")["Body"].read() == b"open"
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    groups = [grant["Grantee"].get("URI") for grant in a.get_object_acl(Bucket=bucket, Key="open")["Grants"]]
    assert groups == [None, ALL_USERS]
    a.put_object_acl(Bucket=bucket, Key="open", ACL="private")
    assert code(nobody.get_object, Bucket=bucket, Key="open") == "AccessDenied"
    document = a.get_object_acl(Bucket=bucket, Key="k")
    grantee = {"Type": "CanonicalUser", "ID": bob.account}
    document["Grants"].append({"Grantee": grantee, "Permission": "READ"})
    wanted = {"Owner": document["Owner"], "Grants": document["Grants"]}
    a.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=wanted)
    assert b.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    assert code(b.get_object_acl, Bucket=bucket, Key="k") == "AccessDenied"
    wanted["Owner"] = {"ID": bob.account}
    assert code(a.put_object_acl, Bucket=bucket, Key="k", AccessControlPolicy=wanted) == "AccessDenied"
    assert code(a.put_object, Bucket=bucket, Key="x", Body=b"", GrantRead="id=nobody") == "InvalidArgument"
    # The ACL of an upload is that of its object.
    upload = a.create_multipart_upload(Bucket=bucket, Key="m", ACL="public-read")["UploadId"]
    named = {"Bucket": bucket, "Key": "m", "UploadId": upload}
    part = a.upload_part(**named, PartNumber=1, Body=b"part")
    a.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert nobody.get_object(Bucket=bucket, Key="m")["Body"].read() == b"part"


def test_a_block_keeps_public_acls_out(a: Any) -> None:
    bucket = new_bucket(a, ObjectOwnership="ObjectWriter")
    assert code(a.put_bucket_acl, Bucket=bucket, ACL="public-read") == "AccessDenied"
    assert code(a.put_object, Bucket=bucket, Key="x", Body=b"", ACL="public-read") == "AccessDenied"
    name = f"access-{uuid4().hex[:16]}"
    options = {"Bucket": name, "ObjectOwnership": "ObjectWriter", "ACL": "public-read"}
    assert code(a.create_bucket, **options) == "InvalidBucketAclWithBlockPublicAccessError"


def test_a_bucket_owner_who_is_preferred(a: Any, b: Any, bob: Person) -> None:
    bucket = new_bucket(a, ObjectOwnership="BucketOwnerPreferred", GrantWrite=f"id={bob.account}")
    b.put_object(Bucket=bucket, Key="given", Body=b"given", ACL="bucket-owner-full-control")
    b.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    assert a.get_object(Bucket=bucket, Key="given")["Body"].read() == b"given"
    assert code(a.get_object, Bucket=bucket, Key="kept") == "AccessDenied"


def test_a_bucket_that_everybody_may_write_to(a: Any, b: Any, home: Gateway, nobody: Any, alice: Person) -> None:
    bucket = new_bucket(a, open_to_acls=True)
    a.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    eventually("", nobody.list_objects_v2, Bucket=bucket)
    for client in (nobody, b):
        assert code(client.get_object, Bucket=bucket, Key="missing") == "NoSuchKey"
        assert code(client.get_object_acl, Bucket=bucket, Key="missing") == "NoSuchKey"
        assert code(client.get_object, Bucket=bucket, Key="k") == "AccessDenied"
        assert code(client.put_object_acl, Bucket=bucket, Key="missing", ACL="public-read") == "AccessDenied"
    form = {"key": "form", "acl": "public-read"}
    posted = requests.post(home.url(f"/{bucket}"), form, files={"file": ("name", b"of a form")}, timeout=30)
    assert posted.status_code == 204, posted.text
    assert requests.get(home.url(f"/{bucket}/form"), timeout=30).content == b"of a form"
    assert code(nobody.create_multipart_upload, Bucket=bucket, Key="m") == "AccessDenied"
    denial = policy({**allow(bucket, "s3:GetObject", "*"), "Effect": "Deny"})
    a.put_bucket_policy(Bucket=bucket, Policy=denial)
    eventually("AccessDenied", nobody.get_object, Bucket=bucket, Key="missing")
    a.delete_bucket_policy(Bucket=bucket)

    assert code(a.create_bucket, Bucket=bucket) == ""
    assert a.get_bucket_acl(Bucket=bucket)["Grants"] == [
        {
            "Grantee": {"ID": alice.account, "DisplayName": "alice", "Type": "CanonicalUser"},
            "Permission": "FULL_CONTROL",
        }
    ]
    eventually("AccessDenied", nobody.get_object, Bucket=bucket, Key="missing")


def test_uploads_by_form(a: Any, home: Gateway, alice: Person, people: Identities, nobody: Any) -> None:
    bucket = new_bucket(a)
    user = people.user(alice, f"u{uuid4().hex[:8]}")
    form = user.s3().generate_presigned_post(bucket, "form")
    upload = {"files": {"file": ("name", b"of a form")}, "timeout": 30}
    assert requests.post(form["url"], form["fields"], **upload).status_code == 403
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/form"}
    people.set_policy(alice, user.name, {"Version": "2012-10-17", "Statement": [statement]})
    wait_until(lambda: requests.post(form["url"], form["fields"], **upload).status_code == 204, what="the upload")
    assert a.get_object(Bucket=bucket, Key="form")["Body"].read() == b"of a form"
    other = user.s3().generate_presigned_post(bucket, "other")
    assert requests.post(other["url"], other["fields"], **upload).status_code == 403
    assert requests.post(home.url(f"/{bucket}"), {"key": "x"}, **upload).status_code == 403


def test_presigned_urls_of_users(a: Any, alice: Person, people: Identities) -> None:
    bucket = new_bucket(a)
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})
    s3 = user.s3()
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    assert requests.get(url, timeout=30).content == b"data"
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
    assert requests.put(url, b"", timeout=30).status_code == 403


def test_a_rename_needs_rights_at_both_ends(a: Any, alice: Person, people: Identities) -> None:
    bucket = new_bucket(a)
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})
    assert code(user.s3().rename_object, Bucket=bucket, Key="new", RenameSource="k") == "AccessDenied"
    assert code(a.rename_object, Bucket=bucket, Key="new", RenameSource="k") == ""


def test_the_expected_owner(a: Any, alice: Person, bob: Person) -> None:
    bucket = new_bucket(a)
    assert code(a.get_object, Bucket=bucket, Key="k", ExpectedBucketOwner=alice.number) == ""
    assert code(a.get_object, Bucket=bucket, Key="k", ExpectedBucketOwner=bob.number) == "AccessDenied"


def test_nothing_secret_in_the_log(home: Gateway, alice: Person, bob: Person) -> None:
    text = home.log.read_text()
    assert alice.secret_key not in text
    assert bob.secret_key not in text


def test_a_policy_means_the_user_who_was_there_when_it_was_saved(
    a: Any, b: Any, alice: Person, bob: Person, people: Identities
) -> None:
    bucket, name = new_bucket(a), f"u{uuid4().hex[:8]}"
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    user = people.user(bob, name, {"Version": "2012-10-17", "Statement": [read]})
    text = policy(allow(bucket, "s3:GetObject", {"AWS": [user.arn, alice.arn]}))
    a.put_bucket_policy(Bucket=bucket, Policy=text)
    assert json.loads(a.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)
    eventually("", user.s3().get_object, Bucket=bucket, Key="k")

    former = people.registry.users.get(bob.account, name)
    people.registry.users.remove(bob.account, name, cascade=True)
    shown = json.loads(text)
    shown["Statement"][0]["Principal"]["AWS"][0] = former.id

    def stored() -> Any:
        return json.loads(a.get_bucket_policy(Bucket=bucket)["Policy"])

    wait_until(lambda: all(stored() == shown for _ in range(6)), what="the id of the user who is gone")
    assert code(a.put_bucket_policy, Bucket=bucket, Policy=json.dumps(shown)) == "MalformedPolicy"
    again = people.user(bob, name, {"Version": "2012-10-17", "Statement": [read]})
    assert again.arn == user.arn
    eventually("AccessDenied", again.s3().get_object, Bucket=bucket, Key="k")
    a.put_bucket_policy(Bucket=bucket, Policy=text)
    eventually("", again.s3().get_object, Bucket=bucket, Key="k")


def test_a_policy_is_the_business_of_its_account(a: Any, b: Any, alice: Person, bob: Person, nobody: Any) -> None:
    bucket = new_bucket(a)
    a.put_bucket_policy(Bucket=bucket, Policy=policy(allow(bucket, "s3:*", {"AWS": bob.arn})))
    eventually("", b.get_object, Bucket=bucket, Key="k")
    text = policy(allow(bucket, "s3:*", {"AWS": bob.arn}))
    assert code(b.get_bucket_policy, Bucket=bucket) == "MethodNotAllowed"
    assert code(b.put_bucket_policy, Bucket=bucket, Policy=text) == "MethodNotAllowed"
    assert code(b.delete_bucket_policy, Bucket=bucket) == "MethodNotAllowed"
    assert code(b.get_bucket_policy_status, Bucket=bucket) == ""
    assert code(nobody.get_bucket_policy, Bucket=bucket) == "AccessDenied"
    assert json.loads(a.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)


# -- the dry run


def explain(home: Gateway, *arguments: str) -> Any:
    where = ("--directory", str(home.directory), "--state-dir", str(home.state_dir), "--json")
    found = CliRunner().invoke(cli, ["policies", "explain", *where, *arguments])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_dry_run_says_which_statement_decides(
    home: Gateway, a: Any, alice: Person, bob: Person, people: Identities
) -> None:
    bucket = new_bucket(a)
    read = {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [read]})
    asked = ("--action", "GetObject", "--resource", f"{bucket}/k", "--as")
    for who in (user.arn, user.access_key, f"alice/{user.name}"):
        found = explain(home, *asked, who)
        assert (found["allowed"], found["statement"]) == (True, "Read"), who
    condition = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    statement = allow(bucket, "s3:GetObject", {"AWS": user.arn}, Sid="Net", Condition=condition)
    a.put_bucket_policy(Bucket=bucket, Policy=policy({**statement, "Effect": "Deny"}))
    found = explain(home, *asked, user.arn, "--source-ip", "192.0.2.9")
    assert (found["allowed"], found["statement"]) == (False, "Net")
    assert [(entry["effect"], entry["kind"]) for entry in found["statements"]] == [
        ("Allow", "identity policy"),
        ("Deny", "bucket policy"),
    ]
    assert explain(home, *asked, user.arn, "--source-ip", "198.51.100.1")["allowed"]
    assert explain(home, *asked, "alice")["reason"] == "the account owns the resource"
    assert explain(home, *asked, "root")["allowed"]
    assert not explain(home, *asked, "anonymous")["allowed"]
    assert not explain(home, *asked, bob.number)["allowed"]
    assert explain(home, "--as", "alice", "--action", "s3:CreateBucket", "--resource", "no-such-bucket")["allowed"]


def test_warm_requests_ask_redis_nothing(a: Any, alice: Person, people: Identities) -> None:
    bucket = new_bucket(a)
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    user = people.user(alice, f"u{uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [read]})
    s3 = user.s3()
    eventually("", s3.get_object, Bucket=bucket, Key="k")

    def asked() -> int:
        counts = people.redis.info("commandstats")
        background = ("cmdstat_ping", "cmdstat_info")
        return sum(found["calls"] for name, found in counts.items() if not name.startswith(background))

    before = asked()
    for _ in range(200):
        s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    # Supervisors and janitors have business of their own, and an entry may just have become old.
    assert asked() - before < 60
