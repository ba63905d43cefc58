"""What counts as public, and the four switches of the public access block."""

import json
from typing import Any

import pytest

from tests.unit.iam.world import BUCKET, OWNER, filled
from workers.iam.acl import canned_acl, private_acl
from workers.iam.policy.model import Kind
from workers.iam.policy.parser import parse_policy
from workers.iam.public_access import (
    EVERYTHING_BLOCKED,
    NOTHING_BLOCKED,
    PublicAccessBlock,
    check_acl,
    check_policy,
    decode_public_access_block,
    is_public_policy,
    parse_public_access_block,
    policy_status_nodes,
)
from workers.protocol.errors import S3Error
from workers.protocol.xml import document


def policy(version: str = "2012-10-17", **changes: Any) -> Any:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
        **changes,
    }
    text = filled(json.dumps({"Version": version, "Statement": [statement]}))
    return parse_policy(text, Kind.BUCKET, bucket=BUCKET)


PUBLIC = [
    {},
    {"Principal": {"AWS": "*"}},
    {"Principal": {"AWS": ["{X}", "*"]}},
    {"Condition": {"StringLike": {"aws:Referer": "https://example.org/*"}}},
    {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    {"Condition": {"StringEquals": {"aws:UserAgent": "x"}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": "128.0.0.0/7"}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "::/0"]}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": "2000::/31"}}},
    {"Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
    {"Condition": {"IpAddressIfExists": {"aws:SourceIp": "192.0.2.0/24"}}},
    {"Condition": {"StringNotEquals": {"aws:PrincipalAccount": "{X}"}}},
    {"Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/app"}}},
    {"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::{X}:*"}}},
    {"Condition": {"StringLike": {"aws:userid": "AROA:*"}}},
    {"Condition": {"StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"}}},
    {"Condition": {"ForAllValues:StringEquals": {"aws:PrincipalAccount": "{X}"}}},
    {"Condition": {"Null": {"aws:PrincipalArn": "false"}}},
]
NOT_PUBLIC = [
    {"Effect": "Deny"},
    {"Effect": "Deny", "Principal": {"AWS": "{X}"}},
    {"Principal": {"AWS": "{X}"}},
    {"Principal": {"CanonicalUser": "{other}"}},
    {"Principal": {"Service": "logging.s3.amazonaws.com"}},
    {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": ["11.0.0.0/8", "2001:db8::/32"]}}},
    {"Condition": {"IpAddress": {"aws:SourceIp": "fc00::/7"}}},
    {"Condition": {"StringEquals": {"aws:PrincipalAccount": ["{X}", "{O}"]}}},
    {"Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::{X}:role/app"}}},
    {"Condition": {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::{X}:role/app"}}},
    {"Condition": {"StringEquals": {"aws:userid": "AIDA"}, "StringLike": {"aws:Referer": "*"}}},
    {"Condition": {"ForAnyValue:StringEquals": {"aws:SourceAccount": "{X}"}}},
]


@pytest.mark.parametrize("changes", PUBLIC, ids=json.dumps)
def test_public(changes: dict[str, Any]):
    assert is_public_policy(policy(**changes))


@pytest.mark.parametrize("changes", NOT_PUBLIC, ids=json.dumps)
def test_not_public(changes: dict[str, Any]):
    assert not is_public_policy(policy(**changes))


def test_what_looks_like_a_variable_is_fixed_in_the_older_version():
    condition = {"StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"}}
    assert not is_public_policy(policy("2008-10-17", Condition=condition))


def test_one_public_statement_is_enough():
    closed = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}
    opened = {**closed, "Principal": "*"}
    for statements, public in (([closed, opened], True), ([closed, closed], False)):
        text = json.dumps({"Statement": statements})
        assert is_public_policy(parse_policy(text, Kind.BUCKET, bucket=BUCKET)) is public


def test_policy_status_document():
    assert b"<IsPublic>true</IsPublic>" in document("PolicyStatus", policy_status_nodes(policy()))
    closed = policy(Principal={"AWS": "{X}"})
    assert b"<IsPublic>false</IsPublic>" in document("PolicyStatus", policy_status_nodes(closed))
    assert b"<IsPublic>false</IsPublic>" in document("PolicyStatus", policy_status_nodes(None))


def test_a_public_policy_is_blocked():
    check_policy(policy(), NOTHING_BLOCKED)
    check_policy(policy(), PublicAccessBlock(restrict_public_buckets=True))
    check_policy(policy(Principal={"AWS": "{X}"}), EVERYTHING_BLOCKED)
    with pytest.raises(S3Error) as caught:
        check_policy(policy(), PublicAccessBlock(block_public_policy=True))
    assert caught.value.code == "AccessDenied"


@pytest.mark.parametrize("canned", ["public-read", "authenticated-read", "public-read-write"])
def test_a_public_acl_is_blocked(canned: str):
    acl = canned_acl(canned, OWNER)
    check_acl(acl, PublicAccessBlock(ignore_public_acls=True))
    blocked = PublicAccessBlock(block_public_acls=True)
    for creating, code in ((False, "AccessDenied"), (True, "InvalidBucketAclWithBlockPublicAccessError")):
        with pytest.raises(S3Error) as caught:
            check_acl(acl, blocked, creating=creating)
        assert caught.value.code == code


def test_other_acls_are_not_blocked():
    check_acl(None, EVERYTHING_BLOCKED)
    check_acl(private_acl(OWNER), EVERYTHING_BLOCKED)
    check_acl(canned_acl("log-delivery-write", OWNER), EVERYTHING_BLOCKED)


@pytest.mark.parametrize("block", [NOTHING_BLOCKED, EVERYTHING_BLOCKED, PublicAccessBlock(ignore_public_acls=True)])
def test_documents_and_records_keep_the_switches(block: PublicAccessBlock):
    assert parse_public_access_block(document("PublicAccessBlockConfiguration", block.nodes())) == block
    assert decode_public_access_block(block.encode()) == block


def test_what_is_not_named_is_off():
    body = (
        b"<PublicAccessBlockConfiguration><BlockPublicPolicy>TRUE</BlockPublicPolicy></PublicAccessBlockConfiguration>"
    )
    assert parse_public_access_block(body) == PublicAccessBlock(block_public_policy=True)


@pytest.mark.parametrize("content", ["<Other/>", "<BlockPublicAcls>yes</BlockPublicAcls>", "<BlockPublicAcls/>"])
def test_other_documents_are_malformed(content: str):
    with pytest.raises(S3Error) as caught:
        parse_public_access_block(
            f"<PublicAccessBlockConfiguration>{content}</PublicAccessBlockConfiguration>".encode()
        )
    assert caught.value.code == "MalformedXML"
