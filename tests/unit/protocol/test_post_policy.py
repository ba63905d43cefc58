"""The policy of a POST form upload: signature, document, conditions."""

import base64
import calendar
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.signing import ACCESS_KEY, AMZ_DATE, NOW, SCOPE, SECRET, signature
from workers.protocol.errors import S3Error
from workers.protocol.post_policy import parse_policy, verify_post_policy
from workers.protocol.sigv4 import SigningKeys

EXPIRATION = "2013-05-24T01:00:00.000Z"
SIGNED_FIELDS = {
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": f"{ACCESS_KEY}/{SCOPE}",
    "x-amz-date": AMZ_DATE,
}
BASE = [{"bucket": "b"}, *({name: value} for name, value in SIGNED_FIELDS.items())]

# "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)" in the S3 API reference.
PUBLISHED_POLICY = (
    "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2"
    "NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMt"
    "cmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29t"
    "L3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4"
    "LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0s"
    "DQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZP"
    "RE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1B"
    "Qy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
)


def encode(document):
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def policy_of(*conditions, base=BASE, expiration=EXPIRATION):
    return {"expiration": expiration, "conditions": [*base, *conditions]}


def form(*conditions, changed=None, **fields):
    """A signed form with a key, as a browser sends it."""
    policy = encode(policy_of(["starts-with", "$key", ""], *conditions))
    signed = {"key": "k", **fields, **SIGNED_FIELDS, "policy": policy, "x-amz-signature": signature(policy)}
    return {name: value for name, value in {**signed, **(changed or {})}.items() if value is not None}


def verified(fields, *, region="us-east-1", secrets=None):
    secret_of = ({ACCESS_KEY: SECRET} if secrets is None else secrets).get
    return verify_post_policy(fields, region=region, secret_of=secret_of, keys=SigningKeys())


def refused(fields, **options) -> S3Error:
    with pytest.raises(S3Error) as caught:
        verified(fields, **options)
    return caught.value


def denied(fields, *, bucket="b", now=NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        verified(fields).policy.check(fields, bucket=bucket, now=now)
    return caught.value


def passes(fields, *, bucket="b", now=NOW):
    verified(fields).policy.check(fields, bucket=bucket, now=now)


# -- the signature ---------------------------------------------------------------------------------------------------


def test_published_example():
    fields = {
        "key": "user/user1/${filename}",
        "acl": "public-read",
        "success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        "Content-Type": "image/jpeg",
        "x-amz-meta-uuid": "14365123651274",
        "x-amz-server-side-encryption": "AES256",
        "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": "20151229T000000Z",
        "x-amz-meta-tag": "",
        "Policy": PUBLISHED_POLICY,
        "X-Amz-Signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
    }
    found = verified(fields)
    assert found.access_key == ACCESS_KEY
    found.policy.check(fields, bucket="sigv4examplebucket", now=calendar.timegm((2015, 12, 30, 11, 59, 59)))


def test_session_token_is_passed_through():
    fields = form({"x-amz-security-token": "t"}, **{"x-amz-security-token": "t"})
    assert verified(fields).session_token == "t"
    assert verified(form()).session_token is None


def test_form_without_credentials_is_anonymous():
    assert verified({"key": "k"}) is None
    assert verified({"key": "k", "policy": "e30="}) is None


@pytest.mark.parametrize("name", ["AWSAccessKeyId", "signature"])
def test_form_of_signature_version_2(name):
    assert refused({"key": "k", "policy": "e30=", name: "x"}).code == "InvalidRequest"


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (["x-amz-algorithm"], "X-Amz-Algorithm"),
        (["x-amz-algorithm", "x-amz-credential"], "X-Amz-Algorithm"),
        (["x-amz-credential"], "X-Amz-Credential"),
        (["x-amz-date"], "X-Amz-Date"),
        (["x-amz-signature"], "X-Amz-Signature"),
        (["policy"], "Policy"),
    ],
)
def test_missing_field_is_named(missing, named):
    error = refused(form(changed=dict.fromkeys(missing)))
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == (
        f"Bucket POST must contain a field named '{named}'.  If it is specified, please check the order of the fields."
    )
    assert error.elements == {"ArgumentName": named, "ArgumentValue": ""}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x-amz-algorithm", "AWS4-HMAC-SHA1", 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"'),
        ("x-amz-credential", "a/b", "the Credential is mal-formed; expecting"),
        ("x-amz-credential", f"/{SCOPE}", "a non-empty Access Key (AKID) must be provided in the credential."),
        ("x-amz-credential", f"{ACCESS_KEY}/2013/us-east-1/s3/aws4_request", 'incorrect date format "2013"'),
        (
            "x-amz-credential",
            f"{ACCESS_KEY}/20130524/x/s3/aws4_request",
            "the region 'x' is wrong; expecting 'us-east-1'",
        ),
        ("x-amz-credential", f"{ACCESS_KEY}/20130524/us-east-1/sts/aws4_request", 'incorrect service "sts"'),
        ("x-amz-credential", f"{ACCESS_KEY}/20130524/us-east-1/s3/aws4", 'incorrect terminal "aws4"'),
        ("x-amz-date", "2013-05-24", "X-Amz-Date must be formated via ISO8601 Long format"),
    ],
)
def test_wrong_field_is_named(name, value, message):
    error = refused(form(changed={name: value}))
    assert error.code == "InvalidArgument"
    assert error.message.startswith(message)
    assert error.elements["ArgumentName"].lower() == name
    assert error.elements["ArgumentValue"] == value
    assert error.elements.get("Region") == ("us-east-1" if "region" in message else None)


def test_signature_version_4a():
    assert refused(form(changed={"x-amz-algorithm": "AWS4-ECDSA-P256-SHA256"})).code == "InvalidRequest"


def test_unknown_access_key():
    error = refused(form(), secrets={})
    assert (error.code, error.elements) == ("InvalidAccessKeyId", {"AWSAccessKeyId": ACCESS_KEY})


def test_signature_is_that_of_the_policy_as_sent():
    fields = form()
    for changed in ({"policy": fields["policy"][:-4]}, {"policy": "!"}, {"x-amz-signature": "é"}):
        error = refused({**fields, **changed})
        assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
        assert error.elements["StringToSign"] == {**fields, **changed}["policy"]
    assert error.elements.keys() == {"AWSAccessKeyId", "StringToSign", "SignatureProvided", "StringToSignBytes"}


def test_fields_that_differ_in_letter_case_alone_are_refused():
    assert refused({**form(), "KEY": "other"}).code == "InvalidArgument"


# -- the document ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "Invalid JSON."),
        ("{", "Invalid JSON."),
        ("[]", "Invalid JSON."),
        ("null", "Invalid JSON."),
        ("[" * 10_000, "Invalid JSON."),
        ('{"expiration": NaN, "conditions": []}', "Invalid JSON."),
        ('{"expiration": "x", "expiration": "y", "conditions": []}', "Invalid JSON."),
        ({"conditions": []}, "Policy missing expiration."),
        ({"expiration": EXPIRATION}, "Policy missing conditions."),
        ({"expiration": "2013-05-24", "conditions": []}, "Invalid 'expiration' value: '2013-05-24'"),
        ({"expiration": "2013-13-24T00:00:00Z", "conditions": []}, "Invalid 'expiration' value"),
        ({"expiration": "2013-05-24T00:00:00+01:00", "conditions": []}, "Invalid 'expiration' value"),
        ({"expiration": 5, "conditions": []}, "Invalid 'expiration' value: '5'"),
        ({"expiration": EXPIRATION, "conditions": {}}, "Invalid 'conditions' value: must be a List."),
        (policy_of("x"), "Invalid condition test: must be a List or Object."),
        (policy_of(5), "Invalid condition test: must be a List or Object."),
        (policy_of([]), "Invalid Condition: missing operation identifier."),
        (policy_of([5, "$key", "a"]), "Invalid Condition: missing operation identifier."),
        (policy_of(["like", "$key", "a"]), "Invalid Condition: unknown operation 'like'."),
        (policy_of(["eq", "$key"]), "Invalid eq: wrong number of arguments."),
        (policy_of(["starts-with", "$key", "a", "b"]), "Invalid starts-with: wrong number of arguments."),
        (policy_of(["content-length-range", 1]), "Invalid content-length-range: wrong number of arguments."),
        (policy_of(["eq", "$key", 5]), "Invalid JSON."),
        (policy_of(["content-length-range", 0, 512.0]), "Invalid JSON."),
        (policy_of(["content-length-range", True, 5]), "Invalid JSON."),
        (policy_of({}), "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        (policy_of({"a": "b", "c": "d"}), "Invalid Simple-Condition: Simple-Conditions must have exactly one"),
        (policy_of({"Content-Length": 5}), "Invalid Simple-Condition: value must be a string."),
    ],
)
def test_document_of_another_form(document, message):
    with pytest.raises(S3Error) as caught:
        parse_policy(encode(document))
    assert (caught.value.code, caught.value.status) == ("InvalidPolicyDocument", 400)
    assert caught.value.message.startswith(f"Invalid Policy: {message}")


@pytest.mark.parametrize("encoded", ["a", "a===", "****", "é", "/w==", encode("[" * 30_000)])
def test_policy_that_is_not_base64_of_text(encoded):
    with pytest.raises(S3Error) as caught:
        parse_policy(encoded)
    assert caught.value.code == "InvalidPolicyDocument"


@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["expiration", "conditions", "a"]), inner, max_size=3)
        ),
        max_leaves=15,
    )
)
def test_any_document_is_read_or_refused(document):
    whole = {"expiration": EXPIRATION, "conditions": document}
    for text in (
        document if isinstance(document, str) else encode(document),
        encode(whole),
        encode({**whole, "conditions": [document]}),
    ):
        try:
            parse_policy(text)
        except S3Error as error:
            assert error.status in (400, 403)  # noqa: PT017


# -- the conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ([{"acl": "private"}], {"acl": "private"}),
        ([{"AcL": "private"}], {"aCl": "private"}),
        ([["eq", "$acl", "private"]], {"acl": "private"}),
        ([["EQ", "$ACL", "private"]], {"acl": "private"}),
        ([["StArTs-WiTh", "$Content-Type", "image/"]], {"Content-Type": "image/png"}),
        ([["starts-with", "$Content-Type", "image/"]], {"Content-Type": "image/png, image/jpeg"}),
        ([["starts-with", "$x-amz-meta-a", ""]], {"x-amz-meta-A": "anything"}),
        ([["starts-with", "$x-amz-meta-a", ""]], {"x-amz-meta-a": ""}),
        ([["starts-with", "$key", "k"], ["eq", "$key", "k"]], {}),
        ([], {"x-ignore-this": "1", "X-Ignore-that": "2", "x-amz-checksum-crc32": "AAAAAA=="}),
        ([["content-length-range", 5, "10"]], {}),
        ([["eq", "$bucket", "b"]], {"bucket": "b"}),
    ],
)
def test_form_that_keeps_to_its_policy(conditions, fields):
    passes(form(*conditions, **fields))


@pytest.mark.parametrize(
    ("condition", "fields", "shown"),
    [
        ({"acl": "private"}, {"acl": "public-read"}, '["eq", "$acl", "private"]'),
        ({"acl": "private"}, {"acl": "PRIVATE"}, '["eq", "$acl", "private"]'),
        ({"acl": "private"}, {}, '["eq", "$acl", "private"]'),
        (["eq", "$Acl", 'a"b'], {"acl": "x"}, '["eq", "$Acl", "a\\"b"]'),
        (["starts-with", "$key", "user/"], {"key": "use/r"}, '["starts-with", "$key", "user/"]'),
        (["starts-with", "$Content-Type", ""], {}, '["starts-with", "$Content-Type", ""]'),
        (
            ["starts-with", "$Content-Type", "image/"],
            {"Content-Type": "image/png,text/html"},
            '["starts-with", "$Content-Type", "image/"]',
        ),
        (["eq", "$key", "ü"], {}, '["eq", "$key", "ü"]'),
        (["eq", "$bucket", "other"], {}, '["eq", "$bucket", "other"]'),
        ({"bucket": "b"}, {"bucket": "c"}, '["eq", "$bucket", "b"]'),
    ],
)
def test_form_that_breaks_a_condition(condition, fields, shown):
    error = denied(form(condition, **fields))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == f"Invalid according to Policy: Policy Condition failed: {shown}"


def test_condition_whose_name_lacks_its_dollar_sign():
    error = refused(form(["eq", "acl", "private"], acl="private"))
    assert error.message == 'Invalid according to Policy: Policy Condition failed: ["eq", "acl", "private"]'
    error = refused(form(["content-length-range", "test", "10"]))
    assert error.message.endswith('Condition failed: ["content-length-range", "test", "10"]')


def test_bucket_is_the_one_that_is_written_to():
    fields = form()
    passes(fields, bucket="b")
    assert "Policy Condition failed" in denied(fields, bucket="c").message
    # A field that names the policy's bucket does not open another one.
    assert "Policy Condition failed" in denied(form(bucket="b"), bucket="c").message


def test_policy_that_names_no_bucket():
    policy = encode(policy_of(["starts-with", "$key", ""], base=BASE[1:]))
    fields = form(changed={"policy": policy, "x-amz-signature": signature(policy)})
    assert denied(fields).message == "Invalid according to Policy: Extra input fields: bucket"


@pytest.mark.parametrize(
    "name", ["acl", "StorageClass", "x-amz-meta-a", "success_action_status", "x-amz-security-token"]
)
def test_field_that_no_condition_covers(name):
    error = denied(form(**{name: "v"}))
    assert (error.code, error.message) == ("AccessDenied", f"Invalid according to Policy: Extra input fields: {name}")


def test_signature_fields_have_to_be_covered_too():
    policy = encode(policy_of(["starts-with", "$key", ""], base=BASE[:-1]))
    fields = form(changed={"policy": policy, "x-amz-signature": signature(policy)})
    assert denied(fields).message.endswith("Extra input fields: x-amz-date")


def test_policy_expires():
    fields = form()
    passes(fields, now=NOW + 3599.9)
    error = denied(fields, now=NOW + 3600)
    assert (error.code, error.message) == ("AccessDenied", "Invalid according to Policy: Policy expired.")


@pytest.mark.parametrize("bounds", [(5, 10), ("5", "10")])
def test_content_length_range_includes_its_bounds(bounds):
    policy = parse_policy(encode(policy_of(["content-length-range", *bounds])))
    policy.check_size(5)
    policy.check_size(10)
    with pytest.raises(S3Error) as caught:
        policy.check_size(11)
    assert caught.value.code == "EntityTooLarge"
    assert caught.value.elements == {"ProposedSize": "11", "MaxSizeAllowed": "10"}
    with pytest.raises(S3Error) as caught:
        policy.check_size(4)
    assert caught.value.code == "EntityTooSmall"
    assert caught.value.elements == {"ProposedSize": "4", "MinSizeAllowed": "5"}


def test_every_content_length_range_holds():
    ranges = (["content-length-range", 1, 10], ["content-length-range", 5, 20])
    policy = parse_policy(encode(policy_of(*ranges)))
    assert (policy.minimum, policy.maximum) == (5, 10)
    parse_policy(encode(policy_of())).check_size(0)
