"""The documents that requests carry."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.checksums import ALGORITHMS
from workers.protocol.documents import (
    BucketCreation,
    CompletedPart,
    DeleteRequest,
    ObjectToDelete,
    parse_complete_multipart,
    parse_create_bucket,
    parse_delete,
    parse_tagging,
)
from workers.protocol.errors import S3Error
from workers.protocol.xml import document

PARSERS = [parse_delete, parse_tagging, parse_create_bucket, parse_complete_multipart]
ROOTS = ["Delete", "Tagging", "CreateBucketConfiguration", "CompleteMultipartUpload"]


def test_delete() -> None:
    body = document(
        "Delete",
        [
            ("Quiet", True),
            ("Object", [("Key", "a "), ("VersionId", "v"), ("ETag", '"e"'), ("LastModifiedTime", "d"), ("Size", 5)]),
            ("Object", [("Key", "b\n")]),
        ],
    )
    assert parse_delete(body) == DeleteRequest(
        (ObjectToDelete("a ", "v", '"e"', "d", "5"), ObjectToDelete("b\n")), quiet=True
    )


def test_delete_takes_a_thousand_objects() -> None:
    nodes: list[Any] = [("Object", [("Key", "k" * 1024)])] * 1000
    assert len(parse_delete(document("Delete", nodes)).objects) == 1000
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_delete(document("Delete", [*nodes, ("Object", [("Key", "k")])]))


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<Quiet>true</Quiet>",
        "<Quiet>maybe</Quiet><Object><Key>a</Key></Object>",
        "<Object/>",
        "<Object><Key/></Object>",
        "<Object><Key>a</Key><Key>b</Key></Object>",
        "<Object><Key>a</Key><Colour>red</Colour></Object>",
        "<Object><Key><B/></Key></Object>",
        "<Object><Key>a</Key></Object><Objekt/>",
    ],
)
def test_malformed_deletes(inner: str) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_delete(f"<Delete>{inner}</Delete>".encode())


def test_tagging() -> None:
    body = document(
        "Tagging", [("TagSet", [("Tag", [("Key", "a"), ("Value", "")]), ("Tag", [("Key", "b"), ("Value", "c")])])]
    )
    assert parse_tagging(body) == (("a", ""), ("b", "c"))
    assert parse_tagging(b"<Tagging><TagSet/></Tagging>") == ()


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<TagSet/><TagSet/>",
        "<TagSet>a</TagSet>",
        "<TagSet><Tag/></TagSet>",
        "<TagSet><Tag><Key>a</Key></Tag></TagSet>",
        "<TagSet><Tag><Value>a</Value></Tag></TagSet>",
        "<TagSet><Other/></TagSet>",
    ],
)
def test_malformed_taggings(inner: str) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_tagging(f"<Tagging>{inner}</Tagging>".encode())


def test_create_bucket() -> None:
    assert parse_create_bucket(b"") == BucketCreation()
    body = document(
        "CreateBucketConfiguration",
        [
            ("LocationConstraint", "eu-west-1"),
            ("Location", [("Type", "AvailabilityZone"), ("Name", "z")]),
            ("Bucket", [("Type", "Directory"), ("DataRedundancy", "SingleAvailabilityZone")]),
            ("Tags", [("Tag", [("Key", "a"), ("Value", "b")])]),
        ],
    )
    assert parse_create_bucket(body) == BucketCreation(
        "eu-west-1", "AvailabilityZone", "z", "Directory", "SingleAvailabilityZone", (("a", "b"),)
    )
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_create_bucket(b"<CreateBucketConfiguration><Region>x</Region></CreateBucketConfiguration>")


def test_complete_multipart() -> None:
    checksums: list[Any] = [(algorithm.element, "x=") for algorithm in ALGORITHMS.values()]
    body = document(
        "CompleteMultipartUpload",
        [("Part", [("PartNumber", 2), ("ETag", '"e"')]), ("Part", [("ETag", "f"), ("PartNumber", 1), *checksums])],
    )
    assert parse_complete_multipart(body) == (
        CompletedPart(2, "e", {}),
        CompletedPart(1, "f", dict.fromkeys(ALGORITHMS, "x=")),
    )


def test_complete_multipart_takes_ten_thousand_parts_with_checksums() -> None:
    part: Any = ("Part", [("PartNumber", 1), ("ETag", '"' + "e" * 32 + '"'), ("ChecksumSHA256", "x" * 44)])
    assert len(parse_complete_multipart(document("CompleteMultipartUpload", [part] * 10_000))) == 10_000
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_complete_multipart(document("CompleteMultipartUpload", [part] * 10_001))


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<Part/>",
        "<Part><PartNumber>1</PartNumber></Part>",
        "<Part><ETag>a</ETag></Part>",
        "<Part><PartNumber>-1</PartNumber><ETag>a</ETag></Part>",
        "<Part><PartNumber>one</PartNumber><ETag>a</ETag></Part>",
        "<Part><PartNumber>1</PartNumber><ETag>a</ETag><ChecksumCRC16>a</ChecksumCRC16></Part>",
        "<Part><PartNumber>1</PartNumber><ETag>a</ETag><ChecksumSHA1>a</ChecksumSHA1><ChecksumSHA1/></Part>",
    ],
)
def test_malformed_completions(inner: str) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_complete_multipart(f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode())


NAMES = st.sampled_from(["Object", "Key", "Tag", "TagSet", "Value", "Part", "PartNumber", "ETag", "Quiet", "Bucket"])
TREES = st.recursive(
    st.tuples(NAMES, st.text(max_size=5)),
    lambda children: st.tuples(NAMES, st.lists(children, max_size=4)),
    max_leaves=10,
)


def written(node: Any) -> str:
    name, content = node
    inner = content if isinstance(content, str) else "".join(map(written, content))
    return f"<{name}>{inner}</{name}>"


@given(st.sampled_from(list(zip(PARSERS, ROOTS, strict=True))), st.lists(TREES, max_size=4), st.binary())
def test_any_document_is_parsed_or_an_s3_error(parser_and_root: Any, trees: list[Any], rest: bytes) -> None:
    parser, root = parser_and_root
    inner = "".join(map(written, trees)).encode("utf-8", "replace")
    for body in (f"<{root}>".encode() + inner + f"</{root}>".encode(), inner, rest):
        code = "MalformedXML"
        try:
            parser(body)
        except S3Error as error:
            code = error.code
        assert code == "MalformedXML"
