"""What a request says about the owner of its bucket."""

from __future__ import annotations

from workers.iam.accounts import account_number
from workers.protocol.errors import S3Error


def check_expected_owner(expected: str | None, owner: str) -> None:
    """Raise `S3Error` AccessDenied when a request names another owner of its bucket than there is.

    Args:
        expected: x-amz-expected-bucket-owner, a twelve-digit account number.
        owner: the canonical user id of the bucket's owner.
    """
    if expected is None:
        return
    if len(expected) != 12 or not (expected.isascii() and expected.isdigit()):
        raise S3Error(
            "InvalidBucketOwnerAWSAccountID",
            "The value of the expected bucket owner parameter must be an AWS account ID",
            ArgumentName="x-amz-expected-bucket-owner",
            ArgumentValue=expected[:64],
        )
    if expected != account_number(owner):
        raise S3Error("AccessDenied")
