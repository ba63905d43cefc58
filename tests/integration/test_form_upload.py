"""PostObject, the upload by an HTML form: what boto3 signs, a browser sends; every refusal leaves nothing behind."""

import base64
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from tests.support.gateway import Gateway

Poster = Callable[..., requests.Response]
FILE = b"twelve bytes" * 1000


@pytest.fixture
def signer(gateway: Gateway) -> Any:
    """A client that signs policies by Signature Version 4."""
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway.region,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


@pytest.fixture
def post(signer: Any, bucket: str) -> Poster:
    """Sends a form with a policy that covers its fields; `change` may spoil the fields after they were signed."""

    def send(
        key: str = "k",
        fields: dict[str, str] | None = None,
        conditions: list[Any] | None = None,
        *,
        files: Any = None,
        change: Callable[[dict[str, str]], None] = lambda fields: None,
        expires: int = 60,
    ) -> requests.Response:
        extra = dict(fields or {})
        wanted = [{name: value} for name, value in extra.items()] + (conditions or [])
        form = signer.generate_presigned_post(bucket, key, Fields=extra, Conditions=wanted, ExpiresIn=expires)
        change(form["fields"])
        sent = {"file": ("name.bin", FILE)} if files is None else files
        return requests.post(form["url"], data=form["fields"], files=sent, timeout=30, allow_redirects=False)

    return send


def code(response: requests.Response) -> str:
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


def stored(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_form_stores_its_file_with_what_the_fields_say(post: Poster, s3: Any, bucket: str) -> None:
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    fields = {
        "Content-Type": "text/plain",
        "x-amz-meta-colour": "blue",
        "Cache-Control": "no-cache",
        "tagging": tagging,
    }
    answer = post("up/${filename}", fields, files={"file": ("C:\\tmp\\ünï.txt", FILE)})
    assert answer.status_code == 204, answer.text
    got = s3.get_object(Bucket=bucket, Key="up/ünï.txt", ChecksumMode="ENABLED")
    assert got["Body"].read() == FILE
    assert (got["ContentType"], got["Metadata"], got["CacheControl"]) == ("text/plain", {"colour": "blue"}, "no-cache")
    assert got["TagCount"] == 1
    assert got["ETag"] == answer.headers["etag"]
    assert got["ChecksumCRC64NVME"] == answer.headers["x-amz-checksum-crc64nvme"]


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204)])
def test_success_action_status(post: Poster, asked: str, status: int, bucket: str) -> None:
    answer = post("a b", {"success_action_status": asked})
    assert answer.status_code == status
    if status == 201:
        assert f"<Bucket>{bucket}</Bucket><Key>a b</Key><ETag>{answer.headers['etag']}</ETag>".replace(
            '"', "&quot;"
        ) in answer.text.replace('"', "&quot;")
        assert answer.headers["location"].endswith(f"/{bucket}/a%20b")


def test_success_action_redirect_names_what_was_stored(post: Poster, bucket: str) -> None:
    answer = post("k", {"success_action_redirect": "http://app.example/done?x=1"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"http://app.example/done?x=1&bucket={bucket}&key=k&etag=%22")


def test_a_redirect_that_is_no_url_is_ignored(post: Poster) -> None:
    assert post("k", {"success_action_redirect": "javascript:alert(1)"}).status_code == 204


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        ({"conditions": [["content-length-range", 0, 11_999]]}, 400, "EntityTooLarge"),
        ({"conditions": [["content-length-range", 12_001, 20_000]]}, 400, "EntityTooSmall"),
        ({"conditions": [["starts-with", "$x-amz-meta-a", "b"]]}, 403, "AccessDenied"),
        ({"expires": -10}, 403, "AccessDenied"),
        ({"fields": {"x-amz-storage-class": "NONE"}}, 400, "InvalidStorageClass"),
        ({"fields": {"acl": "public-read"}}, 400, "AccessControlListNotSupported"),
        ({"fields": {"tagging": "<Tagging>"}}, 400, "MalformedXML"),
        ({"fields": {"x-amz-checksum-crc32": "AAAAAA=="}}, 400, "BadDigest"),
        ({"files": {"other": ("n", b"x")}}, 400, "InvalidArgument"),
        ({"key": "k" * 1025}, 400, "KeyTooLongError"),
        ({"change": lambda fields: fields.update({"x-amz-meta-more": "1"})}, 403, "AccessDenied"),
        ({"change": lambda fields: fields.update(key="other")}, 403, "AccessDenied"),
        ({"change": lambda fields: fields.update({"x-amz-signature": "0" * 64})}, 403, "SignatureDoesNotMatch"),
        ({"change": lambda fields: fields.pop("x-amz-signature")}, 400, "InvalidArgument"),
        ({"change": lambda fields: fields.pop("key")}, 403, "AccessDenied"),
        ({"change": lambda fields: fields.clear()}, 400, "InvalidArgument"),
        ({"change": lambda fields: fields.update(filler="x" * 21_000)}, 400, "MaxPostPreDataLengthExceededError"),
    ],
)
def test_refusals_store_nothing(
    post: Poster, s3: Any, bucket: str, arguments: dict[str, Any], status: int, expected: str
) -> None:
    answer = post(**arguments)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert stored(s3, bucket) == []


def test_an_unknown_key_is_told_apart(post: Poster) -> None:
    def change(fields: dict[str, str]) -> None:
        fields["x-amz-credential"] = "AKIANOBODY" + fields["x-amz-credential"][20:]

    assert code(post(change=change)) == "InvalidAccessKeyId"


def test_a_form_that_breaks_off_stores_nothing(gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    form = signer.generate_presigned_post(bucket, "k")
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in form["fields"].items()]
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhalf of it')
    answer = requests.post(
        form["url"], "".join(parts).encode(), headers={"Content-Type": "multipart/form-data; boundary=b"}, timeout=30
    )
    assert (answer.status_code, code(answer)) == (400, "MalformedPOSTRequest")
    assert stored(s3, bucket) == []


def test_a_policy_that_is_no_json_is_refused(post: Poster) -> None:
    def change(fields: dict[str, str]) -> None:
        fields["policy"] = base64.b64encode(json.dumps([]).encode()).decode()

    assert code(post(change=change)) in ("SignatureDoesNotMatch", "InvalidPolicyDocument")


def test_a_body_that_is_no_form_is_refused(gateway: Gateway, bucket: str) -> None:
    answer = requests.post(gateway.url(f"/{bucket}"), b"key=k", timeout=30)
    assert (answer.status_code, code(answer)) == (412, "PreconditionFailed")
