"""The rules of range PUTs: `x-upload-range`, `x-upload-totalsize`, `x-upload-done`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator.http_answers import HttpFailure

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)")
ILLEGAL: Final = "Illegal Range request"
WRONG_LENGTH: Final = "Illegal Range request - not matching content length"


class FstCrash(Exception):
    """What ends the process of a real FST."""


@dataclass(frozen=True, slots=True)
class UploadRange:
    """Where a body goes, and whether it is the last one."""

    offset: int
    last: bool


def planned(headers: Mapping[str, str]) -> UploadRange | None:
    """What the headers of a PUT ask for, None when it is not a range PUT.

    Raises `HttpFailure` (416), `FstCrash`.
    """
    text = headers.get("x-upload-range")
    if text is None:
        return None
    if "content-length" not in headers:
        raise FstCrash("a range PUT without Content-Length")
    match = _RANGE.fullmatch(text.strip())
    total = headers.get("x-upload-totalsize", "")
    done = headers.get("x-upload-done", "").strip().lower()
    if not total.isdigit():
        # Without the total size the range means nothing: the body goes to the beginning.
        return UploadRange(0, done == "true")
    if match is None:
        raise HttpFailure(416, ILLEGAL)
    first, last, size = int(match[1]), int(match[2]), int(total)
    if first == size:
        raise FstCrash("a range PUT that begins at the total size")
    if first > size:
        raise HttpFailure(416, ILLEGAL)
    if int(headers["content-length"]) != min(last, size - 1) - first + 1:
        raise HttpFailure(416, WRONG_LENGTH)
    return UploadRange(first, done == "true" or (done != "false" and last + 1 == size))
