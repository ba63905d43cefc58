"""ACLs: their documents, headers and records, canned ones, and ownership controls."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.iam.world import OTHER, OWNER, THIRD
from workers.iam.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    GROUPS,
    LOG_DELIVERY,
    MAX_GRANTS,
    PERMISSIONS,
    Acl,
    Directory,
    Grant,
    Ownership,
    acl_nodes,
    acl_of_headers,
    canned_acl,
    check_ownership,
    decode_acl,
    owner_of_new_object,
    ownership_nodes,
    parse_acl,
    parse_ownership,
    parse_ownership_controls,
    private_acl,
)
from workers.protocol.errors import S3Error
from workers.protocol.xml import document

EMAILS = {"other@example.org": [OTHER], "both@example.org": [OTHER, THIRD]}
DIRECTORY = Directory(
    exists={OWNER, OTHER, THIRD}.__contains__,
    by_email=lambda email: EMAILS.get(email, []),
    display_name=lambda account: {OTHER: "other"}.get(account, ""),
)
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
FULL = Grant(OWNER, "FULL_CONTROL")


def grantee(kind: str, content: str, permission: str = "READ") -> str:
    return f'<Grant><Grantee {XSI} xsi:type="{kind}">{content}</Grantee><Permission>{permission}</Permission></Grant>'


def policy(*grants: str, owner: str = f"<Owner><ID>{OWNER}</ID></Owner>") -> bytes:
    entries = f"<AccessControlList>{''.join(grants)}</AccessControlList>"
    return f"<AccessControlPolicy>{owner}{entries}</AccessControlPolicy>".encode()


def refusal(code: str, body: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        parse_acl(body, OWNER, DIRECTORY)
    assert caught.value.code == code
    return caught.value


# Documents


def test_a_document_has_grants_of_three_kinds():
    body = policy(
        grantee("CanonicalUser", f"<ID>{THIRD}</ID><DisplayName>x</DisplayName>", "FULL_CONTROL"),
        grantee("Group", f"<URI>{ALL_USERS}</URI>"),
        grantee("AmazonCustomerByEmail", "<EmailAddress>other@example.org</EmailAddress>", "WRITE_ACP"),
    )
    expected = (Grant(THIRD, "FULL_CONTROL"), Grant(ALL_USERS, "READ"), Grant(OTHER, "WRITE_ACP"))
    assert parse_acl(body, OWNER, DIRECTORY) == Acl(OWNER, expected)


def test_a_document_may_leave_out_all_grants():
    assert parse_acl(policy(), OWNER, DIRECTORY) == Acl(OWNER, ())


def test_a_document_names_the_owner():
    refusal("MalformedACLError", policy(owner=""))
    refusal("MalformedACLError", policy(owner="<Owner/>"))


def test_equal_grants_are_one():
    same = grantee("CanonicalUser", f"<ID>{THIRD}</ID>")
    assert parse_acl(policy(same, same), OWNER, DIRECTORY).grants == (Grant(THIRD, "READ"),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<AccessControlPolicy>",
        b"<AccessControlPolicy/>",
        b"<Acl/>",
        policy("<Grant/>"),
        policy(grantee("CanonicalUser", f"<ID>{THIRD}</ID>", "read")),
        policy(grantee("CanonicalUser", f"<ID>{THIRD}</ID>", "")),
        policy(grantee("CanonicalUser", "")),
        policy(grantee("CanonicalUser", f"<ID>{THIRD}</ID><ID>{THIRD}</ID>")),
        policy(grantee("CanonicalUser", f"<ID>{THIRD}</ID><URI>{ALL_USERS}</URI>")),
        policy(grantee("CanonicalUser", f"<URI>{ALL_USERS}</URI>")),
        policy(grantee("Group", f"<ID>{THIRD}</ID>")),
        policy(grantee("Somebody", f"<ID>{THIRD}</ID>")),
        policy(f"<Grant><Grantee><ID>{THIRD}</ID></Grantee><Permission>READ</Permission></Grant>"),
        policy(owner="<Owner/>"),
        policy("<Other/>"),
        b'<!DOCTYPE x [<!ENTITY e "x">]><AccessControlPolicy/>',
    ],
)
def test_what_is_no_acl_is_malformed(body: bytes):
    refusal("MalformedACLError", body)


def test_grantees_have_to_exist():
    error = refusal("InvalidArgument", policy(grantee("CanonicalUser", "<ID>nobody</ID>")))
    assert error.message == "Invalid id"
    error = refusal("InvalidArgument", policy(grantee("Group", "<URI>http://acs.amazonaws.com/groups/x</URI>")))
    assert error.message == "Invalid group uri"
    by_email = "<EmailAddress>{}</EmailAddress>"
    refusal(
        "UnresolvableGrantByEmailAddress", policy(grantee("AmazonCustomerByEmail", by_email.format("no@example.org")))
    )
    refusal(
        "AmbiguousGrantByEmailAddress", policy(grantee("AmazonCustomerByEmail", by_email.format("both@example.org")))
    )


def test_an_owner_cannot_be_changed():
    refusal("AccessDenied", policy(owner=f"<Owner><ID>{OTHER}</ID></Owner>"))


def test_a_hundred_grants_are_the_most():
    everybody = Directory(exists=lambda account: True, by_email=lambda email: [])
    grants = [grantee("CanonicalUser", f"<ID>{number:064x}</ID>") for number in range(MAX_GRANTS + 1)]
    assert len(parse_acl(policy(*grants[:-1]), OWNER, everybody).grants) == MAX_GRANTS
    with pytest.raises(S3Error, match="more than 100 grants"):
        parse_acl(policy(*grants), OWNER, everybody)


def test_an_acl_is_rendered_with_names():
    acl = Acl(OWNER, (FULL, Grant(ALL_USERS, "READ"), Grant(OTHER, "WRITE")))
    body = document("AccessControlPolicy", acl_nodes(acl, DIRECTORY.display_name))
    assert b'xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>' in body
    assert f'xsi:type="CanonicalUser"><ID>{OTHER}</ID><DisplayName>other</DisplayName>'.encode() in body
    assert parse_acl(body, OWNER, DIRECTORY) == acl


ACLS = st.builds(
    Acl,
    st.just(OWNER),
    st.lists(
        st.builds(Grant, st.sampled_from([OWNER, OTHER, THIRD, *GROUPS]), st.sampled_from(PERMISSIONS)), unique=True
    ).map(tuple),
)


@given(ACLS)
def test_documents_and_records_keep_an_acl(acl: Acl):
    assert parse_acl(document("AccessControlPolicy", acl_nodes(acl)), OWNER, DIRECTORY) == acl
    assert decode_acl(acl.encode()) == acl


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
def test_any_header_is_grants_or_refused(value: str):
    for name in ("x-amz-acl", "x-amz-grant-read"):
        try:
            acl_of_headers({name: value}.get, OWNER, DIRECTORY)
        except S3Error as error:
            if error.code not in ("InvalidArgument", "UnresolvableGrantByEmailAddress", "InvalidRequest"):
                raise


# Headers


def headers(directory: Directory = DIRECTORY, **values: str) -> Acl | None:
    named = {"x-amz-" + name.replace("_", "-"): value for name, value in values.items()}
    return acl_of_headers(named.get, OWNER, directory)


def test_headers_grant():
    acl = headers(
        grant_read=f'uri="{ALL_USERS}", id="{OTHER}"',
        grant_full_control=f"ID = {THIRD}",
        grant_write_acp='emailAddress="other@example.org"',
    )
    expected = {
        Grant(ALL_USERS, "READ"),
        Grant(OTHER, "READ"),
        Grant(THIRD, "FULL_CONTROL"),
        Grant(OTHER, "WRITE_ACP"),
    }
    assert acl is not None
    assert set(acl.grants) == expected, "the owner gets nothing that is not named"


def test_no_headers_ask_for_no_acl():
    assert headers() is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "InvalidArgument"),
        (OTHER, "InvalidArgument"),
        ("id=", "InvalidArgument"),
        ('id=""', "InvalidArgument"),
        (f"name={OTHER}", "InvalidArgument"),
        (f"id={OTHER},", "InvalidArgument"),
        ("id=nobody", "InvalidArgument"),
        ("uri=http://example.org", "InvalidArgument"),
        ("emailAddress=no@example.org", "UnresolvableGrantByEmailAddress"),
        ("emailAddress=both@example.org", "AmbiguousGrantByEmailAddress"),
    ],
)
def test_headers_are_refused(value: str, code: str):
    with pytest.raises(S3Error) as caught:
        headers(grant_read=value)
    assert caught.value.code == code


def test_a_canned_acl_and_grants_do_not_go_together():
    with pytest.raises(S3Error, match="Canned ACLs and Header Grants") as caught:
        headers(acl="private", grant_read=f"id={OTHER}")
    assert caught.value.code == "InvalidRequest"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("private", []),
        ("public-read", [Grant(ALL_USERS, "READ")]),
        ("public-read-write", [Grant(ALL_USERS, "READ"), Grant(ALL_USERS, "WRITE")]),
        ("authenticated-read", [Grant(AUTHENTICATED_USERS, "READ")]),
        ("aws-exec-read", []),
        ("bucket-owner-read", [Grant(OTHER, "READ")]),
        ("bucket-owner-full-control", [Grant(OTHER, "FULL_CONTROL")]),
    ],
)
def test_canned_acl_of_an_object(name: str, more: Sequence[Grant]):
    assert canned_acl(name, OWNER, bucket_owner=OTHER) == Acl(OWNER, (FULL, *more))


def test_canned_acls_of_a_bucket():
    assert canned_acl("log-delivery-write", OWNER).grants[1:] == (
        Grant(LOG_DELIVERY, "WRITE"),
        Grant(LOG_DELIVERY, "READ_ACP"),
    )
    assert canned_acl("bucket-owner-read", OWNER) == private_acl(OWNER)
    assert canned_acl("bucket-owner-full-control", OWNER, bucket_owner=OWNER) == private_acl(OWNER)


@pytest.mark.parametrize(("name", "bucket_owner"), [("public", None), ("", None), ("log-delivery-write", OWNER)])
def test_other_canned_acls_are_refused(name: str, bucket_owner: str | None):
    with pytest.raises(S3Error) as caught:
        canned_acl(name, OWNER, bucket_owner=bucket_owner)
    assert caught.value.code == "InvalidArgument"
    assert dict(caught.value.elements)["ArgumentName"] == "x-amz-acl"


def test_public_and_private():
    assert canned_acl("public-read", OWNER).is_public
    assert canned_acl("authenticated-read", OWNER).is_public
    assert not canned_acl("log-delivery-write", OWNER).is_public
    assert private_acl(OWNER).is_private
    assert not Acl(OWNER, (Grant(OTHER, "READ"),)).is_private


# Ownership controls


@pytest.mark.parametrize(
    ("acl", "taken"),
    [
        (None, True),
        (private_acl(OWNER), True),
        (canned_acl("bucket-owner-full-control", OTHER, bucket_owner=OWNER), True),
        (private_acl(OTHER), False),
        (canned_acl("public-read", OWNER), False),
        (Acl(OWNER, (Grant(OWNER, "READ"),)), False),
        (Acl(OWNER, (FULL, Grant(THIRD, "FULL_CONTROL"))), False),
        (Acl(OWNER, ()), False),
    ],
)
def test_acls_under_bucket_owner_enforced(acl: Acl | None, taken: bool):
    check_ownership(acl, Ownership.OBJECT_WRITER, OWNER)
    check_ownership(acl, Ownership.BUCKET_OWNER_PREFERRED, OWNER)
    if taken:
        check_ownership(acl, Ownership.BUCKET_OWNER_ENFORCED, OWNER)
        return
    for creating, code in ((False, "AccessControlListNotSupported"), (True, "InvalidBucketAclWithObjectOwnership")):
        with pytest.raises(S3Error) as caught:
            check_ownership(acl, Ownership.BUCKET_OWNER_ENFORCED, OWNER, creating=creating)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("ownership", "writer", "canned", "owner"),
    [
        ("BucketOwnerEnforced", OTHER, None, OWNER),
        ("BucketOwnerEnforced", OTHER, "bucket-owner-full-control", OWNER),
        ("BucketOwnerPreferred", OTHER, None, OTHER),
        ("BucketOwnerPreferred", OTHER, "bucket-owner-read", OTHER),
        ("BucketOwnerPreferred", OTHER, "bucket-owner-full-control", OWNER),
        ("ObjectWriter", OTHER, "bucket-owner-full-control", OTHER),
        ("ObjectWriter", OWNER, None, OWNER),
        ("ObjectWriter", "", None, OWNER),
    ],
)
def test_who_owns_a_new_object(ownership: str, writer: str, canned: str | None, owner: str):
    acl = None if canned is None else canned_acl(canned, writer, bucket_owner=OWNER)
    assert owner_of_new_object(Ownership(ownership), writer, OWNER, acl) == owner


@pytest.mark.parametrize("ownership", Ownership)
def test_ownership_controls_document(ownership: Ownership):
    assert parse_ownership_controls(document("OwnershipControls", ownership_nodes(ownership))) is ownership


@pytest.mark.parametrize(
    "content", ["", "<Rule/>", "<Rule><ObjectOwnership>x</ObjectOwnership></Rule>", "<Rule/><Rule/>", "<Other/>"]
)
def test_other_ownership_controls_are_malformed(content: str):
    with pytest.raises(S3Error) as caught:
        parse_ownership_controls(f"<OwnershipControls>{content}</OwnershipControls>".encode())
    assert caught.value.code == "MalformedXML"


def test_ownership_in_a_header():
    assert parse_ownership("ObjectWriter") is Ownership.OBJECT_WRITER
    with pytest.raises(S3Error) as caught:
        parse_ownership("objectwriter")
    assert caught.value.code == "InvalidArgument"
