"""The error catalogue and the error document."""

import gzip
import json
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from workers.protocol.errors import CATALOGUE, S3Error, render_error


def service_model() -> Any:
    path = Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json"
    if path.exists():
        return json.loads(path.read_bytes())
    return json.loads(gzip.decompress(path.with_suffix(".json.gz").read_bytes()))


def parsed_by_botocore(body: bytes, status: int) -> Any:
    model = ServiceModel(service_model(), "s3")
    shape = model.operation_model("GetObject").output_shape
    response = {
        "headers": {"x-amz-request-id": "R"},
        "body": body,
        "status_code": status,
        "context": {"operation_name": "GetObject"},
    }
    return create_parser("rest-xml").parse(response, shape)


def test_every_exception_of_the_service_model_is_in_the_catalogue_with_its_status() -> None:
    shapes = service_model()["shapes"]
    exceptions = {name: shape for name, shape in shapes.items() if shape.get("exception")}
    assert len(exceptions) > 10
    for name, shape in exceptions.items():
        assert CATALOGUE[name].status == shape.get("error", {}).get("httpStatusCode", CATALOGUE[name].status), name


def test_every_row_has_an_error_status_and_a_message() -> None:
    for code, kind in CATALOGUE.items():
        assert 300 <= kind.status < 600, code
        assert kind.message.strip() == kind.message != "", code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDenied", 403),
        ("BucketNotEmpty", 409),
        ("EntityTooLarge", 400),
        ("InsufficientStorage", 507),
        ("InternalError", 500),
        ("InvalidRange", 416),
        ("MethodNotAllowed", 405),
        ("MissingContentLength", 411),
        ("NoSuchKey", 404),
        ("NotImplemented", 501),
        ("NotModified", 304),
        ("PreconditionFailed", 412),
        ("SignatureDoesNotMatch", 403),
        ("SlowDown", 503),
    ],
)
def test_status_of_a_code(code: str, status: int) -> None:
    assert S3Error(code).status == status


def test_an_unknown_code_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        S3Error("NoSuchCode")


def test_golden_document() -> None:
    error = S3Error("NoSuchKey", Key="a&b<c>.txt")
    assert render_error(error, resource="/b/a", request_id="4442587FB7D0A2F9", host_id="host") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
        b"<Key>a&amp;b&lt;c&gt;.txt</Key><Resource>/b/a</Resource>"
        b"<RequestId>4442587FB7D0A2F9</RequestId><HostId>host</HostId></Error>"
    )


def test_golden_document_with_own_message_and_without_resource() -> None:
    error = S3Error("AccessDenied", "Request has expired").add("X-Amz-Expires", "60")
    assert render_error(error, resource="", request_id="1", host_id="h") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires>"
        b"<RequestId>1</RequestId><HostId>h</HostId></Error>"
    )


def test_an_invalid_request_has_no_resource() -> None:
    assert b"<Resource>" not in render_error(S3Error("InvalidRequest"), resource="/b/a", request_id="1", host_id="h")
    assert b"<Resource>/b/a<" in render_error(S3Error("InvalidArgument"), resource="/b/a", request_id="1", host_id="h")


@pytest.mark.parametrize("code", sorted(code for code, kind in CATALOGUE.items() if kind.status >= 400))
def test_botocore_reads_every_error(code: str) -> None:
    error = S3Error(code, BucketName="b")
    parsed = parsed_by_botocore(render_error(error, resource="/b", request_id="R", host_id="H"), error.status)
    assert parsed["Error"]["Code"] == code
    assert parsed["Error"]["Message"] == error.message
    assert parsed["Error"]["BucketName"] == "b"
    assert parsed["ResponseMetadata"]["RequestId"] == "R"
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == error.status


@given(st.text(alphabet=st.characters()), st.text(alphabet=st.characters()))
def test_what_a_client_sent_never_breaks_the_document(value: str, resource: str) -> None:
    error = S3Error("InvalidArgument", value, ArgumentValue=value)
    root = etree.fromstring(render_error(error, resource=resource, request_id="r", host_id="h"))
    assert root.findtext("Message") is not None
    assert len(root.findtext("ArgumentValue") or "") == len(value)


def test_an_error_carries_headers_and_reads_well() -> None:
    error = S3Error("InvalidRange", headers={"Content-Range": "bytes */5"})
    assert error.headers == {"Content-Range": "bytes */5"}
    assert str(error) == "InvalidRange: The requested range is not satisfiable"
    assert S3Error("NoSuchKey").headers == {}
