"""What the client tests move: bytes that can be made again from their size, and awkward names."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB

# Below 8 MiB every client of these tests sends one PutObject, above it some start a multipart upload.
SIZES = (0, 1, KIB, 5 * MIB)

# Names that are legal both as an S3 key and as a path of a file, each with what usually goes wrong in mind:
# signing (spaces, '+', '%', '~'), URL splitting ('#', '?', ';'), XML ('&', '<', quotes), shells and glob
# patterns ('*', '[', '\\', '$'), hidden files, non-ASCII text in one, two and four byte characters, both
# normal forms of an accent, and names that look like an escape already.
FILE_NAMES = (
    "plain.txt",
    "with space.txt",
    " leading and trailing ",
    "plus+sign",
    "percent%41.txt",
    "percent%2Fslash",
    "lone%",
    "hash#tag",
    "question?mark=1&b=2",
    "single'quote",
    'double"quote',
    "amp&ersand;semi",
    "colon:comma,",
    "equals=at@",
    "dollar$caret^`",
    "tilde~under_-dash",
    "back\\slash",
    "brackets[1]{2}(3)",
    "angle<tag>",
    "pipe|star*",
    ".hidden",
    ".dir/.file",
    "..two dots",
    "ünïcödé/дом/日本語.txt",
    "emoji-\U0001f600",
    "composed-\u00e9 decomposed-e\u0301",
    "deep/a/b/c/d/e/f/g.bin",
    "x" * 200,
)

# Keys that no file system path can express, or not beside the others.
KEY_NAMES = (
    *FILE_NAMES,
    "node",
    "node/child",
    "double//slash",
    "trailing/",
    "/leading",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "y" * 1024,
    "é" * 512,
    "segment/" + "z" * 500 + "/end",
)


@lru_cache(maxsize=32)
def content(size: int, seed: int = 0) -> bytes:
    """*size* bytes that do not compress and differ between seeds; the same in every process."""
    return random.Random(f"{size}-{seed}").randbytes(size)


def digest(data: bytes) -> str:
    """The SHA-256 of *data* in hex, which is what the tests compare."""
    return hashlib.sha256(data).hexdigest()


def make_tree(root: Path, files: int) -> dict[str, str]:
    """Write *files* small files with awkward names below *root*; returns relative name -> SHA-256."""
    digests: dict[str, str] = {}
    for number in range(files):
        name = FILE_NAMES[number % len(FILE_NAMES)]
        group = number // len(FILE_NAMES)
        relative = name if group == 0 else f"group {group:03}+/{name}"
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content(number % 700, seed=number)
        path.write_bytes(data)
        digests[relative] = digest(data)
    return digests


def read_tree(root: Path) -> dict[str, str]:
    """Relative name -> SHA-256 of every file below *root*."""
    return {path.relative_to(root).as_posix(): digest(path.read_bytes()) for path in root.rglob("*") if path.is_file()}
