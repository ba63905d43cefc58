"""The rule between keys and paths."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.hierarchy import DEFAULT_NAMES, Kind, Names
from backends.hierarchy.names import COMPONENT_LIMIT

# A storage that is choosier: control characters, a sequence with a meaning of its own, names that it keeps to itself.
STRICT = Names(
    escapes={**{chr(code): f"{code:02X}" for code in range(32)}, "#AND#": "AND"},
    reserved=(".sys.v#.", ".sys.a#."),
)
# Paths that may have no more than three names, but for those of long segments.
SHALLOW = Names(deepest=3)
RULES = [DEFAULT_NAMES, STRICT, SHALLOW]

# fmt: off
PIECES = st.sampled_from([
    "/", "%", "%25", "%2525", "%00", "00", "25", "\0", "%~", "~", "%dot", "dot", ".", "..", "%object", "%more", "more",
    "%plain", "%_", "_", ".sys.v#.", ".sys.a#.", "#AND#", "AND", "#", "a", "b", "é", "日", "😀", "\n", "x" * 120,
    "é" * 60, "\0" * 40,
])
ORDINARY = [
    "photo.jpg", "a/b/c", "100%", "50% off/x", "a%20b", "%2F", "%41", "Ünïcödé/日本語", ".hidden", "...", "a b", "-",
    "~",
    "%", "%%", "a%object.txt", "more", "x%morex", "%Dot", "\n", "x" * 255, "é" * 127, "d" * 255 + "/" + "f" * 255,
]
# fmt: on
KEYS = (
    st.one_of(st.lists(PIECES, min_size=1, max_size=14).map("".join), st.text(st.characters(exclude_categories=["Cs"])))
    .map(lambda key: key.encode()[:1024].decode(errors="ignore"))
    .filter(bool)
)
NAMES = (
    st.lists(PIECES, min_size=1, max_size=6)
    .map(lambda pieces: "".join(pieces).replace("/", "").replace("\0", ""))
    .map(lambda name: name.encode()[:255].decode(errors="ignore"))
    .filter(lambda name: name not in ("", ".", ".."))
)


def _assert_storable(path: str) -> None:
    for name in path.split("/"):
        assert name not in ("", ".", "..")
        assert len(name.encode()) <= COMPONENT_LIMIT
        assert "\0" not in name


@pytest.mark.parametrize("rule", RULES, ids=["default", "strict", "shallow"])
@settings(max_examples=600, deadline=None)
@given(key=KEYS)
@example(key="%dot%object")
@example(key="x" * 249)
@example(key="x" * 251 + "%more")
@example(key="%00" * 341)
def test_every_key_has_two_paths_and_comes_back_from_both(rule: Names, key: str) -> None:
    natural, displaced = rule.path(key), rule.displaced(key)
    assert natural != displaced
    for path in (natural, displaced):
        _assert_storable(path)
        assert rule.key(path) == key


@pytest.mark.parametrize("rule", RULES, ids=["default", "strict", "shallow"])
@settings(max_examples=600, deadline=None)
@given(one=KEYS, other=KEYS)
def test_no_two_keys_share_a_path(rule: Names, one: str, other: str) -> None:
    if one != other:
        assert not {rule.path(one), rule.displaced(one)} & {rule.path(other), rule.displaced(other)}


@settings(max_examples=800, deadline=None)
@given(name=NAMES)
def test_every_file_name_is_the_name_of_exactly_one_object(name: str) -> None:
    decoded = DEFAULT_NAMES.decode(name)
    if decoded is None or decoded[1] is Kind.CONTINUED:
        # Names that the rule never gives to an object's file.
        assert name.endswith(("%object", "%more"))
        return
    segment, kind = decoded
    assert DEFAULT_NAMES.components(segment, displaced=kind is Kind.DISPLACED) == [name]


@settings(max_examples=300, deadline=None)
@given(key=KEYS)
def test_a_strict_storage_never_sees_what_it_refuses(key: str) -> None:
    for path in (STRICT.path(key), STRICT.displaced(key)):
        assert not any(ord(character) < 32 for character in path)
        assert "#AND#" not in path
        assert not any(name.startswith((".sys.v#.", ".sys.a#.")) for name in path.split("/"))


@pytest.mark.parametrize("name", ["a\nb", "x#AND#y", ".sys.v#.a", ".sys.a#.b.c"])
def test_a_strict_storage_shows_nothing_under_names_of_its_own(name: str) -> None:
    assert STRICT.decode(name) is None
    assert STRICT.key(f"dir/{name}") is None


@pytest.mark.parametrize("key", ORDINARY)
def test_ordinary_keys_are_their_own_path(key: str) -> None:
    assert DEFAULT_NAMES.path(key) == key
    assert DEFAULT_NAMES.key(key) == key


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/", "a/%~"),
        ("/", "%~/%~"),
        ("//a", "%~/%~/a"),
        ("a//b", "a/%~/b"),
        (".", "%dot"),
        ("../x", "%dotdot/x"),
        ("%~", "%25~"),
        ("%25~", "%2525~"),
        ("%dot", "%25dot"),
        ("a\0b", "a%00b"),
        ("a%00b", "a%2500b"),
        ("a%object", "a%25object"),
        ("a%25more/b", "a%2525more/b"),
        ("x" * 256, "x" * 250 + "%more/" + "x" * 6),
        ("é" * 128, "é" * 125 + "%more/" + "é" * 3),
        ("x" * 256 + "/y", "x" * 250 + "%more/" + "x" * 6 + "/y"),
    ],
)
def test_what_a_path_cannot_express_is_escaped(key: str, path: str) -> None:
    assert DEFAULT_NAMES.path(key) == path


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "a%object"),
        ("d/a", "d/a%object"),
        ("/", "%~/%~%object"),
        ("/a", "%~/a%object"),
        ("x" * 250, "x" * 250 + "%more/%~%object"),
        ("x" * 255, "x" * 250 + "%more/" + "x" * 5 + "%object"),
    ],
)
def test_displaced_objects_have_a_name_of_their_own(key: str, path: str) -> None:
    assert DEFAULT_NAMES.displaced(key) == path


@pytest.mark.parametrize("name", ["%object", "..%object", "x%object%object", "%more"])
def test_names_that_the_rule_never_writes_are_no_objects(name: str) -> None:
    assert DEFAULT_NAMES.key(name) is None


@pytest.mark.parametrize("path", ["abc%more/def", "a%object/b", "x%more", "%~"])
def test_paths_that_the_rule_never_writes_are_no_objects(path: str) -> None:
    assert DEFAULT_NAMES.key(path) is None


def test_the_longest_paths_fit_beside_a_long_directory() -> None:
    worst = ["/" * 1024, "\0" * 1024, "./" * 512, "../" * 341, "%00" * 341, "\0/" * 512, "%~/" * 341, "%more/" * 170]
    assert max(len(DEFAULT_NAMES.displaced(key).encode()) for key in worst) <= 4095 - 800 - 65


def test_the_directory_of_a_prefix() -> None:
    assert DEFAULT_NAMES.directory("") == ""
    assert DEFAULT_NAMES.directory("/") == "%~"
    assert DEFAULT_NAMES.directory("a/b/") == "a/b"
    assert DEFAULT_NAMES.directory("a//") == "a/%~"
