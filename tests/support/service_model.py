"""Checks raw answers against the machine-readable model of S3 that botocore ships.

    client = checked(make_client(...))      # every call of this client raises ModelMismatch for a bad answer

botocore itself is lenient: it drops elements that it does not know and fills in what is missing. The check reads the
raw headers and XML before botocore does and reports every element and ``x-amz-*`` header that the model does not have,
every text that is not of its member's type (integers, booleans, enumerations, base64, the two forms of time), single
members that come twice, lists out of order, members that AWS always sends and are missing, wrong roots, namespaces,
statuses and content types. It knows the model's shapes from botocore; what the model does not say (names of root
elements, members that are always there) is in the tables below, from the API reference.
"""

from __future__ import annotations

import base64
import binascii
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

ROOTS: Final[Mapping[str, str]] = {
    "CopyObject": "CopyObjectResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketEncryption": "ServerSideEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketOwnershipControls": "OwnershipControls",
    "GetBucketPolicyStatus": "PolicyStatus",
    "GetBucketReplication": "ReplicationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectLegalHold": "LegalHold",
    "GetObjectLockConfiguration": "ObjectLockConfiguration",
    "GetObjectRetention": "Retention",
    "GetObjectTagging": "Tagging",
    "GetPublicAccessBlock": "PublicAccessBlockConfiguration",
    "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
    "ListBucketIntelligentTieringConfigurations": "ListBucketIntelligentTieringConfigurationsOutput",
    "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "UploadPartCopy": "CopyPartResult",
}

_VERSION: Final = ("Key", "VersionId", "IsLatest", "LastModified")

# Element paths: "A" has to be there, "A/B" has to be in every A that is there.
ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "CompleteMultipartUpload": ("Location", "Bucket", "Key", "ETag"),
    "CopyObject": ("ETag", "LastModified"),
    "CreateMultipartUpload": ("Bucket", "Key", "UploadId"),
    "DeleteObjects": ("Deleted/Key", "Error/Key", "Error/Code", "Error/Message"),
    "GetBucketAcl": ("Owner", "Owner/ID", "AccessControlList", "AccessControlList/Grant/Permission"),
    "GetBucketOwnershipControls": ("Rule", "Rule/ObjectOwnership"),
    "GetBucketRequestPayment": ("Payer",),
    "GetBucketTagging": ("TagSet", "TagSet/Tag/Key", "TagSet/Tag/Value"),
    "GetObjectAcl": ("Owner", "Owner/ID", "AccessControlList", "AccessControlList/Grant/Permission"),
    "GetObjectTagging": ("TagSet", "TagSet/Tag/Key", "TagSet/Tag/Value"),
    "ListBuckets": ("Owner", "Owner/ID", "Buckets", "Buckets/Bucket/Name", "Buckets/Bucket/CreationDate"),
    "ListMultipartUploads": (
        *("Bucket", "KeyMarker", "UploadIdMarker", "MaxUploads", "IsTruncated", "CommonPrefixes/Prefix"),
        *(f"Upload/{name}" for name in ("Key", "UploadId", "Initiator/ID", "Owner/ID", "StorageClass", "Initiated")),
    ),
    "ListObjectVersions": (
        *("Name", "Prefix", "KeyMarker", "VersionIdMarker", "MaxKeys", "IsTruncated", "CommonPrefixes/Prefix"),
        *(f"Version/{name}" for name in (*_VERSION, "ETag", "Size", "StorageClass")),
        *(f"DeleteMarker/{name}" for name in _VERSION),
    ),
    "ListObjects": (
        *("Name", "Prefix", "Marker", "MaxKeys", "IsTruncated", "CommonPrefixes/Prefix"),
        *(f"Contents/{name}" for name in ("Key", "LastModified", "ETag", "Size", "StorageClass", "Owner/ID")),
    ),
    "ListObjectsV2": (
        *("Name", "Prefix", "KeyCount", "MaxKeys", "IsTruncated", "CommonPrefixes/Prefix"),
        *(f"Contents/{name}" for name in ("Key", "LastModified", "ETag", "Size", "StorageClass")),
    ),
    "ListParts": (
        *("Bucket", "Key", "UploadId", "Initiator/ID", "Owner/ID", "StorageClass"),
        *("PartNumberMarker", "MaxParts", "IsTruncated"),
        *(f"Part/{name}" for name in ("PartNumber", "LastModified", "ETag", "Size")),
    ),
    "UploadPartCopy": ("ETag", "LastModified"),
}

ALWAYS_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "CreateBucket": ("location",),
    "GetObject": ("etag", "last-modified", "content-length", "accept-ranges", "content-type"),
    "GetObjectAttributes": ("last-modified",),
    "HeadBucket": ("x-amz-bucket-region",),
    "HeadObject": ("etag", "last-modified", "content-length", "accept-ranges", "content-type"),
    "PutObject": ("etag",),
    "UploadPart": ("etag",),
}

# Names within which the listings are in order, as (list, key) of the elements.
ORDERED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "ListBuckets": (("Buckets/Bucket", "Name"),),
    "ListMultipartUploads": (("Upload", "Key"), ("CommonPrefixes", "Prefix")),
    "ListObjectVersions": (("Version", "Key"), ("DeleteMarker", "Key"), ("CommonPrefixes", "Prefix")),
    "ListObjects": (("Contents", "Key"), ("CommonPrefixes", "Prefix")),
    "ListObjectsV2": (("Contents", "Key"), ("CommonPrefixes", "Prefix")),
}

# Members whose text is encoded when the answer says EncodingType url, in every listing.
ENCODED: Final = frozenset({"Key", "Prefix", "Delimiter", "Marker", "NextMarker", "KeyMarker", "NextKeyMarker"})

# The model gives no status to these, AWS answers them without content.
NO_CONTENT: Final = frozenset({"PutBucketTagging"})

_COMMON_HEADERS: Final = frozenset({"x-amz-request-id", "x-amz-id-2", "x-amz-bucket-region"})
_ISO8601: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_HTTP_DATE: Final = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_INTEGER: Final = re.compile(r"-?\d+")
_URL_SAFE: Final = re.compile(r"[\x21-\x7e]*")


class ModelMismatch(AssertionError):
    """An answer that the service model does not allow; the text lists every difference."""


def checked(client: Any) -> Any:
    """*client*, with every answer checked before botocore parses it."""

    def check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        findings = mismatches(
            operation_model, response_dict["status_code"], response_dict["headers"], response_dict["body"]
        )
        if findings:
            lines = "\n".join(f"  {finding}" for finding in findings)
            body = response_dict["body"]
            shown = body[:2000] if isinstance(body, bytes) else b"(stream)"
            raise ModelMismatch(f"{operation_model.name}:\n{lines}\n{dict(response_dict['headers'])}\n{shown!r}")

    # First, since botocore's own handlers of this event rewrite some answers.
    client.meta.events.register_first("before-parse.s3", check)
    return client


def mismatches(operation: Any, status: int, headers: Mapping[str, str], body: Any) -> list[str]:
    """Every difference between an answer and the model of *operation* (a botocore OperationModel).

    *body* is bytes, or a stream for operations whose payload is one (it is not read).
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    answer = _Answer(operation, status, lowered)
    answer.check_common_headers()
    if status >= 300:
        answer.check_error(body)
    else:
        answer.check_status()
        answer.check_headers()
        answer.check_body(body)
    return answer.findings


class _Answer:
    """One answer on its way through the check."""

    def __init__(self, operation: Any, status: int, headers: Mapping[str, str]) -> None:
        self.name: str = operation.name
        self.method: str = operation.http["method"]
        self.output = operation.output_shape
        self.wanted_status: int = operation.http.get("responseCode", 200)
        self.status = status
        self.headers = headers
        self.findings: list[str] = []

    def report(self, where: str, what: str) -> None:
        self.findings.append(f"{where}: {what}")

    def check_common_headers(self) -> None:
        for name in ("x-amz-request-id", "x-amz-id-2", "date"):
            if not self.headers.get(name):
                self.report("headers", f"no {name}")
        if not _HTTP_DATE.fullmatch(self.headers.get("date", "")):
            self.report("header date", f"not an HTTP date: {self.headers.get('date')!r}")

    def check_status(self) -> None:
        allowed = {self.wanted_status}
        if self.name in {"GetObject", "HeadObject"}:
            allowed.add(206)
        if self.name in NO_CONTENT:
            allowed = {200, 204}
        if self.status not in allowed:
            self.report("status", f"{self.status}, not one of {sorted(allowed)}")

    # Headers

    def check_headers(self) -> None:
        known = set(_COMMON_HEADERS)
        prefixes: list[str] = []
        members: Mapping[str, Any] = self.output.members if self.output is not None else {}
        for member, shape in members.items():
            location = shape.serialization.get("location")
            name = shape.serialization.get("name", member).lower()
            if location == "header":
                known.add(name)
                if name in self.headers:
                    self.check_text(f"header {name}", shape, self.headers[name], "rfc822")
            elif location == "headers":
                prefixes.append(name)
        for name in self.headers:
            if name.startswith("x-amz-") and name not in known and not name.startswith(tuple(prefixes or ["\0"])):
                self.report(f"header {name}", "not in the model")
        for name in ALWAYS_HEADERS.get(self.name, ()):
            if name not in self.headers:
                self.report(f"header {name}", "missing")
        if "etag" in self.headers and not re.fullmatch(r'"[^"]+"', self.headers["etag"]):
            self.report("header etag", f"not quoted: {self.headers['etag']!r}")

    # Bodies

    def check_body(self, body: Any) -> None:
        members: Mapping[str, Any] = self.output.members if self.output is not None else {}
        payload = self.output.serialization.get("payload") if self.output is not None else None
        in_body = {name: shape for name, shape in members.items() if "location" not in shape.serialization}
        if payload is not None:
            shape = members[payload]
            if shape.type_name in {"blob", "string"}:
                return
            in_body = shape.members
        if self.method == "HEAD" or not in_body:
            if body:
                self.report("body", f"{len(body)} bytes where none are defined")
            return
        root = self.parse(body)
        if root is None:
            return
        wanted = f"{{{NAMESPACE}}}{ROOTS[self.name]}"
        if root.tag != wanted:
            self.report("root element", f"{root.tag}, not {wanted}")
        if self.name == "GetBucketLocation":  # its one member is the text of the root element
            self.check_text("LocationConstraint", members["LocationConstraint"], root.text or None, "iso8601")
            return
        self.check_structure(ROOTS[self.name], in_body, root)
        for path in ALWAYS.get(self.name, ()):
            self.check_present(root, path)
        self.check_order(root)

    def parse(self, body: bytes) -> ElementTree.Element | None:
        if self.headers.get("content-type") != "application/xml":
            self.report("header content-type", f"{self.headers.get('content-type')!r}, not application/xml")
        if not body.lstrip(b" \n").startswith(b'<?xml version="1.0" encoding="UTF-8"?>'):
            self.report("body", f"no XML declaration: {body[:60]!r}")
        try:
            return ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            self.report("body", f"not well-formed: {error}")
            return None

    def check_structure(self, path: str, members: Mapping[str, Any], element: ElementTree.Element) -> None:
        known: dict[str, Any] = {}
        for member, shape in members.items():
            if shape.serialization.get("xmlAttribute"):
                prefix, _, name = shape.serialization["name"].partition(":")
                value = element.get(f"{{{XSI}}}{name}" if prefix == "xsi" else name)
                if value is None:
                    self.report(path, f"no attribute {shape.serialization['name']}")
                else:
                    self.check_text(f"{path}@{name}", shape, value, "iso8601")
                continue
            known[_element_name(member, shape)] = shape
        seen: set[str] = set()
        for child in element:
            name = self.local_name(path, child)
            shape = known.get(name)
            where = f"{path}/{name}"
            if shape is None:
                self.report(where, "not in the model")
                continue
            flattened = shape.type_name == "list" and shape.serialization.get("flattened")
            if name in seen and not flattened:
                self.report(where, "comes more than once")
            seen.add(name)
            self.check_value(where, shape, child, flattened=bool(flattened))

    def check_value(self, path: str, shape: Any, element: ElementTree.Element, *, flattened: bool) -> None:
        if shape.type_name == "structure":
            self.check_structure(path, shape.members, element)
            for name in shape.required_members:
                wanted = _element_name(name, shape.members[name])
                is_attribute = shape.members[name].serialization.get("xmlAttribute")
                is_list = shape.members[name].type_name == "list"
                if not is_attribute and not is_list and element.find(f"{{{NAMESPACE}}}{wanted}") is None:
                    self.report(path, f"lacks its required member {wanted}")
        elif shape.type_name == "list" and flattened:
            self.check_value(path, shape.member, element, flattened=False)
        elif shape.type_name == "list":
            wanted = shape.member.serialization.get("name", "member")
            for child in element:
                if self.local_name(path, child) != wanted:
                    self.report(path, f"an element {child.tag} in a list of {wanted}")
                else:
                    self.check_value(f"{path}/{wanted}", shape.member, child, flattened=False)
        else:
            if len(element):
                self.report(path, "elements where text belongs")
            self.check_text(path, shape, element.text, "iso8601")

    def local_name(self, path: str, element: ElementTree.Element) -> str:
        namespace, _, name = element.tag.rpartition("}")
        if namespace != "{" + NAMESPACE:
            self.report(f"{path}/{name}", f"in the namespace {namespace!r}")
        return name

    def check_text(self, path: str, shape: Any, text: str | None, time_format: str) -> None:
        value = text or ""
        kind = shape.type_name
        if kind in {"integer", "long"} and not _INTEGER.fullmatch(value):
            self.report(path, f"not a number: {value!r}")
        elif kind == "boolean" and value not in {"true", "false"}:
            self.report(path, f"not a boolean: {value!r}")
        elif kind == "timestamp":
            form = shape.serialization.get("timestampFormat", time_format)
            pattern = _ISO8601 if form == "iso8601" else _HTTP_DATE
            if not pattern.fullmatch(value):
                self.report(path, f"not a time in the form {form}: {value!r}")
        elif kind == "blob":
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                self.report(path, f"not base64: {value!r}")
        elif kind == "string" and getattr(shape, "enum", None) and text is not None and value not in shape.enum:
            self.report(path, f"{value!r} is not one of {shape.enum}")

    def check_present(self, root: ElementTree.Element, path: str) -> None:
        *parents, name = path.split("/")
        for element in _descend([root], parents):
            if element.find(f"{{{NAMESPACE}}}{name}") is None:
                self.report(path, "missing")

    def check_order(self, root: ElementTree.Element) -> None:
        encoded = root.findtext(f"{{{NAMESPACE}}}EncodingType") == "url"
        if encoded:
            for element in root.iter():
                if element.tag.rpartition("}")[2] in ENCODED and not _URL_SAFE.fullmatch(element.text or ""):
                    self.report(element.tag.rpartition("}")[2], f"not url-encoded: {element.text!r}")
        for path, name in ORDERED.get(self.name, ()):
            texts = [element.findtext(f"{{{NAMESPACE}}}{name}") or "" for element in _descend([root], path.split("/"))]
            names = [unquote_plus(text) if encoded else text for text in texts]
            if names != sorted(names, key=str.encode):
                self.report(f"{path}/{name}", f"out of order: {names[:20]}")
            several = self.name in {"ListObjectVersions", "ListMultipartUploads"}  # versions or uploads of one key
            if not several and len(set(names)) != len(names):
                self.report(f"{path}/{name}", "a name comes twice")

    # Errors

    def check_error(self, body: Any) -> None:
        if self.method == "HEAD" or self.status == 304:
            if body:
                self.report("body", f"{len(body)} bytes in an answer that has none")
            return
        root = self.parse(body if isinstance(body, bytes) else body.read())
        if root is None:
            return
        if root.tag != "Error":
            self.report("root element", f"{root.tag}, not Error without a namespace")
        for name in ("Code", "Message", "RequestId", "HostId"):
            if len(root.findall(name)) != 1:
                self.report("Error", f"{len(root.findall(name))} elements {name}")
        if root.findtext("RequestId") != self.headers.get("x-amz-request-id"):
            self.report("Error/RequestId", "not the x-amz-request-id of the headers")
        if root.findtext("HostId") != self.headers.get("x-amz-id-2"):
            self.report("Error/HostId", "not the x-amz-id-2 of the headers")


def _element_name(member: str, shape: Any) -> str:
    """The XML name of a member: a flattened list's elements may be named by the list's own element."""
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        own = shape.member.serialization.get("name")
        if own is not None:
            return str(own)
    return str(shape.serialization.get("name", member))


def _descend(elements: Iterable[ElementTree.Element], names: Iterable[str]) -> list[ElementTree.Element]:
    found = list(elements)
    for name in names:
        found = [child for element in found for child in element.findall(f"{{{NAMESPACE}}}{name}")]
    return found
