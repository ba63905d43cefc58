"""The refusals of SigV4 authentication, one for each thing that can be wrong, and the requests that pass."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.protocol.signing import (
    ACCESS_KEY,
    AMZ_DATE,
    EMPTY,
    HOST,
    NOW,
    SCOPE,
    SECRET,
    amz_date,
    check,
    presigned_target,
    signature,
    signed_headers,
    to_sign,
)
from workers.protocol.errors import S3Error
from workers.protocol.sigv4 import SigningKeys, parse_authorization, parse_presigned, signing_key
from workers.protocol.target import EMPTY_QUERY, parse_query

MALFORMED = "The authorization header is malformed; "


def refused(*arguments, **options) -> S3Error:
    with pytest.raises(S3Error) as caught:
        check(*arguments, **options)
    return caught.value


def altered(headers, old, new):
    assert old in headers["authorization"]
    return {**headers, "authorization": headers["authorization"].replace(old, new)}


def without(headers, name):
    return {other: value for other, value in headers.items() if other != name}


# -- what passes ----------------------------------------------------------------------------------------------------


def test_header_signature_says_who_and_what_chunks_go_on_from():
    headers = signed_headers()
    found = check(headers=headers)
    assert found.access_key == ACCESS_KEY
    assert found.kind == "header"
    assert found.payload_hash == EMPTY
    assert found.signature == headers["authorization"][-64:]
    assert found.signing_key == signing_key(SECRET, "20130524", "us-east-1", "s3")
    assert (found.scope, found.amz_date, found.region, found.service) == (SCOPE, AMZ_DATE, "us-east-1", "s3")
    assert found.session_token is None


def test_representation_does_not_show_the_signing_key():
    found = check(headers=signed_headers())
    assert found.signing_key.hex() not in repr(found)
    assert repr(found.signing_key) not in repr(found)


def test_no_credentials_at_all_is_anonymous():
    assert check() is None
    assert check(headers={}) is None
    assert check(headers={"host": HOST, "authorization": ""}) is None
    assert check(target="/key?X-Amz-Signature=00&AWSAccessKeyId=a") is None


@pytest.mark.parametrize(
    "payload",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "AB" * 32,
    ],
)
def test_payload_forms(payload):
    assert check("PUT", headers=signed_headers("PUT", payload=payload)).payload_hash == payload


def test_payload_hash_header_need_not_be_listed_as_signed():
    assert check(headers=signed_headers(unsigned=("x-amz-content-sha256",)))


@pytest.mark.parametrize("name", ["content-type", "range", "date", "user-agent", "x-amzn-trace-id", "if-match"])
def test_other_headers_need_not_be_signed(name):
    assert check(headers={**signed_headers(), name: "value"})


def test_session_token_is_passed_through():
    assert check(headers=signed_headers(headers={"x-amz-security-token": "a/b+c=="})).session_token == "a/b+c=="
    target = presigned_target(query={"X-Amz-Security-Token": "a/b+c=="})
    assert check(target=target).session_token == "a/b+c=="


@pytest.mark.parametrize("separator", [",", ", ", " ,  "])
def test_components_may_be_separated_with_and_without_spaces(separator):
    headers = signed_headers()
    assert check(headers={**headers, "authorization": headers["authorization"].replace(", ", separator)})


def test_components_come_in_any_order():
    headers = signed_headers()
    scheme, _, rest = headers["authorization"].partition(" ")
    parts = rest.split(", ")
    assert check(headers={**headers, "authorization": f"{scheme} {', '.join(reversed(parts))}"})


def test_spaces_in_header_values_are_collapsed_but_not_bytes_of_utf8():
    # 0xA0 and 0x85 are parts of UTF-8 sequences here, and white space to str.split.
    value = "\u00c3\u00a0  x\t y\u00c2\u0085"
    headers = signed_headers(headers={"x-amz-meta-a": "\u00c3\u00a0 x y\u00c2\u0085"})
    assert check(headers={**headers, "x-amz-meta-a": f"  {value} "})


def test_date_header_serves_when_there_is_no_x_amz_date():
    headers = without(signed_headers(headers={"date": "Fri, 24 May 2013 00:00:00 GMT"}), "x-amz-date")
    names = "date;host;x-amz-content-sha256"
    text = f"GET\n/key\n\ndate:{headers['date']}\nhost:{HOST}\nx-amz-content-sha256:{EMPTY}\n\n{names}\n{EMPTY}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE},SignedHeaders={names},Signature={signature(to_sign(text))}"
    )
    assert check(headers=headers).amz_date == AMZ_DATE


@pytest.mark.parametrize("offset", [-900, 0, 900])
def test_clock_may_differ_by_fifteen_minutes(offset):
    assert check(headers=signed_headers(), now=NOW + offset)


def test_empty_region_stands_for_us_east_1():
    assert check(headers=signed_headers(), region="")
    assert refused(headers=signed_headers(region="eu-west-1"), region="").elements["Region"] == "us-east-1"


def test_other_services_sign_their_body_without_a_header():
    digest = hashlib.sha256(b"Action=GetCallerIdentity").hexdigest()
    headers = signed_headers("POST", "/", service="sts", payload=digest, unsigned=("x-amz-content-sha256",))
    headers = without(headers, "x-amz-content-sha256")
    found = check("POST", "/", headers, services=("s3", "sts"), body_sha256=digest)
    assert (found.service, found.payload_hash) == ("sts", digest)
    assert refused("POST", "/", headers, services=("s3", "sts"), body_sha256=EMPTY).code == "SignatureDoesNotMatch"
    assert refused("POST", "/", headers, services=("s3", "sts")).code == "InvalidRequest"


def test_iam_is_signed_for_us_east_1_whatever_the_region():
    headers = signed_headers("POST", "/", service="iam")
    assert check("POST", "/", headers, region="eu-west-1", services=("s3", "iam")).service == "iam"


# -- what is refused, header ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"Credential={ACCESS_KEY}/{SCOPE}, ", "", "the authorization header requires three components"),
        ("SignedHeaders=host;x-amz-content-sha256;x-amz-date, ", "", "the authorization header requires three"),
        ("Signature=", "Sig=", 'the authorization component "Sig='),
        ("Credential=", "Credential=a, Credential=", "the authorization component"),
        ("Signature=", "Signature=0, Signature=", "the authorization component"),
        ("Credential=", "Credential", "the authorization component"),
        ("/us-east-1/", "/", "the Credential is mal-formed; expecting"),
        ("aws4_request", "aws4_request/x", "the Credential is mal-formed; expecting"),
        (ACCESS_KEY, "", "a non-empty Access Key (AKID) must be provided in the credential."),
        ("/20130524/", "/2013052/", 'incorrect date format "2013052".'),
        ("/20130524/", "/2013052x/", 'incorrect date format "2013052x".'),
        ("/20130524/", "/20130523/", "Invalid credential date. Date is not the same as X-Amz-Date."),
        ("/us-east-1/", "//", "a non-empty region must be provided in the credential."),
        ("/us-east-1/", "/eu-west-1/", "the region 'eu-west-1' is wrong; expecting 'us-east-1'"),
        ("/s3/", "/ec2/", 'incorrect service "ec2". This endpoint belongs to "s3".'),
        ("aws4_request", "aws4_reques", 'incorrect terminal "aws4_reques". This endpoint uses "aws4_request".'),
    ],
)
def test_malformed_authorization(old, new, message):
    error = refused(headers=altered(signed_headers(), old, new))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
    assert error.message.startswith(MALFORMED + message)


def test_authorization_without_signature():
    headers = signed_headers()
    error = refused(headers={**headers, "authorization": headers["authorization"].rpartition(", ")[0]})
    assert error.message.startswith(MALFORMED + "the authorization header requires three components")


def test_wrong_region_names_the_right_one():
    error = refused(headers=signed_headers(), region="eu-west-1")
    assert error.message == f"{MALFORMED}the region 'us-east-1' is wrong; expecting 'eu-west-1'"
    assert error.elements == {"Region": "eu-west-1"}


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ("AWS AKIA:frJIUN8DYpKDtOLCwo//yllqDzg=", "InvalidRequest", "Please use AWS4-HMAC-SHA256"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "InvalidRequest", "Please use AWS4-HMAC-SHA256"),
        ("Bearer token", "InvalidArgument", "Unsupported Authorization Type"),
        ("aws4-hmac-sha512 a,b,Signature=c", "InvalidArgument", "Unsupported Authorization Type"),
        ("Basic", "InvalidArgument", "one and only one"),
        ("AWS4-HMAC-SHA256", "InvalidArgument", "one and only one"),
    ],
)
def test_other_schemes(value, code, text):
    error = refused(headers={"host": HOST, "authorization": value})
    assert error.code == code
    assert text in error.message


def test_signature_version_2_in_the_query():
    error = refused(target="/key?AWSAccessKeyId=a&Expires=1&Signature=b")
    assert error.code == "InvalidRequest"


@pytest.mark.parametrize("target", ["/key?X-Amz-Algorithm=AWS4-HMAC-SHA256", "/key?Signature=x"])
def test_two_mechanisms_at_once(target):
    error = refused(target=target, headers=signed_headers(target=target))
    assert (error.code, error.elements["ArgumentName"]) == ("InvalidArgument", "Authorization")
    assert error.message.startswith("Only one auth mechanism allowed")


def test_payload_header_is_required():
    error = refused(headers=without(signed_headers(), "x-amz-content-sha256"))
    assert (error.code, error.message) == (
        "InvalidRequest",
        "Missing required header for this request: x-amz-content-sha256",
    )


@pytest.mark.parametrize(
    "payload", ["a" * 63, "a" * 65, "g" * 64, "unsigned-payload", "STREAMING", "STREAMING-X", "é" * 64]
)
def test_payload_header_of_another_form(payload):
    error = refused(headers={**signed_headers(), "x-amz-content-sha256": payload})
    assert error.code == "InvalidArgument"
    assert error.elements == {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": payload}


def test_payload_of_signature_version_4a():
    headers = {**signed_headers(), "x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}
    assert refused(headers=headers).code == "InvalidRequest"


@pytest.mark.parametrize("value", [None, "", "2013-05-24T00:00:00Z", "20130524T0000Z", "20131324T000000Z", "x" * 16])
def test_date_is_required(value):
    headers = without(signed_headers(), "x-amz-date")
    error = refused(headers=headers if value is None else {**headers, "x-amz-date": value})
    assert (error.code, error.message) == (
        "AccessDenied",
        "AWS authentication requires a valid Date or x-amz-date header",
    )


@pytest.mark.parametrize("offset", [-901, 901, 86400, -(10**9)])
def test_clock_that_differs_more(offset):
    error = refused(headers=signed_headers(date=amz_date(NOW + offset)))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.elements == {
        "RequestTime": amz_date(NOW + offset),
        "ServerTime": "2013-05-24T00:00:00Z",
        "MaxAllowedSkewMilliseconds": "900000",
    }


@pytest.mark.parametrize("name", ["x-amz-meta-color", "x-amz-acl", "x-amz-security-token", "content-md5"])
def test_header_that_has_to_be_signed(name):
    error = refused(headers={**signed_headers(), name: "value"})
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == "There were headers present in the request which were not signed"
    assert error.elements == {"HeadersNotSigned": name}


def test_host_and_date_have_to_be_signed():
    headers = signed_headers(unsigned=("host", "x-amz-date"))
    assert refused(headers=headers).elements == {"HeadersNotSigned": "host, x-amz-date"}
    assert refused(target=presigned_target(signed="range")).elements == {"HeadersNotSigned": "host"}


def test_unknown_access_key():
    error = refused(headers=signed_headers(access_key="AKIAUNKNOWN"))
    assert (error.code, error.status, error.elements) == ("InvalidAccessKeyId", 403, {"AWSAccessKeyId": "AKIAUNKNOWN"})


def test_unknown_access_key_is_told_even_if_it_is_signed_with_the_decoy_secret():
    keys = SigningKeys()
    headers = signed_headers(access_key="AKIAUNKNOWN", secret=keys.decoy_secret)
    assert refused(headers=headers, keys=keys).code == "InvalidAccessKeyId"


def test_mismatch_shows_what_the_gateway_signed():
    headers = signed_headers(secret="other")
    error = refused(headers=headers)
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    canonical = (
        f"GET\n/key\n\nhost:{HOST}\nx-amz-content-sha256:{EMPTY}\nx-amz-date:{AMZ_DATE}\n\n"
        f"host;x-amz-content-sha256;x-amz-date\n{EMPTY}"
    )
    text = f"AWS4-HMAC-SHA256\n{AMZ_DATE}\n{SCOPE}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert error.elements == {
        "AWSAccessKeyId": ACCESS_KEY,
        "StringToSign": text,
        "SignatureProvided": headers["authorization"][-64:],
        "StringToSignBytes": text.encode().hex(" "),
        "CanonicalRequest": canonical,
        "CanonicalRequestBytes": canonical.encode().hex(" "),
    }


@pytest.mark.parametrize("provided", ["0" * 64, "00", "é" * 64, "F" * 64])
def test_signature_of_another_form_does_not_match(provided):
    headers = signed_headers()
    text = headers["authorization"][:-64] + provided
    assert refused(headers={**headers, "authorization": text}).code == "SignatureDoesNotMatch"


def test_signed_header_that_is_missing_does_not_match():
    headers = without(signed_headers(headers={"x-amz-acl": "private"}), "x-amz-acl")
    assert refused(headers=headers).code == "SignatureDoesNotMatch"


# -- presigned ------------------------------------------------------------------------------------------------------


def test_presigned_request():
    found = check(target=presigned_target(query={"response-content-type": "a b/c+d"}))
    assert (found.kind, found.payload_hash, found.access_key) == ("query", "UNSIGNED-PAYLOAD", ACCESS_KEY)


def test_presigned_payload_hash_comes_from_the_header_or_the_query():
    target = presigned_target(
        "PUT", headers={"x-amz-content-sha256": EMPTY}, signed="host;x-amz-content-sha256", payload=EMPTY
    )
    assert check("PUT", target, {"host": HOST, "x-amz-content-sha256": EMPTY}).payload_hash == EMPTY
    target = presigned_target("PUT", query={"X-Amz-Content-Sha256": EMPTY}, payload=EMPTY)
    assert check("PUT", target).payload_hash == EMPTY


@pytest.mark.parametrize("payload", ["garbage", "unsigned-payload", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_presigned_payload_hash_may_be_anything_that_the_signature_covers(payload):
    # It counts as a digest that the body has to have: bodies.py refuses it there, and a read has no body.
    headers = {"host": HOST, "x-amz-content-sha256": payload}
    found = check("PUT", presigned_target("PUT", payload=payload), headers)
    assert (found.kind, found.payload_hash) == ("query", payload)
    assert refused("PUT", presigned_target("PUT"), headers).code == "SignatureDoesNotMatch"


def test_presigned_parameters_in_another_letter_case():
    target = presigned_target(
        changed={"X-Amz-Date": None, "X-Amz-Expires": None},
        query={"x-amz-date": AMZ_DATE, "X-AMZ-EXPIRES": "60"},
    )
    assert check(target=target)


def test_presigned_signature_covers_parameters_that_come_after_it():
    assert refused(target=presigned_target() + "&versionId=null").code == "SignatureDoesNotMatch"


def test_presigned_parameter_given_twice():
    target = presigned_target()
    for more in ("&X-Amz-Signature=00", "&x-amz-expires=1", "&X-Amz-Expires=3600"):
        assert refused(target=target + more).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("expires", [1, 60, 604800])
def test_presigned_request_lives_its_seconds(expires):
    target = presigned_target(expires=expires)
    for now in (NOW - 900, NOW, NOW + expires):
        assert check(target=target, now=now)
    error = refused(target=target, now=NOW + expires + 1)
    assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Request has expired")
    assert error.elements["X-Amz-Expires"] == str(expires)
    assert error.elements.keys() == {"X-Amz-Expires", "Expires", "ServerTime"}
    assert refused(target=target, now=NOW - 901).message == "Request is not yet valid"


def test_presigned_expiry_is_named():
    error = refused(target=presigned_target(expires=60), now=NOW + 90)
    assert error.elements == {
        "X-Amz-Expires": "60",
        "Expires": "2013-05-24T00:01:00Z",
        "ServerTime": "2013-05-24T00:01:30Z",
    }


def test_presigned_for_no_time_has_always_expired():
    assert refused(target=presigned_target(expires=0)).message == "Request has expired"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X-Amz-Credential", None, "Query-string authentication version 4 requires"),
        ("X-Amz-Date", None, "Query-string authentication version 4 requires"),
        ("X-Amz-Expires", None, "Query-string authentication version 4 requires"),
        ("X-Amz-SignedHeaders", None, "Query-string authentication version 4 requires"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", "X-Amz-Algorithm only supports"),
        ("X-Amz-Date", "2013-05-24T00:00:00Z", "X-Amz-Date must be in the ISO8601 Long Format"),
        ("X-Amz-Expires", "604801", "X-Amz-Expires must be less than a week (in seconds)"),
        ("X-Amz-Expires", "9" * 30, "X-Amz-Expires should be a number"),
        ("X-Amz-Expires", "-1", "X-Amz-Expires must be non-negative"),
        ("X-Amz-Expires", "1h", "X-Amz-Expires should be a number"),
        ("X-Amz-Expires", "", "X-Amz-Expires should be a number"),
        ("X-Amz-Expires", "1_0", "X-Amz-Expires should be a number"),
        ("X-Amz-Expires", "٣", "X-Amz-Expires should be a number"),
        ("X-Amz-Credential", "a/b", "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed"),
        (
            "X-Amz-Credential",
            f"{ACCESS_KEY}/20130524/x/s3/aws4_request",
            "Error parsing the X-Amz-Credential parameter; the region 'x' is wrong",
        ),
        (
            "X-Amz-Credential",
            f"{ACCESS_KEY}/20130524/us-east-1/x/aws4_request",
            "Error parsing the X-Amz-Credential parameter; incorrect service",
        ),
        (
            "X-Amz-Credential",
            f"{ACCESS_KEY}/20130523/us-east-1/s3/aws4_request",
            'Invalid credential date "20130523". This date is not the same as X-Amz-Date: "20130524".',
        ),
    ],
)
def test_presigned_with_a_wrong_parameter(name, value, message):
    error = refused(target=presigned_target(changed={name: value}))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert error.message.startswith(message)


def test_presigned_without_signature():
    target = presigned_target()
    error = refused(target=target[: target.index("&X-Amz-Signature")])
    assert error.message.startswith("Query-string authentication version 4 requires")


def test_presigned_with_signature_version_4a():
    assert (
        refused(target=presigned_target(changed={"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"})).code == "InvalidRequest"
    )


def test_presigned_with_an_unsigned_header():
    error = refused(target=presigned_target(), headers={"host": HOST, "x-amz-acl": "public-read"})
    assert error.elements == {"HeadersNotSigned": "x-amz-acl"}


def test_presigned_with_an_unknown_access_key():
    assert refused(target=presigned_target(access_key="AKIAUNKNOWN")).code == "InvalidAccessKeyId"


# -- any change to a request makes its signature wrong ---------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_to_a_signed_request_is_refused(data):
    target = "/bucket/some%20key?partNumber=1&uploadId=abc"
    headers = signed_headers("PUT", target, {"x-amz-meta-a": "value", "content-md5": "abcd"}, payload="ab" * 32)
    assert check("PUT", target, headers)
    part = data.draw(st.sampled_from(["method", "target", *headers]))
    old = {"method": "PUT", "target": target, **headers}[part]
    position = data.draw(st.integers(0, len(old) - 1))
    letter = data.draw(st.sampled_from("abzAZ019/.").filter(lambda letter: letter != old[position]))
    new = old[:position] + letter + old[position + 1 :]
    method, changed, found = "PUT", target, dict(headers)
    if part == "method":
        method = new
    elif part == "target":
        changed = new
    else:
        found[part] = new
    # A "?" that is overwritten leaves another path; a percent sign, another key: all of it is signed.
    with pytest.raises(S3Error):
        assert check(method, changed, found) is not None


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_to_a_presigned_request_is_refused_or_anonymous(data):
    target = presigned_target("GET", "/bucket/key", {"versionId": "abc"})
    position = data.draw(st.integers(1, len(target) - 1))
    letter = data.draw(st.sampled_from("abzABZ019").filter(lambda letter: letter != target[position]))
    changed = target[:position] + letter + target[position + 1 :]
    # %2F and %2f are the same byte, and a parameter's name may have any letter case: neither changes the meaning.
    if changed.lower() == target.lower():
        return
    try:
        assert check("GET", changed) is None
    except S3Error as error:
        assert error.status in (400, 403)  # noqa: PT017


# -- parsers never fail in another way -------------------------------------------------------------------------------

latin1 = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=80)


@given(
    st.one_of(
        latin1,
        latin1.map(lambda text: "AWS4-HMAC-SHA256 " + text),
        st.tuples(latin1, latin1, latin1).map(
            lambda parts: "AWS4-HMAC-SHA256 Credential={},SignedHeaders={},Signature={}".format(*parts)
        ),
        st.tuples(latin1, latin1).map(
            lambda parts: (
                f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE},SignedHeaders={parts[0]},Signature={parts[1]}"
            )
        ),
    )
)
def test_any_authorization_header_is_read_or_refused(value):
    try:
        parse_authorization(value)
    except S3Error as error:
        assert error.status in (400, 403)  # noqa: PT017
    try:
        assert check(headers={**signed_headers(), "authorization": value}) is None
    except S3Error as error:
        assert error.status in (400, 403)  # noqa: PT017


@given(
    st.dictionaries(
        st.sampled_from(["X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    )
)
def test_any_presigned_query_is_refused(changed):
    target = presigned_target(changed={**changed, "X-Amz-Algorithm": "AWS4-HMAC-SHA256"}) + "0"
    with pytest.raises(S3Error):
        check(target=target)


@given(latin1, st.dictionaries(latin1, latin1, max_size=5), latin1, latin1)
def test_any_request_is_refused_or_anonymous(method, headers, path, query):
    try:
        assert check(method, "/" + path.replace("#", "") + "?" + query.replace("#", ""), headers) is None
    except S3Error as error:
        assert error.status in (400, 403)  # noqa: PT017


def test_parse_presigned_reads_a_query():
    stated = parse_presigned(parse_query(presigned_target(signed="host;range").partition("?")[2]), payload="p")
    assert stated.signed_headers == ("host", "range")
    assert (stated.expires, stated.payload, stated.scope) == (3600, "p", SCOPE)
    with pytest.raises(S3Error):
        parse_presigned(EMPTY_QUERY)


# -- the cache of signing keys ---------------------------------------------------------------------------------------


def test_signing_keys_follow_a_changed_secret():
    keys = SigningKeys()
    assert check(headers=signed_headers(), keys=keys)
    assert check(headers=signed_headers(secret="new"), keys=keys, secrets={ACCESS_KEY: "new"})
    assert refused(headers=signed_headers(), keys=keys, secrets={ACCESS_KEY: "new"}).code == "SignatureDoesNotMatch"


def test_signing_keys_are_bounded_and_keep_what_is_used():
    keys = SigningKeys(limit=10)
    for number in range(100):
        keys.get(f"key{number}", "20130524", "us-east-1", "s3", SECRET)
        assert keys.get("busy", "20130524", "us-east-1", "s3", SECRET) == signing_key(
            SECRET, "20130524", "us-east-1", "s3"
        )
        assert keys.count <= 20
    assert keys.get("key3", "20130525", "eu", "s3", "x") == signing_key("x", "20130525", "eu", "s3")


def test_long_authorization_headers_are_read_too():
    many = {f"x-amz-meta-header-number-{number}": "v" for number in range(40)}
    headers = signed_headers(headers=many)
    assert len(headers["authorization"]) > 600
    assert check(headers=headers)
