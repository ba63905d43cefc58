"""Round trips against the signers that clients use: botocore's and awscrt's."""

import json
import time
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import awscrt.auth
import awscrt.http
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4PostAuth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.protocol.signing import ACCESS_KEY, SECRET, check
from workers.protocol.errors import S3Error
from workers.protocol.post_policy import verify_post_policy
from workers.protocol.sigv4 import SigningKeys

HOST = "gateway.example:8080"
text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
keys = text.map(lambda key: "/bucket/" + quote(key, safe="/~"))
queries = st.lists(st.tuples(text, st.text(st.characters(exclude_categories=("Cs",)), max_size=20)), max_size=4)
tokens = st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=40)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.strip)
metadata = st.dictionaries(st.text("abc-019", min_size=1, max_size=8).map("x-amz-meta-{}".format), values, max_size=3)
methods = st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"])


def target_of(url):
    parts = urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


def encode(query):
    # A name of the signature itself would be a second one.
    return "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in query
        if not name.lower().startswith("x-amz-") and name != "Signature"
    )


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


@settings(max_examples=120, deadline=None)
@given(methods, keys, queries, metadata, tokens, st.sampled_from(["us-east-1", "eu-central-2"]))
def test_botocore_header_signatures(method, path, query, headers, token, region):
    encoded = encode(query)
    request = AWSRequest(method, f"http://{HOST}{path}{'?' + encoded if encoded else ''}", dict(headers), b"data")
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET, token), "s3", region).add_auth(request)
    sent = {"host": HOST, **lower(request.headers)}
    found = check(method, target_of(request.url), sent, now=time.time(), region=region)
    assert (found.access_key, found.session_token, found.kind) == (ACCESS_KEY, token, "header")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(method, target_of(request.url), sent, now=time.time(), region=region, secrets={ACCESS_KEY: "other"})


@settings(max_examples=120, deadline=None)
@given(methods, keys, queries, tokens, st.integers(1, 604800))
def test_botocore_presigned_urls(method, path, query, token, expires):
    encoded = encode(query)
    now = time.time()  # a URL of one second must not expire on a busy machine
    request = AWSRequest(method, f"http://{HOST}{path}{'?' + encoded if encoded else ''}")
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET, token), "s3", "us-east-1", expires=expires).add_auth(request)
    found = check(method, target_of(request.url), {"host": HOST}, now=now)
    assert (found.access_key, found.session_token, found.kind) == (ACCESS_KEY, token, "query")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check("PATCH", target_of(request.url), {"host": HOST}, now=now)


@pytest.mark.parametrize("service", ["sts", "iam"])
def test_botocore_requests_to_other_services(service):
    request = AWSRequest("POST", f"http://{HOST}/", {"Content-Type": "application/x-www-form-urlencoded"}, b"Action=A")
    SigV4Auth(Credentials(ACCESS_KEY, SECRET), service, "us-east-1").add_auth(request)
    digest = SigV4Auth(None, service, "us-east-1").payload(request)
    sent = {"host": HOST, **lower(request.headers)}
    options = {"now": time.time(), "services": ("s3", "sts", "iam")}
    assert check("POST", "/", sent, body_sha256=digest, **options).service == service
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check("POST", "/", sent, body_sha256="0" * 64, **options)


@settings(max_examples=40, deadline=None)
@given(keys, st.dictionaries(st.sampled_from(["acl", "x-amz-meta-a", "Content-Type"]), values), tokens)
def test_botocore_post_forms(path, fields, token):
    conditions = [{"bucket": "b"}, ["starts-with", "$key", ""], *({name: value} for name, value in fields.items())]
    policy = {"expiration": "2999-01-01T00:00:00Z", "conditions": conditions}
    request = AWSRequest("POST", f"http://{HOST}/b")
    request.context["s3-presign-post-fields"] = {**fields, "key": path}
    request.context["s3-presign-post-policy"] = policy
    S3SigV4PostAuth(Credentials(ACCESS_KEY, SECRET, token), "s3", "us-east-1").add_auth(request)
    form = request.context["s3-presign-post-fields"]
    found = verify_post_policy(form, region="us-east-1", secret_of={ACCESS_KEY: SECRET}.get, keys=SigningKeys())
    assert (found.access_key, found.session_token) == (ACCESS_KEY, token)
    found.policy.check(form, bucket="b", now=time.time())
    assert json.dumps(policy)  # the form signed what it says
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        verify_post_policy(
            {**form, "policy": form["policy"][:-4]}, region="", secret_of={ACCESS_KEY: SECRET}.get, keys=SigningKeys()
        )


@settings(max_examples=80, deadline=None)
@given(methods, keys, queries, metadata, tokens, st.booleans())
def test_awscrt_signatures(method, path, query, headers, token, presign):
    encoded = encode(query)
    fields = awscrt.http.HttpHeaders([("host", HOST), *({} if presign else headers).items()])
    request = awscrt.http.HttpRequest(method, path + ("?" + encoded if encoded else ""), fields)
    kinds = awscrt.auth.AwsSignatureType
    config = awscrt.auth.AwsSigningConfig(
        signature_type=kinds.HTTP_REQUEST_QUERY_PARAMS if presign else kinds.HTTP_REQUEST_HEADERS,
        credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET, token),
        region="us-east-1",
        service="s3",
        date=datetime.now(UTC),
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
        signed_body_value="UNSIGNED-PAYLOAD",
        signed_body_header_type=awscrt.auth.AwsSignedBodyHeaderType.NONE
        if presign
        else awscrt.auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        expiration_in_seconds=60 if presign else None,
    )
    signed = awscrt.auth.aws_sign_request(request, config).result(10)
    found = check(method, signed.path, lower(dict(signed.headers)), now=time.time())
    assert (found.access_key, found.session_token) == (ACCESS_KEY, token)
    assert found.kind == ("query" if presign else "header")
