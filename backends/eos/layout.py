"""Where everything lies in EOS.

    STATE/buckets/BUCKET                an empty file; its attribute holds the bucket's record and path
    STATE/documents/BUCKET/NAME         an empty file; its attribute holds the document, "/" of the name written "%"
    STATE/documents/.gateway/NAME       the gateway's own documents
    STATE/data/RANDOM                   a document that is too large for an attribute
    STATE/locks/NN                      files of whose attributes each is a lock
    STATE/uploads/BUCKET/ID/            what is known of a multipart upload (`upload_states.py`)
    PATH OF THE BUCKET/natural path     an object
    PATH OF THE BUCKET/.sys.shardgate/  copies on their way into the bucket
    DIRECTORY OF AN OBJECT/.sys.shardgate.ID.RANDOM     data of a multipart upload of it

STATE belongs to the gateway's own account. A bucket's directory belongs to whoever made it, and every call in it acts
as the caller. What is on its way lies in the bucket's own tree, so that it has the same owner, quota and layout, and
publishing it is a rename.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from backends.hierarchy import Names

STAGING: Final = ".sys.shardgate"
"""No object: names that begin with `.sys.` belong to the storage."""

COPY: Final = "copy-"
"""Begins the name of a copy that is on its way, in the staging directory."""

WITHDRAWN: Final = ".sys.shardgate.withdrawn."
"""Begins the name of a file that is being taken away; its id follows, in hexadecimal."""

RESERVED: Final = ".sys."

DEEPEST: Final = 200
"""Names below each other in a bucket; EOS refuses paths of more than 253."""

NAMES: Final = Names(
    # A NUL ends a path, line breaks are refused (EILSEQ), `#AND#` is read as `&`.
    escapes={"\0": "00", "\n": "0a", "\r": "0d", "#AND#": "and"},
    reserved=(RESERVED,),
    deepest=DEEPEST,
)

_BUCKET: Final = re.compile(r"\.?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_DOCUMENT: Final = re.compile(r"[a-z][a-z0-9_./-]{0,199}")
GATEWAY: Final = ".gateway"


@lru_cache(maxsize=4096)
def is_bucket_name(name: str) -> bool:
    """Whether this may be the name of a bucket, of S3's rules the part that keeps names harmless as paths."""
    return _BUCKET.fullmatch(name) is not None and ".." not in name and name != GATEWAY


class Layout:
    """The paths below one state directory."""

    def __init__(self, state: str) -> None:
        self.state: Final = state
        self.buckets: Final = f"{state}/buckets"
        self.documents: Final = f"{state}/documents"
        self.data: Final = f"{state}/data"
        self.locks: Final = f"{state}/locks"

    @property
    def directories(self) -> tuple[str, ...]:
        """What must be there before anything else."""
        return (self.buckets, self.documents, f"{self.documents}/{GATEWAY}", self.data, self.locks)

    def bucket(self, name: str) -> str:
        """The file of a bucket in the registry."""
        return f"{self.buckets}/{name}"

    def documents_of(self, bucket: str | None) -> str:
        """The directory of a bucket's documents, or of the gateway's own."""
        return f"{self.documents}/{bucket or GATEWAY}"

    def document(self, bucket: str | None, name: str) -> str:
        """The file of a document. Raises `ValueError` for a name that is none."""
        if not _DOCUMENT.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a document")
        return f"{self.documents_of(bucket)}/{name.replace('/', '%')}"


def document_name(path: str) -> str | None:
    """The document's name that a file stands for."""
    name = path.rpartition("/")[2].replace("%", "/")
    return name if _DOCUMENT.fullmatch(name) else None


def staging_of(root: str) -> str:
    """What is on its way into the bucket with this directory."""
    return f"{root}/{STAGING}"


def key_lock(bucket: str, key: str) -> str:
    """The name of the lock of an object."""
    return f"object {bucket}/{key}"


def bucket_lock(bucket: str) -> str:
    """The name of the lock of a bucket: its registration and its documents."""
    return f"bucket {bucket}"
