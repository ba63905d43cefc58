"""Each operation asks for its own action of the policy language, and for no other."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.support.gateway import Gateway, wait_until
from tests.support.identities import Identities

NOTHING: dict[str, Any] = {"TagSet": []}
OWNERSHIP = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
NO_BLOCK = {"BlockPublicAcls": False}
UPLOAD = {"Key": "k", "UploadId": "none"}

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "s3:GetObject": ("get_object", {"Key": "k"}),
    "s3:PutObject": ("put_object", {"Key": "new", "Body": b""}),
    "s3:DeleteObject": ("delete_object", {"Key": "new"}),
    "s3:GetObjectAcl": ("get_object_acl", {"Key": "k"}),
    "s3:PutObjectAcl": ("put_object_acl", {"Key": "k", "ACL": "private"}),
    "s3:GetObjectTagging": ("get_object_tagging", {"Key": "k"}),
    "s3:PutObjectTagging": ("put_object_tagging", {"Key": "k", "Tagging": NOTHING}),
    "s3:DeleteObjectTagging": ("delete_object_tagging", {"Key": "k"}),
    "s3:GetObjectAttributes": ("get_object_attributes", {"Key": "k", "ObjectAttributes": ["ETag"]}),
    "s3:AbortMultipartUpload": ("abort_multipart_upload", UPLOAD),
    "s3:ListMultipartUploadParts": ("list_parts", UPLOAD),
    "s3:ListBucket": ("list_objects_v2", {}),
    "s3:ListBucketVersions": ("list_object_versions", {}),
    "s3:ListBucketMultipartUploads": ("list_multipart_uploads", {}),
    "s3:GetBucketLocation": ("get_bucket_location", {}),
    "s3:GetBucketAcl": ("get_bucket_acl", {}),
    "s3:PutBucketAcl": ("put_bucket_acl", {"ACL": "private"}),
    "s3:GetBucketTagging": ("get_bucket_tagging", {}),
    "s3:PutBucketTagging": ("put_bucket_tagging", {"Tagging": NOTHING}),
    "s3:GetBucketVersioning": ("get_bucket_versioning", {}),
    "s3:GetBucketCORS": ("get_bucket_cors", {}),
    "s3:GetBucketWebsite": ("get_bucket_website", {}),
    "s3:GetLifecycleConfiguration": ("get_bucket_lifecycle_configuration", {}),
    "s3:GetEncryptionConfiguration": ("get_bucket_encryption", {}),
    "s3:GetBucketLogging": ("get_bucket_logging", {}),
    "s3:GetBucketNotification": ("get_bucket_notification_configuration", {}),
    "s3:GetBucketRequestPayment": ("get_bucket_request_payment", {}),
    "s3:GetAccelerateConfiguration": ("get_bucket_accelerate_configuration", {}),
    "s3:GetBucketObjectLockConfiguration": ("get_object_lock_configuration", {}),
    "s3:GetBucketOwnershipControls": ("get_bucket_ownership_controls", {}),
    "s3:PutBucketOwnershipControls": ("put_bucket_ownership_controls", {"OwnershipControls": OWNERSHIP}),
    "s3:GetBucketPublicAccessBlock": ("get_public_access_block", {}),
    "s3:PutBucketPublicAccessBlock": ("put_public_access_block", {"PublicAccessBlockConfiguration": NO_BLOCK}),
    "s3:GetBucketPolicyStatus": ("get_bucket_policy_status", {}),
}
ALSO = {"s3:GetObjectAttributes": ["s3:GetObject"]}
"""What an operation asks for besides."""


def statements(bucket: str, account: str, number: int, action: str) -> Iterator[dict[str, Any]]:
    """A client that says `only NUMBER` may do this alone, one that says `else NUMBER` everything else."""
    for name, actions, agent in (("Action", [action, *ALSO.get(action, [])], "only"), ("NotAction", action, "else")):
        yield {
            "Effect": "Allow",
            "Principal": {"AWS": account},
            name: actions,
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"StringEquals": {"aws:UserAgent": f"{agent} {number}"}},
        }


class Stranger(NamedTuple):
    """A client of another account than the bucket's, whose next request says `agent[0]` of itself."""

    client: Any
    agent: list[str]
    bucket: str

    def code(self, agent: str, action: str) -> str:
        """The error code of the call that asks for an action, "" for a success."""
        self.agent[0] = agent
        method, arguments = CALLS[action]
        try:
            getattr(self.client, method)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""


@pytest.fixture(scope="module")
def stranger(gateway: Gateway) -> Iterator[Stranger]:
    people = Identities(gateway)
    owner, other = (people.account(f"actions-{uuid4().hex[:8]}") for _ in range(2))
    bucket = f"actions-{uuid4().hex[:12]}"
    client = owner.s3()
    client.create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter")
    client.put_object(Bucket=bucket, Key="k", Body=b"data")
    found = [one for number, action in enumerate(CALLS) for one in statements(bucket, other.arn, number, action)]
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": found}))
    agent = [""]
    foreign = other.s3()
    foreign.meta.events.register(
        "before-sign.s3", lambda request, **_: request.headers.__setitem__("User-Agent", agent[0])
    )
    made = Stranger(foreign, agent, bucket)
    wait_until(lambda: all(made.code("only 0", "s3:GetObject") == "" for _ in range(6)), what="the policy everywhere")
    yield made
    people.close()


@pytest.mark.parametrize(("number", "action"), list(enumerate(CALLS)))
def test_an_operation_asks_for_its_action(stranger: Stranger, number: int, action: str) -> None:
    assert stranger.code(f"else {number}", action) == "AccessDenied"
    assert stranger.code(f"only {number}", action) not in ("AccessDenied", "InternalError")
