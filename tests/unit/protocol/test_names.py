import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.errors import S3Error
from workers.protocol.names import (
    check_bucket_name,
    check_bucket_tags,
    check_key,
    check_object_tags,
    is_bucket_name,
    parse_tagging_header,
)


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "my-bucket.logs.2026", "123", "1.2.3", "1.2.3.4.5", "a1.b2", "1.2.3.x", "a--b"]
)
def test_bucket_names_that_aws_accepts(name):
    assert is_bucket_name(name)
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "Upper",
        "under_score",
        "-start",
        "end-",
        ".start",
        "end.",
        "a..b",
        "a.-b",
        "a-.b",
        "192.168.5.4",
        "999.1.1.1",
        "xn--bucket",
        "sthree-bucket",
        "sthree-configurator",
        "amzn-s3-demo-bucket",
        "bucket-s3alias",
        "bucket--ol-s3",
        "bucket.mrap",
        "bucket--x-s3",
        "bucket--table-s3",
        "a b",
        "bücket",
        "a/b",
        "abc\n",
        "ab\x00c",
        "²²²",
    ],
)
def test_bucket_names_that_no_bucket_has(name):
    with pytest.raises(S3Error) as caught:
        check_bucket_name(name)
    assert caught.value.code == "InvalidBucketName"
    assert caught.value.elements == {"BucketName": name}


@pytest.mark.parametrize("key", ["k", "a" * 1024, "ü" * 512, "\U0001f600" * 256, "\x00", "a//b/../", "\ufffe"])
def test_keys_of_1_to_1024_bytes_are_taken(key):
    check_key(key)


@pytest.mark.parametrize("key", ["a" * 1025, "ü" * 513, "\U0001f600" * 257])
def test_longer_keys_are_refused(key):
    with pytest.raises(S3Error) as caught:
        check_key(key)
    assert caught.value.code == "KeyTooLongError"
    assert caught.value.elements == {"Size": str(len(key.encode())), "MaxSizeAllowed": "1024"}


@pytest.mark.parametrize("key", ["", "a\ud800"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(S3Error) as caught:
        check_key(key)
    assert caught.value.code == "InvalidURI"


def test_tags_in_the_characters_that_aws_allows():
    tags = [("Key +-=._:/@1", "välue 中文"), ("k" * 128, "v" * 256), ("\U0001d538", "")]
    assert check_object_tags(tags) == dict(tags)
    assert check_bucket_tags([]) == {}


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([("", "v")], "TagKey"),
        ([("k" * 129, "v")], "TagKey"),
        ([("k!", "v")], "TagKey"),
        ([("k\n", "v")], "TagKey"),
        ([("k", "v" * 257)], "TagValue"),
        ([("k", "<v>")], "TagValue"),
        ([("aws:k", "v")], "System tags"),
        ([("AWS:k", "v")], "System tags"),
        ([("k", "1"), ("k", "2")], "multiple Tags"),
    ],
)
def test_other_tags_are_refused(tags, text):
    for check in (check_object_tags, check_bucket_tags):
        with pytest.raises(S3Error, match=text) as caught:
            check(tags)
        assert caught.value.code == "InvalidTag"


def test_ten_tags_of_an_object_and_fifty_of_a_bucket():
    tags = [(f"k{number}", "") for number in range(51)]
    assert len(check_object_tags(tags[:10])) == 10
    assert len(check_bucket_tags(tags[:50])) == 50
    for check, count in ((check_object_tags, 11), (check_bucket_tags, 51)):
        with pytest.raises(S3Error) as caught:
            check(tags[:count])
        assert caught.value.code == "BadRequest"


def test_tagging_header_is_read_like_a_query():
    assert parse_tagging_header("a=1&b%20c=d%2Fe&f=&g+h") == {"a": "1", "b c": "d/e", "f": "", "g h": ""}
    assert parse_tagging_header("") == {}


@pytest.mark.parametrize(
    ("value", "code"), [("a=1&a=2", "InvalidArgument"), ("a=%ff", "InvalidArgument"), ("=v", "InvalidTag")]
)
def test_tagging_header_in_another_form_is_refused(value, code):
    with pytest.raises(S3Error) as caught:
        parse_tagging_header(value)
    assert caught.value.code == code


@given(st.text(max_size=80))
def test_rules_answer_every_text(text):
    assert is_bucket_name(text) in (True, False)
    for check in (check_key, parse_tagging_header, lambda text: check_object_tags([(text, text)])):
        try:
            check(text)
        except S3Error as error:
            assert error.status == 400  # noqa: PT017
