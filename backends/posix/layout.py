"""Where everything lies below the gateway's directory DIR.

    DIR/<bucket>/<natural path of the key>       an object, its record in the extended attribute `user.shardgate`
    DIR/.shardgate/buckets/<bucket>/record       a bucket's record
    DIR/.shardgate/buckets/<bucket>/documents/   a bucket's documents, one file each
    DIR/.shardgate/documents/                    the gateway's own documents
    DIR/.shardgate/locks                         an empty file of which single bytes are locked
    DIR/.shardgate/making/                       notes of directories that are being made, one file each
    DIR/.shardgate/records/                      records that do not fit into an attribute
    DIR/.shardgate/staging/                      files on their way to another place
    DIR/.shardgate/uploads/                      multipart uploads

A bucket's directory holds nothing but its objects. Whatever is below DIR has to be in one file system, since files are
moved into their place.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Final
from zlib import crc32

from backends.hierarchy import DEFAULT_NAMES

HIDDEN: Final = ".shardgate"
"""No legal bucket name, as all of those begin with a letter or digit."""

LONGEST_DIRECTORY: Final = 800
"""Bytes of DIR. Paths end at 4096; the longest of a key, 1024 slashes, takes 3,074 beside the bucket's name."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@lru_cache(maxsize=4096)
def is_bucket_name(name: str) -> bool:
    """Whether this may be the name of a bucket, of S3's rules the part that keeps names harmless as paths."""
    return _BUCKET.fullmatch(name) is not None and ".." not in name


class Layout:
    """The paths below one DIR."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.hidden = f"{root}/{HIDDEN}"
        self.buckets = f"{self.hidden}/buckets"
        self.documents = f"{self.hidden}/documents"
        self.locks = f"{self.hidden}/locks"
        self.making = f"{self.hidden}/making"
        self.records = f"{self.hidden}/records"
        self.staging = f"{self.hidden}/staging"
        self.uploads = f"{self.hidden}/uploads"
        self.directories = (self.hidden, self.buckets, self.documents, self.making, self.staging, self.uploads)

    def bucket(self, bucket: str) -> str:
        """The directory of a bucket's objects."""
        return f"{self.root}/{bucket}"

    def about(self, bucket: str) -> str:
        """The directory of what is known of a bucket."""
        return f"{self.buckets}/{bucket}"

    def place(self, bucket: str, key: str) -> Place:
        """Where an object lies."""
        return Place(f"{self.root}/{bucket}", key)

    def staged(self) -> str:
        """A new name in the staging area."""
        return f"{self.staging}/{_unique()}"

    def note(self) -> str:
        """A new name for a note of directories."""
        return f"{self.making}/{_unique()}"


class Place:
    """Where the object of one key lies: under its natural path, or, where that is a directory, under the displaced one.

    Attributes:
        bucket: the bucket's directory.
        key: the key.
        natural: the natural path.
    """

    __slots__ = ("bucket", "key", "natural")

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket
        self.key = key
        self.natural = f"{bucket}/{DEFAULT_NAMES.path(key)}"

    @property
    def displaced(self) -> str:
        """The path where a directory has the natural one."""
        return f"{self.bucket}/{DEFAULT_NAMES.displaced(self.key)}"

    @property
    def lock(self) -> int:
        """What is locked to change the object."""
        return lock_of(self.bucket, self.key)


def _unique() -> str:
    return f"{os.getpid():x}-{os.urandom(8).hex()}"


def lock_of(*names: str) -> int:
    """The number of the lock for a name; several names may share one."""
    return crc32("\0".join(names).encode("utf-8", "surrogateescape"))
