from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.errors import S3Error
from workers.protocol.target import (
    EMPTY_QUERY,
    decode_key,
    decode_path,
    encode_path,
    encode_text,
    parse_query,
    split_target,
)

latin1 = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/", ("/", "")),
        ("/b/k?acl", ("/b/k", "acl")),
        ("//b//k/?a=b?c", ("//b//k/", "a=b?c")),
        ("/b/k?", ("/b/k", "")),
        ("/b/http://x", ("/b/http://x", "")),
        ("*", ("*", "")),
        ("http://host:1/b/k?x=1", ("/b/k", "x=1")),
        ("HTTPS://host/b//", ("/b//", "")),
        ("http://host", ("/", "")),
        ("http://host?acl", ("/", "acl")),
    ],
)
def test_target_is_split_as_sent(raw, expected):
    assert split_target(raw) == expected


@pytest.mark.parametrize("raw", ["", "b/k", "?acl", "/b#fragment", "/b?q#f", "ftp://host/x", "host:80", "**"])
def test_target_in_no_known_form_is_refused(raw):
    with pytest.raises(S3Error) as caught:
        split_target(raw)
    assert (caught.value.code, caught.value.status) == ("InvalidURI", 400)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("plain/key.txt", "plain/key.txt"),
        ("a+b", "a+b"),
        ("a%20b%2Fc%2f", "a b/c/"),
        ("%E4%B8%AD%c3%bc", "中ü"),
        ("Ã¼", "ü"),  # raw UTF-8 bytes, as WSGI shows them
        ("..//./", "..//./"),
        ("%00%1f", "\x00\x1f"),
        ("%25zz", "%zz"),
    ],
)
def test_key_is_strict_utf8(raw, key):
    assert decode_key(raw) == key
    assert decode_key(raw.encode("latin-1")) == key


@pytest.mark.parametrize(
    "raw", ["%", "a%2", "a%zz", "%ff", "%c3", "\xff", "%ED%A0%80", "%C0%AF", "中", "% 1", "%+1", "%1_"]
)
def test_key_that_is_not_percent_encoded_utf8_is_refused(raw):
    with pytest.raises(S3Error) as caught:
        decode_key(raw)
    assert caught.value.code == "InvalidURI"


def test_query_has_first_values_all_values_and_raw_pairs():
    query = parse_query("acl&prefix=a%2Fb&x=1&x=2&e=&plus=a+b%2Bc&&k=v=w")
    assert dict(query) == {"acl": "", "prefix": "a/b", "x": "1", "e": "", "plus": "a b+c", "k": "v=w"}
    assert query.getlist("x") == ["1", "2"]
    assert query.getlist("none") == []
    assert "acl" in query
    assert "none" not in query
    assert query.get("none") is None
    assert query.raw_pairs == [
        ("acl", ""),
        ("prefix", "a%2Fb"),
        ("x", "1"),
        ("x", "2"),
        ("e", ""),
        ("plus", "a+b%2Bc"),
        ("k", "v=w"),
    ]
    assert len(query) == 6


def test_empty_query_is_shared_and_false():
    assert parse_query("") is EMPTY_QUERY
    assert not EMPTY_QUERY


@pytest.mark.parametrize("raw", ["a=%", "a=%f", "%zz=1", "a=%ff", "prefix=\xff"])
def test_query_that_is_not_percent_encoded_utf8_is_refused(raw):
    with pytest.raises(S3Error) as caught:
        parse_query(raw)
    assert caught.value.code == "InvalidURI"


def test_semicolon_does_not_separate_parameters():
    assert dict(parse_query("a=1;b=2")) == {"a": "1;b=2"}


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=50))
def test_every_key_survives_its_encoding(key):
    assert decode_key(quote(key, safe="/~")) == key
    assert decode_key(encode_path(key.encode())) == key
    assert parse_query("x=" + encode_text(key.encode()))["x"] == key


@given(st.binary(max_size=50))
def test_encoding_is_that_of_rfc3986(data):
    assert encode_text(data) == quote(data, safe="-_.~")
    assert encode_path(data) == quote(data, safe="/-_.~")
    assert decode_path(encode_text(data)) == data


@given(latin1)
def test_parsers_refuse_or_read_whatever_comes(raw):
    for parse in (split_target, decode_key, decode_path, parse_query):
        try:
            parse(raw)
        except S3Error as error:
            assert error.code == "InvalidURI"  # noqa: PT017 -- either outcome is right, another exception is not
