"""Records come back as they were written; names, paths and tags keep AWS's rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.iam.records import (
    AccessKeyRecord,
    AccountLimits,
    AccountRecord,
    GroupRecord,
    InvalidInput,
    LimitExceeded,
    PolicyRecord,
    PolicyVersion,
    RecordError,
    RoleRecord,
    UserRecord,
    check_access_key,
    check_account_id,
    check_description,
    check_email,
    check_expiry,
    check_inline,
    check_limits,
    check_name,
    check_numbers,
    check_path,
    check_secret,
    check_tags,
    decode,
    encode,
    policy_size,
)

ID = "a" * 64
texts = st.text(max_size=30)
maps = st.dictionaries(texts, texts, max_size=4)
numbers = st.none() | st.integers(0, 2**32)
tuples = st.lists(st.integers(0, 2**32), max_size=4).map(tuple)
owned: dict[str, Any] = {"id": texts, "account": st.just(ID), "name": texts, "path": texts, "created": st.integers(0)}
names = st.lists(texts, max_size=3).map(tuple)

RECORDS = st.one_of(
    st.builds(
        AccountRecord,
        id=st.just(ID),
        name=texts,
        email=texts,
        uid=numbers,
        gid=numbers,
        groups=tuples,
        enabled=st.booleans(),
        limits=st.builds(AccountLimits, requests=st.integers(0, 9), bytes=st.integers(0, 9)),
        claims=names,
        access_keys=names,
    ),
    st.builds(UserRecord, **owned, tags=maps, groups=st.none() | tuples, inline=maps, attached=names, member_of=maps),
    st.builds(GroupRecord, **owned, inline=maps, attached=names),
    st.builds(RoleRecord, **owned, trust=texts, tags=maps, inline=maps, revoked_before=st.integers(0, 2**60)),
    st.builds(
        PolicyRecord,
        **{**owned, "created": st.integers(0, 2**60)},
        versions=st.dictionaries(texts, st.builds(PolicyVersion, text=texts), max_size=3),
    ),
    st.builds(AccessKeyRecord, access_key=texts, sealed_secret=st.binary(), account=st.just(ID), user=texts),
)


@given(RECORDS.filter(lambda record: getattr(record, "created", 0) < 2**63))
def test_a_record_comes_back(record: Any) -> None:
    assert decode(encode(record), type(record)) == record


@pytest.mark.parametrize("data", [b"", b"2 {}", b"{}", b"1 ", b"1 {", b'1 {"id":1}', b'1 {"id":"\xff"}'])
def test_a_damaged_record_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        decode(data, AccountRecord)


def test_fields_of_later_formats_are_passed_over() -> None:
    assert decode(b'1 {"id":"x","name":"n","later":1}', AccountRecord).name == "n"


@pytest.mark.parametrize("name", ["a", "A-Z_0+9=,.@x", "x" * 64])
def test_names(name: str) -> None:
    assert check_name(name, 64, "UserName") == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a*", "ü", "a\n", "a:b"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="UserName"):
        check_name(name, 64, "UserName")


@pytest.mark.parametrize("path", ["/", "/a/", "/a/b/", "/" + "x" * 510 + "/"])
def test_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["", "//", "a/", "/a", "/a b/", "/*/", "/a?/", "/ü/", "/" + "x" * 511 + "/", "/a/\n"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidInput, match="Path"):
        check_path(path)


def test_tags() -> None:
    assert check_tags({"Team": "a b/ü"}) == {"Team": "a b/ü"}
    assert check_tags({"k" * 128: "v" * 256, "x": ""})


@pytest.mark.parametrize(
    "tags",
    [{"": "v"}, {"k" * 129: "v"}, {"k": "v" * 257}, {"aws:k": "v"}, {"AWS:k": ""}, {"k": "v", "K": "v"}, {"*": ""}],
)
def test_what_are_no_tags(tags: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        check_tags(tags)


def test_there_are_50_tags_at_most() -> None:
    assert len(check_tags({f"k{n}": "" for n in range(50)})) == 50
    with pytest.raises(LimitExceeded):
        check_tags({f"k{n}": "" for n in range(51)})


@pytest.mark.parametrize("email", ["", "a@b.example", "a+b@x"])
def test_emails(email: str) -> None:
    assert check_email(email) == email


@pytest.mark.parametrize("email", ["a", "@b", "a@", "a@b@c", "a b@c", "a@" + "x" * 254, "a@b\n"])
def test_what_is_no_email(email: str) -> None:
    with pytest.raises(InvalidInput, match="Email"):
        check_email(email)


@pytest.mark.parametrize("key", ["ab", "a/b", "x" * 129, "a b c", "abc\n"])
def test_what_is_no_access_key(key: str) -> None:
    with pytest.raises(InvalidInput):
        check_access_key(key)


@pytest.mark.parametrize("secret", ["short", "x" * 129, "1234567\n", "secretü!!"])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_secret(secret)
    assert secret not in str(refused.value)


def test_ids_and_numbers() -> None:
    assert check_account_id(ID) == ID
    for wrong in ("A" * 64, "a" * 63, ""):
        with pytest.raises(InvalidInput):
            check_account_id(wrong)
    check_numbers(0, None, (2**32 - 2,))
    for numbers in ((-1, None, None), (None, 2**32 - 1, None), (None, None, (-1,))):
        with pytest.raises(InvalidInput):
            check_numbers(*numbers)
    for limit in (-1, 2**63):
        with pytest.raises(InvalidInput):
            check_limits(AccountLimits(bytes=limit))
        with pytest.raises(InvalidInput):
            check_expiry(limit)


def test_descriptions() -> None:
    assert check_description("x\n" + "ü" * 998) != ""
    for wrong in ("x" * 1001, "\x00", "\ud800", "€"):
        with pytest.raises(InvalidInput):
            check_description(wrong)


def test_white_space_does_not_count_in_a_policy() -> None:
    assert policy_size('{ "a":\n\t1 }') == 7
    check_inline({"p": "x" * 1024, "q": "x" * 1024 + " \n"}, UserRecord)
    with pytest.raises(LimitExceeded, match="2048"):
        check_inline({"p": "x" * 1024, "q": "x" * 1025}, UserRecord)
    check_inline({"p": "x" * 10240}, RoleRecord)


def test_a_key_record_shows_no_secret() -> None:
    record = AccessKeyRecord(access_key="AK", sealed_secret=b"sealed", account=ID)
    assert not hasattr(record, "secret")
