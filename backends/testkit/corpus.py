"""Keys and names that plugins have reason to get wrong."""

from __future__ import annotations

from typing import Final

LONG_SEGMENT: Final = "s" * 300
"""Longer than a file name may be on most file systems."""

KEYS: Final[tuple[str, ...]] = tuple(
    sorted(
        {
            # One key is the beginning of another: an object beside a "directory" of its name.
            "a", "a/", "a//", "a/b", "a/b/", "a/b/c", "a/b/c/d", "a//b", "a/./b", "a/../b", "ab", "a-b", "a.b", "a0",
            # Paths that mean something to a file system.
            "/", "//", "///", "/a", "//a", "/a/", ".", "..", "...", "./", "../", "./a", "../a",
            "../../a", "a/.", "a/..",
            "~", "~/a", "-", "--", "-rf", "*", "?", "[a]", "{a}", "$HOME", "`a`", "a b", " ", "  ",
            " a", "a ", "\\", "a\\b",
            "C:\\a", "C:/a", "CON", "nul", "lost+found", ".nfs0001", ".snapshot", ".hidden", ".a/.b",
            "a/.b", "a~", "#a#",
            # What escaping schemes use themselves.
            "%", "%%", "%2F", "%2f", "%00", "%25", "%2e", "%2E%2E", "a%2Fb", "=", "==", "=2F", "+",
            "a+b", "&", "&amp;",
            "@", "a@b", ":", "a:b", ";", "!", "|", "^", "_", "__", "'", '"', "<a>", "a,b", "(a)", "null", "None",
            # Names that a plugin may keep for itself.
            ".shardgate", ".shardgate/a", "shardgate", ".sys", ".sys/a", ".tmp", "tmp", ".uploads/a",
            ".meta", ".meta/a",
            # Upper and lower case are different keys.
            "A", "A/b", "a/B", "README", "readme",
            # Beyond ASCII: two normal forms of one letter, and code points whose UTF-16 order is another one.
            "é", "e\u0301", "ß", "ẞ", "日本語/キー", "кириллица", "\u00a0", "\u200b", "\u2028", "\ufeff",
            "\ufffd", "\uffff",
            "\U00010000", "😀", "😀/😀", "\U0010ffff", "a\U0010ffff", "a/\U0010ffff",
            # Control characters.
            "\x00", "a\x00", "a\x00b", "\x01", "\t", "\n", "a\nb", "\r", "a\r\nb", "\x1b[31m", "\x7f", "\x80", "\x85",
            # Lengths.
            LONG_SEGMENT, LONG_SEGMENT + "/" + LONG_SEGMENT, LONG_SEGMENT + "/", "a/" + LONG_SEGMENT,
            "s" * 255, "s" * 256,
            "k" * 1024, "k" * 1023, "é" * 512, "😀" * 256, "/" * 1024, "a/" * 512, "../" * 341,
            "%" * 1024, "\x01" * 1024,
            ".." + "/.." * 340,
        }
    )
)  # fmt: skip

BUCKET_ENDINGS: Final[tuple[str, ...]] = ("", "0", "-a", ".a", ".b.c", "x" * 43)
"""Endings of legal bucket names; with the suite's own beginning the last one has 63 characters."""

DOCUMENTS: Final[tuple[str, ...]] = (
    "policy",
    "policy/x",
    "policy/x/y",
    "policy.x",
    "policy-x",
    "policy_x",
    "p",
    "p..",
    "p/..",
    "p/../q",
    "p/.",
    "p//q",
    "p/",
    "con",
    "d" * 200,
    "d/" * 100,
)
"""Document names, each legal."""
