"""Reading and writing XML documents."""

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

from workers.protocol.errors import S3Error
from workers.protocol.times import iso8601
from workers.protocol.xml import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    NAMESPACE,
    UnrepresentableTextError,
    document,
    escape,
    escape_replacing,
    parse,
    render,
    url_encoded,
)

XML_TEXT = st.text(
    alphabet=st.one_of(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), st.sampled_from("\t\n\r")).filter(
        lambda character: character not in "\ufffe\uffff"
    )
)
LIMIT = 1 << 20


def parsed_answer(operation: str, body: bytes) -> Any:
    path = Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json"
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".json.gz").read_bytes())
    shape = ServiceModel(json.loads(data), "s3").operation_model(operation).output_shape
    response = {"headers": {}, "body": body, "status_code": 200, "context": {"operation_name": operation}}
    return create_parser("rest-xml").parse(response, shape)


def refused(body: bytes, root: str = "A", limit: int = LIMIT) -> str:
    with pytest.raises(S3Error) as caught:
        parse(body, root, limit=limit)
    return caught.value.code


@given(XML_TEXT)
def test_text_survives_writing_and_reading(text: str) -> None:
    body = document("A", [("B", text), ("C", [("D", text)])])
    root = etree.fromstring(body)
    assert (root.findtext("{*}B") or "") == text
    assert parse(body, "A", limit=LIMIT).get_text("B") == text
    assert parse(body, "A", limit=LIMIT).get("C").get_text("D") == text


@given(st.text(alphabet=st.characters()))
def test_escaping_agrees_with_lxml_about_what_xml_can_hold(text: str) -> None:
    try:
        etree.Element("a").text = text
        possible = True
    except (ValueError, UnicodeEncodeError):
        possible = False
    if possible:
        assert etree.fromstring(f"<a>{escape(text)}</a>".encode()).text == (text or None)
    else:
        with pytest.raises(UnrepresentableTextError) as caught:
            escape(text)
        assert caught.value.text == text
    assert len(etree.fromstring(f"<a>{escape_replacing(text)}</a>".encode()).text or "") == len(text)


def test_golden_document() -> None:
    body = document(
        "AccessControlPolicy",
        [
            ("Owner", [("ID", "a<&>b"), ("DisplayName", "")]),
            ("Absent", None),
            ("Count", 3),
            ("Yes", True),
            ("No", False),
            ("Line", "a\r\nb"),
            (
                "Grantee",
                [("URI", "x")],
                {"xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:type": "Group"},
            ),
            ("Empty", "", {"a": '"'}),
            ("Missing", None, {"a": "b"}),
        ],
    )
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>a&lt;&amp;&gt;b</ID>'
        b"<DisplayName/></Owner><Count>3</Count><Yes>true</Yes><No>false</No><Line>a&#13;\nb</Line>"
        b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>x</URI></Grantee>'
        b'<Empty a="&quot;"/></AccessControlPolicy>'
    )


def test_a_document_of_text_alone_and_without_declaration_or_namespace() -> None:
    assert document("LocationConstraint", "eu-west-1", declaration=False) == (
        f'<LocationConstraint xmlns="{NAMESPACE}">eu-west-1</LocationConstraint>'.encode()
    )
    assert document("A", [], namespace=None, declaration=False) == b"<A></A>"
    assert render([("A", 1), ("B", [])]) == b"<A>1</A><B></B>"


def test_the_caller_decides_about_text_that_xml_cannot_hold() -> None:
    with pytest.raises(UnrepresentableTextError):
        document("A", [("Key", "a\x01b")])
    assert "a\ufffdb".encode() in document("A", [("Key", "a\x01b")], escaping=escape_replacing)


def test_botocore_reads_a_list() -> None:
    keys = ["a&b", "ä <c>", "d\re", "plain"]
    contents = [
        (
            "Contents",
            [
                ("Key", key),
                ("LastModified", iso8601(1767323045 * 10**9)),
                ("ETag", '"abc"'),
                ("Size", size),
                ("StorageClass", "STANDARD"),
            ],
        )
        for size, key in enumerate(keys)
    ]
    body = document(
        "ListBucketResult",
        [("Name", "b"), ("Prefix", ""), ("KeyCount", 4), ("MaxKeys", 1000), ("IsTruncated", False), *contents,
         ("CommonPrefixes", [("Prefix", "p/")])],
    )  # fmt: skip
    parsed = parsed_answer("ListObjectsV2", body)
    assert [entry["Key"] for entry in parsed["Contents"]] == keys
    assert [entry["Size"] for entry in parsed["Contents"]] == [0, 1, 2, 3]
    assert parsed["Contents"][0]["ETag"] == '"abc"'
    assert parsed["Contents"][0]["LastModified"].timestamp() == 1767323045
    assert parsed["IsTruncated"] is False
    assert parsed["CommonPrefixes"] == [{"Prefix": "p/"}]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_url_encoded_keys_are_read_back_by_botocore(text: str) -> None:
    from botocore.compat import unquote_str

    encoded = url_encoded(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert unquote_str(encoded) == text


def test_url_encoding_is_that_of_s3() -> None:
    assert url_encoded("a b/c*d~e+f-g.h_i%ä") == "a+b/c*d%7Ee%2Bf-g.h_i%25%C3%A4"


@pytest.mark.parametrize(
    "body",
    [
        b"<A><B>1</B></A>",
        b'<?xml version="1.0" encoding="UTF-8"?><A><B>1</B></A>',
        f'<A xmlns="{NAMESPACE}"><B>1</B></A>'.encode(),
        f'<s:A xmlns:s="{NAMESPACE}"><s:B>1</s:B></s:A>'.encode(),
        b'<A xmlns="http://doc.s3.amazonaws.com/2006-03-01"><B>1</B></A>',
        b"<A>\n  <!-- comment -->\n  <B><![CDATA[1]]></B>\n</A>\n",
        b"\xef\xbb\xbf<A><B>&#49;</B></A>",
    ],
)
def test_documents_with_and_without_namespace(body: bytes) -> None:
    assert parse(body, "A", limit=LIMIT).get_text("B") == "1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"A",
        b"<A>",
        b"<A></B>",
        b"<A/><A/>",
        b"<B/>",
        b'<A xmlns="urn:other"/>',
        b'<A><B xmlns="urn:other"/></A>',
        b"<x:A/>",
        b"<A>text<B/></A>",
        b"<A>&nbsp;</A>",
        b"<A>\x00</A>",
        b"<A>&#0;</A>",
        b"<A>\xff</A>",
        '<?xml version="1.0" encoding="UTF-16"?><A/>'.encode("utf-16"),
        "<A/>".encode("utf-16"),
        "<A/>".encode("utf-16-le"),
        "<A/>".encode("utf-16-be"),
        b"<!DOCTYPE A><A/>",
        b'<!DOCTYPE A SYSTEM "file:///etc/passwd"><A/>',
        b'<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>',
        b'<!DOCTYPE A [<!ENTITY x SYSTEM "file:///etc/passwd">]><A>&x;</A>',
        b'<!DOCTYPE A [<!ENTITY % x SYSTEM "http://127.0.0.1/">%x;]><A/>',
        b"<A>" * (MAX_DEPTH + 1) + b"</A>" * (MAX_DEPTH + 1),
        b"<A>" + b"<B/>" * MAX_ELEMENTS + b"</A>",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_refused(body: bytes) -> None:
    assert refused(body) == "MalformedXML"


def test_a_latin_1_declaration_does_not_change_the_encoding() -> None:
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><A><B>ä</B></A>'.encode()
    assert parse(body, "A", limit=LIMIT).get_text("B") == "ä"


def test_a_body_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    assert refused(b"<A>" + b" " * 100 + b"</A>", limit=100) == "MaxMessageLengthExceeded"


def test_content_of_another_type_is_a_programming_error() -> None:
    for content in (1.5, b"bytes"):
        with pytest.raises(TypeError):
            render([("A", content)])


def test_helpers_of_an_element() -> None:
    root = parse(
        b"<A><T>text</T><N> 12 </N><Y>True</Y><F>false</F><R>1</R><R>2</R><P><Q/></P><E/></A>", "A", limit=LIMIT
    )
    assert root.find_text("T") == "text"
    assert root.find_text("None") is None
    assert root.get_text("E") == ""
    assert root.get_integer("N") == root.find_integer("N") == 12
    assert root.find_integer("None") is None
    assert root.find_boolean("Y") is True
    assert root.find_boolean("F") is False
    assert root.find_boolean("None") is None
    assert [one.text for one in root.all("R")] == ["1", "2"]
    for fails in (
        lambda: root.get("None"),
        lambda: root.get("R"),
        lambda: root.get_text("P"),
        lambda: root.get_integer("T"),
        lambda: root.find_boolean("T"),
        lambda: root.allow("T", "N"),
    ):
        with pytest.raises(S3Error, match="MalformedXML"):
            fails()


def test_attributes_carry_their_namespace() -> None:
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    root = parse(f'<A xmlns:xsi="{xsi}"><G xsi:type="Group"/></A>'.encode(), "A", limit=LIMIT)
    assert root.get("G").attributes == {f"{xsi} type": "Group"}


@given(st.one_of(st.binary(), st.text(alphabet="<>/A!&;\"' =x[]?-").map(str.encode)))
def test_any_bytes_are_a_document_or_an_s3_error(body: bytes) -> None:
    try:
        root = parse(body, "A", limit=LIMIT)
    except S3Error as error:
        code = error.code
    else:
        code = root.name
    assert code in ("MalformedXML", "A")
