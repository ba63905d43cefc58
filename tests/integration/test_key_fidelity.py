"""Every legal key is stored, listed in order of its UTF-8 bytes, read back and deleted, through four workers."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fast_client import Client, path_of, spread
from tests.support.gateway import Gateway

COUNT = 10_000
THREADS = 6
SEED = 20_260_501

WORDS = (
    *("a", "b", "ab", "a b", "A", "file.txt", "x" * 64, "-", "_", "~", "!", "*", "'", "(", ")", "&", "<>", '"', "\\"),
    *(".", "..", "...", ".hidden", "..b", "a.", " ", "  a", "a ", "+", "a+b", "100%", "%", "%%", "%2F", "%41", "a%20b"),
    # What the storage writes for what a path cannot hold.
    *("%~", "%dot", "%dotdot", "%25~", "%2525dot", "%00", "%2500", "%object", "%more", "a%object", "b%25object"),
    *("a%more", "%plain", "%plaina", "%25plain", ".shardgate", "%object%object", "%more%object", "%object%more"),
    # Control characters, NUL among them.
    *("\0", "a\0b", "\x01", "\t", "\n", "\r", "\r\n", "\x1f", "\x7f", "\x80", "\x9f", "\x85", "\u2028", "\u2029"),
    # Unicode: composed and not, above the BMP, last of their planes, noncharacters, direction marks, private use.
    *("é", "e\u0301", "ﬁ", "ß", "İ", "中文", "日本", "\U0001f600", "\U0001f468\u200d\U0001f469", "\U00010000"),
    *(
        "\U0010ffff",
        "\U0010fffe",
        "\uffff",
        "\ufffe",
        "\ufffd",
        "\ufeff",
        "\ue000",
        "\ud7ff",
        "\u202e",
        "\u200b",
        "\xa0",
    ),
)
FIRST = (
    *("a", "a/b", "a/b/c", "a/", "a//", "a//b", "/a", "//a", "/", "//", "///", ".", "..", "./a", "../a", "a/.", "a/.."),
    *("a/../b", "/.", "/..", "a/./b", "a%object", "a%object/b", "a/b%object", "%~", "%~/a", "a/%~", "%more", "%more/a"),
    *("/" * 1024, "x" * 1024, "é" * 512, "\U0001f600" * 256, "%" * 1024, "\0" * 1024, "%00" * 341, "." * 1024),
    *("x" * 255, "x" * 256, "x" * 255 + "/a", "x" * 256 + "/a", "x" * 1022 + "/a", "a/" + "x" * 1022, "é" * 127 + "x"),
    *("é" * 128, "\U0001f600" * 63 + "xyz", "\U0001f600" * 64, "a/" * 512, "/a" * 512, "./" * 512, "%~/" * 341),
    *("x" * 248 + "%object", "x" * 255 + "%object", "x" * 250 + "%more", "x" * 250 + "%more/a", "y" * 249 + "\0"),
)


def legal_keys(count: int, seed: int) -> list[str]:
    """So many different legal keys, in a random order: chosen edge cases, their neighbours, and random ones."""
    chooser = random.Random(seed)
    found = dict.fromkeys(FIRST)
    earlier = list(found)

    def extended() -> str:
        # A key below another, or the one above it: objects and directories of one name.
        known = chooser.choice(earlier)
        if chooser.random() < 0.3 and "/" in known[1:]:
            return known[: known.rindex("/")]
        return known + chooser.choice(("/", "//", "", "%object", "%more")) + chooser.choice(WORDS)

    def joined() -> str:
        return "/".join(chooser.choice(WORDS) for _ in range(chooser.randint(1, 6)))

    def mixed() -> str:
        return "".join(chooser.choice((*WORDS, "/", "/")) for _ in range(chooser.randint(1, 12)))

    def long() -> str:
        word = chooser.choice(WORDS)
        return (word * (1024 // len(word.encode()) + 1))[: chooser.randint(1, 1024)] + chooser.choice(WORDS)

    def characters() -> str:
        points = (chooser.choice((chooser.randrange(0x80), chooser.randrange(0x110000))) for _ in range(12))
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)

    makers = (extended, extended, joined, mixed, characters, long)
    while len(found) < count:
        key = chooser.choices(makers, (30, 20, 20, 15, 10, 5))[0]()
        if 1 <= len(key.encode()) <= 1024 and key not in found:
            found[key] = None
            earlier.append(key)
    keys = list(found)
    chooser.shuffle(keys)
    return keys


def body_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@pytest.fixture(scope="module")
def wide_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Four workers on a directory of their own."""
    directory = tmp_path_factory.mktemp("fidelity") / "data"
    try:
        with Gateway(directory, workers=4, environ={"SHARDGATE_DURABILITY": "relaxed"}) as running:
            yield running
    finally:
        # What a failed test leaves is deeper than shutil.rmtree, and so pytest's clean-up, can go.
        subprocess.run(["rm", "-rf", str(directory)], check=True)


def files_below(directory: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(root, name), directory)
        for root, folders, names in os.walk(directory)
        for name in (*names, *folders)
    }


def test_the_generator_covers_what_it_should():
    keys = legal_keys(COUNT, SEED)
    assert len(set(keys)) == COUNT
    assert keys == legal_keys(COUNT, SEED)
    known = set(keys)
    parents = {key[:cut] for key in keys for cut in range(1, len(key)) if key[cut] == "/"}
    assert len(known & parents) > 500
    for feature in ("\0", "//", "%object", "%more", "\U0010ffff", "\n", "+", "%25", "/../", "/./"):
        assert sum(feature in key for key in keys) > 50, feature
    assert sum(len(key.encode()) > 255 for key in keys) > 100
    assert sum(any(unicodedata.category(letter) == "Cn" for letter in key) for key in keys) > 300
    # UTF-8 and UTF-16 order these differently.
    assert sorted(keys) != sorted(keys, key=lambda key: key.encode("utf-16-be"))


@pytest.mark.slow
def test_ten_thousand_keys_are_stored_listed_read_and_deleted(wide_gateway: Gateway) -> None:
    keys = legal_keys(COUNT, SEED)
    in_order = sorted(keys, key=str.encode)
    with Client(wide_gateway) as client:
        client.create_bucket("fidelity")
        empty = files_below(wide_gateway.directory)

        def put(sender: Client, key: str) -> tuple[str, int]:
            return key, sender.put("fidelity", key, body_of(key)).status

        assert [key for key, status in spread(wide_gateway, THREADS, put, keys) if status != 200] == []

        assert client.list_keys("fidelity", page=1000) == in_order
        assert client.list_keys("fidelity", page=7) == in_order

        def get(sender: Client, key: str) -> tuple[str, bool]:
            reply = sender.get("fidelity", key)
            return key, reply.status == 200 and reply.body == body_of(key)

        assert [key for key, right in spread(wide_gateway, THREADS, get, reversed(keys)) if not right] == []

        def delete(sender: Client, key: str) -> tuple[str, int]:
            return key, sender.delete("fidelity", key).status

        half = keys[::2]
        assert [key for key, status in spread(wide_gateway, THREADS, delete, half) if status != 204] == []
        gone = set(half)
        assert client.list_keys("fidelity", page=1000) == [key for key in in_order if key not in gone]
        assert [key for key, status in spread(wide_gateway, THREADS, delete, keys[1::2]) if status != 204] == []
        assert client.list_keys("fidelity") == []
        assert list((wide_gateway.directory / "fidelity").iterdir()) == []
        assert client.request("DELETE", path_of("fidelity")).status == 204
    left = files_below(wide_gateway.directory) - empty
    # Lock files are made when first used.
    assert {name for name in left if not name.startswith(".shardgate/locks")} == set()
    assert all((wide_gateway.directory / name).stat().st_size == 0 for name in left)
    assert list((wide_gateway.directory / ".shardgate" / "staging").iterdir()) == []
    assert "Traceback" not in wide_gateway.log.read_text()


def test_conflicting_keys_written_at_the_same_time_are_all_kept(wide_gateway: Gateway) -> None:
    """`a`, `a/b` and `a/b/c` written at once, again and again: the file of one is the directory of the next."""
    with Client(wide_gateway) as client:
        client.create_bucket("conflicts")
        shape = ("", "/", "/b", "/b/", "/b/c", "//", "%object")
        keys = [f"{number}{end}" for number in range(60) for end in shape]

        def put(sender: Client, key: str) -> int:
            return sender.put("conflicts", key, body_of(key)).status

        def delete(sender: Client, key: str) -> int:
            return sender.delete("conflicts", key).status

        # Neighbours in this order go to different threads.
        for _ in range(2):
            assert set(spread(wide_gateway, 7, put, keys)) == {200}
            assert client.list_keys("conflicts") == sorted(keys)
            wrong = [key for key in keys if client.get("conflicts", key).body != body_of(key)]
            assert wrong == []
            half = [key for key in keys if key.endswith(("b", "//", "0", "5"))]
            assert set(spread(wide_gateway, 7, delete, half)) == {204}
            assert client.list_keys("conflicts") == sorted(set(keys) - set(half))
        assert set(spread(wide_gateway, 7, delete, keys)) == {204}
        assert list((wide_gateway.directory / "conflicts").iterdir()) == []
